"""Holds: what is meant waits and costs no attempt, others go on; what is let go leaves in its order."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any
from uuid import uuid4

import pytest
from django.db import IntegrityError, connection
from django.test.utils import CaptureQueriesContext

from deliveries import lifecycle
from deliveries.channels import Status
from deliveries.lifecycle import holds
from deliveries.lifecycle.claim import SEARCH_MARGIN
from deliveries.models import Delivery, DeliveryAttempt, Hold, Lane, Tenant
from tests.factories import TenantFactory
from tests.lifecycle import accept, claim, failed, finish, incoming, on_connection, send_all, start

pytestmark = pytest.mark.django_db(transaction=True)

PAST = timedelta(seconds=-1)


def templated(code: str = "order", **changes: Any) -> Any:
    return incoming(content=None, template_code=code, **changes)


def place(**named: Any) -> Hold:
    hold, _is_new = lifecycle.hold_place(by="ana", reason="maintenance", **named)
    return hold


def let_go(hold: Hold) -> None:
    lifecycle.hold_let_go(hold_ids=[hold.pk], by="ben")


def sweep_all() -> None:
    while lifecycle.sweep().is_full:
        pass


def claimed_ids(channel: str = "ws") -> list[int]:
    return [row.id for row in claim(channel)]


def of_default(**named: Any) -> dict[str, Any]:
    return {"tenant_id": Tenant.objects.get(slug="default").pk, **named}


@pytest.mark.parametrize(
    ("named", "held"),
    [
        (lambda: of_default(), [0, 1, 2, 3]),
        (lambda: {"channel": "ws"}, [0, 1, 2, 3, 4]),
        (lambda: {"template_code": "order"}, [0, 1, 4]),
        (lambda: {"category": "news"}, [1, 3]),
        (lambda: {"template_code": "order", "category": "news"}, [1]),
        (lambda: of_default(template_code="order"), [0, 1]),
        (lambda: of_default(channel="ws", category="news"), [1, 3]),
        (lambda: {"channel": "email", "template_code": "order"}, []),
        (lambda: {"template_code": "nobody-uses-it"}, []),
    ],
)
@pytest.mark.parametrize("when", ["before the jobs", "while they wait", "after their claim"])
def test_what_is_meant_waits_and_the_rest_goes(named: Callable[[], dict[str, Any]], held: list[int], when: str) -> None:
    TenantFactory(slug="other")
    jobs = [
        templated(),
        templated(category="news"),
        incoming(),
        incoming(category="news"),
        templated(tenant_id="other"),
    ]
    if when == "before the jobs":
        hold = place(**named())
        ids = accept(*jobs)
    else:
        ids = accept(*jobs)
        claimed = claim() if when == "after their claim" else []
        hold = place(**named())
        if claimed:
            start(claimed)
    gone = set(claimed_ids()) if when == "before the jobs" else set()
    if when == "while they wait":
        gone = set(start(claim()))
    if when == "after their claim":
        gone = set(Delivery.objects.filter(status="SENDING").values_list("id", flat=True))
    assert gone == {ids[n] for n in range(5) if n not in held}
    sweep_all()
    assert claim() == []
    waiting = Delivery.objects.filter(id__in=[ids[n] for n in held])
    assert set(waiting.values_list("status", "attempts", "claims", "lease_token")) <= {("PENDING", 0, 0, None)}
    let_go(hold)
    assert set(claimed_ids()) == {ids[n] for n in held}


def test_a_hold_says_who_when_and_why_and_a_second_one_changes_nothing() -> None:
    hold = place(channel="email")
    again, is_new = lifecycle.hold_place(by="ben", reason="another", channel="email")
    assert (again.pk, is_new) == (hold.pk, False)
    stored = Hold.objects.get()
    assert (stored.held_by, stored.reason, stored.let_go_at) == ("ana", "maintenance", None)
    assert stored.held_at <= datetime.now(UTC)
    assert [one.pk for one in lifecycle.hold_let_go(hold_ids=[hold.pk], by="ben")] == [hold.pk]
    assert lifecycle.hold_let_go(hold_ids=[hold.pk], by="carl") == []
    stored.refresh_from_db()
    assert (stored.let_go_by, stored.ended_at is not None) == ("ben", True)
    assert place(channel="email").pk != hold.pk


@pytest.mark.parametrize("asked", [{"by": "ana", "reason": "x"}, {"by": "ana", "reason": "", "channel": "ws"}])
def test_a_hold_of_nothing_or_without_a_reason_is_refused(asked: dict[str, str]) -> None:
    with pytest.raises(IntegrityError):
        lifecycle.hold_place(**asked)


def test_a_crowd_on_hold_at_a_lanes_head_keeps_nobody_behind_it_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["deliveries.lifecycle.holds"], "LOOK", 1000)
    accept(*(templated() for _ in range(SEARCH_MARGIN + 600)))
    others = accept(*(incoming() for _ in range(5)))
    place(template_code="order")
    sweep_all()
    assert claimed_ids() == others
    assert Delivery.objects.exclude(hold=None).count() == SEARCH_MARGIN + 600
    assert lifecycle.sweep().due_channels == []


def test_the_walk_looks_at_each_waiting_row_once_however_few_are_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["deliveries.lifecycle.holds"], "LOOK", 10)
    TenantFactory(slug="other")
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    accept(*(incoming() for _ in range(25)))
    meant = accept(templated(), templated(send_after=later), templated(tenant_id="other"), templated(channel="email"))
    accept(*(incoming(tenant_id="other") for _ in range(15)))
    hold = place(template_code="order")
    steps = [lifecycle.sweep() for _ in range(5)]
    assert [step.has_more_held for step in steps] == [True, True, True, True, False]
    assert sum(step.put_aside for step in steps) == 4
    assert set(Delivery.objects.filter(hold=hold).values_list("id", flat=True)) == set(meant)
    assert lifecycle.sweep().put_aside == 0


def test_a_row_put_aside_waits_on_for_the_next_hold_that_means_it() -> None:
    first = place(template_code="order")
    [row_id] = accept(templated(category="news"))
    second = place(category="news")
    let_go(first)
    assert claim() == []
    assert Delivery.objects.get(id=row_id).hold_id == second.pk
    let_go(second)
    assert claimed_ids() == [row_id]


def test_a_hold_of_the_tenant_keeps_what_the_template_lets_go() -> None:
    of_tenant, of_template = place(**of_default()), place(template_code="order")
    [row_id] = accept(templated())
    let_go(of_template)
    assert claim() == []
    let_go(of_tenant)
    assert claimed_ids() == [row_id]


def test_retries_wait_too() -> None:
    [row_id] = accept(templated())
    [row] = claim()
    start([row])
    place(template_code="order")
    finish(failed(row, status=Status.RETRYING, delay_seconds=0.0))
    assert start(claim()) == {}
    assert claim() == []
    stored = Delivery.objects.get(id=row_id)
    assert (stored.status, stored.attempts, stored.hold_id is not None) == ("RETRYING", 1, True)
    assert DeliveryAttempt.objects.count() == 1


@pytest.mark.parametrize("named", [{"channel": "ws"}, {"template_code": "order"}])
def test_suspects_wait_too_and_no_process_stands_still_for_them(named: dict[str, str]) -> None:
    accept(templated())
    Delivery.objects.update(lost_leases=1)
    hold = place(**named)
    sweep_all()
    assert not lifecycle.sweep().has_suspects
    assert suspects() == []
    let_go(hold)
    assert lifecycle.sweep().has_suspects
    assert len(suspects()) == 1


def test_suspects_of_a_paused_lane_hold_up_nobody() -> None:
    accept(incoming())
    Delivery.objects.update(lost_leases=1)
    lifecycle.lane_pause(lane_ids=[Lane.objects.get().id], by="ana", reason="")
    assert not lifecycle.sweep().has_suspects


def suspects() -> list[Any]:
    return on_connection(lambda c: lifecycle.claim_suspects(c, channels=["ws"], limit=8, lease_seconds=90))


@pytest.mark.parametrize("named", [{"channel": "ws"}, {"template_code": "order"}])
def test_copies_sent_again_wait_too(named: dict[str, str]) -> None:
    ids = accept(templated())
    send_all()
    hold = place(**named)
    [job_id] = lifecycle.replay(delivery_ids=ids, by="ben", source="retry:x").values()
    assert claim() == []
    let_go(hold)
    assert [row.job_id for row in claim()] == [job_id]


def test_a_scheduled_row_keeps_its_time() -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    accept(templated(send_after=later.isoformat()))
    hold = place(template_code="order")
    sweep_all()
    assert Delivery.objects.get().hold_id == hold.pk
    let_go(hold)
    stored = Delivery.objects.get()
    assert (stored.hold_id, stored.next_attempt_at) == (None, later)
    assert claim() == []


@pytest.mark.parametrize("named", [{"channel": "ws"}, {"template_code": "order"}])
def test_expiry_goes_on_while_held(named: dict[str, str]) -> None:
    place(**named)
    accept(templated(expires_at=(datetime.now(UTC) + timedelta(hours=1)).isoformat()))
    Delivery.objects.update(expires_at=datetime.now(UTC) + PAST)
    assert lifecycle.sweep().expired == 1
    stored = Delivery.objects.get()
    assert (stored.status, stored.attempts, stored.hold_id) == ("EXPIRED", 0, None)


def test_what_is_held_can_be_cancelled_one_by_one_and_by_its_lane() -> None:
    place(template_code="order")
    [one, other] = accept(templated(), templated())
    assert lifecycle.cancel(tenant_id=Tenant.objects.get().pk, delivery_ids=[one], by="ana") == 1
    lifecycle.lane_cancel(lane_ids=[Lane.objects.get().id])
    sweep_all()
    assert set(Delivery.objects.values_list("id", "status", "hold_id")) == {
        (one, "CANCELLED", None),
        (other, "CANCELLED", None),
    }


def test_rows_on_hold_of_a_channel_that_lost_its_sender_may_see_one_again(settings: Any) -> None:
    ids = accept(templated(), incoming())
    place(template_code="order")
    place(tenant_id=Tenant.objects.get().pk)
    sweep_all()
    settings.CHANNEL_SENDERS = {"email": "null"}
    assert lifecycle.sweep().unavailable == 0
    assert set(Delivery.objects.values_list("id", "status")) == {(row_id, "PENDING") for row_id in ids}


def test_a_persons_jobs_keep_their_order_though_they_go_back_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["deliveries.lifecycle.holds"], "BACK", 2)
    person = str(uuid4())
    hold = place(template_code="order")
    ids = accept(*(templated(user_id=person) for _ in range(5)))
    let_go(hold)
    newer = accept(templated(user_id=person))
    assert Delivery.objects.get(id=newer[0]).hold_id == hold.pk  # behind the ones that are on their way back
    seen: list[int] = []
    while lifecycle.sweep().given_back:
        rows = claim()
        seen += [row.id for row in rows]
        start(rows)
        finish(*(lifecycle.Outcome(id=row.id, lease_token=row.lease_token, status=Status.SENT) for row in rows))
    seen += claimed_ids()
    assert seen == [*ids, *newer]
    lifecycle.sweep()
    hold.refresh_from_db()
    assert hold.ended_at is not None
    [after] = accept(templated())
    assert Delivery.objects.get(id=after).hold_id is None


def test_a_row_left_aside_by_a_hold_that_is_over_goes_back() -> None:
    """As when a start read the hold just before it was let go, and wrote after the last look at it."""
    [row_id] = accept(templated())
    hold = place(template_code="order")
    let_go(hold)
    Delivery.objects.update(hold=hold)
    assert Hold.objects.get().ended_at is not None
    assert lifecycle.sweep().given_back == 1
    assert claimed_ids() == [row_id]


@pytest.mark.parametrize("named", [{"channel": "ws"}, {"template_code": "order"}])
def test_what_is_let_go_begins_with_an_empty_bucket(named: dict[str, str]) -> None:
    accept(*(templated() for _ in range(20)))
    Lane.objects.update(pace_per_minute=1, tokens=1, tokens_at=datetime.now(UTC) - timedelta(hours=1))
    hold = place(**named)
    sweep_all()
    let_go(hold)
    assert claim() == []


def test_what_is_let_go_begins_with_an_empty_bucket_where_another_lane_keeps_it() -> None:
    accept(incoming(channel="email"))
    accept(*(templated() for _ in range(20)))
    lanes = list(Lane.objects.values_list("id", flat=True))
    lifecycle.lanes_share_pace(lane_ids=lanes, pace_per_minute=1)
    Lane.objects.update(tokens=1, tokens_at=datetime.now(UTC) - timedelta(hours=1))
    hold = place(channel="ws")
    let_go(hold)
    assert claim() == []


def test_nothing_that_waits_for_a_hold_makes_its_channel_due() -> None:
    accept(templated(), incoming(channel="email"))
    place(template_code="order")
    place(channel="email")
    sweep_all()
    assert lifecycle.sweep().due_channels == []


def test_a_sweep_asks_as_much_of_many_rows_aside_as_of_few() -> None:
    def statements() -> int:
        with CaptureQueriesContext(connection) as queries:
            lifecycle.sweep()
        return len(queries)

    place(template_code="order")
    accept(*(templated() for _ in range(3)))
    few = statements()
    accept(*(templated() for _ in range(300)))
    assert statements() == few


def test_the_migration_keeps_a_channel_on_hold_that_was_so_as_a_whole() -> None:
    """As the dashboard's button left it before there were holds: every lane of the channel paused with the same words."""
    accept(incoming(), incoming(meta={"priority": "high"}), incoming(channel="email"), incoming(channel="webhook"))
    paused = Lane.objects.filter(channel__in=["ws", "webhook"]).values_list("id", flat=True)
    lifecycle.lane_pause(lane_ids=list(paused), by="ana", reason="maintenance")
    accept(incoming(channel="webhook", meta={"priority": "low"}))  # so that this channel is paused in part
    with connection.cursor() as cursor:
        cursor.execute(import_module("deliveries.migrations.0005_holds").CHANNELS_ON_HOLD)
    hold = Hold.objects.get()
    assert (hold.channel, hold.tenant, hold.held_by, hold.reason) == ("ws", None, "ana", "maintenance")
    assert set(Lane.objects.filter(paused_at__isnull=False).values_list("channel", flat=True)) == {"webhook"}
    assert claim() == []
    let_go(hold)
    assert len(claim()) == 2


def test_let_go_in_the_midst_of_the_walk_a_persons_jobs_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holds, "LOOK", 2)
    monkeypatch.setattr(holds, "BACK", 1)
    person = str(uuid4())
    accept(*(incoming(category="news") for _ in range(3)))
    first, second = (accept(incoming(category="news", user_id=person))[0] for _ in range(2))
    hold = place(category="news")
    for _ in range(2):
        holds.holds_settle()
    assert list(Delivery.objects.filter(hold=hold).values_list("id", flat=True).order_by("id"))[-1:] == [first]

    let_go(hold)
    claimed: list[int] = []
    while len(claimed) < 5:
        claimed += [row.id for row in claim()]
        holds.holds_settle()
    assert claimed.index(first) < claimed.index(second)
