"""Take the pictures of the README and the guides from the real demo: python -m tests.browser.take_pictures

Writes docs/images/*.png; `--only broadcasts` those of broadcasts. Not a test: run it when a page has changed its looks.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.broadcast_pictures import broadcast_pictures
from tests.browser.camera import IMAGES, PHONE, WIDE, open_page, save
from tests.browser.staff import log_in
from tests.chromium import ARGUMENTS
from tests.conftest import find_chromium
from tests.demo import RunningDemo


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
    expect(page.locator("#broken")).to_contain_text("Wiped")
    expect(page.locator("#broken")).to_contain_text("unaccounted 0.")


def editor_page(page: Page, demo: RunningDemo) -> None:
    """Keep the template editor with a mail in its preview."""
    page.goto(f"{demo.url}/admin/deliveries/template/")
    page.get_by_role("link", name="Order shipped").click()
    page.get_by_role("button", name=re.compile("draft")).click()
    page.get_by_role("tab", name="Desktop").click()
    expect(page.locator("#ed-whose")).to_have_text("Words: en")
    save(page, "editor")


def tour_pictures(browser: Browser, demo: RunningDemo) -> None:
    """Use the tour and keep it, on a desk and on a phone at night."""
    tour = open_page(browser, demo.url, viewport=WIDE)
    press_everything(tour)
    tour.evaluate("scrollTo(0, 0)")
    save(tour, "tour")
    save(open_page(browser, demo.url, viewport=PHONE, scheme="dark"), "tour-phone-dark")


def staff_pictures(browser: Browser, demo: RunningDemo) -> None:
    """Log in and keep the pages that staff live on."""
    page = open_page(browser, f"{demo.url}/admin/", viewport=WIDE)
    log_in(page, demo)
    expect(page.locator("#ns-chart")).to_be_visible()
    save(page, "dashboard")
    page.goto(f"{demo.url}/admin/deliveries/delivery/?q=ana@example.com&channel=email")
    page.locator("#result_list tbody").get_by_role("link").first.click()
    expect(page.locator(".ns-timeline")).to_be_visible()
    save(page, "delivery")
    page.goto(f"{demo.url}/admin/deliveries/deadletter/")
    save(page, "undeliverable")
    editor_page(page, demo)


#: In this order: staff pages show what the tour has sent.
ALBUMS: Final = {"tour": tour_pictures, "staff": staff_pictures, "broadcasts": broadcast_pictures}


def main(wanted: Sequence[str]) -> None:
    """Start the demo, use it, and keep the pictures of the albums that are wanted."""
    folder = Path(tempfile.mkdtemp(prefix="notifyproj-pictures-"))
    IMAGES.mkdir(parents=True, exist_ok=True)
    try:
        with RunningDemo(folder / "run") as demo, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=find_chromium(), args=ARGUMENTS)
            for name, take in ALBUMS.items():
                if name in wanted:
                    take(browser, demo)
            browser.close()
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    parser = ArgumentParser(description="Take the pictures of the README and the guides.")
    parser.add_argument("--only", nargs="+", choices=ALBUMS, default=list(ALBUMS), help="not all of them")
    main(parser.parse_args().only)
