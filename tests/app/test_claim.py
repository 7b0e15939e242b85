"""Claim: who gets how much of it, in which order, and who waits."""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest
from django.db.models import F

from deliveries import lifecycle
from deliveries.channels import Status
from deliveries.database import connection_parameters
from deliveries.lifecycle.claim import MOST_PER_PERSON, SEARCH_MARGIN
from deliveries.models import Delivery, Lane
from tests.factories import TenantFactory
from tests.lifecycle import accept, claim, failed, finish, incoming, on_connection, send_all, sent, start

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_claim_takes_a_lease_and_counts_no_attempt() -> None:
    [row_id] = accept(incoming())
    [row] = claim()
    stored = Delivery.objects.get(id=row_id)
    assert (row.id, stored.status, stored.attempts, stored.claims) == (row_id, "PENDING", 0, 1)
    assert stored.lease_token == row.lease_token
    assert claim() == []


def test_rows_come_by_priority_then_due_time_then_arrival() -> None:
    low, first, second, high = accept(
        incoming(meta={"priority": "low"}), incoming(), incoming(), incoming(meta={"priority": "high"})
    )
    assert [row.id for row in claim()] == [high, first, second, low]


def test_one_tenants_flood_leaves_anothers_few_their_place() -> None:
    a, b = TenantFactory(), TenantFactory()
    accept(*(incoming(tenant_id=a.slug) for _ in range(300)), *(incoming(tenant_id=b.slug) for _ in range(10)))
    taken = Counter(row.tenant_id for row in claim(limit=100))
    assert taken == {a.id: 90, b.id: 10}


def test_what_one_tenant_leaves_over_goes_to_the_others() -> None:
    tenants = [TenantFactory() for _ in range(3)]
    accept(
        *(
            incoming(tenant_id=tenant.slug)
            for tenant, rows in zip(tenants, (5, 200, 200), strict=True)
            for _ in range(rows)
        )
    )
    taken = Counter(row.tenant_id for row in claim(limit=101))
    assert sum(taken.values()) == 101
    assert taken[tenants[0].id] == 5
    assert abs(taken[tenants[1].id] - taken[tenants[2].id]) <= 1


def test_a_person_with_a_row_in_flight_is_passed_over_until_it_is_finished() -> None:
    person = str(uuid4())
    [first] = accept(incoming(user_id=person))
    rows = claim()
    [second, other] = accept(incoming(user_id=person), incoming())
    assert [row.id for row in claim()] == [other]
    start(rows)
    finish(sent(rows[0]))
    assert [row.id for row in claim()] == [second]
    assert rows[0].id == first


def test_a_person_with_very_many_rows_does_not_fill_a_claim() -> None:
    person = str(uuid4())
    accept(*(incoming(user_id=person) for _ in range(60)))
    [other] = accept(incoming())
    theirs = [row.id for row in claim(limit=50)]
    assert theirs == sorted(theirs)
    assert 0 < len(theirs) < 50
    assert [row.id for row in claim(limit=50)] == [other]


def test_a_person_whose_rows_fill_a_lanes_head_keeps_nobody_waiting() -> None:
    person = str(uuid4())
    accept(*(incoming(user_id=person) for _ in range(SEARCH_MARGIN + 600)))
    others = accept(*(incoming() for _ in range(5)))
    assert len(claim(limit=500)) == MOST_PER_PERSON
    assert [row.id for row in claim(limit=500)] == others
    assert claim(limit=500) == []


def test_another_priority_of_the_same_person_is_not_held_up() -> None:
    person = str(uuid4())
    accept(incoming(user_id=person))
    claim()
    [urgent] = accept(incoming(user_id=person, meta={"priority": "high"}))
    assert [row.id for row in claim()] == [urgent]


def test_a_row_is_never_claimed_before_its_send_after() -> None:
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    accept(incoming(send_after=later))
    assert claim() == []


def test_a_paused_lane_waits_and_goes_on_when_resumed() -> None:
    accept(incoming())
    lanes = [Lane.objects.get().id]
    lifecycle.lane_pause(lane_ids=lanes, by="ana", reason="provider is down")
    assert claim() == []
    lifecycle.lane_resume(lane_ids=lanes)
    assert len(claim()) == 1


def test_a_lane_with_a_pace_gives_no_more_than_its_tokens() -> None:
    accept(*(incoming() for _ in range(50)))
    began = time.monotonic()
    lifecycle.lane_set_pace(lane_ids=[Lane.objects.get().id], pace_per_minute=60)
    assert len(claim()) <= time.monotonic() - began
    Lane.objects.update(tokens_at=datetime.now(UTC) - timedelta(hours=1))
    began = time.monotonic()
    assert len(claim()) == 2  # two seconds' worth, however long nothing was sent
    assert len(claim()) <= time.monotonic() - began


def test_lanes_that_share_a_pace_send_that_many_together() -> None:
    accept(*(incoming() for _ in range(100)), *(incoming(meta={"priority": "low"}) for _ in range(100)))
    lanes = list(Lane.objects.values_list("id", flat=True))
    began = time.monotonic()
    assert lifecycle.lanes_share_pace(lane_ids=lanes, pace_per_minute=120) == 2
    taken: list[lifecycle.ClaimedRow] = []
    for _second in range(60):
        Lane.objects.filter(tokens_at__isnull=False).update(tokens_at=F("tokens_at") - timedelta(seconds=1))
        taken += claim()
    assert 2 * 60 - 2 <= len(taken) <= 2 * (60 + time.monotonic() - began) + 4  # two a second, and what may be owed
    assert {row.priority for row in taken} == {1, 2}
    lifecycle.lanes_share_pace(lane_ids=lanes, pace_per_minute=None)
    assert len(taken) + len(claim(limit=200)) == 200


def test_what_is_claimed_beyond_a_shared_bucket_is_owed() -> None:
    accept(*(incoming() for _ in range(9)), *(incoming(meta={"priority": "low"}) for _ in range(9)))
    lifecycle.lanes_share_pace(lane_ids=list(Lane.objects.values_list("id", flat=True)), pace_per_minute=1)
    Lane.objects.update(tokens_at=datetime.now(UTC) - timedelta(hours=1))
    assert len(claim()) == 2  # each lane finds the one that is there
    assert Lane.objects.get(bucket=None).tokens == -1
    Lane.objects.update(tokens_at=F("tokens_at") - timedelta(minutes=1))
    assert claim() == []
    Lane.objects.update(tokens_at=F("tokens_at") - timedelta(minutes=1))
    assert len(claim()) == 2


def test_channels_pay_from_the_bucket_that_their_lanes_share() -> None:
    accept(*(incoming() for _ in range(9)), *(incoming(channel="email") for _ in range(9)))
    lanes = list(Lane.objects.values_list("id", flat=True))
    lifecycle.lanes_share_pace(lane_ids=lanes, pace_per_minute=1)
    Lane.objects.update(tokens_at=datetime.now(UTC) - timedelta(hours=1))
    assert len(claim("ws")) == 1
    assert claim("email") == []
    paced = on_connection(lambda connection: lifecycle.is_paced(connection, channel="email"))
    lifecycle.lanes_share_pace(lane_ids=lanes, pace_per_minute=None)
    assert (paced, on_connection(lambda connection: lifecycle.is_paced(connection, channel="email"))) == (True, False)
    assert len(claim("email")) == 9


@pytest.mark.parametrize("resumed", ["ws", "email"])
def test_what_goes_on_begins_from_an_empty_bucket_whoever_keeps_it(resumed: str) -> None:
    accept(*(incoming() for _ in range(9)), *(incoming(channel="email") for _ in range(9)))
    lifecycle.lanes_share_pace(lane_ids=list(Lane.objects.values_list("id", flat=True)), pace_per_minute=1)
    lane = [Lane.objects.get(channel=resumed).pk]
    lifecycle.lane_pause(lane_ids=lane, by="ana", reason="")
    Lane.objects.update(tokens_at=datetime.now(UTC) - timedelta(hours=1))
    assert lifecycle.lane_resume(lane_ids=lane) == 1
    assert claim(resumed) == []


def test_only_high_priority_is_claimed_when_asked() -> None:
    accept(incoming())
    [high] = accept(incoming(meta={"priority": "high"}))
    assert [row.id for row in claim(lowest_priority=0)] == [high]


def test_two_claimers_never_get_the_same_row() -> None:
    accept(*(incoming() for _ in range(400)))
    taken = [row.id for _ in range(4) for row in claim(limit=100)]
    assert len(taken) == len(set(taken)) == 400


def test_a_row_that_lost_its_process_is_left_to_the_suspects_claim() -> None:
    first, second = accept(incoming(), incoming())
    Delivery.objects.filter(id=first).update(lost_leases=1)
    assert [row.id for row in claim()] == [second]
    rows = on_connection(lambda c: lifecycle.claim_suspects(c, channels=["ws"], limit=8, lease_seconds=90))
    assert [row.id for row in rows] == [first]


def test_a_row_that_lost_two_processes_runs_alone() -> None:
    ids = accept(*(incoming() for _ in range(3)))
    Delivery.objects.filter(id__in=ids).update(lost_leases=2)
    rows = on_connection(lambda c: lifecycle.claim_suspects(c, channels=["ws"], limit=8, lease_seconds=90))
    assert [row.id for row in rows] == ids[:1]


def test_a_drain_beside_an_open_snapshot_misses_nothing() -> None:
    """An open snapshot keeps every dead index entry: the claim must find its way past them."""
    accept(*(incoming() for _ in range(2000)))
    with psycopg.connect(**connection_parameters()) as snapshot:
        snapshot.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        snapshot.execute("SELECT count(*) FROM notification_delivery").fetchone()
        done: set[object] = set()
        while jobs := send_all():
            done.update(jobs)
    assert len(done) == 2000


def test_retrying_rows_come_after_their_delay_only() -> None:
    accept(incoming())
    [row] = claim()
    start([row])
    finish(failed(row, status=Status.RETRYING, delay_seconds=60.0))
    assert claim() == []
    Delivery.objects.update(next_attempt_at=datetime.now(UTC) - timedelta(seconds=1))
    assert [again.attempts for again in claim()] == [1]
