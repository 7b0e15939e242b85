"""How the pictures in docs/images are taken: in which windows, and where they are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from playwright.sync_api import Browser, Page, ViewportSize

from tests.chromium import WAIT_MS

IMAGES: Final = Path(__file__).resolve().parents[2] / "docs" / "images"
WIDE: Final = ViewportSize(width=1280, height=800)
PHONE: Final = ViewportSize(width=390, height=780)


def open_page(browser: Browser, url: str, *, viewport: ViewportSize, scheme: str = "light") -> Page:
    """Open an address in a context of its own."""
    context = browser.new_context(viewport=viewport, color_scheme=scheme)  # type: ignore[arg-type]
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    page.goto(url)
    return page


def heighten(page: Page, height: int) -> None:
    """Make the window so high, for a page whose point would not be in sight otherwise."""
    page.set_viewport_size({"width": page.evaluate("innerWidth"), "height": height})


def save(page: Page, name: str) -> None:
    """Keep what is on the screen."""
    page.wait_for_load_state()
    page.evaluate("document.fonts.ready.then(() => new Promise((done) => requestIdleCallback(done)))")
    page.screenshot(path=IMAGES / f"{name}.png", animations="disabled")
