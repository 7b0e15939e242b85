"""Hide personal data after sending: once a delivery is over, by whichever way, its data is nowhere to be read."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from deliveries import dead_letters, lifecycle
from deliveries.channels import Status
from deliveries.dead_letter_relay import record_of
from deliveries.ingest import ingest
from deliveries.lifecycle import Outcome, sweep
from deliveries.models import Contact, DeadLetter, Delivery, Lane, Template
from deliveries.senders.sms import REFUSED
from tests import lifecycle as steps
from tests.factories import ApiKeyFactory, ContactFactory, DeliveryFactory, TemplateFactory

pytestmark = pytest.mark.django_db(transaction=True)

SECRET = "731904"
DATA = {"code": SECRET}


@pytest.fixture
def code(tenant: Any) -> Template:
    return TemplateFactory(tenant=tenant, text="Your code is {{ code }}", hides_personal_data=True)


@pytest.fixture
def tenant() -> Any:
    from deliveries.models import Tenant

    return Tenant.objects.get_or_create(slug="default", defaults={"name": "Default"})[0]


def waiting(template: Template, **changes: Any) -> Delivery:
    values = {"content": None, "template_code": template.code, "data": DATA, "channel": "ws", **changes}
    return DeliveryFactory(tenant=template.tenant, **values)


def started(template: Template, **changes: Any) -> Any:
    waiting(template, **changes)
    [row] = steps.claim()
    steps.start([row])
    return row


def outcome(row: Any, status: Status, **values: Any) -> Outcome:
    return Outcome(id=row.id, lease_token=row.lease_token, status=status, **values)


def ends_sent(template: Template) -> None:
    steps.finish(outcome(started(template), Status.SENT, rendered={"subject": SECRET, "text": SECRET}))


def ends_failed(template: Template) -> None:
    steps.finish(outcome(started(template), Status.FAILED, reason="smtp_550", message="refused"))


def ends_suppressed(template: Template) -> None:
    row = waiting(template)
    ContactFactory(tenant=template.tenant, user_id=row.user_id, opted_out=["ws"])
    [claimed] = steps.claim()
    assert steps.start([claimed]) == {}


def ends_expired(template: Template) -> None:
    waiting(template, expires_at=timezone.now() - timedelta(minutes=1))
    assert sweep().expired == 1


def ends_in_a_cancelled_lane(template: Template) -> None:
    row = waiting(template)
    Lane.objects.filter(pk=row.lane_id).update(cancelled_at=timezone.now())
    assert sweep().cancelled == 1


def ends_cancelled(template: Template) -> None:
    assert lifecycle.cancel(tenant_id=template.tenant_id, delivery_ids=[waiting(template).pk], by="ana") == 1


def ends_without_a_process(template: Template) -> None:
    row = started(template, attempts=2)
    Delivery.objects.filter(pk=row.id).update(lease_expires_at=timezone.now() - timedelta(seconds=1), attempts=99)
    assert sweep().failed == 1


def ends_without_a_sender(template: Template) -> None:
    waiting(template, channel="sms")
    assert sweep().unavailable == 1


def ends_at_the_door(template: Template) -> None:
    late = "2026-01-01T00:00:00Z"
    job = steps.incoming(template_code=template.code, content=None, data=DATA, expires_at=late)
    assert ingest([job], entrance="test")[0].kind == "accepted"


WAYS = [
    ends_sent, ends_failed, ends_suppressed, ends_expired, ends_in_a_cancelled_lane, ends_cancelled, ends_without_a_process,
    ends_without_a_sender, ends_at_the_door,
]  # fmt: skip


@pytest.mark.parametrize("end", WAYS)
def test_the_data_goes_when_the_delivery_is_over(code: Template, end: Callable[[Template], None]) -> None:
    end(code)
    row = Delivery.objects.get()
    assert row.is_terminal
    assert (row.data, row.blanked_at) == ({}, row.finished_at)


@pytest.mark.parametrize("end", WAYS)
def test_other_templates_keep_theirs(tenant: Any, end: Callable[[Template], None]) -> None:
    TemplateFactory(hides_personal_data=True, code="same")  # another tenant's
    end(TemplateFactory(tenant=tenant, code="same"))
    row = Delivery.objects.get()
    assert (row.data, row.blanked_at) == (DATA, None)


def test_a_retry_keeps_what_it_needs(code: Template) -> None:
    row = started(code)
    steps.finish(outcome(row, Status.RETRYING, reason="smtp_451", delay_seconds=1))
    assert Delivery.objects.get().data == DATA


def test_every_statement_that_ends_rows_blanks_them() -> None:
    """A new way to end needs it too: whoever sets finished_at must name the blanking."""
    for path in Path(lifecycle.__file__).parent.glob("*.py"):
        for statement in re.findall(r'"""(.*?)"""', path.read_text(), re.DOTALL):
            if re.search(r"finished_at\s*=\s*(CASE|statement_timestamp)", statement):
                assert "{blanked(" in statement, (path.name, statement)


@pytest.mark.parametrize("end", [ends_sent, ends_failed])
def test_pages_api_and_dead_letters_show_nothing_of_it(
    admin_client: Client, code: Template, end: Callable[[Template], None]
) -> None:
    end(code)
    row = Delivery.objects.select_related("tenant").get()
    page = admin_client.get(reverse("admin:deliveries_delivery_change", args=[row.pk])).content.decode()
    key = ApiKeyFactory(tenant=code.tenant).plain
    answer = Client().get(f"/api/deliveries/{row.job_id}/", headers={"X-API-Key": key})
    letters = [record_of(letter).decode() for letter in DeadLetter.objects.select_related("delivery__tenant")]

    assert "Personal data is hidden" in page
    assert answer.json()["data"] == {} and answer.json()["rendered"] is None and answer.json()["blanked_at"]
    assert SECRET not in "".join([page, answer.content.decode(), *letters])
    assert [("data_removed_at" in json.loads(letter)) for letter in letters] == [True] * len(letters)


@pytest.mark.parametrize("status", [Status.FAILED, Status.RETRYING])
def test_what_a_far_end_said_back_is_not_kept(code: Template, status: Status) -> None:
    """A validator likes to answer with the request that it did not understand."""
    told = REFUSED.error("hooks.example.com", said=f'{{"text": "Your code is {SECRET}"}}')
    steps.finish(outcome(started(code), status, reason=told.code, message=told.message))
    row = Delivery.objects.get()
    kept = [row.error_message, *row.failed_attempts.values_list("message", flat=True)]
    kept += DeadLetter.objects.values_list("error_message", flat=True)
    assert len(kept) == (3 if status == Status.FAILED else 2)
    assert {SECRET in each for each in kept} == {False}
    assert all(each.endswith(REFUSED.sentence) for each in kept)


def test_what_a_far_end_said_of_other_templates_is_kept(tenant: Any) -> None:
    told = REFUSED.error("hooks.example.com", said=SECRET)
    row = started(TemplateFactory(tenant=tenant, text="Your code is {{ code }}"))
    steps.finish(outcome(row, Status.FAILED, reason=told.code, message=told.message))
    assert SECRET in Delivery.objects.get().error_message


def test_the_person_still_reads_it_in_the_inbox(code: Template) -> None:
    ends_sent(code)
    assert Delivery.objects.get().rendered == {"subject": SECRET, "text": SECRET}


def test_what_was_blanked_is_not_sent_again(admin_client: Client, code: Template) -> None:
    ends_failed(code)
    row = Delivery.objects.get()
    key = ApiKeyFactory(tenant=code.tenant).plain
    assert lifecycle.replay(delivery_ids=[row.pk], by="ana") == {}
    answer = Client().post(f"/api/deliveries/{row.job_id}/replay/", headers={"X-API-Key": key})
    assert (answer.status_code, answer.json()["code"]) == (409, "data_removed")
    page = admin_client.post(reverse("admin:deliveries_delivery_send_again", args=[row.pk]), follow=True)
    assert "its data was removed" in page.content.decode()
    group = dead_letters.GroupKey(reason="smtp_550", channel="ws", template_code=code.code)
    assert dead_letters.too_late(group=group) == 1
    assert Delivery.objects.count() == 1


def test_the_same_job_again_is_still_a_duplicate_and_an_altered_one_a_conflict(code: Template) -> None:
    job_id, user_id = str(uuid4()), str(uuid4())
    common = {"job_id": job_id, "user_id": user_id, "template_code": code.code, "content": None}
    steps.accept(steps.incoming(**common, data=DATA))
    [row] = steps.claim()
    steps.start([row])
    steps.finish(outcome(row, Status.SENT))
    again = ingest([steps.incoming(**common, data=DATA), steps.incoming(**common, data={"code": "2"})], entrance="test")
    assert [verdict.kind for verdict in again] == ["duplicate", "conflict"]
    assert Contact.objects.count() == 0
