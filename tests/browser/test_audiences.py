"""Audiences in a real browser before the real service: a segment built by keyboard while its count follows; lists and topics on a phone."""

from __future__ import annotations

from uuid import uuid4

import pytest
from playwright.sync_api import Dialog, Page, Route, expect

from tests.browser.test_editor import signed_in
from tests.browser.test_journeys import PHONE
from tests.chromium import OpenPage
from tests.demo import RunningDemo

pytestmark = pytest.mark.browser


def new_audience(page: Page, demo: RunningDemo, kind: str) -> str:
    """Begin an audience of its own and return its name."""
    name = f"Probe {uuid4().hex[:6]}"
    page.goto(f"{demo.url}/admin/broadcasts/audience/add/?kind={kind}")
    page.locator("#id_name").fill(name)
    return name


def test_a_segment_is_built_by_keyboard_while_its_count_follows(demo: RunningDemo, open_page: OpenPage) -> None:
    page = signed_in(demo, open_page)
    name = new_audience(page, demo, "segment")
    count, problem = page.locator("[data-count]"), page.locator(".bc-problem")
    expect(page.locator("[data-count-words]")).to_have_text("people are in it now")
    everybody = count.inner_text()

    page.get_by_label("Comparison").focus()
    page.keyboard.press("Home")  # “is”, whose value is empty
    expect(problem.filter(has_text="The text is empty.")).to_be_visible()
    expect(page.locator("[data-stale]")).to_have_text("Complete the rules to see who is in it.")
    assert count.inner_text() == everybody, "the last good count stays"
    page.keyboard.press("Tab")
    page.keyboard.type("ANA@example.com")
    expect(count).to_have_text("1")
    expect(page.locator("[data-sample]").get_by_text("Ana Ribeiro")).to_be_visible()
    expect(page.locator("[data-stale]")).to_be_hidden()

    page.get_by_role("button", name="+ Group").first.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("How many of the rules").nth(1)).to_be_focused()
    expect(count).to_have_text("1")
    page.get_by_role("button", name="Remove this group").focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Save", exact=True).focus()
    page.keyboard.press("Enter")
    row = page.get_by_role("row").filter(has_text=name)
    expect(row).to_contain_text("E-mail is “ANA@example.com”")

    row.get_by_role("link", name=name).click()
    expect(page.get_by_label("Value")).to_have_value("ANA@example.com")
    expect(count).to_have_text("1")


def test_an_attribute_of_each_type_gets_its_own_controls(demo: RunningDemo, open_page: OpenPage) -> None:
    page = signed_in(demo, open_page)
    name = new_audience(page, demo, "segment")
    page.get_by_label("Field").select_option("Attribute …")
    page.get_by_label("Attribute", exact=True).fill("plan")
    for kind, comparison, labels in (
        ("Text", "is one of", ["Value"]),
        ("Number", "is between", ["Smallest", "Largest"]),
        ("Date", "is in the last … days", ["Value"]),
        ("List", "contains any of", ["Value"]),
        ("Yes or no", "is", ["Value"]),
    ):
        page.get_by_label("Type").select_option(kind)
        page.get_by_label("Comparison").select_option(comparison)
        for label in labels:
            expect(page.get_by_label(label)).to_be_visible()
    expect(page.locator("[data-count]")).to_have_text("0")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("row").filter(has_text=name)).to_contain_text("plan is yes")


def test_an_attribute_that_people_have_is_taken_for_what_it_is(demo: RunningDemo, open_page: OpenPage) -> None:
    page = signed_in(demo, open_page)
    page.goto(f"{demo.url}/admin/deliveries/contact/import/")
    file = {"name": "people.csv", "mimeType": "text/csv", "buffer": f"user_id,points\n{uuid4()},7\n".encode()}
    page.get_by_label("CSV file").set_input_files(files=[file])  # type: ignore[list-item]
    page.get_by_role("button", name="Check").click()
    page.get_by_role("button", name="Import 1 person").click()
    expect(page.get_by_text("1 added, 0 updated")).to_be_visible()

    new_audience(page, demo, "segment")
    page.get_by_label("Field").select_option("Attribute …")
    page.get_by_label("Attribute", exact=True).fill("points")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Type")).to_have_value("number")
    page.get_by_label("Comparison").select_option("≥")
    page.get_by_label("Value").fill("7")
    expect(page.locator("[data-count]")).to_have_text("1")


def test_a_count_that_fails_keeps_the_last_good_one(demo: RunningDemo, open_page: OpenPage) -> None:
    page = signed_in(demo, open_page)
    new_audience(page, demo, "segment")
    expect(page.locator("[data-count-words]")).to_have_text("people are in it now")
    before = page.locator("[data-count]").inner_text()

    def answer_nonsense(route: Route) -> None:
        route.fulfill(status=200, body="<html>")

    page.route("**/audience/preview/", answer_nonsense)
    page.get_by_label("Comparison").select_option("is empty")
    expect(page.locator("[data-stale]")).to_have_text("The service did not answer. Change something to try again.")
    assert page.locator("[data-count]").inner_text() == before


def test_a_list_is_checked_then_filled_on_a_phone(demo: RunningDemo, open_page: OpenPage) -> None:
    page = signed_in(demo, open_page, color_scheme="dark", **PHONE)
    new_audience(page, demo, "list")
    page.get_by_role("button", name="Save", exact=True).click()
    file = {"name": "people.csv", "mimeType": "text/csv", "buffer": b"email\nana@example.com\nnobody@example.com\n"}
    page.get_by_label("Or a CSV file").set_input_files(files=[file])  # type: ignore[list-item]
    page.get_by_role("button", name="Check").click()
    expect(page.get_by_text("1 person is known.")).to_be_visible()
    expect(page.get_by_text("nobody@example.com")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("button", name="Add 1 person").click()
    expect(page.get_by_text("Added 1 person.")).to_be_visible()
    expect(page.get_by_role("link", name="Ana Ribeiro")).to_be_visible()


def test_pasted_people_are_not_lost_to_the_save_of_the_name(demo: RunningDemo, open_page: OpenPage) -> None:
    page = signed_in(demo, open_page)
    new_audience(page, demo, "list")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_label("User ids or e-mail addresses").fill("ana@example.com")
    asked: list[str] = []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    page.on("dialog", stay)
    save = page.get_by_role("button", name="Save", exact=True)
    with page.expect_event("dialog"):
        save.click()
    expect(save).to_be_enabled()
    assert asked == ["beforeunload"]
    check = page.get_by_role("button", name="Check")
    check.click()
    expect(page.get_by_text("1 person is known.")).to_be_visible()
    expect(check).to_be_focused()
    page.get_by_role("button", name="Add 1 person").click()
    page.get_by_role("button", name="Remove Ana Ribeiro").click()
    expect(page.get_by_text("Removed 1 person.")).to_be_visible()
    assert asked == ["beforeunload"]


def test_a_topic_gets_its_first_people_on_a_phone(demo: RunningDemo, open_page: OpenPage) -> None:
    page = signed_in(demo, open_page, color_scheme="dark", **PHONE)
    topic = f"probe {uuid4().hex[:6]}"
    page.goto(f"{demo.url}/admin/broadcasts/topicsubscription/")
    page.get_by_label("Topic, new or known").fill(topic)
    page.keyboard.press("Enter")
    page.get_by_label("User ids or e-mail addresses").fill("ana@example.com\nnobody@example.com")
    page.get_by_role("button", name="Check").click()
    page.get_by_role("button", name="Subscribe 1 person", exact=True).click()
    expect(page.get_by_text("Subscribed 1 person.")).to_be_visible()
    expect(page.get_by_role("link", name="Ana Ribeiro")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.goto(f"{demo.url}/admin/broadcasts/topicsubscription/")
    expect(page.get_by_role("row").filter(has_text=topic)).to_contain_text("1")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_builder_fits_a_phone(demo: RunningDemo, open_page: OpenPage) -> None:
    page = signed_in(demo, open_page, **PHONE)
    new_audience(page, demo, "segment")
    for _ in range(2):
        page.get_by_role("button", name="+ Group").first.click()
    expect(page.locator("[data-count-words]")).to_have_text("people are in it now")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
