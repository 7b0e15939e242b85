"""Start and finish: the attempt is counted before the wire, and only the holder of the lease records what became of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from msgspec.structs import replace

from deliveries import lifecycle
from deliveries.channels import Status
from deliveries.models import DeadLetter, Delivery, DeliveryAttempt, Lane, Tenant
from tests.factories import ContactFactory
from tests.lifecycle import accept, claim, failed, finish, incoming, on_connection, sent, start

pytestmark = pytest.mark.django_db(transaction=True)


def default_tenant() -> Tenant:
    return Tenant.objects.get(slug="default")


def test_start_counts_the_attempt_and_brings_the_person() -> None:
    contact = ContactFactory(tenant=default_tenant(), name="Ana", email="ana@example.com")
    [row_id] = accept(incoming(user_id=str(contact.user_id)))
    people = start(claim())
    stored = Delivery.objects.get(id=row_id)
    assert (stored.status, stored.attempts) == ("SENDING", 1)
    assert (people[row_id].name, people[row_id].email, people[row_id].tenant_slug) == (
        "Ana",
        "ana@example.com",
        "default",
    )


def test_a_start_whose_answer_was_lost_may_be_repeated() -> None:
    [row_id] = accept(incoming())
    rows = claim()
    assert list(start(rows)) == list(start(rows)) == [row_id]
    assert Delivery.objects.get(id=row_id).attempts == 1


def test_a_row_whose_lease_is_another_process_is_not_started() -> None:
    accept(incoming())
    rows = [replace(row, lease_token=uuid4()) for row in claim()]
    assert start(rows) == {}
    assert Delivery.objects.get().status == "PENDING"


def test_a_lease_too_short_for_a_send_is_given_back() -> None:
    accept(incoming())
    assert start(claim(lease_seconds=5)) == {}
    stored = Delivery.objects.get()
    assert (stored.status, stored.attempts, stored.claims, stored.lease_token) == ("PENDING", 0, 0, None)


def test_a_row_that_expired_after_its_claim_is_settled() -> None:
    accept(incoming(expires_at=(datetime.now(UTC) + timedelta(hours=1)).isoformat()))
    rows = claim()
    Delivery.objects.update(expires_at=datetime.now(UTC) - timedelta(seconds=1))
    assert start(rows) == {}
    assert Delivery.objects.get().status == "EXPIRED"


def test_opting_out_after_the_claim_suppresses() -> None:
    contact = ContactFactory(tenant=default_tenant())
    accept(incoming(user_id=str(contact.user_id)))
    rows = claim()
    contact.opted_out = ["ws"]
    contact.save()
    assert start(rows) == {}
    stored = Delivery.objects.get()
    assert (stored.status, stored.reason, stored.attempts) == ("SUPPRESSED", "opted_out", 0)


def test_a_lane_held_after_the_claim_gives_the_row_back() -> None:
    accept(incoming())
    rows = claim()
    lifecycle.lane_pause(lane_ids=[Lane.objects.get().id], by="ana", reason="")
    assert start(rows) == {}
    assert (Delivery.objects.get().status, Delivery.objects.get().lease_token) == ("PENDING", None)


def test_a_lane_cancelled_after_the_claim_cancels_the_row() -> None:
    accept(incoming())
    rows = claim()
    lifecycle.lane_cancel(lane_ids=[Lane.objects.get().id])
    assert start(rows) == {}
    assert Delivery.objects.get().status == "CANCELLED"


@pytest.mark.parametrize(
    ("allowed", "goes"),
    [(["ana@example.com"], True), (["@example.com"], True), (["ben@example.com"], False), (["@example.org"], False)],
)
def test_send_only_to_suppresses_everybody_else(allowed: list[str], goes: bool) -> None:
    contact = ContactFactory(tenant=default_tenant(), email="Ana@Example.com")
    accept(incoming(user_id=str(contact.user_id)))
    assert bool(start(claim(), only_to=allowed)) is goes
    stored = Delivery.objects.get()
    assert (stored.status, stored.reason) == (("SENDING", "") if goes else ("SUPPRESSED", "not_on_send_only_list"))


def test_send_only_to_suppresses_a_person_that_is_not_a_contact() -> None:
    accept(incoming())
    assert start(claim(), only_to=["ana@example.com"]) == {}
    assert Delivery.objects.get().status == "SUPPRESSED"


def test_giving_back_counts_nothing() -> None:
    accept(incoming())
    rows = claim()
    on_connection(lambda c: lifecycle.give_back(c, rows=rows))
    stored = Delivery.objects.get()
    assert (stored.status, stored.claims, stored.attempts, stored.lease_token) == ("PENDING", 0, 0, None)
    assert len(claim()) == 1


def test_finish_records_a_success_without_an_attempt_row() -> None:
    [row_id] = accept(incoming())
    [row] = claim()
    start([row])
    assert finish(replace(sent(row), rendered={"subject": "s", "text": "t", "action_url": ""})) == {row_id}
    stored = Delivery.objects.get()
    assert (stored.status, stored.provider, stored.lease_token) == ("SENT", "smtp", None)
    assert stored.rendered == {"subject": "s", "text": "t", "action_url": ""}
    assert stored.finished_at is not None
    assert not DeliveryAttempt.objects.exists()


def test_finish_without_the_lease_changes_nothing() -> None:
    accept(incoming())
    [row] = claim()
    start([row])
    assert finish(replace(sent(row), lease_token=uuid4())) == set()
    assert Delivery.objects.get().status == "SENDING"


def test_a_failure_for_good_makes_an_attempt_and_one_dead_letter() -> None:
    [row_id] = accept(incoming())
    [row] = claim()
    start([row])
    finish(failed(row))
    finish(failed(row))
    assert Delivery.objects.get().status == "FAILED"
    attempt = DeliveryAttempt.objects.get()
    assert (attempt.number, attempt.code, attempt.message) == (1, "smtp_550", "No such user")
    letter = DeadLetter.objects.get()
    assert (letter.kind, letter.delivery_id, letter.reason, letter.channel) == ("failed", row_id, "smtp_550", "ws")


def test_every_try_is_an_attempt() -> None:
    accept(incoming())
    for number in (1, 2, 3):
        [row] = claim()
        start([row])
        finish(failed(row, status=Status.RETRYING if number < 3 else Status.FAILED))
    assert list(DeliveryAttempt.objects.values_list("number", flat=True)) == [1, 2, 3]
    assert Delivery.objects.get().attempts == 3


def test_a_flush_is_one_statement_for_all() -> None:
    accept(*(incoming() for _ in range(50)))
    rows = claim()
    start(rows)
    assert len(finish(*(sent(row) if row.id % 2 else failed(row) for row in rows))) == 50
    assert (
        Delivery.objects.filter(status="FAILED").count()
        == DeadLetter.objects.count()
        == DeliveryAttempt.objects.count()
    )
