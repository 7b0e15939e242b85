"""The unsubscribe page as a person meets it: on a phone, in the dark, without JavaScript, by keyboard."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from playwright.sync_api import Page, expect

from deliveries.models import Tenant
from deliveries.unsubscribe import Wish, token_of

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def path(transactional_db: None) -> str:
    """Return the page's path; the rows are made before Chromium's loop runs in this thread."""
    return f"/u/{token_of(Wish(Tenant.objects.get().pk, uuid4(), 'email', 'newsletter'))}"


def fits(page: Page) -> bool:
    """Say whether nothing is wider than the screen."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1400])
def test_a_person_unsubscribes_and_takes_it_back(
    path: str, live_server: Any, request: pytest.FixtureRequest, width: int, scheme: str
) -> None:
    open_page = request.getfixturevalue("open_page")
    page: Page = open_page(live_server.url + path, viewport={"width": width, "height": 844}, color_scheme=scheme)
    expect(page.get_by_role("heading", name="Stop e-mails about newsletter?")).to_be_visible()
    assert fits(page)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("You are unsubscribed")
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("status")).to_have_text("You are subscribed again")
    assert fits(page)


def test_it_needs_no_javascript(path: str, live_server: Any, request: pytest.FixtureRequest) -> None:
    open_page = request.getfixturevalue("open_page")
    page: Page = open_page(live_server.url + path, java_script_enabled=False)
    page.get_by_role("button", name="Unsubscribe").click()
    expect(page.get_by_role("status")).to_have_text("You are unsubscribed")
