"""The compose page's check: who gets it and who does not, and why; fixes, samples, the download."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from broadcasts import audience as audiences
from broadcasts.models import Broadcast
from deliveries.models import Template, Tenant
from tests.compose import ADD, JSON, LACKS, checked, form, url
from tests.factories import AudienceFactory, ContactFactory, TemplateFactory, TenantFactory
from tests.mass import draft

pytestmark = pytest.mark.django_db


def test_the_check_says_who_gets_it_and_who_does_not_and_why(admin_client: Client, tenant: Tenant) -> None:
    ContactFactory.create_batch(2, tenant=tenant)
    ContactFactory(tenant=tenant, email="")
    ContactFactory(tenant=tenant, opted_out=["email"])
    ContactFactory()
    broadcast = draft(tenant, channels=["email"], pace_per_minute=1)

    told = checked(admin_client, broadcast)

    for text in (
        "2 people</b> of 4 get it",
        "No address",
        "Opted out of the channel",
        "about 2 minutes at 1 a minute",
        "Send to 2 people",
    ):
        assert text in told


def test_languages_that_the_words_lack_are_told_in_one_sentence(admin_client: Client, tenant: Tenant) -> None:
    for locale, people in (("de", 3), ("fr", 1), ("it", 1), ("ja", 1)):
        ContactFactory.create_batch(people, tenant=tenant, locale=locale)

    told = checked(admin_client, draft(tenant))

    assert "6 people read a language that the message does not have (de 3, fr 1, it 1 and 1 more language)" in told


def test_pasted_ids_that_are_no_contact_are_named(admin_client: Client, tenant: Tenant) -> None:
    known, other, unknown = ContactFactory(tenant=tenant), ContactFactory(), uuid4()
    broadcast = draft(
        tenant, audience={"type": "users", "user_ids": [str(known.user_id), str(unknown), str(other.user_id)]}
    )

    told = checked(admin_client, broadcast)

    assert "2 of the pasted ids are no contact" in told
    assert (
        f'line 2 <code class="ns-mono">{unknown}' in told,
        f'line 3 <code class="ns-mono">{other.user_id}' in told,
    ) == (True, True)


def test_what_takes_too_long_to_count_is_said(
    admin_client: Client, tenant: Tenant, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.AUDIENCE_COUNT_TIMEOUT_SECONDS = 0.05
    slow = audiences.Condition("(SELECT true FROM pg_sleep(60))")
    monkeypatch.setattr("broadcasts.check.audience_condition", lambda *args, **named: slow)
    ContactFactory(tenant=tenant)

    answer = admin_client.post(url(draft(tenant), "check")).json()

    assert "longer than 0.05 seconds" in answer["too_slow"]
    assert "review" not in answer


@pytest.mark.parametrize(
    ("button", "stored", "told"),
    [
        ({"fallback": "1", "text": "your city"}, ({"attributes.city": "your city"}, []), "Send to 2 people"),
        ({"skip": "1"}, ({}, ["attributes.city"]), "Send to 1 person"),
    ],
)
def test_a_missing_field_is_mended_by_a_fallback_or_by_leaving_people_out(
    admin_client: Client, tenant: Tenant, button: dict[str, str], stored: tuple[Any, Any], told: str
) -> None:
    ContactFactory(tenant=tenant, attributes={"city": "Rome"})
    ContactFactory(tenant=tenant, attributes={})
    broadcast = draft(tenant, body=LACKS)
    before = checked(admin_client, broadcast)
    assert "1 person has no attributes.city: set a fallback, or skip them." in before
    assert "Set fallback" in before

    posted = {"revision": "1", "field": "attributes.city", **button}
    answer = admin_client.post(url(broadcast, "fix"), posted, headers=JSON).json()

    assert answer["revision"] == "2"
    broadcast.refresh_from_db()
    assert (broadcast.contact_fallbacks, broadcast.skip_missing) == stored
    assert told in checked(admin_client, broadcast)


def test_a_fallback_must_say_something(admin_client: Client, tenant: Tenant) -> None:
    broadcast = draft(tenant, body=LACKS)

    answer = admin_client.post(
        url(broadcast, "fix"), {"revision": "1", "field": "attributes.city"}, headers=JSON
    ).json()

    assert "Write what stands in" in answer["told"]
    broadcast.refresh_from_db()
    assert broadcast.revision == 1


def test_samples_show_some_who_get_it_and_some_who_do_not(admin_client: Client, tenant: Tenant) -> None:
    ContactFactory(tenant=tenant, name="Reached", email="r@example.com")
    ContactFactory(tenant=tenant, name="Lost", email="")
    broadcast = draft(tenant, channels=["email"])

    will = admin_client.get(url(broadcast, "people")).content.decode()
    wont = admin_client.get(url(broadcast, "people"), {"reason": "no_address", "channel": "email"}).content.decode()

    assert ("Reached" in will, "r@example.com" in will, "Lost" in will) == (True, True, False)
    assert ("Lost" in wont, "Reached" in wont) == (True, False)


@pytest.mark.parametrize("is_deleted", [False, True])
def test_of_no_audience_and_of_one_that_is_gone_it_is_said_why_nobody_is_shown(
    admin_client: Client, tenant: Tenant, is_deleted: bool
) -> None:
    segment = AudienceFactory(tenant=tenant)
    broadcast = draft(tenant, audience={"type": "audience", "id": segment.pk} if is_deleted else {})
    segment.delete()
    why = "There is no audience" if is_deleted else "Nobody is chosen yet"

    people = admin_client.get(url(broadcast, "people"))
    file = admin_client.get(url(broadcast, "people_csv"), follow=True)

    assert (people.status_code, why in people.content.decode()) == (409, True)
    assert [why in str(message) for message in file.context["messages"]] == [True]


def test_samples_that_take_too_long_are_stopped(
    admin_client: Client, tenant: Tenant, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.AUDIENCE_COUNT_TIMEOUT_SECONDS = 0.05
    slow = audiences.Condition("(SELECT true FROM pg_sleep(60))")
    monkeypatch.setattr("broadcasts.check.audience_condition", lambda *args, **named: slow)
    ContactFactory(tenant=tenant)

    assert "longer than 0.05 seconds" in admin_client.get(url(draft(tenant), "people")).content.decode()


def test_everybody_is_downloaded_and_no_cell_is_a_formula(admin_client: Client, tenant: Tenant) -> None:
    ContactFactory(tenant=tenant, name="=HYPERLINK(1)", email="a@example.com")
    ContactFactory(tenant=tenant, name="Lost", email="")
    broadcast = draft(tenant, channels=["email"])

    answer = admin_client.get(url(broadcast, "people_csv"))

    text = b"".join(answer.streaming_content).decode("utf-8-sig")  # type: ignore[attr-defined]
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["name"], row["channel"], row["address"], row["gets_it"], row["why_not"]) for row in rows] == [
        ("'=HYPERLINK(1)", "E-mail", "a@example.com", "yes", ""),
        ("Lost", "E-mail", "", "no", "No address"),
    ]


def test_whom_it_reaches_is_shown_only_to_who_may_see_contacts(
    staff_with: Callable[..., Client], tenant: Tenant
) -> None:
    client = staff_with("view_broadcast")
    broadcast = draft(tenant)

    assert [client.get(url(broadcast, each)).status_code for each in ("people", "people_csv")] == [403, 403]
    assert "Download" not in checked(client, broadcast)


def test_a_new_broadcast_is_of_the_chosen_tenant(admin_client: Client) -> None:
    other = TenantFactory()
    theirs = TemplateFactory(tenant=other, name="Theirs")

    page = admin_client.get(f"{reverse(ADD)}?tenant={other.pk}").content.decode()
    assert "Theirs" in page
    assert "Theirs" not in admin_client.get(reverse(ADD)).content.decode()
    admin_client.post(
        reverse(ADD), form(tenant=str(other.pk), source="template", template_code=theirs.code), headers=JSON
    )

    assert Broadcast.objects.get().tenant == other
    assert admin_client.post(reverse(ADD), form(tenant="999999"), headers=JSON).status_code == 404


def test_a_template_that_is_taken_back_is_told(admin_client: Client, tenant: Tenant) -> None:
    template = TemplateFactory(tenant=tenant, code="offer")
    broadcast = draft(tenant, title="", body="", template_code="offer")
    Template.objects.filter(pk=template.pk).update(code="gone")

    assert "offer (not published)" in admin_client.get(url(broadcast)).content.decode()
    assert "The template offer is not published." in checked(admin_client, broadcast)


def test_a_time_that_passed_blocks(admin_client: Client, tenant: Tenant) -> None:
    ContactFactory(tenant=tenant)
    broadcast = draft(tenant, scheduled_at=timezone.now() - timedelta(hours=1))

    told = checked(admin_client, broadcast)

    assert "The planned time has passed" in told
    assert 'href="#when"' in told
