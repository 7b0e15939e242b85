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
from tests.factories import ApiKeyFactory, ContactFactory, DeliveryFactory, TemplateFactory

pytestmark = pytest.mark.django_db


def version_page(version: TemplateVersion) -> str:
    return reverse("admin:deliveries_templateversion_change", args=[version.pk])


# Templates.


def test_a_new_template_begins_with_a_draft(admin_client: Client, tenant: Tenant) -> None:
    answer = admin_client.post(reverse("admin:deliveries_template_add"), {"name": "Welcome", "code": "welcome"})

    version = Template.objects.get(code="welcome", tenant=tenant).versions.get()
    assert (version.number, version.state) == (1, "draft")
    assert answer.url == version_page(version)


def test_a_new_draft_begins_with_the_words_that_go_out(admin_client: Client, tenant: Tenant) -> None:
    template = TemplateFactory(tenant=tenant, text="Hello.")
    url = reverse("admin:deliveries_template_new_draft", args=[template.pk])

    admin_client.post(url)
    answer = admin_client.post(url)

    draft = template.versions.get(state="draft")
    assert (draft.number, draft.contents.get().text) == (2, "Hello.")
    assert answer.url == version_page(draft)


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
