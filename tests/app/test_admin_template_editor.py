"""The template editor: saving, publishing, the live preview, two people at one draft, starters."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from deliveries import previews
from deliveries.admin.template_forms import FieldForm, WordsForm
from deliveries.admin.template_starters import STARTERS
from deliveries.drafts import Draft, revision_of
from deliveries.models import Delivery, TemplateVersion, Tenant
from deliveries.previews import Wanted, preview
from notifyproj.demo import sample
from tests.factories import ContactFactory, TemplateFactory, TenantFactory

pytestmark = pytest.mark.django_db
JSON = {"Accept": "application/json"}


@pytest.fixture
def draft(tenant: Tenant) -> TemplateVersion:
    return TemplateFactory(tenant=tenant, published=False, text="Fine").versions.get()


def url(version: TemplateVersion, action: str = "change") -> str:
    return reverse(f"admin:deliveries_templateversion_{action}", args=[version.pk])


def signed_in(*permissions: str, **options: Any) -> Client:
    user = User.objects.create_user(f"ben{User.objects.count()}", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client(**options)
    client.force_login(user)
    return client


def form(version: TemplateVersion, *rows: dict[str, str], **words: str) -> dict[str, str]:
    """Return the editor's form as a browser posts it; `words` replace those of the first language, `rows` are further ones."""
    content = version.contents.order_by("locale")[0]
    stored = {"locale": content.locale, "subject": content.subject, "text": content.text, "body_format": "html"}
    every = [{**stored, **words}, *rows]
    fields = {f"contents-{index}-{name}": value for index, row in enumerate(every) for name, value in row.items()}
    counts = {"contents-TOTAL": str(len(every) + 1), "fields-TOTAL": "1"}
    return {"revision": revision_of(version), "default_locale": version.default_locale, **counts, **fields}


# Saving and publishing.


def test_a_draft_is_saved_by_the_plain_form_and_stays_a_draft(admin_client: Client, draft: TemplateVersion) -> None:
    answer = admin_client.post(url(draft), form(draft, subject="Hello {{ name }}", text="One\r\nTwo"), follow=True)

    content = draft.contents.get()
    assert (content.subject, content.text) == ("Hello {{ name }}", "One\nTwo")
    assert "Draft v1 is saved" in answer.content.decode()
    draft.refresh_from_db()
    assert draft.state == "draft"
    assert LogEntry.objects.filter(change_message="Saved draft v1.").count() == 1


def test_saving_without_leaving_the_page_answers_the_next_revision(
    admin_client: Client, draft: TemplateVersion
) -> None:
    first = admin_client.post(url(draft), form(draft, subject="One"), headers=JSON).json()
    words = form(draft, subject="Two") | {"revision": first["revision"]}
    second = admin_client.post(url(draft), words, headers=JSON).json()

    assert (first["version"], first["url"], first["problems"]) == ("v1", url(draft), [])
    assert second["revision"] not in (first["revision"], None)
    assert draft.contents.get().subject == "Two"


@pytest.mark.django_db(transaction=True)  # two transactions, as in life: the words of a published version stay
def test_publish_saves_what_stands_there_and_lets_it_go_out(admin_client: Client, draft: TemplateVersion) -> None:
    answer = admin_client.post(url(draft), form(draft, text="Newest") | {"_publish": "1"}, headers=JSON).json()

    draft.refresh_from_db()
    assert (answer["is_published"], draft.state, draft.contents.get().text) == (True, "published", "Newest")
    assert LogEntry.objects.filter(change_message="Published v1.").count() == 1


def test_what_cannot_be_published_is_saved_all_the_same(admin_client: Client, draft: TemplateVersion) -> None:
    answer = admin_client.post(url(draft), form(draft, subject="") | {"_publish": "1"}, headers=JSON).json()

    draft.refresh_from_db()
    assert (answer["is_published"], draft.state, draft.contents.get().subject) == (False, "draft", "")
    assert ("subject", "en") in [(problem["part"], problem["locale"]) for problem in answer["problems"]]
    assert "not published" in answer["told"]


def test_a_published_draft_is_published_once(admin_client: Client, draft: TemplateVersion) -> None:
    for _ in range(2):
        admin_client.post(url(draft, "publish"))

    draft.refresh_from_db()
    assert draft.state == "published"
    assert LogEntry.objects.filter(change_message="Published v1.").count() == 1


def test_a_problem_keeps_what_was_typed_and_says_where_it_is(admin_client: Client, draft: TemplateVersion) -> None:
    words = form(draft, text="Hello\n{{ name")

    page = admin_client.post(url(draft), words).content.decode()
    [problem] = admin_client.post(url(draft), words, headers=JSON).json()["problems"]

    assert "line 2" in page
    assert "{{ name" in page
    assert (problem["part"], problem["line"]) == ("text", 2)
    assert draft.contents.get().text == "Fine"


def test_languages_are_added_and_removed_in_one_save(admin_client: Client, draft: TemplateVersion) -> None:
    german = {"locale": "de", "subject": "Hallo", "text": "Hallo"}
    admin_client.post(url(draft), form(draft, german))
    assert sorted(draft.contents.values_list("locale", flat=True)) == ["de", "en"]

    gone = form(draft) | {"contents-0-locale": "en", "contents-0-subject": "x", "contents-1-locale": "de"}
    gone |= {"contents-1-DELETE": "on", "contents-TOTAL": "3"}
    admin_client.post(url(draft), gone)
    assert list(draft.contents.values_list("locale", flat=True)) == ["en"]


@pytest.mark.parametrize(
    ("rows", "words", "told"),
    [
        ([{"locale": "EN", "subject": "x"}], {}, "is there twice"),
        ([], {"locale": "not a language"}, "no language tag"),
        ([], {"subject": "x" * 501}, "at most 500"),
        ([], {"locale": ""}, "required"),
    ],
)
def test_a_wrong_row_is_named_and_nothing_is_saved(
    admin_client: Client, draft: TemplateVersion, rows: list[dict[str, str]], words: dict[str, str], told: str
) -> None:
    answer = admin_client.post(url(draft), form(draft, *rows, **words), headers=JSON).json()

    assert told in str(answer["problems"])
    assert "version" not in answer
    assert draft.contents.get().subject == "Welcome"


def test_whether_personal_data_is_hidden_is_saved_with_the_draft(admin_client: Client, draft: TemplateVersion) -> None:
    admin_client.post(url(draft), form(draft) | {"hides_personal_data": "on"})
    draft.template.refresh_from_db()
    assert draft.template.hides_personal_data

    admin_client.post(url(draft), form(TemplateVersion.objects.get()))
    draft.template.refresh_from_db()
    assert not draft.template.hides_personal_data
    admin_client.post(url(draft), form(TemplateVersion.objects.get()))
    told = LogEntry.objects.filter(change_message__startswith="Hide").order_by("id")
    assert [entry.change_message for entry in told] == [
        "Hide personal data after sending: on.",
        "Hide personal data after sending: off.",
    ]


def test_who_would_unhide_what_another_hid_sees_it_among_the_changes(
    admin_client: Client, draft: TemplateVersion
) -> None:
    mine = form(draft)
    signed_in("view_template", "change_template").post(url(draft), mine | {"hides_personal_data": "on"})

    shown = admin_client.post(url(draft, "changes"), mine).content.decode()
    same = admin_client.post(url(draft, "changes"), mine | {"hides_personal_data": "on"}).content.decode()

    assert "Hide personal data after sending" in shown
    assert "Hide personal data" not in same


def test_a_starter_unhides_nothing(admin_client: Client, tenant: Tenant) -> None:
    template = TemplateFactory(tenant=tenant, published=False, subject="", text="", hides_personal_data=True)
    draft = template.versions.get()

    admin_client.post(url(draft), form(draft) | {"_starter": "welcome", "hides_personal_data": "on"})

    saved = Draft.of(TemplateVersion.objects.select_related("template").get())
    assert (saved.contents["en"].subject != "", saved.hides_personal_data) == (True, True)


def test_declared_fields_are_saved_with_their_types(admin_client: Client, draft: TemplateVersion) -> None:
    rows = [
        {"name": "total", "type": "number", "sample": "19.5", "required": "on"},
        {"name": "items", "type": "list", "sample": "[1, 2]", "fallback": "[]"},
        {"name": "place", "type": "text", "help": "Where it is"},
    ]
    fields = {f"fields-{index}-{name}": value for index, row in enumerate(rows) for name, value in row.items()}

    admin_client.post(url(draft), form(draft) | fields | {"fields-TOTAL": "4"})

    stored = TemplateVersion.objects.get().variables
    assert [(each["name"], each["required"], each["sample"], each.get("fallback")) for each in stored] == [
        ("total", True, 19.5, None),
        ("items", False, [1, 2], []),
        ("place", False, None, ""),
    ]
    page = admin_client.get(url(draft)).content.decode()
    assert all(text in page for text in ('value="19.5"', 'value="[1, 2]"', 'value="Where it is"'))


@pytest.mark.parametrize("stored", [None, []])
def test_saving_keeps_what_an_empty_declaration_means(
    admin_client: Client, draft: TemplateVersion, stored: list[object] | None
) -> None:
    TemplateVersion.objects.update(variables=stored)
    version = TemplateVersion.objects.get()
    page = admin_client.get(url(version)).content.decode()
    none_allowed = {"fields-NONE": "1"} if 'name="fields-NONE"' in page else {}

    admin_client.post(url(version), form(version) | none_allowed)

    assert TemplateVersion.objects.get().variables == stored


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"name": "1x", "type": "text"}, "begins with a letter"),
        ({"name": "x" * 64, "type": "text"}, "at most 63"),
        ({"name": "total", "type": "number", "sample": "many"}, "must be a number"),
        ({"name": "contact", "type": "text", "required": "on"}, "always means something else"),
    ],
)
def test_a_wrong_declaration_is_told_and_nothing_is_saved(
    admin_client: Client, draft: TemplateVersion, row: dict[str, str], told: str
) -> None:
    fields = {f"fields-0-{name}": value for name, value in row.items()}

    answer = admin_client.post(url(draft), form(draft, subject="New") | fields | {"fields-TOTAL": "2"}, headers=JSON)

    [problem] = answer.json()["problems"]
    assert (problem["part"], told in problem["message"]) == ("variables", True)
    assert draft.contents.get().subject == "Welcome"


def test_whatever_the_api_takes_is_saved_by_the_editor_too(admin_client: Client, draft: TemplateVersion) -> None:
    locales = [f"{one}{two}" for one in "abcdefghij" for two in "abcdefghij"]
    words = [
        {name: "" for name in WordsForm.base_fields if name != "DELETE"} | {"locale": locale, "text": "Здравствуйте"}
        for locale in locales[1:]
    ]
    declared = [
        {name: "" for name in FieldForm.base_fields if name != "DELETE"} | {"name": f"поле{index}", "type": "text"}
        for index in range(100)
    ]
    fields = {f"fields-{index}-{name}": value for index, row in enumerate(declared) for name, value in row.items()}

    answer = admin_client.post(url(draft), form(draft, *words) | fields | {"fields-TOTAL": "100"}, headers=JSON)

    assert (answer.status_code, answer.json()["problems"]) == (200, [])
    saved = TemplateVersion.objects.get()
    assert (saved.contents.count(), len(saved.variables)) == (100, 100)


def test_rows_beyond_the_limit_are_refused_and_not_dropped(admin_client: Client, draft: TemplateVersion) -> None:
    answer = admin_client.post(url(draft), form(draft, subject="New") | {"contents-TOTAL": "201"}, headers=JSON)

    [problem] = answer.json()["problems"]
    assert "More than 200 rows" in problem["message"]
    assert draft.contents.get().subject == "Welcome"


def test_a_published_version_is_shown_and_not_edited(admin_client: Client, tenant: Tenant) -> None:
    version = TemplateFactory(tenant=tenant).versions.get()
    words = form(version, subject="Changed")
    del words["revision"]

    assert admin_client.post(url(version), words).status_code == 403
    page = admin_client.get(url(version)).content.decode()
    assert ("Welcome" in page, 'name="_save"' in page, 'name="_publish"' in page) == (True, False, False)


@pytest.mark.parametrize("action", ["change", "publish"])
def test_who_may_only_look_changes_nothing(draft: TemplateVersion, action: str) -> None:
    looker = signed_in("view_template")

    assert looker.get(url(draft)).status_code == 200
    assert looker.post(url(draft, action), form(draft, subject="Changed")).status_code == 403
    assert signed_in("view_contact").get(url(draft)).status_code == 403
    draft.refresh_from_db()
    assert (draft.state, draft.contents.get().subject) == ("draft", "Welcome")


@pytest.mark.parametrize("action", ["change", "publish", "preview", "changes"])
def test_without_a_csrf_token_nothing_happens(draft: TemplateVersion, action: str) -> None:
    editor = signed_in("view_template", "change_template", enforce_csrf_checks=True)

    assert editor.post(url(draft, action), form(draft, subject="Changed")).status_code == 403
    assert draft.contents.get().subject == "Welcome"


@pytest.mark.parametrize("action", ["publish", "preview", "changes"])
def test_get_does_nothing(admin_client: Client, draft: TemplateVersion, action: str) -> None:
    assert admin_client.get(url(draft, action)).status_code == 405


def test_a_reload_brings_back_what_is_saved(admin_client: Client, draft: TemplateVersion) -> None:
    page = admin_client.get(url(draft)).content.decode()

    assert re.search('<form[^>]* id="ed-form"[^>]* autocomplete="off"', page)


def test_the_page_takes_a_fixed_number_of_queries(
    admin_client: Client, draft: TemplateVersion, django_assert_num_queries: Any
) -> None:
    admin_client.get(url(draft))
    with django_assert_num_queries(PAGE_QUERIES):
        admin_client.get(url(draft))
    further = [{"locale": locale, "subject": "x", "text": "x"} for locale in ("de", "fr", "it")]
    admin_client.post(url(draft), form(draft, *further))
    admin_client.get(url(draft))
    with django_assert_num_queries(PAGE_QUERIES):
        admin_client.get(url(draft))


PAGE_QUERIES = 10


# Two people at one draft.


def test_the_second_of_two_is_told_who_was_first_and_overwrites_nobody(
    admin_client: Client, draft: TemplateVersion
) -> None:
    ben = signed_in("view_template", "change_template")
    mine = form(draft, text="Mine")
    ben.post(url(draft), form(draft, text="Ben's"))

    answer = admin_client.post(url(draft), mine, headers=JSON).json()
    page = admin_client.post(url(draft), mine).content.decode()

    assert answer["conflict"]["sentence"].startswith("ben")
    assert "changed this at" in answer["conflict"]["sentence"]
    assert "Mine" in page
    assert draft.contents.get().text == "Ben's"
    assert "Ben&#x27;s" in admin_client.post(url(draft, "changes"), mine).content.decode()

    admin_client.post(url(draft), mine | {"revision": answer["conflict"]["revision"]}, headers=JSON)
    assert draft.contents.get().text == "Mine"


def test_words_written_while_the_draft_was_published_become_the_next_draft_when_asked(
    admin_client: Client, draft: TemplateVersion
) -> None:
    mine = form(draft, text="Mine")
    signed_in("view_template", "change_template").post(url(draft, "publish"))

    told = admin_client.post(url(draft), mine, headers=JSON).json()["conflict"]
    assert "published v1" in told["sentence"]
    assert TemplateVersion.objects.count() == 1

    answer = admin_client.post(url(draft), mine | {"revision": told["revision"]}, headers=JSON).json()
    assert (answer["version"], answer["url"]) == ("v2", url(TemplateVersion.objects.get(number=2)))


def test_the_preview_tells_of_the_other_before_anything_is_saved(admin_client: Client, draft: TemplateVersion) -> None:
    mine = form(draft, text="Mine")
    assert "conflict" not in admin_client.post(url(draft, "preview"), mine).json()
    signed_in("view_template", "change_template").post(url(draft), form(draft, text="Ben's"))

    assert "changed this" in admin_client.post(url(draft, "preview"), mine).json()["conflict"]["sentence"]


def test_words_written_while_the_draft_was_published_are_what_the_preview_shows(
    admin_client: Client, draft: TemplateVersion
) -> None:
    mine = form(draft, text="Mine")
    signed_in("view_template", "change_template").post(url(draft, "publish"))

    before = admin_client.post(url(draft, "preview"), mine).json()
    # "Save mine in its place" was refused: the page goes on with the revision of what is published.
    newest = mine | {"revision": before["revision"]}
    assert admin_client.post(url(draft), newest | {"contents-0-text": "{{"}, headers=JSON).json()["problems"]
    after = admin_client.post(url(draft, "preview"), newest).json()

    assert [each["channels"]["sms"]["text"] for each in (before, after)] == ["Mine", "Mine"]
    assert "published v1" in before["conflict"]["sentence"]
    assert "conflict" not in after


# The preview.


def test_the_preview_shows_what_stands_in_the_editor_and_saves_nothing(
    admin_client: Client, draft: TemplateVersion
) -> None:
    words = form(draft, text="Unsaved {{ a }}", html="<b>{{ a }}</b>") | {"data": '{"a": "words"}'}

    answer = admin_client.post(url(draft, "preview"), words).json()

    assert answer["channels"]["sms"]["text"] == "Unsaved words"
    assert "default-src 'none'" in answer["frame"]
    assert "<b>words</b>" in answer["frame"]
    assert draft.contents.get().text == "Fine"
    assert not Delivery.objects.exists()


@pytest.mark.parametrize(
    ("asked", "part"),
    [({"data": "{"}, "data"), ({"data": "[1]"}, "data"), ({"as": "person", "person": "nobody"}, "person")],
)
def test_what_cannot_be_asked_is_a_problem_of_its_control(
    admin_client: Client, draft: TemplateVersion, asked: dict[str, str], part: str
) -> None:
    answer = admin_client.post(url(draft, "preview"), form(draft) | asked).json()

    assert (answer["channels"], answer["problems"][-1]["part"]) == (None, part)


def test_missing_values_show_what_somebody_unknown_gets(admin_client: Client, draft: TemplateVersion) -> None:
    words = form(draft, text="Hi {{ name|default('you') }}{{ contact.name }}") | {"as": "missing"}

    assert admin_client.post(url(draft, "preview"), words).json()["channels"]["sms"]["text"] == "Hi you"


def test_a_contact_of_the_tenant_is_previewed_by_who_may_see_contacts(
    admin_client: Client, draft: TemplateVersion, tenant: Tenant
) -> None:
    ContactFactory(tenant=tenant, name="Ana of ours", email="ana@example.org")
    ContactFactory(tenant=TenantFactory(), name="Bea of theirs", email="bea@example.org")
    words = form(draft, text="{{ contact.name }}") | {"as": "person"}

    ours = admin_client.post(url(draft, "preview"), words | {"person": "ana@example.org"}).json()
    theirs = admin_client.post(url(draft, "preview"), words | {"person": "bea@example.org"}).json()
    blind = signed_in("view_template", "change_template").post(
        url(draft, "preview"), words | {"person": "ana@example.org"}
    )

    assert ours["channels"]["sms"]["text"] == "Ana of ours"
    assert "Bea" not in str(theirs)
    assert theirs["problems"][0]["part"] == "person"
    assert blind.status_code == 403


def test_of_a_published_version_and_for_lookers_the_saved_words_are_shown(
    admin_client: Client, tenant: Tenant, draft: TemplateVersion
) -> None:
    version = TemplateFactory(tenant=tenant, text="Published").versions.get()
    words = form(draft, text="Other")
    looked_at = {name: value for name, value in words.items() if name != "revision"}  # as its page posts it

    assert 'name="revision"' not in admin_client.get(url(version)).content.decode()
    assert admin_client.post(url(version, "preview"), looked_at).json()["channels"]["sms"]["text"] == "Published"
    assert signed_in("view_template").post(url(draft, "preview"), words).json()["channels"]["sms"]["text"] == "Fine"


def test_a_session_previews_only_so_often(
    admin_client: Client, draft: TemplateVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(previews, "MOST", 2)

    answers = [admin_client.post(url(draft, "preview"), form(draft)) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[-1]["Retry-After"]


def test_a_preview_takes_a_fixed_number_of_queries(
    admin_client: Client, draft: TemplateVersion, django_assert_num_queries: Any
) -> None:
    further = [{"locale": locale, "subject": "x", "text": "x"} for locale in ("de", "fr", "it")]
    admin_client.post(url(draft, "preview"), form(draft))
    for words in (form(draft), form(draft, *further)):
        with django_assert_num_queries(
            7
        ):  # session, user, the version, its words, the frame; the newest version, its words
            admin_client.post(url(draft, "preview"), words)


def test_every_sample_template_previews_untouched(admin_client: Client, tenant: Tenant) -> None:
    sample.templates_ensure(tenant)
    for version in TemplateVersion.objects.prefetch_related("contents"):
        for content in version.contents.all():
            answer = admin_client.post(url(version, "preview"), {"locale": content.locale}).json()
            assert (answer["locale"], answer["problems"]) == (content.locale, []), str(version.template)


# Starters.


@pytest.mark.parametrize("key", STARTERS)
def test_a_starter_fills_an_empty_draft_with_words_that_render(admin_client: Client, tenant: Tenant, key: str) -> None:
    version = TemplateFactory(tenant=tenant, published=False, subject="", text="").versions.get()
    assert f'value="{key}"' in admin_client.get(url(version)).content.decode()
    empty = form(version, locale="en") | {"_starter": key}

    admin_client.post(url(version), empty)

    saved = Draft.of(TemplateVersion.objects.select_related("template").get())
    assert saved.contents["en"].subject == STARTERS[key].words["subject"]
    assert saved.hides_personal_data == (key == "code")
    made = preview(Wanted(saved.contents, "en", tenant, saved.variables))
    assert (made.problems, made.blockers) == ([], [])


def test_a_starter_overwrites_no_words(admin_client: Client, draft: TemplateVersion) -> None:
    assert 'name="_starter"' not in admin_client.get(url(draft)).content.decode()

    answer = admin_client.post(url(draft), form(draft) | {"_starter": "welcome"}, headers=JSON).json()

    assert "words already" in str(answer["problems"])
    assert draft.contents.get().text == "Fine"
