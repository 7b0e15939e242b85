"""Composing a broadcast in a real browser before the real service: from the first word to Send and Undo, by keyboard alone; two people at
one draft; what blocks it and its fix; a phone, in the dark.
"""

from __future__ import annotations

import re
from uuid import uuid4

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.staff import BROADCASTS, log_in, saved
from tests.browser.test_journeys import PHONE
from tests.chromium import OpenPage
from tests.demo import RunningDemo

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]
STOPS = 120


def as_admin(demo: RunningDemo, open_page: OpenPage, path: str = BROADCASTS, **options: object) -> Page:
    page = open_page(f"{demo.url}{path}", **options)
    log_in(page, demo)
    return page


def as_ben(demo: RunningDemo, open_page: OpenPage, path: str = BROADCASTS, **options: object) -> Page:
    page = open_page(f"{demo.url}{path}", **options)
    log_in(page, demo, "ben")
    return page


def tab_to(page: Page, target: Locator) -> None:
    """Go to something as a keyboard does. Fails where no number of stops leads there."""
    expect(target).to_be_visible()
    for _ in range(STOPS):
        if target.evaluate("each => each === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"The keyboard does not reach {target}.")


def new_draft(page: Page, demo: RunningDemo, name: str) -> None:
    """Write the least that can be saved."""
    page.goto(f"{demo.url}{BROADCASTS}add/")
    page.locator("[name=name]").fill(name)
    expect(page).to_have_url(re.compile(r"/\d+/change/"))
    saved(page)


def test_a_broadcast_is_written_tested_approved_sent_and_undone_by_keyboard(
    demo: RunningDemo, open_page: OpenPage
) -> None:
    name = f"Probe {uuid4().hex[:6]}"
    ben = as_ben(demo, open_page, f"{BROADCASTS}add/?from=own")
    keys = ben.keyboard
    tab_to(ben, ben.locator("[name=name]"))
    keys.type(name)
    tab_to(ben, ben.locator("[name=title]"))
    keys.type("Fresh ferns")
    tab_to(ben, ben.locator("[name=body]"))
    keys.type("Hello {{ contact.name }}, **they** came.")
    tab_to(ben, ben.locator("[name=channels][value=ws]"))
    keys.press("Space")
    tab_to(ben, ben.locator("[name=who]").first)
    keys.press("ArrowDown")
    expect(ben.locator("[name=who][value=audience]")).to_be_checked()
    tab_to(ben, ben.locator("[name=audience_id]"))
    keys.type("Plus customers (")
    saved(ben)
    expect(ben).to_have_url(re.compile(r"/\d+/change/"))
    expect(ben.locator("#bc-count")).to_contain_text("get it")
    mail = ben.frame_locator("#ed-frame")
    expect(mail.get_by_text("Hello Ana Example")).to_be_visible()

    tab_to(ben, ben.get_by_role("button", name="Send test"))
    keys.press("Enter")
    tab_to(ben, ben.locator("#ed-test [name=channel]"))
    keys.type("In-app")
    tab_to(ben, ben.locator("#ed-test [name=to]"))
    keys.press("Control+a")
    keys.type("ana@example.com")
    keys.press("Enter")
    expect(ben.get_by_text("On its way to ana@example.com")).to_be_visible()
    keys.press("Escape")

    tab_to(ben, ben.get_by_role("button", name="Ask for approval"))
    keys.press("Enter")
    expect(ben.get_by_text("Asked for approval. Whoever")).to_be_visible()
    expect(ben.locator("#bc-decide")).to_contain_text("It waits for somebody else")

    admin = as_admin(demo, open_page, f"{BROADCASTS}?view=approval")
    admin.get_by_role("link", name=re.compile(name)).click()
    expect(admin.locator("#ed-card").get_by_text("Hello Ana Example")).to_be_visible()
    tab_to(admin, admin.get_by_role("button", name=re.compile("Approve for [0-9,]+ people")))
    admin.keyboard.press("Enter")
    expect(admin.get_by_text("Approved, as it stands")).to_be_visible()

    ben.reload()
    tab_to(ben, ben.get_by_role("button", name=re.compile("Send to [0-9,]+ people")))
    keys.press("Enter")
    dialog = ben.locator("#bc-send")
    expect(dialog).to_contain_text("seconds you can undo it")
    tab_to(ben, dialog.get_by_role("button", name=re.compile("Send to")))
    keys.press("Enter")
    tab_to(ben, ben.locator("#bc-undo"))
    keys.press("Enter")
    expect(ben.get_by_role("button", name=re.compile("Send to [0-9,]+ people"))).to_be_visible()
    tab_to(ben, ben.get_by_role("tab", name="Broadcast"))
    keys.press("ArrowRight")
    for done in ("Undid the sending", "Sent it", "Approved it", "Asked for approval", "Sent a test", "Made it"):
        expect(ben.locator("#bc-history").get_by_text(done, exact=True)).to_be_visible()


def test_what_blocks_it_is_mended_in_the_review(demo: RunningDemo, open_page: OpenPage) -> None:
    page = as_admin(demo, open_page)
    new_draft(page, demo, f"Probe {uuid4().hex[:6]}")
    expect(page.locator("#bc-review")).to_contain_text("There is no message yet")
    page.locator("[name=title]").fill("Near you")
    page.locator("[name=body]").fill("Come by in {{ contact.attributes.city }}.")
    page.locator("[name=channels][value=ws]").check()
    page.locator("[name=who][value=audience]").check()
    plus = page.locator("[name=audience_id] option").filter(has_text=re.compile(r"^Plus customers \("))
    page.locator("[name=audience_id]").select_option(value=plus.get_attribute("value"))
    blocker = page.locator(".bc-blockers")
    expect(blocker).to_contain_text("people have no attributes.city")

    page.locator(".bc-fix [name=text]").fill("your town")
    page.get_by_role("button", name="Set fallback").click()
    expect(blocker).to_have_count(0)
    expect(page.locator("[name=gaps-0-what]")).to_have_value("fallback")
    expect(page.locator("[name=gaps-0-text]")).to_have_value("your town")
    page.locator("#ed-as").select_option("missing")
    expect(page.frame_locator("#ed-frame").get_by_text("Come by in your town.")).to_be_visible()

    page.locator("[data-people]").first.click()
    expect(page.locator(".bc-people tbody tr")).to_have_count(10)
    page.locator("[name=pace_per_minute]").fill("0")
    expect(page.locator("#bc-told")).to_contain_text("Not saved: ")
    expect(page.locator("#bc-review[inert]")).to_be_attached()
    page.locator("[name=pace_per_minute]").fill("600")
    expect(page.locator("#bc-review")).to_contain_text("at 600 a minute")
    page.reload()
    expect(page.locator("[name=pace_per_minute]")).to_have_value("600")


def test_the_second_of_two_people_is_told_and_chooses(demo: RunningDemo, open_page: OpenPage) -> None:
    admin = as_admin(demo, open_page)
    new_draft(admin, demo, f"Probe {uuid4().hex[:6]}")
    ben = as_ben(demo, open_page, admin.url.removeprefix(demo.url))
    saved(ben)
    admin.locator("[name=title]").fill("By admin")
    admin.keyboard.press("Control+s")
    saved(admin)

    ben.locator("[name=title]").fill("By ben")
    told = ben.locator("#bc-conflict")
    expect(told).to_contain_text("admin changed this at")
    ben.get_by_role("button", name="See changes").click()
    expect(ben.locator("#bc-changes")).to_contain_text("By admin")
    ben.keyboard.press("Escape")
    expect(ben.locator("[name=title]")).to_have_value("By ben")
    ben.get_by_role("button", name="Keep mine").click()
    expect(told).to_be_hidden()
    saved(ben)
    admin.reload()
    expect(admin.locator("[name=title]")).to_have_value("By ben")

    ben.locator("[name=title]").fill("By ben again")
    ben.keyboard.press("Control+s")
    saved(ben)
    admin.locator("[name=title]").fill("By admin again")
    admin.on("dialog", lambda dialog: dialog.accept())
    admin.get_by_role("link", name="Take theirs").click()
    expect(admin.locator("[name=title]")).to_have_value("By ben again")


def test_back_at_the_top_of_a_low_window_the_first_step_is_marked(demo: RunningDemo, open_page: OpenPage) -> None:
    page = as_admin(demo, open_page, viewport={"width": 1280, "height": 700})
    new_draft(page, demo, f"Probe {uuid4().hex[:6]}")
    page.reload()  # by now it has tabs above its steps
    saved(page)
    marked = page.locator(".bc-steps [aria-current]")
    page.get_by_role("link", name="When").click()
    expect(marked).to_have_text(re.compile("When"))
    page.evaluate("scrollTo(0, 0)")
    expect(marked).to_have_text(re.compile("Message"))
    expect(page.get_by_role("link", name="Continue")).to_have_attribute("href", "#who")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_nothing_runs_over_the_side(demo: RunningDemo, open_page: OpenPage, scheme: str) -> None:
    page = as_admin(demo, open_page, color_scheme=scheme, **PHONE)

    def fits() -> None:
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["viewport"]["width"]  # type: ignore[index]

    expect(page.locator("#result_list")).to_be_visible()
    fits()
    new_draft(page, demo, "A name that is as long as names of broadcasts become when several people had a say in them")
    for step in ("Who", "When", "Review"):
        page.get_by_role("link", name=step).click()
        fits()
    page.get_by_role("button", name="Preview", exact=True).click()
    expect(page.locator("#ed-preview")).to_be_visible()
    fits()
    page.reload()  # by now it is a draft with a history
    page.get_by_role("tab", name="History").click()
    expect(page.locator("#bc-history")).to_be_visible()
    fits()
