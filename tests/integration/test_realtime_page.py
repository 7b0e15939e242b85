"""The inbox page in Chromium, against a real server: what a person sees, and what becomes of their rows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from playwright.async_api import Page, async_playwright, expect
from pytest_django.plugin import DjangoDbBlocker

from deliveries.models import Tenant
from deliveries.realtime.publish import publish_items
from notifyproj.embedded.process import HOST
from tests.chromium import ARGUMENTS, WAIT_MS
from tests.factories import TenantFactory
from tests.realtime import (
    WebServer,
    again,
    environment,
    frames_of,
    in_thread,
    inbox_row,
    open_socket,
    shared_web_server,
    token,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser]

store = in_thread(inbox_row)
stored = in_thread(again)
a_tenant = in_thread(TenantFactory)
expect.set_options(timeout=WAIT_MS)


@pytest.fixture(scope="module")
def web(
    tmp_path_factory: pytest.TempPathFactory, django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[WebServer]:
    with shared_web_server(tmp_path_factory.mktemp("web"), django_db_blocker) as server:
        yield server


@pytest.fixture
async def page(chromium: str) -> AsyncIterator[Page]:
    """A phone. Fails the test when the page has an error of its own."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS, timeout=WAIT_MS)
        page = await browser.new_page(viewport={"width": 390, "height": 780}, has_touch=True)
        page.set_default_timeout(WAIT_MS)
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda line: errors.append(line.text) if "Content Security Policy" in line.text else None)
        yield page
        await browser.close()
        assert errors == []


async def visit(page: Page, web: WebServer, tenant: Tenant, user_id: UUID) -> None:
    await page.goto(f"http://{HOST}:{web.port}/inbox/#token={token(tenant, user_id)}")
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()


async def test_a_notification_appears_and_acknowledging_it_reaches_its_row(page: Page, web: WebServer) -> None:
    tenant, user_id = await a_tenant(), uuid4()
    await visit(page, web, tenant, user_id)
    await expect(page.get_by_text("Nothing new")).to_be_visible()
    await web.listening()
    row = await store(tenant, user_id, "Your parcel is here")
    await publish_items(await frames_of(row))

    card = page.get_by_role("listitem")
    await expect(card).to_contain_text("Your parcel is here")
    await expect(page.get_by_label("1 unread")).to_be_visible()
    await page.keyboard.press("Tab")
    await page.get_by_role("button", name="Acknowledge: News").focus()
    await page.keyboard.press("Enter")

    await expect(card).to_contain_text("Acknowledged")
    await expect(page.get_by_label("1 unread")).to_be_hidden()
    assert (await stored(row)).acknowledged_at is not None


async def test_another_tab_hears_of_it(page: Page, web: WebServer) -> None:
    tenant, user_id = await a_tenant(), uuid4()
    row = await store(tenant, user_id)
    await visit(page, web, tenant, user_id)
    await web.listening()
    async with open_socket(web, token(tenant, user_id)) as other:
        await other.next("connected")
        await other.send(type="ack", notification_id=str(row.job_id))
        await expect(page.get_by_role("listitem")).to_contain_text("✓ Acknowledged")


async def test_what_came_while_the_server_was_gone_is_there_after_it_is_back(
    page: Page, tmp_path: Path, django_db_setup: None
) -> None:
    tenant, user_id = await a_tenant(), uuid4()
    with WebServer(tmp_path / "web", environment()) as web:
        first = await store(tenant, user_id, "before")
        await visit(page, web, tenant, user_id)
        await expect(page.get_by_role("listitem")).to_have_count(1)
        web.kill()
        await expect(page.get_by_text("Reconnecting…")).to_be_visible()
        await store(tenant, user_id, "meanwhile")
        await page.get_by_role("button", name="Acknowledge").click()  # said while nobody listens
        web.start()

        await expect(page.get_by_text("Live", exact=True)).to_be_visible()
        await expect(page.get_by_role("listitem")).to_have_count(2)
        await expect(page.get_by_role("listitem").last).to_contain_text("✓ Acknowledged")
    assert (await stored(first)).acknowledged_at is not None


async def test_what_a_notification_says_is_text_and_never_a_script(page: Page, web: WebServer) -> None:
    tenant, user_id = await a_tenant(), uuid4()
    evil = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    rendered = {"subject": evil, "text": evil, "action_url": "javascript:document.title='owned'"}
    await store(tenant, user_id, rendered=rendered)
    await visit(page, web, tenant, user_id)

    await expect(page.get_by_role("listitem")).to_contain_text("<script>")
    await expect(page.get_by_role("link")).to_have_count(0)
    assert await page.title() == "Inbox"


@pytest.mark.parametrize("fragment", ["", "#token=aa.bb.cc"])
async def test_without_a_valid_token_the_page_says_so(page: Page, web: WebServer, fragment: str) -> None:
    await page.goto(f"http://{HOST}:{web.port}/inbox/{fragment}")

    await expect(page.get_by_text("You are signed out")).to_be_visible()


async def test_a_phone_needs_no_sideways_scrolling(page: Page, web: WebServer) -> None:
    tenant, user_id = await a_tenant(), uuid4()
    await store(tenant, user_id, "wide" * 200, priority=0)
    await page.set_viewport_size({"width": 320, "height": 560})
    await visit(page, web, tenant, user_id)
    await expect(page.get_by_role("listitem")).to_have_count(1)

    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_the_wait_before_a_reconnect_grows_to_half_a_minute(page: Page, web: WebServer) -> None:
    await page.goto(f"http://{HOST}:{web.port}/inbox/")
    delays = await page.evaluate(
        """async () => {
            const { reconnectDelay } = await import("/static/deliveries/inbox.js");
            return [0, 1, 2, 5, 8, 9, 1000].flatMap((n) => [reconnectDelay(n, () => 0), reconnectDelay(n, () => 1)]);
        }"""
    )

    assert delays == [100, 200, 200, 400, 400, 800, 3200, 6400, 25_600, 30_000, 30_000, 30_000, 30_000, 30_000]
