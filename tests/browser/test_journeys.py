"""What people do, in a real browser before the real service: Ana with her inbox, staff with their pages, a newcomer with
the tour. Waits are Playwright's own: until it is so, or the deadline.
"""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from notifyproj.demo import sample
from tests.browser.staff import log_in
from tests.chromium import OpenPage
from tests.demo import RunningDemo
from tests.waiting import eventually

# One group: under xdist all of them share one running demo.
pytestmark = pytest.mark.browser

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True}


def test_a_job_on_kafka_reaches_the_inbox_and_its_row_knows_when_it_is_acknowledged(
    demo: RunningDemo, open_page: OpenPage
) -> None:
    mei = str(sample.user_id_of(3))
    page = open_page(f"{demo.url}/inbox/#token={demo.token(mei)}", **PHONE)
    expect(page.get_by_role("status").filter(has_text="Live")).to_be_visible()

    job_id = demo.manage("send_job", "--user", mei, "--title", "Your fern", "--body", "It misses you.").strip()
    card = page.get_by_role("listitem").filter(has_text="Your fern")
    expect(card).to_contain_text("It misses you.")
    assert demo.api(f"deliveries/{job_id}/")["acknowledged_at"] is None

    card.get_by_role("button", name="Acknowledge").click()
    expect(card).to_contain_text("Acknowledged")
    row = demo.api(f"deliveries/{job_id}/")
    assert row["status"] == "SENT"
    assert row["acknowledged_at"]
    page.reload()
    expect(page.get_by_text("Nothing new")).to_be_visible()


def test_staff_find_a_delivery_by_its_address_and_read_its_timeline(demo: RunningDemo, open_page: OpenPage) -> None:
    job_id = demo.manage(
        "send_job", "--user", "jonas@example.com", "--channel", "email", "--template", "welcome_email"
    ).strip()
    eventually(lambda: demo.api(f"deliveries/{job_id}/")["status"] == "SENT")
    page = open_page(f"{demo.url}/admin/deliveries/delivery/")
    log_in(page, demo)
    search = page.get_by_placeholder(re.compile("Job id|search", re.IGNORECASE)).first
    search.fill("jonas@example.com")
    search.press("Enter")
    page.locator("#result_list").get_by_role("link", name="Jonas Weber").first.click()
    timeline = page.locator(".ns-timeline")
    expect(timeline).to_contain_text("Accepted")
    expect(timeline).to_contain_text("notifications.outbox")
    expect(page.get_by_text("jonas@example.com").first).to_be_visible()


def test_staff_hold_a_template_by_keyboard_see_what_waits_and_let_it_go(demo: RunningDemo, open_page: OpenPage) -> None:
    page = open_page(f"{demo.url}/admin/")
    log_in(page, demo)
    page.get_by_role("button", name="Hold something").press("Enter")
    dialog = page.get_by_role("dialog", name="Hold")
    expect(dialog.get_by_label("Channel")).to_be_focused()
    expect(dialog.get_by_label("Tenant")).to_have_count(0)
    dialog.get_by_label("Template").fill("welcome_email")
    dialog.get_by_label("Why").fill("The greeting is wrong")
    dialog.get_by_label("Why").press("Enter")
    expect(page.get_by_text("Template welcome_email is on hold. What is being sent")).to_be_visible()

    job_id = demo.manage(
        "send_job", "--user", "jonas@example.com", "--channel", "email", "--template", "welcome_email"
    ).strip()
    eventually(lambda: (demo.api(f"deliveries/{job_id}/")["on_hold"] or {}).get("reason") == "The greeting is wrong")
    page.get_by_role("region", name="On hold").get_by_role("link", name="1 waits").click()
    expect(page.locator("#result_list")).to_contain_text("by admin: The greeting is wrong")
    page.go_back()
    page.get_by_role("button", name="Let go: Template welcome_email").press("Enter")
    expect(page.get_by_text("Template welcome_email goes on")).to_be_visible()
    eventually(lambda: demo.api(f"deliveries/{job_id}/")["status"] == "SENT")
    row = demo.api(f"deliveries/{job_id}/")
    assert (row["attempts"], row["on_hold"]) == (1, None)


def test_the_frame_of_the_staff_pages_works_by_keyboard(demo: RunningDemo, open_page: OpenPage) -> None:
    page = open_page(f"{demo.url}/admin/")
    log_in(page, demo)
    link = page.get_by_role("link", name="Contacts")
    expect(link).to_be_visible()
    toggle = page.get_by_role("button", name="Show or hide the navigation")
    toggle.press("Enter")
    expect(link).to_be_hidden()
    toggle.press(" ")
    expect(link).to_be_visible()
    password = page.get_by_role("link", name="Change password")
    expect(password).to_be_hidden()
    page.get_by_role("button", name="admin@example.com").press("Enter")
    expect(password).to_be_visible()
    page.get_by_role("button", name="Dark").press(" ")
    expect(page.locator("html")).to_have_class(re.compile("dark"))


def test_a_bad_job_is_found_under_undeliverable(demo: RunningDemo, open_page: OpenPage) -> None:
    page = open_page(demo.url)
    page.get_by_role("button", name="Not JSON").click()
    page.get_by_role("button", name="Put it on the topic").click()
    judged = page.get_by_role("list", name="What became of it")
    expect(judged.get_by_text("Refused")).to_be_visible()
    expect(judged.get_by_text("In inbox")).to_have_count(2)

    with page.context.expect_page() as opened:
        page.locator("#staff form").first.get_by_role("button", name="Undeliverable").click()
    staff = opened.value
    staff.get_by_role("link", name="Unreadable").click()
    staff.get_by_role("link", name=re.compile("JSON")).first.click()
    expect(staff.get_by_role("heading", name="Likely fix")).to_be_visible()
    expect(staff.get_by_text("'channel': email, so close").first).to_be_visible()


def test_the_tour_shows_how_long_a_job_took_and_leads_to_its_timeline(demo: RunningDemo, open_page: OpenPage) -> None:
    page = open_page(demo.url)
    page.get_by_role("button", name="Send me one").click()
    sent = page.get_by_role("list", name="What you sent")
    expect(sent.get_by_text(re.compile(r"\d+ ms|\d+\.\d s"))).to_be_visible()
    expect(page.locator("notify-inbox").get_by_role("listitem").first).to_be_visible()
    with page.context.expect_page() as opened:
        sent.get_by_role("button", name="Open its timeline").click()
    expect(opened.value.get_by_role("heading", name="Timeline")).to_be_visible()


def test_the_tour_goes_on_after_it_made_somebody_staff(demo: RunningDemo, open_page: OpenPage) -> None:
    page = open_page(demo.url)
    for number, heading in enumerate(("Dashboard", "Undeliverable")):
        with page.context.expect_page() as opened:
            page.locator("#staff form").nth(number).get_by_role("button", name=heading).click()
        expect(opened.value.get_by_role("heading", level=1)).to_contain_text(heading)
        opened.value.close()  # the next login ends its session, and a dashboard that asks then is answered 403
    page.get_by_role("button", name="Send me one").click()
    sent = page.get_by_role("list", name="What you sent")
    with page.context.expect_page() as opened:
        sent.get_by_role("button", name="Open its timeline").click()
    expect(opened.value.get_by_role("heading", name="Timeline")).to_be_visible()


def test_a_mail_arrives_in_the_tours_mailbox(demo: RunningDemo, open_page: OpenPage) -> None:
    page = open_page(demo.url)
    page.get_by_role("button", name="Send me an e-mail").click()
    expect(page.get_by_role("list", name="What you sent").get_by_text("Handed to provider")).to_be_visible()
    newest = page.get_by_role("list", name="Mails, the newest first").get_by_role("button").first
    expect(newest).to_contain_text("ana@example.com")
    expect(
        page.frame_locator("#mail-frame").get_by_role("heading", name="Your plants are on their way")
    ).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_tour_fits_a_phone(demo: RunningDemo, open_page: OpenPage, scheme: str) -> None:
    page = open_page(demo.url, color_scheme=scheme, **PHONE)
    expect(page.get_by_role("button", name="Send me one")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_first_steps_work_by_keyboard(demo: RunningDemo, open_page: OpenPage) -> None:
    page = open_page(demo.url)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the first step")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Send me one")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("list", name="What you sent").get_by_text("In inbox")).to_be_visible()


def test_the_bell_rings_for_a_broken_provider_until_somebody_reads_it(demo: RunningDemo, open_page: OpenPage) -> None:
    tour = open_page(demo.url)
    staff = open_page(f"{demo.url}/admin/")
    log_in(staff, demo)
    bell = staff.locator("#ns-bell")
    expect(bell).to_have_accessible_name("Notices: nothing new")
    tour.get_by_role("button", name="Break provider A").click()
    expect(bell).to_have_accessible_name("Notices: 1 open and unread")  # by the dashboard's live figures

    bell.press("Enter")
    row = staff.locator("#result_list").get_by_role("row").filter(has_text="Provider A")
    expect(row).to_contain_text("is left alone after failing: Provider B takes over")
    row.get_by_role("button", name="Mark as read").press("Enter")
    expect(row).to_contain_text("Open, read by admin")
    expect(bell).to_have_accessible_name("Notices: nothing new")
    row.get_by_role("link", name="What to do").click()
    expect(staff.locator("#a-provider-is-broken")).to_be_in_viewport()

    tour.get_by_role("button", name="Mend provider A").click()
    tour.get_by_role("button", name="Send me an e-mail").click()  # whichever mail comes after its rest tries it

    def is_over() -> bool:
        staff.goto(f"{demo.url}/admin/deliveries/notice/?state=over")
        if "Provider A" in staff.locator("#content").inner_text():
            return True
        tour.get_by_role("button", name="Send me an e-mail").click()
        return False

    assert eventually(is_over)
