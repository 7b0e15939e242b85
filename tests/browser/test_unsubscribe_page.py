"""The unsubscribe page as a person meets it: on a phone, in the dark, without JavaScript, by keyboard."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from playwright.sync_api import Page, expect

from deliveries.models import Category, Tenant
from deliveries.unsubscribe import Wish, token_of

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def path(transactional_db: None) -> str:
    """Return the page's path; the rows are made before Chromium's loop runs in this thread."""
    return f"/u/{token_of(Wish(Tenant.objects.get().pk, uuid4(), 'email', 'newsletter'))}"


@pytest.fixture
def named(settings: Any) -> None:
    """Name some categories, one of them mandatory."""
    settings.MANDATORY_CATEGORIES = ["security"]
    tenant = Tenant.objects.get()
    once_a_week = "What is new, and what we think you may like. At most once a week."
    for key, name, description in (
        ("newsletter", "Newsletter", once_a_week),
        ("security", "Security", "New sign-ins, changed passwords."),
        ("offers", "Offers and discounts from us and from our partners in your neighbourhood", ""),
    ):
        Category.objects.create(tenant=tenant, key=key, name=name, description=description)


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


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1400])
def test_a_person_chooses_what_reaches_them_by_keyboard_and_without_javascript(
    path: str, named: None, live_server: Any, request: pytest.FixtureRequest, width: int, scheme: str
) -> None:
    open_page = request.getfixturevalue("open_page")
    options = {"viewport": {"width": width, "height": 844}, "color_scheme": scheme, "java_script_enabled": False}
    page: Page = open_page(live_server.url + path, **options)
    page.get_by_role("link", name="Choose what reaches you").click()
    expect(page.get_by_role("heading", name="What reaches you")).to_be_visible()
    box = page.get_by_role("group", name="Newsletter").get_by_role("checkbox", name="E-mail")
    expect(box).to_be_checked()
    expect(page.get_by_role("group", name="Security").get_by_role("checkbox", name="E-mail")).to_be_disabled()
    box.focus()
    page.keyboard.press("Space")
    page.keyboard.press("Enter")  # as in any form: it saves
    expect(page.get_by_role("status")).to_have_text("Saved. This holds from now on.")
    expect(box).not_to_be_checked()
    expect(page.get_by_role("group", name="Newsletter").get_by_role("checkbox", name="In-app")).to_be_checked()
    page.get_by_role("button", name="Switch off all that can be").click()
    expect(page.get_by_role("group", name="Newsletter").get_by_role("checkbox", name="In-app")).not_to_be_checked()
    expect(page.get_by_role("group", name="Security").get_by_role("checkbox", name="E-mail")).to_be_checked()
    assert page.locator("main").bounding_box()["width"] <= width
