"""Retrying what failed of a broadcast: pause, cancel and speed reach it, and the figures that lists show follow."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from broadcasts.actor import WORKER, Actor
from broadcasts.changes import WrongState, broadcast_cancel, broadcast_pause, broadcast_resume
from broadcasts.control import broadcast_recall, broadcast_retry_failed, broadcast_set_speed
from broadcasts.counting import count_and_keep, has_waiting, kept
from broadcasts.models import Broadcast
from broadcasts.states import State
from deliveries import lifecycle
from deliveries.channels import Status
from deliveries.dead_letters import CannotRetryError, GroupKey, Retried
from deliveries.dead_letters import retry as retry_group
from deliveries.models import DeadLetter, Delivery, Lane, Tenant
from tests.factories import ContactFactory, TenantFactory
from tests.lifecycle import claim, failed, finish, send_all, start
from tests.mass import BEN, draft, fan_out, run_worker

pytestmark = pytest.mark.django_db(transaction=True)

RETRY_LANE = "retry:smtp_550"


@pytest.fixture
def tenant() -> Tenant:
    return TenantFactory()


def with_failures(tenant: Tenant, **values: Any) -> Broadcast:
    """Return one whose three rows failed; it is still being sent."""
    ContactFactory.create_batch(3, tenant=tenant)
    broadcast = fan_out(tenant, **values)
    Lane.objects.update(tokens_at=timezone.now() - timedelta(hours=1))  # so its speed lets all three go
    rows = claim()
    start(rows)
    finish(*(failed(row) for row in rows))
    assert len(rows) == 3
    return broadcast


def retry(broadcast: Broadcast, by: Actor = BEN, **values: Any) -> Retried:
    return broadcast_retry_failed(broadcast=broadcast, actor=by, **{"reason": "smtp_550", "channel": "ws", **values})


def retry_lane(broadcast: Broadcast) -> Lane:
    return Lane.objects.get(tenant=broadcast.tenant, source=f"{RETRY_LANE}:{broadcast.source}")


def test_a_pause_holds_what_is_tried_again_and_a_resume_lets_it_go(tenant: Tenant) -> None:
    broadcast = with_failures(tenant)
    assert retry(broadcast).moved == 3
    assert has_waiting(broadcast)
    broadcast_pause(broadcast=broadcast, actor=BEN)
    assert claim() == []
    broadcast_resume(broadcast=broadcast, actor=BEN)
    assert len(claim()) == 3


def test_a_completed_one_is_being_sent_again_until_what_is_tried_again_is_over(tenant: Tenant) -> None:
    broadcast = with_failures(tenant)
    run_worker()
    broadcast.refresh_from_db()
    assert broadcast.state == State.COMPLETED
    retry(broadcast)
    broadcast_pause(broadcast=broadcast, actor=BEN)
    assert claim() == []
    broadcast_resume(broadcast=broadcast, actor=BEN)
    run_worker()
    broadcast.refresh_from_db()
    assert broadcast.state == State.SENDING
    assert len(send_all()) == 3
    run_worker()
    broadcast.refresh_from_db()
    assert (broadcast.state, broadcast.finished_at is not None) == (State.COMPLETED, True)
    assert retry(broadcast).moved == 0
    broadcast.refresh_from_db()
    assert broadcast.state == State.COMPLETED


def test_what_is_retried_elsewhere_lets_a_completed_one_go_on_too(tenant: Tenant) -> None:
    broadcast = with_failures(tenant)
    run_worker()
    group = GroupKey(reason="smtp_550", channel="ws", template_code=broadcast.source, tenant_ids=(broadcast.tenant_id,))
    assert retry_group(group=group, by="ana").moved == 3
    Broadcast.objects.update(counted_at=None)  # as a minute later
    run_worker()
    broadcast.refresh_from_db()
    assert (broadcast.state, broadcast.state_by) == (State.SENDING, WORKER.name)
    assert len(send_all()) == 3
    run_worker()
    broadcast.refresh_from_db()
    assert broadcast.state == State.COMPLETED


def test_a_cancel_cancels_what_is_tried_again(tenant: Tenant) -> None:
    broadcast = with_failures(tenant)
    retry(broadcast)
    broadcast_cancel(broadcast=broadcast, actor=BEN)
    lifecycle.sweep()
    assert claim() == []
    assert Delivery.objects.filter(status=Status.CANCELLED).count() == 3


@pytest.mark.parametrize(("own", "asked", "pace"), [(600, None, 600), (600, 60, 60), (None, None, None)])
def test_it_goes_at_the_speed_that_was_asked_for_or_the_broadcasts_own(
    tenant: Tenant, own: int | None, asked: int | None, pace: int | None
) -> None:
    broadcast = with_failures(tenant, pace_per_minute=own)
    retry(broadcast, pace_per_minute=asked)
    lane = retry_lane(broadcast)
    assert lane.pace_per_minute == pace
    assert lane.bucket_id == (None if asked else Lane.objects.get(source=broadcast.source).pk)


def test_all_its_channels_and_what_is_tried_again_go_out_at_one_speed_together(tenant: Tenant) -> None:
    broadcast = with_failures(tenant, pace_per_minute=600, channels=["ws", "email"])
    retry(broadcast, pace_per_minute=60)  # beside it, until the speed is set again
    assert Lane.objects.filter(bucket=None).count() == 2
    broadcast_set_speed(broadcast=broadcast, actor=BEN, pace_per_minute=120)
    lanes = Lane.objects.filter(tenant=tenant).order_by("id")
    assert {(lane.channel, lane.pace_per_minute) for lane in lanes} == {("email", 120), ("ws", 120)}
    oldest = lanes[0].pk
    assert [lane.bucket_id for lane in lanes] == [None, oldest, oldest]


def test_what_is_retried_elsewhere_goes_out_within_its_speed_too(tenant: Tenant) -> None:
    broadcast = with_failures(tenant, pace_per_minute=600)
    broadcast_set_speed(broadcast=broadcast, actor=BEN, pace_per_minute=60)
    group = GroupKey(reason="smtp_550", channel="ws", template_code=broadcast.source, tenant_ids=(broadcast.tenant_id,))
    retry_group(group=group, limit=1, by="ana")
    own = Lane.objects.get(source=broadcast.source)
    assert (retry_lane(broadcast).bucket_id, retry_lane(broadcast).pace_per_minute) == (own.pk, 60)
    retry_group(group=group, pace_per_minute=200, by="ana")
    assert (retry_lane(broadcast).bucket_id, retry_lane(broadcast).pace_per_minute) == (None, 200)


def test_the_speed_of_the_broadcast_is_that_of_what_is_tried_again(tenant: Tenant) -> None:
    broadcast = with_failures(tenant)
    retry(broadcast)
    other = Lane.objects.create(tenant=tenant, channel="ws", source=f"{RETRY_LANE}:broadcast:1{broadcast.pk}")
    broadcast_set_speed(broadcast=broadcast, actor=BEN, pace_per_minute=120)
    assert retry_lane(broadcast).pace_per_minute == 120
    other.refresh_from_db()
    assert other.pace_per_minute is None


@pytest.mark.parametrize("state", [State.PAUSED, State.CANCELLED, State.FAILED, State.SCHEDULED, State.DRAFT])
def test_nothing_is_retried_of_what_is_not_being_sent(tenant: Tenant, state: State) -> None:
    broadcast = with_failures(tenant)
    Broadcast.objects.filter(pk=broadcast.pk).update(state=state)
    with pytest.raises(WrongState):
        retry(broadcast)
    assert set(DeadLetter.objects.values_list("state", flat=True)) == {"open"}
    assert not Lane.objects.filter(source__startswith="retry:").exists()


def test_nothing_is_retried_into_inboxes_that_it_was_removed_from(tenant: Tenant) -> None:
    broadcast = with_failures(tenant)
    broadcast_recall(broadcast=broadcast, actor=BEN)
    with pytest.raises(CannotRetryError, match="removed from inboxes"):
        retry(broadcast)
    assert Delivery.objects.count() == 3


@pytest.mark.parametrize("asked", [{"reason": "timeout"}, {"channel": "email"}, {"channel": "pigeon"}])
def test_a_cause_that_nothing_failed_for_makes_no_lane(tenant: Tenant, asked: dict[str, str]) -> None:
    broadcast = with_failures(tenant)
    assert retry(broadcast, **asked) == Retried(moved=0, too_late=0)
    assert not Lane.objects.filter(source__startswith="retry:").exists()


def test_what_never_began_has_nothing_to_retry(tenant: Tenant) -> None:
    with pytest.raises(WrongState):
        retry(draft(tenant))


def test_the_kept_figures_do_not_go_on_offering_what_was_retried(tenant: Tenant) -> None:
    broadcast = with_failures(tenant)
    count_and_keep(broadcast)
    broadcast.refresh_from_db()
    assert kept(broadcast).causes == [("smtp_550", "ws", 3)]
    retry(broadcast)
    broadcast.refresh_from_db()
    assert (kept(broadcast).causes, kept(broadcast).waiting) == ([], 3)
