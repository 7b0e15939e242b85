"""`lifecycle.record_outcomes`: which outcome may follow which, and how it finds its rows. The way from a request: test_api_callbacks.py."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from itertools import permutations, product
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from django.db.models import F
from django.utils import timezone
from msgspec.structs import replace

from deliveries import lifecycle
from deliveries.callbacks.base import EventKind, ProviderEvent
from deliveries.channels import Channel, Outcome, Status
from deliveries.lifecycle import Recorded
from deliveries.models import DeadLetter, Delivery, DeliveryAttempt, Suppression, Tenant
from deliveries.timeline import timeline
from tests.factories import ContactFactory, DeliveryAttemptFactory, DeliveryFactory, TenantFactory
from tests.lifecycle import accept, claim, failed, finish, incoming, on_connection, sent, start
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db
KINDS = {
    EventKind.DELIVERED: Outcome.DELIVERED,
    EventKind.BOUNCED: Outcome.BOUNCED,
    EventKind.FAILED: Outcome.BOUNCED,
    EventKind.COMPLAINED: Outcome.COMPLAINED,
    EventKind.OPENED: Outcome.SEEN,
    EventKind.UNSUBSCRIBED: Outcome.UNKNOWN,
}
TEXTS = ["", "bounced", "delivered", "seen", "acknowledged", "complained"]
MAILS = ["", "delivered", "bounced", "seen", "acknowledged", "complained"]
LISTING = {
    EventKind.BOUNCED: "hard_bounce",
    EventKind.COMPLAINED: "complaint",
    EventKind.UNSUBSCRIBED: "unsubscribed",
}
MANY = 3000
MOST_BLOCKS_A_ROW = 100


def record(row: Delivery, *kinds: EventKind, **values: Any) -> Recorded:
    """Report on a row by its message id."""
    events = [ProviderEvent(row.provider_message_id, kind, **values) for kind in kinds]
    return lifecycle.record_outcomes(tenant_id=row.tenant_id, channel=row.channel, provider=row.provider, events=events)


@pytest.mark.parametrize("channel", ["sms", "email"])
@pytest.mark.parametrize(("before", "kind"), list(product(Outcome, EventKind)))
def test_an_outcome_only_moves_forward(channel: str, before: Outcome, kind: EventKind) -> None:
    order = MAILS if channel == "email" else TEXTS
    told = KINDS[kind]
    row = DeliveryFactory(channel=channel, sent=True, outcome=before)
    moves = order.index(told) > order.index(before)
    assert record(row, kind) == Recorded(changed=int(moves))
    assert record(row, kind) == Recorded()
    row.refresh_from_db()
    assert row.outcome == (told if moves else before)


def test_of_several_reports_on_one_row_the_furthest_counts() -> None:
    row = DeliveryFactory(channel="sms", sent=True)
    assert record(row, EventKind.DELIVERED, EventKind.OPENED, EventKind.FAILED).changed == 1
    row.refresh_from_db()
    assert (row.outcome, len(row.details["reports"])) == ("seen", 1)


def test_the_provider_s_time_is_kept_where_it_lies_within_the_row_s_life() -> None:
    accepted = datetime(2026, 1, 1, tzinfo=UTC)
    at = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
    row = DeliveryFactory(channel="sms", sent=True, accepted_at=accepted, finished_at=accepted)
    record(row, EventKind.DELIVERED, at=at)
    row.refresh_from_db()
    assert timeline(row)[-1].at == at


def test_nothing_else_of_a_row_changes() -> None:
    row = DeliveryFactory(channel="sms", sent=True, details={"segments": 3})
    before = Delivery.objects.filter(pk=row.pk).values().get()
    record(row, EventKind.FAILED, code="spam", message="Filtered.")
    after = Delivery.objects.filter(pk=row.pk).values().get()
    assert {name for name in after if after[name] != before[name]} == {"outcome", "details"}
    assert after["details"]["segments"] == 3


def test_no_report_needs_no_query(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        assert lifecycle.record_outcomes(tenant_id=1, channel="sms", provider="A", events=[]) == Recorded()


@pytest.mark.parametrize("reference", ["", "no job"])
def test_only_what_names_no_job_may_come_later(reference: str) -> None:
    under_way = DeliveryFactory(channel="sms", sending=True)
    event = ProviderEvent("m-1", EventKind.DELIVERED, reference=reference)
    to = {"tenant_id": under_way.tenant_id, "channel": "sms", "provider": "A"}
    assert lifecycle.record_outcomes(**to, events=[event]) == Recorded(unknown=1, may_come=True)
    named = ProviderEvent("m-1", EventKind.DELIVERED, reference=str(uuid4()))
    assert lifecycle.record_outcomes(**to, events=[named]) == Recorded(unknown=1)
    mails = {"tenant_id": DeliveryFactory(sending=True, tenant=under_way.tenant).tenant_id, "channel": "email"}
    assert lifecycle.record_outcomes(**to | mails, events=[event]) == Recorded(unknown=1)
    Delivery.objects.filter(pk=under_way.pk).update(tenant_id=F("tenant_id") + 1)
    assert lifecycle.record_outcomes(**to, events=[event]) == Recorded(unknown=1)


def texts(tenant: Tenant, count: int, *, channel: str = Channel.SMS, is_unsure: bool = False) -> list[Delivery]:
    """Store texts, or messages of another channel, that were sent, `m-0` and so on; or FAILED ones that may have been."""
    now = timezone.now()
    values = {"status": "FAILED", "reason": "timeout"} if is_unsure else {"status": "SENT"}
    rows = Delivery.objects.bulk_create(
        Delivery(
            tenant=tenant, job_id=uuid4(), user_id=uuid4(), channel=channel, priority=1, body_hash=b"", entrance="test",
            created_at=now, accepted_at=now, finished_at=now, started_at=now, attempts=1, provider="A",
            provider_message_id=f"m-{number}", **values,
        )
        for number in range(count)
    )  # fmt: skip
    if is_unsure:
        DeliveryAttempt.objects.bulk_create(
            DeliveryAttempt(delivery=row, number=1, started_at=now, finished_at=now, code="timeout", is_ambiguous=True)
            for row in rows
        )
    return rows


@pytest.mark.parametrize("by", ["message id", "job id"])
@pytest.mark.parametrize("is_analyzed", [True, False])
@pytest.mark.parametrize("channel", ["sms", "email"])
@pytest.mark.parametrize("is_unsure", [False, True])
def test_rows_are_found_by_an_index(by: str, is_analyzed: bool, channel: str, is_unsure: bool) -> None:
    tenant = TenantFactory()
    rows = texts(tenant, MANY, channel=channel, is_unsure=is_unsure)
    with connection.cursor() as cursor:
        if is_analyzed:
            cursor.execute("ANALYZE notification_delivery, deliveries_deliveryattempt")
        else:
            cursor.execute(
                """DELETE FROM pg_statistic
                WHERE starelid IN ('notification_delivery'::regclass, 'deliveries_deliveryattempt'::regclass)"""
            )
            # As of a table that nobody has looked at; an ANALYZE of the tests before, which found it empty, would count as knowledge.
            cursor.execute(
                """UPDATE pg_class SET reltuples = -1, relpages = 0
                WHERE oid IN ('notification_delivery'::regclass, 'deliveries_deliveryattempt'::regclass)"""
            )
    events = [
        ProviderEvent(row.provider_message_id, EventKind.DELIVERED, reference=str(row.job_id) if by == "job id" else "")
        for row in rows[:10]
    ]
    before = blocks()
    told = lifecycle.record_outcomes(tenant_id=tenant.pk, channel=channel, provider="A", events=events)
    assert told == Recorded(changed=10)
    assert blocks() - before < 10 * MOST_BLOCKS_A_ROW


def blocks() -> int:
    """Return how many blocks of the tables and their indexes this transaction read."""
    with connection.cursor() as cursor:
        cursor.execute(
            """WITH read (id) AS (VALUES ('notification_delivery'::regclass), ('deliveries_deliveryattempt'::regclass))
            SELECT sum(pg_stat_get_xact_blocks_fetched(part.id)) FROM (
                SELECT id FROM read UNION ALL SELECT indexrelid FROM pg_index JOIN read ON indrelid = read.id) part"""
        )
        return int(cursor.fetchone()[0])


@pytest.mark.django_db(transaction=True)
def test_the_same_batch_twice_at_once_in_opposite_orders_is_recorded_once() -> None:
    tenant = TenantFactory()
    events = [ProviderEvent(row.provider_message_id, EventKind.DELIVERED) for row in texts(tenant, 500)]
    changed: list[int] = []
    ready = threading.Barrier(4)

    def call(mine: list[ProviderEvent]) -> None:
        try:
            ready.wait()
            told = lifecycle.record_outcomes(tenant_id=tenant.pk, channel="sms", provider="A", events=mine)
            changed.append(told.changed)
        finally:
            connection.close()

    threads = [threading.Thread(target=call, args=(events[::step],)) for step in (1, -1, 1, -1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(changed), sum(changed)) == (4, 500)
    assert Delivery.objects.filter(outcome="delivered").count() == 500
    assert not Delivery.objects.exclude(details__reports__1=None)


def a_dead_letter(row: Delivery) -> DeadLetter:
    return DeadLetter.objects.create(
        kind="failed",
        delivery=row,
        tenant=row.tenant,
        reason="outcome_unknown",
        channel=row.channel,
        failed_at=timezone.now(),
    )


@pytest.mark.parametrize(("kind", "state"), [(EventKind.DELIVERED, "dismissed"), (EventKind.FAILED, "open")])
def test_a_dead_letter_of_a_text_that_arrived_is_dismissed(kind: EventKind, state: str) -> None:
    row = DeliveryFactory(channel="sms", sent=True)
    Delivery.objects.filter(pk=row.pk).update(status="FAILED", reason="outcome_unknown")
    letter = a_dead_letter(row)
    assert record(row, kind).changed == 1
    letter.refresh_from_db()
    assert letter.state == state


@pytest.mark.parametrize("trait", ["retrying", "failed", "expired", "suppressed", "cancelled"])
@pytest.mark.parametrize("channel", ["email", "sms"])
def test_what_a_provider_may_have_taken_takes_reports_whatever_became_of_it(channel: str, trait: str) -> None:
    row = DeliveryFactory(channel=channel, address="ana@example.com", **{trait: True})
    DeliveryAttemptFactory(delivery=row, code="timeout", is_ambiguous=True)
    DeliveryAttemptFactory(delivery=row, number=2)
    letter = a_dead_letter(row)
    before = row.status
    assert record(row, EventKind.DELIVERED, reference=str(row.job_id)) == Recorded(changed=1)
    row.refresh_from_db()
    letter.refresh_from_db()
    assert (row.outcome, row.status, letter.state) == ("delivered", before, "dismissed")
    record(row, EventKind.COMPLAINED, reference=str(row.job_id))
    assert [reason for _, reason, _ in suppressed()] == (["complaint"] if channel == "email" else [])


@pytest.mark.parametrize("trait", ["retrying", "failed"])
def test_what_no_provider_can_have_taken_takes_no_report(trait: str) -> None:
    row = DeliveryFactory(**{trait: True})
    DeliveryAttemptFactory(delivery=row, is_ambiguous=False)
    DeliveryAttemptFactory(is_ambiguous=True)
    assert record(row, EventKind.BOUNCED, reference=str(row.job_id)) == Recorded()
    row.refresh_from_db()
    assert (row.outcome, suppressed()) == ("", [])


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("status", [Status.RETRYING, Status.FAILED])
def test_a_report_while_the_ambiguous_attempt_is_being_recorded_is_not_lost(status: Status) -> None:
    contact = ContactFactory(tenant=Tenant.objects.get(slug="default"), email="ana@example.com")
    [row_id] = accept(incoming(channel="email", user_id=str(contact.user_id)))
    [claimed] = claim("email")
    start([claimed])
    told: list[Recorded] = []

    def call() -> None:
        try:
            told.append(record(Delivery.objects.get(pk=row_id), EventKind.BOUNCED, reference=str(claimed.job_id)))
        finally:
            connection.close()

    def waits() -> bool:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pid <> pg_backend_pid())")
                return bool(cursor.fetchone()[0])
        finally:
            connection.close()  # it runs in a thread of its own

    async def finish_while_it_waits(own: psycopg.AsyncConnection[Any]) -> None:
        async with own.transaction():
            ended = failed(claimed, status=status, reason="timeout", is_ambiguous=True)
            await lifecycle.finish(own, outcomes=[ended])
            thread.start()
            await sync_to_async(wait_until)(waits, "the report waits for the row")

    thread = threading.Thread(target=call)
    on_connection(finish_while_it_waits)
    thread.join()
    row = Delivery.objects.get(pk=row_id)
    assert (told, row.status, row.outcome) == ([Recorded(changed=1)], status, "bounced")
    assert suppressed() == [("ana@example.com", "hard_bounce", row.job_id)]


def suppressed() -> list[tuple[str, str, object]]:
    """Return what is on the suppression list."""
    return list(Suppression.objects.order_by("pk").values_list("address", "reason", "job_id"))


class TestSuppression:
    """What providers report of an address that takes no more."""

    @pytest.mark.parametrize(
        ("kind", "reason"),
        [
            *LISTING.items(),
            (EventKind.FAILED, None),
            (EventKind.DELIVERED, None),
            (EventKind.OPENED, None),
        ],
    )
    @pytest.mark.parametrize("channel", ["email", "sms"])
    def test_hard_bounces_and_complaints_of_mails_suppress_the_address(
        self, channel: str, kind: EventKind, reason: str | None
    ) -> None:
        row = DeliveryFactory(channel=channel, sent=True, address="Ana@Example.com")
        record(row, kind, address="somebody-else@example.com")
        listed = reason is not None and channel == "email"
        assert suppressed() == ([("ana@example.com", reason, row.job_id)] if listed else [])
        assert not listed or Suppression.objects.get().tenant == row.tenant

    def test_a_hard_bounce_after_a_soft_one_or_after_it_was_seen_suppresses_too(self) -> None:
        soft, seen = (DeliveryFactory(sent=True, address=f"{n}@x.org", provider_message_id=f"m-{n}") for n in "ab")
        record(soft, EventKind.FAILED)
        record(seen, EventKind.OPENED)
        assert record(soft, EventKind.BOUNCED).changed == record(seen, EventKind.BOUNCED).changed == 0
        assert {(address, reason) for address, reason, _ in suppressed()} == {
            ("a@x.org", "hard_bounce"),
            ("b@x.org", "hard_bounce"),
        }
        for row, outcome in ((soft, "bounced"), (seen, "seen")):
            row.refresh_from_db()
            assert (row.outcome, len(row.details["reports"])) == (outcome, 1)

    def test_of_several_reports_at_once_none_is_lost(self) -> None:
        row = DeliveryFactory(sent=True)
        record(row, EventKind.OPENED, EventKind.BOUNCED, EventKind.DELIVERED)
        row.refresh_from_db()
        assert row.outcome == "seen" and [reason for _, reason, _ in suppressed()] == ["hard_bounce"]

    def test_a_repeated_report_does_not_overrule_staff_who_removed_it(self) -> None:
        row = DeliveryFactory(sent=True)
        record(row, EventKind.BOUNCED)
        Suppression.objects.all().delete()
        record(row, EventKind.BOUNCED)
        assert suppressed() == []

    @pytest.mark.parametrize("status", [Status.SENT, Status.RETRYING])
    @pytest.mark.django_db(transaction=True)
    def test_nor_does_one_that_is_repeated_after_the_receipt(self, status: Status) -> None:
        contact = ContactFactory(tenant=Tenant.objects.get(slug="default"), email="ana@example.com")
        [row_id] = accept(incoming(channel="email", user_id=str(contact.user_id)))
        [claimed] = claim("email")
        start([claimed])
        row = Delivery.objects.get(pk=row_id)
        record(row, EventKind.UNSUBSCRIBED, reference=str(row.job_id))
        Suppression.objects.all().delete()
        ended = {"status": status, "is_ambiguous": status == Status.RETRYING, "details": {"kept": 1}}
        finish(failed(claimed, **ended) if status == Status.RETRYING else replace(sent(claimed), **ended))
        row.refresh_from_db()
        record(row, EventKind.UNSUBSCRIBED, reference=str(row.job_id))
        assert (row.status, row.details["kept"], suppressed()) == (status, 1, [])

    @pytest.mark.parametrize("kinds", list(permutations(LISTING, 2)))
    def test_each_reason_counts_once_for_each_mail(self, kinds: tuple[EventKind, EventKind]) -> None:
        row = DeliveryFactory(sent=True)
        for kind in kinds:
            record(row, kind)
            assert [reason for _, reason, _ in suppressed()] == [LISTING[kind]]
            Suppression.objects.all().delete()
        record(row, *kinds)
        assert suppressed() == []

    def test_of_several_reasons_at_once_all_are_known_as_told(self) -> None:
        row = DeliveryFactory(sent=True)
        record(row, EventKind.BOUNCED, EventKind.COMPLAINED, EventKind.BOUNCED)
        assert [reason for _, reason, _ in suppressed()] == ["complaint"]
        Suppression.objects.all().delete()
        for kind in (EventKind.COMPLAINED, EventKind.BOUNCED):
            record(row, kind)
        assert suppressed() == []

    def test_what_is_on_the_list_stays_as_it_is(self) -> None:
        rows = [
            DeliveryFactory(sent=True, tenant=TenantFactory() if n == 2 else tenant)
            for tenant in [TenantFactory()]
            for n in range(3)
        ]
        record(rows[0], EventKind.COMPLAINED)
        record(rows[1], EventKind.BOUNCED)
        record(rows[2], EventKind.BOUNCED)
        assert [(reason, job) for _, reason, job in suppressed()] == [
            ("complaint", rows[0].job_id),
            ("hard_bounce", rows[2].job_id),
        ]

    def test_a_report_that_overtakes_the_receipt_suppresses_the_contact_s_address(self) -> None:
        contact = ContactFactory(email="Ana@example.com")
        row = DeliveryFactory(tenant=contact.tenant, user_id=contact.user_id, sending=True)
        record(row, EventKind.BOUNCED, reference=str(row.job_id))
        assert suppressed() == [("ana@example.com", "hard_bounce", row.job_id)]
