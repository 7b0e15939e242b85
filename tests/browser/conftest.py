"""Debian's Chromium before the whole service. A test's pages must say no error in their console; what failed leaves a
picture in test-results/.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Error, Page, sync_playwright

from tests.chromium import ARGUMENTS, WAIT_MS, OpenPage
from tests.demo import RunningDemo

DEMO = pytest.StashKey[RunningDemo]()
HERE = Path(__file__).resolve().parent
RESULTS = HERE.parents[1] / "test-results"


@pytest.fixture
def browser(chromium: str) -> Iterator[Browser]:
    """Start Chromium for one test: Playwright's loop runs in this thread while it is open, and would be in the way of others' loops."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS, timeout=WAIT_MS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[RunningDemo]:
    """Run the whole service once, with servers of its own."""
    folder = tmp_path_factory.mktemp("browser") / "run"
    with RunningDemo(folder, BROADCAST_UNDO_SECONDS="600") as running:  # time enough to reach Undo by keyboard
        pytestconfig.stash[DEMO] = running
        yield running


def needs_the_demo(item: pytest.Item) -> bool:
    """Say whether a test is one of those that share this folder's demo."""
    return item.path.parent == HERE and "demo" in getattr(item, "fixturenames", ())


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep together those that share the demo, in whatever order the others are."""
    items.sort(key=needs_the_demo)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """End the demo with the last of them: it would take the processor from those that follow."""
    yield
    if needs_the_demo(item) and (nextitem is None or not needs_the_demo(nextitem)):
        item.config.stash[DEMO].__exit__()


@pytest.fixture
def open_page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[OpenPage]:
    """Give a function that opens an address in a fresh browser context; keywords go to `new_context`."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error":
            complaints.append(message.text)

    def open_page(url: str, **options: object) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1400, "height": 900}, **options})  # type: ignore[arg-type]
        contexts.append(context)
        context.set_default_timeout(WAIT_MS)
        context.on("console", note)
        context.on("weberror", lambda error: complaints.append(str(error.error)))
        page = context.new_page()
        page.goto(url)
        return page

    failures = request.session.testsfailed
    yield open_page
    if request.session.testsfailed > failures:
        picture(contexts, request.node.name)
    for context in contexts:
        context.close()
    assert complaints == [], "the pages complained in their console"


def picture(contexts: list[BrowserContext], name: str) -> None:
    """Keep what each open page of a failed test looks like."""
    RESULTS.mkdir(exist_ok=True)
    pages = [page for context in contexts for page in context.pages]
    for number, page in enumerate(pages):
        path = RESULTS / f"{re.sub(r'[^a-z0-9]+', '-', name.lower())}-{number}.png"
        try:
            page.screenshot(path=path, full_page=True)
        except Error as error:
            path.with_suffix(".txt").write_text(f"There is no picture: {error}")
