"""Staff watch a broadcast in a real browser: undo, send, speed, pause, resume, done; and take it out of inboxes that are open."""

from __future__ import annotations

import math
import re
import time

import pytest
from playwright.sync_api import Page, Route, expect

from notifyproj.demo import sample
from tests.browser.staff import figure, log_in
from tests.chromium import OpenPage
from tests.demo import RunningDemo
from tests.waiting import wait_until

# One group: under xdist all of them share one running demo.
pytestmark = pytest.mark.browser

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True}
SEND = """
from django.contrib.auth import get_user_model
from broadcasts.actor import Actor
from broadcasts.changes import broadcast_send
from broadcasts.drafts import broadcast_create
from broadcasts.models import Broadcast
from broadcasts.review import review
from deliveries.models import Tenant
ben = Actor("ben", get_user_model().objects.get(username="ben").pk)
made = Broadcast.objects.filter(name={values}["name"]).first() or broadcast_create(
    tenant=Tenant.objects.get(), actor=ben, values={values})
sent, _ = broadcast_send(broadcast=made, actor=ben, review=review(made), undo_seconds={seconds})
print("ID", sent.pk)
"""


#: How long the server took to answer, in milliseconds.
FIRST_BYTE_MS = "(([page]) => page.responseStart - page.requestStart)(performance.getEntriesByType('navigation'))"

#: The demo's saved audience of some two hundred.
LISBON = {"type": "audience", "id": 2}


def send(demo: RunningDemo, *, undo_seconds: int, **values: object) -> str:
    """Send a broadcast of this name as another member of staff would; return its page's path."""
    given = {"channels": ["ws"], "body": "Come and see.", **values}
    said = demo.manage("shell", "-v", "0", "-c", SEND.format(values=given, seconds=undo_seconds))
    found = re.search(r"ID (\d+)", said)
    assert found is not None, said
    return f"/admin/broadcasts/broadcast/{found[1]}/change/"


def counts_down(page: Page) -> None:
    """See the seconds until it goes out: they only ever fall, and never say more than is left, however late the script came."""
    left = page.locator("[data-due]")
    due = float(left.get_attribute("data-due") or "")
    held: list[Route] = []
    page.route("**/staff.js", lambda route: held.append(route))
    page.reload(wait_until="commit")
    wait_until(lambda: page.evaluate("1") and held, "the page asks for its script")
    come = time.time()
    wait_until(lambda: time.time() - come > 3, "the script is late")
    most = math.ceil(
        due - time.time() + page.evaluate(FIRST_BYTE_MS) / 1000
    )  # the page was made before its first byte came
    held[0].continue_()
    page.unroute("**/staff.js")
    expect(left).to_have_text(re.compile(r"^2\d\d$"))
    first = int(left.inner_text())
    assert first <= most
    expect(left).not_to_have_text(str(first))
    assert int(left.inner_text()) < first


def over(page: Page) -> None:
    """Wait until it is done, and the page was loaded anew because of that."""
    expect(page.get_by_role("status").filter(has_text="Done")).to_be_visible()
    expect(page.locator("[data-live-events]")).to_have_count(0)


def test_staff_undo_send_watch_change_the_speed_pause_and_resume(demo: RunningDemo, open_page: OpenPage) -> None:
    path = send(demo, undo_seconds=300, name="Open house", title="Open house", audience=LISBON, pace_per_minute=60)
    page = open_page(f"{demo.url}{path}")
    log_in(page, demo)
    counts_down(page)
    page.get_by_role("button", name="Undo").press("Enter")
    expect(page.get_by_text("Undone: nobody got anything.")).to_be_visible()

    send(demo, undo_seconds=5, name="Open house")
    page.goto(f"{demo.url}{path}")
    # From here on the page is told by itself, to the last.
    expect(page.get_by_role("status").filter(has_text="Sending")).to_be_visible()
    sent = figure(page, "Sent")
    expect(sent).to_have_text(re.compile(r"^[1-9]\d?$"))
    rows = page.locator('[data-name="Sent"]').get_attribute("href")
    assert rows is not None

    speed = page.get_by_label("Speed")
    speed.fill("120")
    speed.press("Enter")
    expect(page.get_by_text("The speed is 120 a minute now.")).to_be_visible()
    expect(sent).to_have_text(re.compile(r"^\d{2,3}$"))
    page.get_by_role("button", name="Pause").press("Enter")
    expect(page.get_by_text("Paused by admin")).to_be_visible()
    expect(page.get_by_text(re.compile(r"\d+ left; people already sent to are skipped\."))).to_be_visible()
    page.get_by_role("button", name="Resume").press("Enter")
    expect(page.get_by_text("Resumed:")).to_be_visible()
    speed.fill("")
    page.get_by_role("button", name="Apply").press("Enter")
    expect(page.get_by_text("It goes as fast as its channels go now.")).to_be_visible()
    over(page)
    expect(page.get_by_text("Adds up")).to_be_visible()
    expect(figure(page, "Failed")).to_have_text("0")

    page.goto(f"{demo.url}{rows}")
    expect(page.locator("#result_list tbody tr")).to_have_count(50)


def test_what_is_removed_leaves_open_inboxes_on_a_phone(demo: RunningDemo, open_page: OpenPage) -> None:
    mei = str(sample.user_id_of(3))
    inbox = open_page(f"{demo.url}/inbox/#token={demo.token(mei)}", **PHONE)
    expect(inbox.get_by_role("status").filter(has_text="Live")).to_be_visible()
    card = inbox.get_by_role("listitem").filter(has_text="Wrong price")
    path = send(demo, undo_seconds=0, name="Sale", title="Wrong price", audience={"type": "users", "user_ids": [mei]})
    expect(card).to_be_visible()

    page = open_page(f"{demo.url}{path}", **PHONE)
    log_in(page, demo)
    over(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_role("button", name="Remove from inboxes").click()
    dialog = page.get_by_role("dialog", name="Remove from inboxes?")
    expect(dialog).to_contain_text("What left by e-mail or another channel")
    dialog.get_by_role("button", name="Back").press("Enter")
    expect(card).to_be_visible()
    page.get_by_role("button", name="Remove from inboxes").press("Enter")
    dialog.get_by_role("button", name="Remove from inboxes").press("Enter")
    expect(page.get_by_text("Removed from 1 inbox.")).to_be_visible()
    expect(card).to_have_count(0)
    inbox.reload()
    expect(inbox.get_by_role("status").filter(has_text="Live")).to_be_visible()
    expect(card).to_have_count(0)
