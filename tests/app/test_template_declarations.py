"""Words, declarations and frames through the services, the API and the book: what is stored is what goes out."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.admin.models import LogEntry
from django.db import connections
from django.test import Client
from django.urls import reverse

from deliveries.api.forecast import PublishedWords
from deliveries.models import Brand, Tenant
from deliveries.rendering import ContentSource, Variable, context_of, render
from deliveries.templating import TemplateRefused, brand_save, template_publish, template_save_draft
from tests.factories import ApiKeyFactory, BrandFactory, TemplateFactory, TenantFactory

pytestmark = pytest.mark.django_db

ORDER = {"name": "order", "type": "text", "required": True, "sample": "J-1", "help": "Its number."}
WORDS = {
    "locale": "en",
    "subject": "Order {{ order }}",
    "preheader": "{{ order }} is on its way",
    "markdown": "# Hi\n\nYour order **{{ order }}**.",
    "from_address": "Shop <shop@example.org>",
    "reply_to": "help@example.org",
}


@pytest.fixture
def api() -> Any:
    key = ApiKeyFactory()

    def call(method: str, path: str, body: Any = None) -> Any:
        headers = {"X-API-Key": key.plain}
        return getattr(Client(), method)(
            f"/api/templates/{path}", body, content_type="application/json", headers=headers
        )

    call.tenant = key.tenant  # type: ignore[attr-defined]
    return call


def published(tenant: Tenant, code: str, **data: Any) -> Any:
    """Render what a sender would, with the words as the book reads them."""
    book = PublishedWords()
    book.read(tenant.pk, [code])
    _, source = book.find(tenant.pk, code, ["en"])
    return render(source, context_of(data, contact={}, tenant={"name": tenant.name, "slug": tenant.slug}))


def test_all_of_it_goes_through_the_api_and_out(api: Any) -> None:
    new = {"code": "shipped", "name": "Shipped", "default_locale": "en", "contents": [WORDS], "variables": [ORDER],
           "hides_personal_data": True}  # fmt: skip
    made = api("post", "", new)
    assert made.status_code == 201, made.json()
    draft = made.json()["draft"]
    assert made.json()["hides_personal_data"] is True
    assert draft["variables"] == [ORDER]
    assert {key: draft["contents"][0][key] for key in WORDS} == WORDS
    assert draft["contents"][0]["body_format"] == "markdown"
    assert api("post", f"{made.json()['id']}/publish/").status_code == 200

    BrandFactory(tenant=api.tenant, footer="By post.")
    content = published(api.tenant, "shipped", order="J-7")
    assert (content.subject, content.preheader) == ("Order J-7", "J-7 is on its way")
    assert (content.from_address, content.reply_to) == (WORDS["from_address"], WORDS["reply_to"])
    assert "<strong>J-7</strong>" in content.html and "By post." in content.html and api.tenant.name in content.html
    assert content.text == "Hi\n\nYour order J-7."


def test_a_caller_that_knows_no_markdown_still_writes_html(api: Any) -> None:
    words = {"locale": "en", "subject": "s", "text": "t", "html": "<p>{{ a }}</p>"}
    made = api("post", "", {"code": "old", "name": "Old", "default_locale": "en", "contents": [words]}).json()
    assert (made["draft"]["contents"][0]["body_format"], made["draft"]["variables"]) == ("html", None)
    api("post", f"{made['id']}/publish/")
    assert published(api.tenant, "old", a="&").html == "<p>&amp;</p>"


def test_declarations_stay_until_they_are_taken_away(api: Any) -> None:
    made = api(
        "post", "", {"code": "c", "name": "C", "default_locale": "en", "contents": [WORDS], "variables": [ORDER]}
    ).json()
    url, draft = f"{made['id']}/", {"default_locale": "en", "contents": [WORDS]}
    assert api("put", url, draft).json()["draft"]["variables"] == [ORDER]
    api("post", f"{url}publish/")
    assert api("put", url, draft).json()["draft"]["variables"] == [ORDER]
    assert api("put", url, {**draft, "variables": None}).json()["draft"]["variables"] is None


def test_an_undeclared_name_is_refused_with_its_place(api: Any) -> None:
    made = api(
        "post", "", {"code": "c", "name": "C", "default_locale": "en", "contents": [WORDS], "variables": []}
    ).json()
    answer = api("post", f"{made['id']}/publish/")
    assert (answer.status_code, answer.json()["code"]) == (400, "template_refused")
    found = [(one["part"], one["line"], one["column"]) for one in answer.json()["problems"]]
    assert found == [("subject", 1, 10), ("preheader", 1, 4), ("markdown", 3, 17)]


@pytest.mark.parametrize(
    "bad", [{**ORDER, "name": "data"}, {**ORDER, "type": "colour"}, {"name": "n", "required": False}]
)
def test_a_bad_declaration_is_refused(api: Any, bad: dict[str, Any]) -> None:
    body = {"code": "c", "name": "C", "default_locale": "en", "contents": [WORDS], "variables": [bad]}
    assert api("post", "", body).status_code == 400


def test_a_fallback_stands_in_when_it_is_sent() -> None:
    template = TemplateFactory(text="Hi {{ who }}", published=False)
    draft = template_save_draft(
        template=template,
        contents={"en": ContentSource("s", "Hi {{ who }}")},
        default_locale="en",
        variables=[Variable("who", required=False, fallback="there")],
    )
    template_publish(version=draft)
    assert published(template.tenant, template.code).text == "Hi there"


async def _texts(tenant: Tenant, code: str, save: Any) -> list[str]:
    import psycopg

    from deliveries.database import connection_parameters
    from deliveries.rendering import TemplateBook

    book, found = TemplateBook(refresh_seconds=0), []
    async with await psycopg.AsyncConnection.connect(**connection_parameters(), autocommit=True) as reader:
        for turn in range(3):
            if turn:
                await sync_to_async(save)(turn)
            await book.load(reader, [(tenant.pk, code)])
            _, source = book.find(tenant.pk, code, ["en"])
            found.append(render(source, context_of({}, contact={}, tenant={"name": "J", "slug": "j"})).html)
    # The services ran in a thread of their own, whose connection would keep the test database from being dropped.
    await sync_to_async(connections.close_all)()
    return found


@pytest.mark.django_db(transaction=True)
async def test_a_changed_frame_goes_out_with_the_next_mail() -> None:
    template = await sync_to_async(TemplateFactory)(text="", markdown="Hello")

    def save(turn: int) -> None:
        brand = Brand.objects.filter(tenant=template.tenant).first() or Brand(tenant=template.tenant)
        brand.footer = f"Footer {turn}"
        brand_save(brand=brand)

    first, second, third = await _texts(template.tenant, template.code, save)
    assert "Footer" not in first and "Footer 1" in second and "Footer 2" in third and "Footer 1" not in third


def test_a_frame_that_is_not_sound_is_not_saved() -> None:
    tenant = TenantFactory()
    with pytest.raises(TemplateRefused, match="must hold"):
        brand_save(brand=Brand(tenant=tenant, frame_html="<p></p>"))
    assert not Brand.objects.exists()


def test_a_frame_that_fails_in_one_language_of_the_tenant_is_not_saved() -> None:
    template = TemplateFactory(text="Hello", also={"de": {}})
    brand = Brand(tenant=template.tenant, footer="{% if locale == 'de' %}{{ oops }}{% endif %}")
    with pytest.raises(TemplateRefused, match=r"^de frame, line .+oops") as caught:
        brand_save(brand=brand)
    assert [problem.locale for problem in caught.value.problems] == ["de"]
    brand_save(brand=Brand(tenant=TenantFactory(), footer=brand.footer))


def test_staff_write_the_frame_and_see_a_sample(admin_client: Client) -> None:
    tenant = Tenant.objects.get()
    look = {"accent_colour": "#ff0000", "background_colour": "#ffffff", "text_colour": "#000000"}
    url = reverse("admin:deliveries_brand_add")
    refused = admin_client.post(url, {**look, "footer": "{{ oops", "logo_url": ""})
    assert "no end" in refused.content.decode() and not Brand.objects.exists()
    assert (
        "must start with https"
        in admin_client.post(url, {**look, "logo_url": "http://x.example/a.png"}).content.decode()
    )

    admin_client.post(url, {**look, "footer": "By post", "legal": "", "header": "", "frame_html": "", "logo_url": ""})
    brand = Brand.objects.get(tenant=tenant)
    page = admin_client.get(reverse("admin:deliveries_brand_change", args=[brand.pk])).content.decode()
    assert "By post" in page and "color: #ff0000" in page and 'sandbox=""' in page
    assert LogEntry.objects.filter(object_id=brand.pk).count() == 1
    assert admin_client.get(url).status_code == 403
