"""Ingest: one job is one row, whatever is repeated, altered or refused beside it."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.db import DataError, connection, transaction
from django.test.utils import CaptureQueriesContext

from deliveries import ingest, lifecycle, receipts
from deliveries.figures import balance
from deliveries.models import DeadLetter, Delivery, Lane, Receipt, Tenant
from tests.factories import ContactFactory
from tests.lifecycle import incoming

pytestmark = pytest.mark.django_db(transaction=True)


def kinds(*jobs: ingest.Incoming) -> list[str]:
    return [verdict.kind for verdict in ingest.ingest(jobs, entrance="test")]


def test_same_job_twice_makes_one_delivery() -> None:
    job = incoming()
    assert kinds(job) + kinds(job) == ["accepted", "duplicate"]
    assert Delivery.objects.count() == 1


def test_same_job_twice_in_one_batch_makes_one_delivery() -> None:
    job = incoming()
    assert kinds(job, job) == ["accepted", "duplicate"]


def test_an_altered_job_is_a_conflict_and_leaves_the_first_untouched() -> None:
    job_id = str(uuid4())
    first, altered = incoming(job_id=job_id), incoming(job_id=job_id, data={"a": 1})
    assert kinds(first) + kinds(altered, first) == ["accepted", "conflict", "duplicate"]
    assert Delivery.objects.get().data == {}


def test_the_same_job_id_in_two_tenants_is_two_jobs() -> None:
    Tenant.objects.create(slug="other", name="Other")
    job_id = str(uuid4())
    assert kinds(incoming(job_id=job_id), incoming(job_id=job_id, tenant_id="other")) == ["accepted", "accepted"]


def test_an_unknown_tenant_rejects_its_job_alone() -> None:
    [bad, good] = ingest.ingest([incoming(tenant_id="nobody"), incoming()], entrance="test")
    assert (bad.kind, bad.reason) == ("rejected", "unknown_tenant")
    assert "nobody" in bad.message
    assert good.kind == "accepted"


@pytest.mark.parametrize(("channel", "reason"), [("pigeon", "unknown_channel"), ("sms", "channel_unavailable")])
def test_a_channel_that_cannot_send_fails_at_once_with_a_dead_letter(channel: str, reason: str) -> None:
    [verdict] = ingest.ingest([incoming(channel=channel)], entrance="test")
    assert (verdict.kind, verdict.status, verdict.reason) == ("accepted", "FAILED", reason)
    row = Delivery.objects.get()
    assert (row.attempts, row.lane_id) == (0, None)
    assert DeadLetter.objects.get().delivery_id == row.id
    assert not Lane.objects.exists()


def test_a_job_that_came_too_late_is_expired() -> None:
    past = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    [verdict] = ingest.ingest([incoming(expires_at=past)], entrance="test")
    assert verdict.status == "EXPIRED"
    assert not DeadLetter.objects.exists()


def test_a_person_who_opted_out_is_suppressed() -> None:
    contact = ContactFactory(tenant=Tenant.objects.get(), opted_out=["ws"])
    [verdict] = ingest.ingest([incoming(user_id=str(contact.user_id))], entrance="test")
    assert (verdict.status, verdict.reason) == ("SUPPRESSED", "opted_out")


def test_a_scheduled_job_is_parked_until_its_time() -> None:
    later = datetime.now(UTC) + timedelta(days=30)
    ingest.ingest([incoming(send_after=later.isoformat())], entrance="test")
    assert Delivery.objects.get().next_attempt_at == later


def test_what_only_postgres_refuses_rejects_one_job_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parser lets no such value through today, so a row is spoiled on its way to the database."""
    jobs = [incoming() for _ in range(20)]
    spoiled = jobs[13].job.job_id
    whole = lifecycle.accept

    def accept(rows: list[lifecycle.NewRow]) -> list[lifecycle.Accepted]:
        return whole([replace(row, data='{"a": "\\u0000"}') if row.job_id == spoiled else row for row in rows])

    monkeypatch.setattr(lifecycle, "accept", accept)
    verdicts = ingest.ingest(jobs, entrance="test")
    assert Counter(verdict.kind for verdict in verdicts) == {"accepted": 19, "rejected": 1}
    assert (verdicts[13].kind, verdicts[13].reason) == ("rejected", "refused_by_database")
    assert Delivery.objects.count() == 19


def test_accept_itself_raises_for_such_a_value() -> None:
    with pytest.raises(DataError), transaction.atomic():
        lifecycle.accept([replace(ingest._row(incoming(), Tenant.objects.get().id, ("", "")), data="{")])


def test_judging_stores_nothing() -> None:
    [verdict] = ingest.judge([incoming()])
    assert (verdict.kind, verdict.status) == ("accepted", "PENDING")
    assert not Delivery.objects.exists()
    assert not Receipt.objects.exists()


def test_receipts_count_what_was_taken_apart_from_the_rows() -> None:
    job_id = str(uuid4())
    twice = incoming(job_id=job_id)
    ingest.ingest([incoming(), twice, twice, incoming(tenant_id="nobody")], entrance="test")
    ingest.ingest([incoming(job_id=job_id, data={"a": 1})], entrance="test")
    receipt = Receipt.objects.get()
    assert (receipt.accepted, receipt.duplicates, receipt.conflicts) == (2, 1, 1)


def test_rows_and_their_receipt_carry_one_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two times that lie on both sides of a full hour would show a day later as jobs without rows."""
    monkeypatch.setattr(receipts, "RECEIPT", receipts.RECEIPT.replace("'hour'", "'microseconds'"))
    ingest.ingest([incoming(), incoming()], entrance="test")
    assert {row.accepted_at for row in Delivery.objects.all()} == {Receipt.objects.get().hour}


def test_a_row_that_the_insert_leaves_out_fails_the_whole_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules["deliveries.lifecycle.accept"]
    thinned = module.INSERT.replace("ORDER BY tenant_id, job_id, id) s", "ORDER BY tenant_id, job_id, id OFFSET 1) s")
    monkeypatch.setattr(module, "INSERT", thinned)
    with pytest.raises(lifecycle.RowsMissingError, match="1 of 3 rows"):
        ingest.ingest([incoming() for _ in range(3)], entrance="test")
    assert not Delivery.objects.exists()
    assert not Receipt.objects.exists()


def test_receipts_stand_when_rows_vanish() -> None:
    ingest.ingest([incoming() for _ in range(3)], entrance="test")
    Delivery.objects.filter(pk=Delivery.objects.earliest("pk").pk).delete()
    assert balance(datetime.now(UTC)).unaccounted == 1


def test_a_thousand_jobs_cost_as_many_statements_as_one() -> None:
    ingest.ingest([incoming()], entrance="test")
    with CaptureQueriesContext(connection) as one:
        ingest.ingest([incoming()], entrance="test")
    with CaptureQueriesContext(connection) as many:
        ingest.ingest([incoming() for _ in range(1000)], entrance="test")
    assert len(many) == len(one)


def test_two_racing_writers_make_one_row_each_and_find_every_altered_copy() -> None:
    """Both hand in the same ids at the same time, in another order, and one of them with 50 bodies altered."""
    ids = [str(uuid4()) for _ in range(1000)]
    people = {job_id: str(uuid4()) for job_id in ids}
    plain = [incoming(job_id=job_id, user_id=people[job_id]) for job_id in ids]
    shuffled = [
        incoming(job_id=job_id, user_id=people[job_id], data={"a": 1} if n < 50 else {}) for n, job_id in enumerate(ids)
    ]
    shuffled.reverse()
    barrier = threading.Barrier(2)
    counted: list[Counter[str]] = []

    def hand_in(jobs: list[ingest.Incoming]) -> None:
        barrier.wait()
        try:
            counted.append(Counter(verdict.kind for verdict in ingest.ingest(jobs, entrance="test")))
        finally:
            connection.close()

    threads = [threading.Thread(target=hand_in, args=(jobs,)) for jobs in (plain, shuffled)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Delivery.objects.count() == 1000
    assert counted[0] + counted[1] == {"accepted": 1000, "duplicate": 950, "conflict": 50}
