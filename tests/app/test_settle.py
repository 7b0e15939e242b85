"""Settle, lanes, replay and cancel: what the sweeper and staff do to rows."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from deliveries import lifecycle
from deliveries.models import DeadLetter, Delivery, DeliveryAttempt, Lane, Tenant
from tests.lifecycle import accept, claim, failed, finish, incoming, send_all, sent, start

pytestmark = pytest.mark.django_db(transaction=True)

PAST = timedelta(seconds=-1)


def let_leases_die() -> None:
    Delivery.objects.exclude(lease_token=None).update(lease_expires_at=datetime.now(UTC) + PAST)


def test_expired_rows_are_settled_without_an_attempt() -> None:
    [row_id] = accept(incoming(expires_at=(datetime.now(UTC) + timedelta(hours=1)).isoformat()))
    Delivery.objects.update(expires_at=datetime.now(UTC) + PAST)
    assert lifecycle.sweep().expired == 1
    stored = Delivery.objects.get(id=row_id)
    assert (stored.status, stored.attempts) == ("EXPIRED", 0)


def test_a_dead_lease_that_was_never_started_goes_back_uncounted() -> None:
    accept(incoming())
    claim()
    let_leases_die()
    assert lifecycle.sweep().returned == 1
    stored = Delivery.objects.get()
    assert (stored.status, stored.attempts, stored.lost_leases) == ("PENDING", 0, 0)
    assert len(claim()) == 1


def test_a_dead_lease_in_sending_is_an_attempt_of_unknown_outcome() -> None:
    accept(incoming(channel="email"))
    start(claim("email"))
    let_leases_die()
    assert lifecycle.sweep().retried == 1
    stored = Delivery.objects.get()
    assert (stored.status, stored.attempts, stored.reason, stored.lost_leases) == ("RETRYING", 1, "outcome_unknown", 1)
    attempt = DeliveryAttempt.objects.get()
    assert (attempt.code, attempt.is_ambiguous) == ("outcome_unknown", True)


def test_a_crash_on_the_last_attempt_fails_with_a_dead_letter() -> None:
    accept(incoming(channel="email"))
    start(claim("email"))
    Delivery.objects.update(attempts=3)
    let_leases_die()
    assert lifecycle.sweep().failed == 1
    assert Delivery.objects.get().status == "FAILED"
    assert DeadLetter.objects.get().reason == "outcome_unknown"


def test_a_text_that_may_have_gone_out_is_never_sent_again(settings: object) -> None:
    settings.CHANNEL_SENDERS = {"sms": "null"}  # type: ignore[attr-defined]
    accept(incoming(channel="sms"))
    start(claim("sms"))
    let_leases_die()
    lifecycle.sweep()
    assert (Delivery.objects.get().status, Delivery.objects.get().attempts) == ("FAILED", 1)


def test_a_row_that_keeps_losing_its_process_before_it_starts_ends() -> None:
    """Three lost leases are its share; the fourth loss settles it, though it was never started."""
    accept(incoming())
    claim()
    Delivery.objects.update(lost_leases=3)
    let_leases_die()
    assert lifecycle.sweep().failed == 1
    assert Delivery.objects.get().status == "FAILED"
    assert DeadLetter.objects.count() == 1


def test_a_row_that_is_claimed_in_vain_again_and_again_becomes_suspect() -> None:
    accept(incoming())
    claim()
    Delivery.objects.update(claims=3)
    let_leases_die()
    lifecycle.sweep()
    assert (Delivery.objects.get().status, Delivery.objects.get().lost_leases) == ("PENDING", 1)
    assert lifecycle.sweep().has_suspects


def test_sweeping_twice_settles_once() -> None:
    accept(incoming(channel="email"))
    start(claim("email"))
    let_leases_die()
    lifecycle.sweep()
    again = lifecycle.sweep()
    assert (again.retried, again.failed, again.returned) == (0, 0, 0)
    assert DeliveryAttempt.objects.count() == 1


def test_the_sweep_names_channels_with_due_rows_only() -> None:
    accept(incoming(), incoming(channel="email", send_after=(datetime.now(UTC) + timedelta(hours=1)).isoformat()))
    assert lifecycle.sweep().due_channels == ["ws"]
    lifecycle.lane_pause(lane_ids=list(Lane.objects.values_list("id", flat=True)), by="ana", reason="")
    assert lifecycle.sweep().due_channels == []


def test_the_sweep_asks_as_much_of_a_large_backlog_as_of_a_small_one() -> None:
    accept(*(incoming() for _ in range(3)))
    with CaptureQueriesContext(connection) as few:
        lifecycle.sweep()
    accept(*(incoming() for _ in range(300)))
    with CaptureQueriesContext(connection) as many:
        lifecycle.sweep()
    assert len(many) == len(few)


def test_rows_of_a_cancelled_lane_are_settled() -> None:
    accept(*(incoming() for _ in range(5)))
    lifecycle.lane_cancel(lane_ids=[Lane.objects.get().id])
    assert lifecycle.sweep().cancelled == 5
    assert set(Delivery.objects.values_list("status", flat=True)) == {"CANCELLED"}


def test_a_replay_is_a_new_row_that_points_at_the_old() -> None:
    [row_id] = accept(incoming())
    [row] = claim()
    start([row])
    finish(failed(row))
    [(old, job_id)] = lifecycle.replay(
        delivery_ids=[row_id], by="ana", source="retry:smtp_550", pace_per_minute=600
    ).items()
    new = Delivery.objects.get(job_id=job_id)
    assert (old, new.replay_of_id, new.status, new.attempts) == (row_id, row_id, "PENDING", 0)
    assert new.job_id != row.job_id
    assert new.lane is not None
    assert (new.lane.source, new.lane.pace_per_minute) == ("retry:smtp_550", 600)
    assert Delivery.objects.get(id=row_id).status == "FAILED"


def test_only_what_is_over_is_replayed() -> None:
    ids = accept(incoming())
    assert lifecycle.replay(delivery_ids=ids, by="ana") == {}


def test_a_row_whose_time_is_over_is_not_replayed() -> None:
    ids = accept(incoming(expires_at=(datetime.now(UTC) + timedelta(hours=1)).isoformat()))
    send_all()
    Delivery.objects.update(expires_at=datetime.now(UTC) + PAST)
    assert lifecycle.replay(delivery_ids=ids, by="ana") == {}


def test_what_no_sender_would_take_is_not_replayed(settings: object) -> None:
    ids = accept(incoming())
    send_all()
    settings.CHANNEL_SENDERS = {"email": "null"}  # type: ignore[attr-defined]
    assert lifecycle.replay(delivery_ids=ids, by="ana", source="retry:x") == {}
    assert not Lane.objects.filter(source="retry:x").exists()


def test_rows_of_a_channel_that_lost_its_sender_fail_once_they_are_due(
    settings: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["deliveries.lifecycle.settle"], "CHUNK", 2)
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    gone = accept(*(incoming() for _ in range(3)))
    [kept, parked] = accept(incoming(channel="email"), incoming(send_after=later))
    settings.CHANNEL_SENDERS = {"email": "null"}  # type: ignore[attr-defined]
    first = lifecycle.sweep()
    assert (first.unavailable, first.is_full, first.due_channels) == (2, True, ["email"])
    assert lifecycle.sweep().unavailable == 1
    assert lifecycle.sweep().unavailable == 0
    rows = {row.id: row for row in Delivery.objects.all()}
    assert {(rows[id].status, rows[id].reason, rows[id].attempts) for id in gone} == {
        ("FAILED", "channel_unavailable", 0)
    }
    assert (rows[kept].status, rows[parked].status) == ("PENDING", "PENDING")
    assert set(DeadLetter.objects.values_list("delivery_id", "reason", "channel")) == {
        (id, "channel_unavailable", "ws") for id in gone
    }


def test_a_row_under_lease_keeps_its_channel_s_outcome(settings: object) -> None:
    accept(incoming())
    [row] = claim()
    settings.CHANNEL_SENDERS = {"email": "null"}  # type: ignore[attr-defined]
    assert lifecycle.sweep().unavailable == 0
    start([row])
    assert finish(sent(row)) == {row.id}


def test_a_replay_changes_no_speed_that_was_set() -> None:
    ids = accept(incoming(), incoming())
    send_all()
    Lane.objects.update(pace_per_minute=60)
    lifecycle.replay(delivery_ids=ids[:1], by="ana", source="retry:x", pace_per_minute=200)
    lifecycle.replay(delivery_ids=ids[1:], by="ana", source="retry:x")
    lifecycle.replay(delivery_ids=ids, by="ana", pace_per_minute=5)
    assert dict(Lane.objects.values_list("source", "pace_per_minute")) == {"": 60, "retry:x": 200}


def test_a_lane_made_while_its_channel_is_held_is_held_too() -> None:
    ids = accept(incoming())
    send_all()
    lifecycle.hold_place(by="ana", reason="maintenance", channel="ws")
    lifecycle.replay(delivery_ids=ids, by="ben", source="retry:x")
    Tenant.objects.create(slug="other", name="Other")
    accept(incoming(tenant_id="other"), incoming(channel="email"))
    assert claim() == []
    assert len(claim("email")) == 1


def test_a_pause_of_one_lane_concerns_no_other() -> None:
    ids = accept(incoming(), incoming(meta={"priority": "high"}))
    send_all()
    lifecycle.lane_pause(lane_ids=list(Lane.objects.values_list("id", flat=True)), by="ana", reason="maintenance")
    lifecycle.replay(delivery_ids=ids, by="ben", source="retry:x")
    assert len(claim()) == 2


def test_what_a_test_key_replays_is_a_test() -> None:
    ids = accept(incoming())
    send_all()
    for is_test in (True, False):
        [job_id] = lifecycle.replay(delivery_ids=ids, by="key:x", is_test=is_test).values()
        assert Delivery.objects.get(job_id=job_id).is_test is is_test


def test_cancel_takes_waiting_rows_of_its_tenant_only() -> None:
    waiting, leased = accept(incoming(), incoming(channel="email"))
    claim("email")
    tenant_id = Delivery.objects.get(id=waiting).tenant_id
    assert lifecycle.cancel(tenant_id=tenant_id + 1, delivery_ids=[waiting], by="ana") == 0
    assert lifecycle.cancel(tenant_id=tenant_id, delivery_ids=[waiting, leased], by="ana") == 1
    assert Delivery.objects.get(id=waiting).status == "CANCELLED"
    assert Delivery.objects.get(id=leased).status == "PENDING"


def test_nothing_leaves_a_terminal_status() -> None:
    accept(incoming())
    [row] = claim()
    start([row])
    finish(sent(row))
    finish(failed(row))
    lifecycle.sweep()
    assert lifecycle.cancel(tenant_id=row.tenant_id, delivery_ids=[row.id], by="ana") == 0
    assert Delivery.objects.get().status == "SENT"
