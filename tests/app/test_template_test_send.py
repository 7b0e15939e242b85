"""Sending a test from the editor: a real delivery to one address or contact, marked, inert, guarded, logged."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.utils import timezone

from deliveries.addresses import NOWHERE
from deliveries.admin import template_editor
from deliveries.admin.delivery_page import preview
from deliveries.compose import compose
from deliveries.jobs import parse_job
from deliveries.models import Delivery, TemplateVersion, Tenant
from deliveries.rendering import TemplateBook
from deliveries.suppressions import suppression_add
from tests.api import a_job
from tests.app.test_admin_template_editor import form, signed_in, url
from tests.factories import ContactFactory, TemplateFactory, TenantFactory
from tests.lifecycle import claim, start

pytestmark = pytest.mark.django_db


@pytest.fixture
def draft(tenant: Tenant) -> TemplateVersion:
    return TemplateFactory(tenant=tenant, published=False, text="Hi {{ name }}").versions.get()


def sent(client: Client, version: TemplateVersion, to: str, channel: str = "email", **asked: str) -> Any:
    words = form(version, subject="Unsaved {{ name }}", html='<a href="{{ unsubscribe_url }}">Bye {{ name }}</a>')
    answer = client.post(url(version, "test"), words | {"channel": channel, "to": to, **asked})
    return answer.json() if answer.status_code == 200 else answer


@pytest.mark.django_db(transaction=True)
def test_a_test_goes_the_whole_way_to_an_address_that_is_nobodys(admin_client: Client, draft: TemplateVersion) -> None:
    told = sent(admin_client, draft, "me@example.org", data='{"name": "Zoe"}')

    [row] = claim(channel="email")
    [person] = start([row]).values()
    message, version_id = compose(row, person, TemplateBook(), NOWHERE)
    assert (message.to, message.content.subject) == ("me@example.org", "[Test] Unsaved Zoe")
    assert message.content.html == '<a href="#this-is-a-test">Bye Zoe</a>'
    assert not [name for name in message.headers if "unsubscribe" in name.lower()]
    assert version_id is None
    delivery = Delivery.objects.get()
    assert told["is_sent"]
    assert str(delivery.pk) in told["url"]
    assert (delivery.is_test, delivery.meta["event_type"], delivery.entrance) == (False, "template_test", "admin:admin")
    assert preview(delivery, None).content.html == message.content.html
    assert LogEntry.objects.get().change_message == "Sent a test of v1 by email to me@example.org."
    assert draft.contents.get().subject == "Welcome"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("only_to", "goes"),
    [
        (["me@example.org"], True),
        (["@example.org"], True),
        (["other@example.org"], False),
        (["@example.com"], False),
    ],
)
def test_send_only_to_holds_for_the_address_of_a_test(
    admin_client: Client, draft: TemplateVersion, only_to: list[str], goes: bool
) -> None:
    sent(admin_client, draft, "Me@example.org")

    started = start(claim(channel="email"), only_to=only_to)

    assert bool(started) == goes
    assert Delivery.objects.get().status == ("SENDING" if goes else "SUPPRESSED")


def test_a_test_to_a_suppressed_address_does_not_go_out(admin_client: Client, draft: TemplateVersion) -> None:
    suppression_add(tenant=draft.template.tenant, channel="email", address="me@example.org")

    told = sent(admin_client, draft, "Me@example.org")

    assert told["told"].startswith("Not sent.")
    row = Delivery.objects.get()
    assert (row.status, row.reason) == ("SUPPRESSED", "suppressed_address")


@pytest.mark.parametrize("channel", ["ws", "webhook"])
def test_other_channels_reach_a_contact_of_the_tenant(
    admin_client: Client, draft: TemplateVersion, tenant: Tenant, channel: str
) -> None:
    ana = ContactFactory(tenant=tenant, email="ana@example.org")
    ContactFactory(tenant=TenantFactory(), email="bea@example.org")

    assert sent(admin_client, draft, "ana@example.org", channel)["is_sent"]
    assert "Nobody is known" in sent(admin_client, draft, "bea@example.org", channel)["told"]
    row = Delivery.objects.get()
    assert (row.user_id, "to" in row.content, row.content["title"]) == (ana.user_id, False, "[Test] Unsaved name")


@pytest.mark.parametrize(
    ("channel", "to", "told"),
    [
        ("email", "nobody", "not an e-mail address"),
        ("email", "a@example.org\r\nBcc: b@example.org", "line break"),
        ("sms", "12", "not a phone number"),
        ("pigeon", "ana", "Choose a channel"),
        ("ws", "", "Choose a contact"),
        ("push", "ana@example.org", "No provider"),
    ],
)
def test_what_cannot_be_sent_is_told(
    admin_client: Client, draft: TemplateVersion, tenant: Tenant, channel: str, to: str, told: str
) -> None:
    ContactFactory(tenant=tenant, email="ana@example.org")

    answer = sent(admin_client, draft, to, channel)

    assert told in answer["told"]
    assert not answer.get("is_sent")
    assert not Delivery.objects.filter(status="PENDING").exists()


def test_a_contacts_values_do_not_go_out_in_tests_of_what_hides_them(
    admin_client: Client, draft: TemplateVersion, tenant: Tenant
) -> None:
    ContactFactory(tenant=tenant, email="ana@example.org")
    as_ana = {"as": "person", "person": "ana@example.org"}

    assert "sample values" in sent(admin_client, draft, "me@example.org", hides_personal_data="on", **as_ana)["told"]
    assert sent(admin_client, draft, "me@example.org", **as_ana)["is_sent"]
    draft.template.hides_personal_data = True
    draft.template.save()
    assert "sample values" in sent(admin_client, draft, "me@example.org", **as_ana)["told"]  # unticked, not saved


def test_words_that_cannot_be_rendered_are_not_sent(admin_client: Client, draft: TemplateVersion) -> None:
    assert "A value is missing" in sent(admin_client, draft, "me@example.org", data="{}")["told"]
    assert not Delivery.objects.exists()


def test_a_test_needs_its_permission_a_token_and_post(admin_client: Client, draft: TemplateVersion) -> None:
    writer = signed_in("view_template", "change_template")
    forged = signed_in("view_template", "add_delivery", enforce_csrf_checks=True)

    assert [sent(client, draft, "me@example.org").status_code for client in (writer, forged)] == [403, 403]
    assert admin_client.get(url(draft, "test")).status_code == 405
    assert not Delivery.objects.exists()
    assert f'data-test-url="{url(draft, "test")}"' in admin_client.get(url(draft)).content.decode()
    assert 'id="ed-test"' not in writer.get(url(draft)).content.decode()


def test_who_may_send_but_not_write_sends_what_is_saved(draft: TemplateVersion) -> None:
    assert sent(signed_in("view_template", "add_delivery"), draft, "me@example.org")["is_sent"]
    assert Delivery.objects.get().content["title"] == "[Test] Welcome"


def test_what_is_written_while_the_draft_is_published_is_what_its_test_sends(
    admin_client: Client, draft: TemplateVersion
) -> None:
    words = form(draft, subject="Mine") | {"channel": "email", "to": "me@example.org"}
    signed_in("view_template", "change_template").post(url(draft, "publish"))

    assert admin_client.post(url(draft, "test"), words).json()["is_sent"]
    assert Delivery.objects.get().content["title"] == "[Test] Mine"


def test_tests_are_bounded(admin_client: Client, draft: TemplateVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_editor, "TESTS_A_MINUTE", 1)

    assert sent(admin_client, draft, "me@example.org")["is_sent"]
    assert sent(admin_client, draft, "me@example.org").status_code == 429
    assert Delivery.objects.count() == 1


def test_a_job_cannot_say_where_it_goes() -> None:
    words = {"title": "Hello", "body": "World", "to": "somebody@example.org", "html": "<b>x</b>"}

    job = parse_job(json.dumps(a_job(content=words)).encode(), now=timezone.now())

    assert job.content == {"title": "Hello", "body": "World"}
