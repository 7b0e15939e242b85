"""Importing contacts in a real browser before the real service: check, choose a column, import, without choosing the file again."""

from __future__ import annotations

import re
from uuid import uuid4

import pytest
from playwright.sync_api import Route, expect

from tests.browser.test_editor import signed_in
from tests.browser.test_journeys import PHONE
from tests.chromium import OpenPage
from tests.demo import RunningDemo

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("options", [{}, {"color_scheme": "dark", **PHONE}], ids=["wide", "phone"])
def test_contacts_are_checked_then_imported(demo: RunningDemo, open_page: OpenPage, options: dict[str, object]) -> None:
    page = signed_in(demo, open_page, **options)
    page.goto(f"{demo.url}/admin/deliveries/contact/")
    page.get_by_role("link", name="Import contacts").click()
    name = f"Probe {uuid4().hex[:6]}"
    rows = f"person;Full name;visits\n{uuid4()};{name};3\n17;Nobody;4\n"
    file = {"name": "people.csv", "mimeType": "text/csv", "buffer": rows.encode()}
    page.get_by_label("CSV file").set_input_files(files=[file])  # type: ignore[list-item]
    page.get_by_role("button", name="Check").click()
    expect(page.get_by_text("No column is the user id.")).to_be_visible()
    page.get_by_label("person is taken for").select_option("User id")
    page.get_by_role("button", name="Check again").click()
    expect(page.get_by_text("1 of 2 rows can be imported.")).to_be_visible()
    expect(page.get_by_label("visits is taken for")).to_have_value("attributes:number:visits")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download all as CSV").click()
    assert "This is no UUID." in download.value.path().read_text()

    page.get_by_role("button", name="Import 1 person").click()
    expect(page.get_by_text("1 added, 0 updated")).to_be_visible()
    page.get_by_role("link", name="See the contacts").click()
    expect(page.get_by_text(name)).to_be_visible()


def test_a_long_check_says_that_it_goes_on(demo: RunningDemo, open_page: OpenPage) -> None:
    page = signed_in(demo, open_page)
    page.clock.install()
    page.goto(f"{demo.url}/admin/deliveries/contact/import/")
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/contact/import/", hold)
    file = {"name": "people.csv", "mimeType": "text/csv", "buffer": f"user_id\n{uuid4()}\n".encode()}
    page.get_by_label("CSV file").set_input_files(files=[file])  # type: ignore[list-item]
    page.get_by_role("button", name="Check").click()
    expect(page.get_by_text("Checking every row …")).to_be_visible()
    page.clock.run_for(12_000)
    expect(page.get_by_text(re.compile(r"^[1-9][0-9]+ s$"))).to_be_visible()
    held[0].continue_()
    expect(page.get_by_text("1 of 1 row")).to_be_visible()
    expect(page.get_by_text("Checking every row …")).to_be_hidden()
