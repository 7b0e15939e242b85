"""Templates, API keys, contacts, workers: what staff set up and look after."""

from __future__ import annotations

import re
from datetime import timedelta
from uuid import uuid4

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from deliveries.admin import runbook
from deliveries.api.keys import api_key_check
from deliveries.models import ApiKey, Contact, Template, TemplateContent, TemplateVersion, Tenant, WorkerHeartbeat
from notifyproj.demo import sample
from tests.factories import ApiKeyFactory, ContactFactory, DeliveryFactory, TemplateFactory

pytestmark = pytest.mark.django_db


def version_page(version: TemplateVersion) -> str:
    return reverse("admin:deliveries_templateversion_change", args=[version.pk])


def draft_form(version: TemplateVersion, **words: str) -> dict[str, str]:
    """Return the form of a draft with one language, as the browser posts it."""
    content = version.contents.get()
    values = {"locale": content.locale, "subject": content.subject, "text": content.text, "html": "", "action_url": ""}
    values |= {"body_format": "html"}
    row = {f"contents-0-{name}": value for name, value in {**values, **words}.items()}
    ids = {"contents-0-id": str(content.pk), "contents-0-version": str(version.pk)}
    counts = {"contents-TOTAL_FORMS": "1", "contents-INITIAL_FORMS": "1"}
    return {"default_locale": version.default_locale, **counts, **ids, **row}


# Templates.


def test_a_new_template_begins_with_a_draft(admin_client: Client, tenant: Tenant) -> None:
    answer = admin_client.post(reverse("admin:deliveries_template_add"), {"name": "Welcome", "code": "welcome"})

    version = Template.objects.get(code="welcome", tenant=tenant).versions.get()
    assert (version.number, version.state) == (1, "draft")
    assert answer.url == version_page(version)


def test_a_draft_is_edited_and_published(admin_client: Client, tenant: Tenant) -> None:
    version = TemplateFactory(tenant=tenant, published=False).versions.get()

    admin_client.post(version_page(version), draft_form(version, subject="Hello {{ name }}"))
    assert version.contents.get().subject == "Hello {{ name }}"

    admin_client.post(reverse("admin:deliveries_templateversion_publish", args=[version.pk]))
    version.refresh_from_db()
    assert version.state == "published"
    assert LogEntry.objects.filter(change_message="Published v1.").count() == 1


def test_a_problem_is_shown_beside_its_part_and_nothing_is_saved(admin_client: Client, tenant: Tenant) -> None:
    version = TemplateFactory(tenant=tenant, published=False, text="Fine").versions.get()

    answer = admin_client.post(version_page(version), draft_form(version, text="Hello\n{{ name"))

    assert answer.status_code == 200
    assert "Line 2:" in answer.content.decode()
    assert version.contents.get().text == "Fine"


def test_an_unfinished_draft_is_not_published(admin_client: Client, tenant: Tenant) -> None:
    version = TemplateFactory(tenant=tenant, published=False, subject="").versions.get()

    answer = admin_client.post(reverse("admin:deliveries_templateversion_publish", args=[version.pk]), follow=True)

    assert "Not published." in answer.content.decode()
    version.refresh_from_db()
    assert version.state == "draft"


def test_a_published_version_cannot_be_edited(admin_client: Client, tenant: Tenant) -> None:
    version = TemplateFactory(tenant=tenant).versions.get()

    answer = admin_client.post(version_page(version), draft_form(version, subject="Changed"))

    assert answer.status_code == 403
    assert version.contents.get().subject == "Welcome"
    assert 'name="_save"' not in admin_client.get(version_page(version)).content.decode()


def test_a_new_draft_begins_with_the_words_that_go_out(admin_client: Client, tenant: Tenant) -> None:
    template = TemplateFactory(tenant=tenant, text="Hello.")
    url = reverse("admin:deliveries_template_new_draft", args=[template.pk])

    admin_client.post(url)
    answer = admin_client.post(url)

    draft = template.versions.get(state="draft")
    assert (draft.number, draft.contents.get().text) == (2, "Hello.")
    assert answer.url == version_page(draft)


def test_the_preview_renders_with_the_data_that_was_given(admin_client: Client, tenant: Tenant) -> None:
    version = TemplateFactory(tenant=tenant, text="Hello {{ name }}, {{ contact.name }}").versions.get()
    url = reverse("admin:deliveries_templateversion_preview", args=[version.pk])

    assert "Hello Zoe, Ana Example" in admin_client.post(url, {"data": '{"name": "Zoe"}'}).content.decode()
    assert "It cannot be rendered" in admin_client.post(url, {"data": "{}"}).content.decode()
    assert "no JSON" in admin_client.post(url, {"data": "{"}).content.decode()
    assert "one JSON object" in admin_client.post(url, {"data": "[1]"}).content.decode()


def test_the_preview_shows_what_stands_in_the_editor_and_saves_nothing(admin_client: Client, tenant: Tenant) -> None:
    version = TemplateFactory(tenant=tenant, published=False, text="Saved").versions.get()
    url = reverse("admin:deliveries_templateversion_preview", args=[version.pk])

    shown = admin_client.post(url, {**draft_form(version, text="Unsaved {{ a }}"), "data": '{"a": "words"}'})
    broken = admin_client.post(url, draft_form(version, text="Hello\n{{ name"))

    assert "Unsaved words" in shown.content.decode()
    assert "Text: Line 2:" in broken.content.decode()
    assert version.contents.get().text == "Saved"


def test_the_preview_of_a_published_version_takes_no_words_from_outside(admin_client: Client, tenant: Tenant) -> None:
    version = TemplateFactory(tenant=tenant, text="Published").versions.get()
    url = reverse("admin:deliveries_templateversion_preview", args=[version.pk])

    assert "Published" in admin_client.post(url, draft_form(version, text="Other")).content.decode()


def test_the_previews_address_leads_to_the_version(admin_client: Client, tenant: Tenant) -> None:
    version = TemplateFactory(tenant=tenant).versions.get()

    answer = admin_client.get(reverse("admin:deliveries_templateversion_preview", args=[version.pk]))

    assert (answer.status_code, answer.url) == (302, version_page(version))


def test_every_sample_template_previews_untouched(admin_client: Client, tenant: Tenant) -> None:
    sample.templates_ensure(tenant)
    for version in TemplateVersion.objects.all():
        page = admin_client.get(version_page(version))
        for locale in page.context["locales"]:
            shown = admin_client.post(
                reverse("admin:deliveries_templateversion_preview", args=[version.pk]),
                {"data": page.context["sample"], "locale": locale},
            )
            assert f"Rendered for Ana Example, {locale}" in shown.content.decode(), (str(version.template), locale)


def test_the_sample_names_the_fields_that_the_words_ask_for(admin_client: Client, tenant: Tenant) -> None:
    words = "{{ code }} {% if urgent %}{{ contact.name }}{% endif %}"
    version = TemplateFactory(tenant=tenant, text=words).versions.get()

    assert admin_client.get(version_page(version)).context["sample"] == '{\n  "code": "code",\n  "urgent": "urgent"\n}'


def test_a_template_that_went_out_is_not_deleted(admin_client: Client, tenant: Tenant) -> None:
    template = TemplateFactory(tenant=tenant)

    answer = admin_client.post(reverse("admin:deliveries_template_delete", args=[template.pk]), {"post": "yes"})

    assert answer.status_code == 403
    assert TemplateContent.objects.filter(version__template=template).exists()


# API keys.


def test_a_new_key_is_shown_once_and_kept_nowhere(admin_client: Client, tenant: Tenant) -> None:
    answer = admin_client.post(
        reverse("admin:deliveries_apikey_add"), {"name": "billing", "mode": "live", "scopes": ["jobs"]}
    )

    key = ApiKey.objects.get()
    shown = re.search(rf"{key.prefix}_\w+", answer.content.decode())
    assert shown
    found = api_key_check(shown[0])
    assert found
    assert found.pk == key.pk
    assert "no-store" in answer["Cache-Control"]
    again = admin_client.get(reverse("admin:deliveries_apikey_change", args=[key.pk])).content.decode()
    assert shown[0] not in again
    assert not [session for session in Session.objects.all() if shown[0] in str(session.get_decoded())]
    assert not LogEntry.objects.filter(change_message__contains=shown[0]).exists()


def test_a_key_is_revoked_and_logged_once(admin_client: Client, tenant: Tenant) -> None:
    key = ApiKeyFactory(tenant=tenant)
    url = reverse("admin:deliveries_apikey_revoke", args=[key.pk])

    admin_client.post(url)
    admin_client.post(url)

    assert api_key_check(key.plain) is None
    assert LogEntry.objects.filter(change_message="Revoked.").count() == 1


def test_a_key_cannot_be_edited(admin_client: Client, tenant: Tenant) -> None:
    key = ApiKeyFactory(tenant=tenant, scopes=["jobs"])

    answer = admin_client.post(
        reverse("admin:deliveries_apikey_change", args=[key.pk]), {"name": "x", "mode": "live", "scopes": ["workers"]}
    )

    assert answer.status_code == 403
    assert ApiKey.objects.get().scopes == ["jobs"]


# Contacts, workers, runbook.


def test_a_contact_is_added_under_the_only_tenant(admin_client: Client, tenant: Tenant) -> None:
    values = {"user_id": str(uuid4()), "name": "Ana", "email": "ana@example.com", "attributes": "{}"}

    admin_client.post(reverse("admin:deliveries_contact_add"), {**values, "opted_out": ["email"]})

    contact = Contact.objects.get()
    assert (contact.tenant, contact.opted_out) == (tenant, ["email"])


def test_a_contact_shows_the_latest_deliveries(admin_client: Client, tenant: Tenant) -> None:
    contact = ContactFactory(tenant=tenant)
    row = DeliveryFactory(tenant=tenant, user_id=contact.user_id, sent=True)
    DeliveryFactory(tenant=tenant, failed=True)

    page = admin_client.get(reverse("admin:deliveries_contact_change", args=[contact.pk])).content.decode()

    assert re.findall(r"/deliveries/delivery/(\d+)/change/", page) == [str(row.pk)]


def test_workers_that_need_a_person_come_first(admin_client: Client) -> None:
    now = timezone.now()
    states = [("d", "stopped", 900), ("c", "running", 1), ("b", "stuck", 1), ("a", "running", 130)]
    for instance, state, silent_seconds in states:
        WorkerHeartbeat.objects.create(
            service_type="sender",
            instance_id=instance,
            host=f"host-{instance}",
            pid=1,
            state=state,
            started_at=now - timedelta(hours=1),
            beat_at=now - timedelta(seconds=silent_seconds),
            progress_at=now,
        )

    page = admin_client.get(reverse("admin:deliveries_workerheartbeat_changelist")).content.decode()

    assert re.findall(r"host-(\w)", page) == ["a", "b", "c", "d"]
    assert "Gone: no sign for 2 minutes" in page
    assert "Stuck: alive, but its work does not move" in page


def test_consumers_are_told_apart_by_their_topic(admin_client: Client) -> None:
    now = timezone.now()
    for topic in ("jobs", "simple"):
        WorkerHeartbeat.objects.create(
            service_type="consumer",
            instance_id=topic,
            host="h",
            pid=1,
            started_at=now,
            beat_at=now,
            progress_at=now,
            detail={"topic": topic},
        )

    page = admin_client.get(reverse("admin:deliveries_workerheartbeat_changelist")).content.decode()

    assert "Consumer of jobs" in page
    assert "Consumer of simple" in page


def test_the_anchor_of_a_heading_is_the_one_that_markdown_hosts_make() -> None:
    assert runbook.anchor_of("The mail server is away, or slow!") == "the-mail-server-is-away-or-slow"
