"""Take the README's pictures from the real demo: python -m tests.browser.take_pictures

Writes docs/images/*.png. Not a test: run it when a page has changed its looks.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.chromium import ARGUMENTS, WAIT_MS
from tests.conftest import find_chromium
from tests.demo import RunningDemo

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
WIDE = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 780}


def open_page(browser: Browser, url: str, *, viewport: dict[str, int], scheme: str = "light") -> Page:
    """Open an address in a context of its own."""
    context = browser.new_context(viewport=viewport, color_scheme=scheme)  # type: ignore[arg-type]
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    page.goto(url)
    return page


def save(page: Page, name: str) -> None:
    """Keep what is on the screen."""
    page.wait_for_load_state("networkidle")
    page.evaluate("document.fonts.ready")
    page.screenshot(path=IMAGES / f"{name}.png", animations="disabled")


def press_everything(page: Page) -> None:
    """Let the tour, and the staff pages after it, have something to show."""
    for _ in range(2):
        page.get_by_role("button", name="Send me one").click()
        expect(page.locator("#sent").get_by_role("button").first).to_be_visible()
    page.get_by_role("button", name="Send me an e-mail").click()
    expect(page.locator("#sent li")).to_have_count(3)
    expect(page.locator("#sent").get_by_role("button")).to_have_count(3)
    page.get_by_role("button", name="Wrong priority").click()
    page.get_by_role("button", name="Put it on the topic").click()
    expect(page.locator("#judged").get_by_role("button")).to_have_count(3)
    page.locator("#wipe-redis").click()
    expect(page.locator("#broken").get_by_text("Wiped")).to_be_visible()
    expect(page.locator("[data-figure=waiting]")).to_have_text("0")


def staff_pages(page: Page, demo: RunningDemo) -> None:
    """Log in and keep the pages that staff live on."""
    page.locator("input[name=username]").fill("admin")
    page.locator("input[name=password]").fill(demo.folder.kept().admin_password)
    page.keyboard.press("Enter")
    expect(page.locator("#ns-chart")).to_be_visible()
    save(page, "dashboard")
    page.goto(f"{demo.url}/admin/deliveries/delivery/?q=ana@example.com&channel=email")
    page.locator("#result_list tbody").get_by_role("link").first.click()
    expect(page.locator(".ns-timeline")).to_be_visible()
    save(page, "delivery")
    page.goto(f"{demo.url}/admin/deliveries/deadletter/")
    save(page, "undeliverable")
    editor_page(page, demo)


def editor_page(page: Page, demo: RunningDemo) -> None:
    """Keep the template editor with a mail in its preview."""
    page.goto(f"{demo.url}/admin/deliveries/template/")
    page.get_by_role("link", name="Order shipped").click()
    page.get_by_role("button", name=re.compile("draft")).click()
    page.get_by_role("tab", name="Desktop").click()
    expect(page.locator("#ed-whose")).to_have_text("Words: en")
    save(page, "editor")


def main() -> None:
    """Start the demo, use it, and keep the pictures."""
    folder = Path(tempfile.mkdtemp(prefix="notifyproj-pictures-"))
    IMAGES.mkdir(parents=True, exist_ok=True)
    try:
        with RunningDemo(folder / "run") as demo, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=find_chromium(), args=ARGUMENTS)
            tour = open_page(browser, demo.url, viewport=WIDE)
            press_everything(tour)
            tour.evaluate("scrollTo(0, 0)")
            save(tour, "tour")
            save(open_page(browser, demo.url, viewport=PHONE, scheme="dark"), "tour-phone-dark")
            staff_pages(open_page(browser, f"{demo.url}/admin/", viewport=WIDE), demo)
            browser.close()
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
