"""One broadcast of the demo from its draft to the people, with a picture of each page on its way. For take_pictures.py."""

from __future__ import annotations

import re
from typing import Final

from playwright.sync_api import Browser, Page, expect

from tests.browser.camera import PHONE, WIDE, heighten, open_page, save
from tests.browser.staff import BROADCASTS, counted, figure, log_in, saved
from tests.chromium import WAIT_MS
from tests.demo import RunningDemo
from tests.waiting import eventually

#: The demo's draft, as its link in the list begins; another one's name goes on behind a comma.
DRAFT: Final = re.compile(r"^Winter sale(?!,)")
#: One of the demo's customers, who has a city.
CUSTOMER: Final = "gabriel.abebe9@example.org"
A_MINUTE: Final = "1200"
#: So many sent that the chart has several bars. It takes as long as it takes at that speed.
THOUSANDS: Final = re.compile(r"^([3-9]|\d\d),\d{3}$")


def broadcast_pictures(browser: Browser, demo: RunningDemo) -> None:
    """Finish the demo's draft as ben, approve it as the administrator, send it, and keep each page."""
    ben = open_page(browser, demo.url + BROADCASTS, viewport=WIDE)
    log_in(ben, demo, "ben")
    listed(ben)
    ben.get_by_role("link", name=DRAFT).click()
    compose(ben)
    check(ben)
    admin = open_page(browser, demo.url + BROADCASTS, viewport=WIDE)
    log_in(admin, demo)
    admin.get_by_role("link", name=DRAFT).click()
    approve(admin)
    ben.reload()
    send(ben)
    watch(ben)
    phone = open_page(browser, ben.url, viewport=PHONE)
    log_in(phone, demo, "ben")
    expect(figure(phone, "Sent")).to_have_text(THOUSANDS)
    heighten(phone, 1000)
    save(phone, "broadcast-phone")


def listed(page: Page) -> None:
    """Keep the demo's five broadcasts, each in another state, once the one that is slow has a bar to show."""

    def has_bar() -> bool:
        page.reload()
        return re.search("[0-9]{3} sent", page.get_by_role("row").filter(has_text="Sending").inner_text()) is not None

    eventually(has_bar, what="the list shows some hundred sent")
    save(page, "broadcasts")


def compose(page: Page) -> None:
    """Keep the form with its live preview, as one customer gets it, and who that goes to."""
    page.locator("[name=title]").fill("20 % off all indoor plants")
    page.locator("[name=pace_per_minute]").fill(A_MINUTE)
    page.keyboard.press("Control+s")
    saved(page)
    preview(page)
    page.evaluate("scrollTo(0, 0)")
    expect(page.locator(".bc-steps [aria-current]")).to_contain_text("Message")
    save(page, "broadcast-compose")


def preview(page: Page) -> None:
    """Look at the mail as one customer gets it."""
    page.locator("#ed-as").select_option("person")
    page.locator("#ed-person").fill(CUSTOMER)
    mail = page.frame_locator("#ed-frame")
    expect(mail.get_by_text("Dear Gabriel")).to_be_visible()
    expect(mail.get_by_text("in our shop in Lisbon")).to_be_visible()


def check(page: Page) -> None:
    """Keep what the review says: who gets it, who does not, what blocks it. Then mend that, and ask for approval."""
    expect(page.locator(".bc-blockers")).to_contain_text("have no attributes.city")
    heighten(page, 900)
    page.get_by_role("link", name="Review").click()
    save(page, "broadcast-check")
    page.locator(".bc-fix [name=text]").fill("your town")
    page.get_by_role("button", name="Set fallback").click()
    expect(page.locator(".bc-blockers")).to_have_count(0)
    page.get_by_role("button", name="Ask for approval").click()
    expect(page.get_by_text("Asked for approval. Whoever")).to_be_visible()


def approve(page: Page) -> None:
    """Keep what the second person reads, and approve it."""
    counted(page)
    preview(page)
    heighten(page, page.evaluate("document.documentElement.scrollHeight"))
    save(page, "broadcast-approval")
    page.get_by_role("button", name=re.compile("Approve for [0-9,]+ people")).click()
    expect(page.get_by_text("Approved, as it stands")).to_be_visible()


def send(page: Page) -> None:
    """Send it, and let the seconds pass in which it could be undone."""
    page.get_by_role("button", name=re.compile("Send to [0-9,]+ people")).click()
    page.locator("#bc-send").get_by_role("button", name=re.compile("Send to")).click()
    expect(page.locator("#bc-undo")).to_be_visible()
    expect(page.get_by_role("status").filter(has_text="Sending")).to_be_visible()


def watch(page: Page) -> None:
    """Keep the page of it while it is on its way."""
    expect(figure(page, "Sent")).to_have_text(THOUSANDS, timeout=3 * WAIT_MS)
    page.evaluate("scrollTo(0, 0)")
    heighten(page, 860)
    save(page, "broadcast-watch")
