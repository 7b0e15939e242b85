"""What every channel shows of a template's words: the service, and `/api/templates/{id}/preview/` before it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from standardwebhooks import Webhook

from deliveries import previews
from deliveries.models import Brand, Delivery, TemplateContent, Tenant
from deliveries.previews import SAMPLE_SECRET, Preview, Wanted, frame, preview
from deliveries.rendering import ContentSource, Variable
from tests.api import Answer, Caller, staff
from tests.factories import ApiKeyFactory, ContactFactory, TemplateFactory, TenantFactory

pytestmark = pytest.mark.django_db


def shown(tenant: Tenant, *, locale: str = "", data: Any = None, **words: str) -> Preview:
    source = ContentSource(**{"subject": "Welcome", "text": "Hello.", **words})
    return preview(Wanted({"en": source}, "en", tenant, locale=locale, data=data))


def test_each_channel_shows_its_own_of_the_same_words(tenant: Tenant) -> None:
    made = shown(
        tenant,
        subject="Hi {{ contact.name }}",
        text="Code {{ code }}",
        html="<b>{{ code }}</b>",
        action_url="https://a.example/",
    )

    assert made.channels is not None
    assert (made.locale, made.problems, made.data) == ("en", [], {"code": "code"})
    assert (made.channels.email.subject, made.channels.email.html) == ("Hi Ana Example", "<b>code</b>")
    assert (made.channels.push.title, made.channels.push.body) == ("Hi Ana Example", "Code code")
    assert made.channels.sms.text == "Code code"
    assert made.channels.ws.action_url == "https://a.example/"
    assert json.loads(made.channels.webhook.body)["data"]["subject"] == "Hi Ana Example"


def test_the_webhook_is_signed_as_a_receiver_verifies_it(tenant: Tenant) -> None:
    made = shown(tenant).channels

    assert made is not None
    assert Webhook(SAMPLE_SECRET).verify(made.webhook.body, made.webhook.headers)


@pytest.mark.parametrize(
    ("text", "encoding", "parts", "costly"),
    [
        ("a" * 160, "GSM-7", 1, []),
        ("a" * 161, "GSM-7", 2, []),
        ("Привет", "UCS-2", 1, list("Привет")),
        ("a" * 70 + "č", "UCS-2", 2, ["č"]),
    ],
)
def test_a_text_says_its_segments_and_what_makes_it_dear(
    tenant: Tenant, text: str, encoding: str, parts: int, costly: list[str]
) -> None:
    made = shown(tenant, text=text).channels

    assert made is not None
    assert (made.sms.encoding, made.sms.parts, made.sms.costly) == (encoding, parts, costly)


def test_a_push_that_no_device_would_take_says_so(tenant: Tenant) -> None:
    made = shown(tenant, text="x" * 5_000).channels

    assert made is not None
    assert "larger than devices get" in made.push.problem
    assert not made.sms.problem


@pytest.mark.parametrize(
    ("words", "data", "place"),
    [
        ({"text": "One\n{{ name"}, None, ("text", 2, 1)),
        ({"subject": "Hi {{ name }}"}, {}, ("subject", 1, 7)),
        ({"text": "a\nb {% for i in many %}{% for j in many %}{{ j }}{% endfor %}{% endfor %}"}, {"many": [1] * 400}, ("text", 2, None)),
    ],
)  # fmt: skip
def test_words_that_cannot_be_rendered_are_a_problem_with_its_place(
    tenant: Tenant, words: dict[str, str], data: Any, place: tuple[str, int, int | None]
) -> None:
    made = shown(tenant, data=data, **words)

    assert made.channels is None
    [problem] = made.problems
    assert (problem.locale, problem.part, problem.line) == ("en", *place[:2])
    assert place[2] in (None, problem.column)


def test_what_renders_and_cannot_be_published_is_told_beside_what_would_be_declared(tenant: Tenant) -> None:
    source = ContentSource("Hi {{ name }}", text="{{ code }}")
    declared = (Variable("name", sample="Zoe"),)

    made = preview(Wanted({"en": source}, "en", tenant, declared, data={"name": "Zoe", "code": 7}))

    assert made.channels is not None
    assert [(each.part, each.message.split()[0]) for each in made.blockers] == [("text", "code")]
    assert [each.name for each in made.undeclared] == ["code"]


def test_a_wrong_declaration_is_a_problem(tenant: Tenant) -> None:
    made = preview(Wanted({"en": ContentSource("Hi", text="Hi")}, "en", tenant, (Variable("1x"),)))

    assert (made.channels, made.problems[0].part) == (None, "variables")


def test_markdown_is_shown_in_the_tenants_frame_and_as_text(tenant: Tenant) -> None:
    Brand.objects.create(tenant=tenant, footer="Made by hand", accent_colour="#aa0000")
    source = ContentSource("Hi", markdown="# Hello {{ name }}", body_format="markdown", preheader="Look")

    made = preview(Wanted({"en": source}, "en", tenant, data={"name": "<b>Zoe"})).channels

    assert made is not None
    assert "Made by hand" in made.email.html
    assert "Hello &lt;b&gt;Zoe" in made.email.html
    assert made.email.preheader == "Look"
    assert "Hello <b>Zoe" in made.sms.text


@pytest.mark.parametrize(("asked", "found"), [("pt-BR", "pt"), ("fr", "en"), ("", "en")])
def test_the_locale_falls_back_as_when_it_is_sent(tenant: Tenant, asked: str, found: str) -> None:
    sources = {"en": ContentSource("Hi", "Hi"), "pt": ContentSource("Oi", "Oi")}

    assert preview(Wanted(sources, "en", tenant, locale=asked)).locale == found


def test_a_frame_lets_pictures_in_only_when_they_are_asked_for() -> None:
    assert "img-src data:;" in frame("<p>")
    assert "img-src data: https:;" in frame("<p>", pictures=True)
    assert all("default-src 'none'" in frame("<p>", pictures=pictures) for pictures in (True, False))


@pytest.mark.parametrize(
    ("html", "count"),
    [
        ('<img src="https://a.example/x.png"><td background=//a.example/y>', 2),
        ("<div style=\"background:url('http://a.example/z')\">", 1),
        ('<img src="data:image/png;base64,AA"><a href="https://a.example/">', 0),
    ],
)
def test_pictures_from_elsewhere_are_counted(tenant: Tenant, html: str, count: int) -> None:
    made = shown(tenant, html=html).channels

    assert made is not None
    assert made.email.remote_pictures == count


# The API.


@pytest.fixture
def key() -> Any:
    return ApiKeyFactory()


def asked(key: Any, template: Any, **body: Any) -> Answer:
    return Caller(key).post(f"templates/{template.pk}/preview/", body)


WORDS = {"default_locale": "en", "contents": [{"locale": "en", "subject": "New", "text": "Hi {{ name }}"}]}


def test_the_stored_words_are_previewed_the_draft_before_what_goes_out(key: Any) -> None:
    template = TemplateFactory(tenant=key.tenant, text="Published")
    assert asked(key, template).body["channels"]["sms"]["text"] == "Published"

    Caller(key).put(f"templates/{template.pk}/", WORDS)

    answer = asked(key, template, data={"name": "Zoe"})
    assert (answer.status, answer.body["channels"]["sms"]["text"]) == (200, "Hi Zoe")


def test_words_that_are_handed_in_are_previewed_and_not_stored(key: Any) -> None:
    template = TemplateFactory(tenant=key.tenant, text="Stored")

    answer = asked(key, template, words=WORDS)

    assert answer.body["channels"]["email"]["text"] == "Hi name"
    assert TemplateContent.objects.get(version__template=template).text == "Stored"
    assert not Delivery.objects.exists()


def test_what_cannot_be_rendered_answers_with_its_place(key: Any) -> None:
    template = TemplateFactory(tenant=key.tenant)
    words = {**WORDS, "contents": [{**WORDS["contents"][0], "text": "Hi\n{{ name"}]}  # type: ignore[dict-item]

    answer = asked(key, template, words=words)

    assert (answer.status, answer.body["channels"]) == (200, None)
    [problem] = answer.body["problems"]
    assert (problem["locale"], problem["part"], problem["line"]) == ("en", "text", 2)


def test_a_contact_is_read_only_by_who_may_read_contacts(key: Any) -> None:
    ana = ContactFactory(tenant=key.tenant, name="Ana of the tenant", locale="de")
    template = TemplateFactory(tenant=key.tenant, text="{{ contact.name }}")
    body = {"user_id": str(ana.user_id)}

    assert asked(key, template, **body).body["channels"]["sms"]["text"] == "Ana of the tenant"
    blind = asked(ApiKeyFactory(tenant=key.tenant, scopes=["templates"]), template, **body)
    assert (blind.status, "Ana" in str(blind.body)) == (403, False)
    path = f"templates/{template.pk}/preview/"
    assert staff("view_template").post(path, body).status == 403
    assert staff("view_template", "view_contact").post(path, body).status == 200
    assert staff("view_contact").post(path, {}).status == 403


def test_anothers_contact_is_nobody(key: Any) -> None:
    stranger = ContactFactory(tenant=TenantFactory(), name="Bea")
    template = TemplateFactory(tenant=key.tenant, text="{{ contact.name }}")

    answer = asked(key, template, user_id=str(stranger.user_id))

    assert (answer.status, answer.body["code"]) == (404, "no_contact")


def test_a_preview_takes_a_fixed_number_of_queries(key: Any, django_assert_num_queries: Any) -> None:
    ana = ContactFactory(tenant=key.tenant)
    template = TemplateFactory(tenant=key.tenant, published=False)
    version = template.versions.get()
    asked(key, template)
    for locales in (["de"], ["fr", "es", "it"]):
        for locale in locales:
            words = {"subject": "x", "text": "x"}
            TemplateContent.objects.bulk_create([TemplateContent(version=version, locale=locale, **words)])
        with django_assert_num_queries(
            6
        ):  # the key, the template, its newest version, the words, the contact, the frame
            asked(key, template, user_id=str(ana.user_id))


def test_one_caller_asks_only_so_often(key: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(previews, "MOST", 2)
    template = TemplateFactory(tenant=key.tenant)

    assert [asked(key, template).status for _ in range(3)] == [200, 200, 429]
    assert asked(ApiKeyFactory(tenant=key.tenant), template).status == 200
