"""The template editor in a real browser before the real service: writing, previewing, testing, publishing; two people; a phone;
no JavaScript at all.
"""

from __future__ import annotations

import re
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, Page, Response, Route, expect

from tests.browser.staff import log_in
from tests.browser.test_journeys import PHONE
from tests.chromium import WAIT_MS, OpenPage
from tests.demo import RunningDemo

pytestmark = pytest.mark.browser


def new_template(page: Page, demo: RunningDemo) -> str:
    """Make a template of its own and return its name; its empty draft is open."""
    name = f"Probe {uuid4().hex[:6]}"
    page.goto(f"{demo.url}/admin/deliveries/template/add/")
    page.locator("#id_name").fill(name)
    page.locator("#id_code").fill(name.replace(" ", "-"))
    page.locator("#id_code").press("Enter")
    expect(page.get_by_text("does not go out")).to_be_visible()
    return name


def signed_in(demo: RunningDemo, open_page: OpenPage, **options: object) -> Page:
    page = open_page(f"{demo.url}/admin/", **options)
    log_in(page, demo)
    return page


def test_a_template_is_written_previewed_tested_and_published(demo: RunningDemo, open_page: OpenPage) -> None:
    page = signed_in(demo, open_page)
    new_template(page, demo)
    page.get_by_role("button", name="One-time code").click()
    mail = page.frame_locator("#ed-frame")
    expect(mail.get_by_text("407 118").first).to_be_visible()

    held: list[Route] = []
    saved: list[Response] = []

    def is_second_save(response: Response) -> bool:
        if response.request.method == "POST" and response.url == page.url:
            saved.append(response)
        return len(saved) == 2

    def hold_the_first(route: Route) -> None:
        if held:
            route.continue_()
        held.append(route)

    page.route(page.url, hold_the_first)
    page.locator("[data-part=subject]").first.press("End")
    page.keyboard.type("!")
    with page.expect_request(page.url):
        page.keyboard.press("Control+s")
    page.keyboard.press("Control+s")  # while the first is under way
    with page.expect_response(is_second_save):
        held[0].continue_()
    page.unroute(page.url)
    assert ["conflict" in answer.json() for answer in saved] == [False, False]
    page.locator("[data-part=subject]").first.press("End")
    page.keyboard.press("Backspace")

    words = page.get_by_label("Body in Markdown")
    words.fill("Hello **you**,\n\nyour code: {{ code }}")
    expect(mail.get_by_text("your code: 407 118")).to_be_visible()

    words.fill("Hello **you**,\n\nyour code: {{ code")
    problem = page.get_by_role("button", name=re.compile("Body in Markdown, line 3, column 12"))
    expect(problem).to_be_visible()
    expect(page.locator(".ed-line.ed-bad")).to_have_count(1)
    expect(mail.get_by_text("your code: 407 118")).to_be_visible()
    expect(page.get_by_text("The last good preview")).to_be_visible()
    page.locator("[data-part=subject]").first.focus()
    problem.click()
    expect(words).to_be_focused()
    assert words.evaluate("field => field.selectionStart") == len("Hello **you**,\n\nyour code: ")

    page.keyboard.press("End")
    page.keyboard.type(" }} and {{ place }}")
    expect(page.get_by_text("Used, not declared: place.")).to_be_visible()
    page.get_by_role("button", name="Declare", exact=True).click()
    expect(mail.get_by_text("your code: 407 118 and place")).to_be_visible()
    expect(page.locator("#ed-problems")).to_be_hidden()

    page.get_by_role("tab", name="SMS").click()
    expect(page.locator("#ed-sms-parts")).to_have_text("1")
    page.get_by_label("Plain text").fill("Код {{ code }}")
    expect(page.get_by_text("not in GSM-7")).to_be_visible()
    page.get_by_role("tab", name="Webhook").click()
    expect(page.locator("#ed-hook-headers")).to_contain_text("webhook-signature: v1,")
    page.get_by_role("tab", name="In-app").click()
    expect(page.locator("#ed-card").get_by_role("heading", name="407 118 is your code")).to_be_visible()

    address = f"{uuid4().hex[:8]}@example.com"
    page.get_by_role("button", name="Send me a test").click()
    page.locator("#ed-test [name=to]").fill(address)
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.get_by_text("On its way")).to_be_visible()
    mails = open_page(demo.url)
    arrived = mails.get_by_role("list", name="Mails, the newest first").get_by_role("button").filter(has_text=address)
    expect(arrived).to_contain_text("[Test] 407 118 is your code")

    page.locator("#ed-test").get_by_role("button", name="Close").click()
    page.get_by_role("button", name=re.compile("Publish v1")).first.click()
    page.locator("#ed-publish-now").click()
    expect(page.get_by_text("v1, published")).to_be_visible()
    expect(page.get_by_label("Body in Markdown")).to_have_value(re.compile("and {{ place }}"))


def test_two_people_at_one_draft_overwrite_nobody_and_lose_nothing(demo: RunningDemo, open_page: OpenPage) -> None:
    ana = signed_in(demo, open_page)
    new_template(ana, demo)
    ben = signed_in(demo, open_page)
    ben.goto(ana.url)
    ana.locator("[data-part=subject]").first.fill("Ana's subject")
    ana.keyboard.press("Control+s")
    expect(ana.locator("#ed-told")).to_contain_text("is saved")

    ben.locator("[data-part=subject]").first.fill("Ben's subject")
    told = ben.locator("#ed-conflict")
    expect(told).to_contain_text("changed this at")
    ben.get_by_role("button", name="Save draft").click()
    expect(ben.locator("#ed-told")).to_have_text("Not saved.")
    ben.get_by_role("button", name="See changes").click()
    expect(ben.locator("#ed-changes")).to_contain_text("Ana's subject")
    ben.locator("#ed-changes").get_by_role("button", name="Close").click()
    expect(ben.locator("[data-part=subject]").first).to_have_value("Ben's subject")

    asked: list[str] = []
    ben.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.dismiss()))
    ben.get_by_role("link", name="Dashboard").click(no_wait_after=True)
    expect(ben.locator("[data-part=subject]").first).to_have_value("Ben's subject")
    assert asked == ["beforeunload"]
    ben.get_by_role("button", name="Save mine in its place").click()
    expect(ben.locator("#ed-told")).to_contain_text("is saved")
    ana.reload()
    expect(ana.locator("[data-part=subject]").first).to_have_value("Ben's subject")


def test_the_editor_works_by_keyboard_and_fits_a_phone(demo: RunningDemo, open_page: OpenPage) -> None:
    page = signed_in(demo, open_page, color_scheme="dark", **PHONE)
    new_template(page, demo)
    page.get_by_role("button", name="+ Language").press("Enter")
    page.get_by_label("Language", exact=True).last.fill("pt-BR")
    page.keyboard.press("Enter")
    tab = page.get_by_role("tab", name="pt-BR")
    expect(tab).to_have_attribute("aria-selected", "true")
    expect(page.get_by_text("Without it they would get en.")).to_be_visible()

    words = page.get_by_label("Body in Markdown").locator("visible=true")
    words.fill("Oi ")
    page.get_by_role("button", name=re.compile("Insert field")).locator("visible=true").press("Enter")
    page.keyboard.type("contact.name")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(words).to_have_value("Oi {{ contact.name }}")
    page.keyboard.press("Control+z")
    expect(words).to_have_value("Oi ")
    tab.focus()
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("tab", name="en")).to_have_attribute("aria-selected", "true")

    page.get_by_role("button", name="Preview", exact=True).press("Enter")
    expect(page.get_by_role("tab", name="E-mail")).to_be_visible()
    expect(words).to_be_hidden()
    page.get_by_role("tab", name="Desktop").click()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_mails_pictures_are_fetched_only_when_they_are_asked_for(demo: RunningDemo, browser: Browser) -> None:
    # Not by `open_page`: that a picture is kept out is an error in the console, and here it shall be.
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.set_default_timeout(WAIT_MS)
    page.goto(f"{demo.url}/admin/")
    log_in(page, demo)
    new_template(page, demo)
    picture = "https://pictures.example.com/seen.svg"
    fetched: list[str] = []

    def fetch(route: Route) -> None:
        fetched.append(route.request.url)
        route.fulfill(status=200, content_type="image/svg+xml", body="<svg xmlns='http://www.w3.org/2000/svg'/>")

    page.route("https://pictures.example.com/**", fetch)
    page.get_by_role("radio", name="HTML").check()
    page.get_by_label("Body in HTML").fill(f'<h1>Shown</h1><img src="{picture}">')
    expect(page.frame_locator("#ed-frame").get_by_role("heading", name="Shown")).to_be_visible()
    expect(page.get_by_text("1 picture from elsewhere not loaded.")).to_be_visible()
    assert page.locator("#ed-frame").get_attribute("sandbox") == ""
    assert fetched == []

    with page.expect_response(picture):
        page.get_by_role("button", name="Load them").click()
    assert fetched == [picture]


def test_without_javascript_the_plain_form_saves(demo: RunningDemo, open_page: OpenPage) -> None:
    page = open_page(f"{demo.url}/admin/", java_script_enabled=False)
    log_in(page, demo)
    new_template(page, demo)
    page.locator("[name=contents-0-subject]").fill("Plain")
    page.locator("[name=contents-1-locale]").fill("de")
    page.locator("[name=contents-1-subject]").fill("Schlicht")
    page.get_by_role("button", name="Save draft").click()
    expect(page.get_by_text("Draft v1 is saved")).to_be_visible()
    expect(page.locator("[name=contents-0-subject]")).to_have_value("Schlicht")
    expect(page.locator("[name=contents-1-subject]")).to_have_value("Plain")
