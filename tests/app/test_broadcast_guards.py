"""What keeps a broadcast from going to others than were approved, from stopping in silence, and from harming other broadcasts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from broadcasts import running
from broadcasts.changes import NotReady, broadcast_pause, broadcast_resume, broadcast_send, broadcast_undo
from broadcasts.control import broadcast_send_missing
from broadcasts.models import Broadcast, BroadcastEvent, LeftOut
from broadcasts.review import review
from broadcasts.states import State
from deliveries.channels import Status
from deliveries.models import Contact, Delivery, Notice, Tenant
from tests.factories import AudienceFactory, ContactFactory, TenantFactory
from tests.lifecycle import claim, failed, finish, send_all, start
from tests.mass import ANA, BEN, draft, fan_out, run_worker, send

pytestmark = pytest.mark.django_db(transaction=True)

GOLD = {"match": "all", "rules": [{"field": "attributes.plan", "type": "text", "op": "is", "value": "gold"}]}


@pytest.fixture
def tenant() -> Tenant:
    return TenantFactory()


def rows_of(broadcast: Broadcast) -> Any:
    return Delivery.objects.filter(tenant=broadcast.tenant, entrance=broadcast.source)


def later(broadcast: Broadcast, **by: float) -> None:
    """Let the small group's time be over since so long."""
    Broadcast.objects.filter(pk=broadcast.pk).update(group_ends_at=timezone.now() - timedelta(**by))


def test_a_segment_that_is_edited_while_it_goes_out_means_whom_it_meant(tenant: Tenant) -> None:
    ContactFactory.create_batch(8, tenant=tenant, attributes={"plan": "gold"})
    ContactFactory.create_batch(30, tenant=tenant, attributes={"plan": "free"})
    segment = AudienceFactory(tenant=tenant, kind="segment", rules=GOLD)
    broadcast = fan_out(tenant, audience={"type": "audience", "id": segment.pk}, group_size=2)
    segment.rules = {"match": "all", "rules": [{"field": "attributes.plan", "type": "text", "op": "exists"}]}
    segment.save()

    send_all()
    later(broadcast, seconds=1)
    run_worker()
    run_worker()
    assert rows_of(broadcast).count() == 8


def test_an_audience_that_grew_far_during_the_group_s_hold_stops_it_with_a_notice(tenant: Tenant) -> None:
    ContactFactory.create_batch(8, tenant=tenant)
    broadcast = fan_out(tenant, group_size=2)
    Broadcast.objects.filter(pk=broadcast.pk).update(approved_by="ben")
    send_all()
    ContactFactory.create_batch(30, tenant=tenant)
    later(broadcast, seconds=1)
    run_worker()
    run_worker()

    broadcast.refresh_from_db()
    assert (broadcast.state, rows_of(broadcast).count()) == (State.PAUSED, 2)
    assert "It was approved for 8 people, and the audience has 38 now. Cancel the rest" in broadcast.stop_reason
    run_worker()
    assert Notice.objects.get(kind="broadcast_stopped", ended_at=None).page_pk == broadcast.pk


@pytest.mark.parametrize("approved_by", ["ben", ""])
def test_missing_people_beyond_what_was_approved_need_a_broadcast_of_their_own(
    tenant: Tenant, settings: Any, approved_by: str
) -> None:
    settings.BROADCAST_APPROVAL_FROM = 8
    ContactFactory.create_batch(4, tenant=tenant)
    broadcast = fan_out(tenant)
    Broadcast.objects.filter(pk=broadcast.pk).update(approved_by=approved_by)
    send_all()
    run_worker()
    ContactFactory.create_batch(4, tenant=tenant)
    broadcast.refresh_from_db()
    with pytest.raises(NotReady, match="4 people are missing, and it was sent as one for 4"):
        broadcast_send_missing(broadcast=broadcast, actor=BEN)
    broadcast.refresh_from_db()
    assert broadcast.state == State.COMPLETED


def test_an_audience_that_grew_past_the_limit_for_approval_does_not_begin(tenant: Tenant, settings: Any) -> None:
    settings.BROADCAST_APPROVAL_FROM = 10
    ContactFactory.create_batch(9, tenant=tenant)
    broadcast = send(draft(tenant))
    ContactFactory.create_batch(2, tenant=tenant)
    run_worker()
    broadcast.refresh_from_db()
    assert (broadcast.state, rows_of(broadcast).count()) == (State.FAILED, 0)
    assert "Nobody approved it" in broadcast.stop_reason


def test_sending_and_undoing_does_not_move_what_was_approved(tenant: Tenant, settings: Any) -> None:
    settings.BROADCAST_APPROVAL_FROM = 1
    ContactFactory.create_batch(8, tenant=tenant)
    broadcast = draft(tenant)
    now = review(broadcast)
    Broadcast.objects.filter(pk=broadcast.pk).update(
        state=State.APPROVED, approved_hash=now.hash, approved_size=8, approved_by="ben"
    )
    ContactFactory.create_batch(2, tenant=tenant)
    broadcast.refresh_from_db()
    sent, _is_new = broadcast_send(broadcast=broadcast, actor=ANA, review=review(broadcast), undo_seconds=30)
    back = broadcast_undo(broadcast=sent, actor=ANA)
    assert (back.state, back.approved_size, back.approved_by) == (State.APPROVED, 8, "ben")


def test_one_that_cannot_go_on_is_paused_and_the_others_go_out(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    ContactFactory(tenant=tenant)
    broken, well = send(draft(tenant)), send(draft(tenant))
    real = running.fan_out_step

    def breaks(broadcast_id: int) -> Any:
        if broadcast_id == broken.pk:
            raise ValueError("a row that nobody expected")
        return real(broadcast_id)

    monkeypatch.setattr(running, "fan_out_step", breaks)
    run_worker()
    broken.refresh_from_db()
    assert broken.state == State.PAUSED
    assert "It could not go on: ValueError" in broken.stop_reason
    assert rows_of(well).count() == 1


@pytest.mark.parametrize(
    ("values", "size"), [({"group_size": 3}, 3), ({"group_percent": 25}, 5), ({"group_size": 1}, 1)]
)
def test_the_small_group_has_exactly_its_size_and_the_rest_follows(
    tenant: Tenant, values: dict[str, Any], size: int
) -> None:
    ContactFactory.create_batch(20, tenant=tenant)
    broadcast = fan_out(tenant, **values)
    assert rows_of(broadcast).count() == size
    send_all()
    run_worker()
    assert rows_of(broadcast).count() == size, "it waits for its time"

    later(broadcast, seconds=1)
    run_worker()
    run_worker()
    assert rows_of(broadcast).count() == 20
    assert BroadcastEvent.objects.filter(broadcast=broadcast, action="group_passed").count() == 1


def test_a_small_group_that_fails_stops_it_with_a_notice(tenant: Tenant) -> None:
    ContactFactory.create_batch(20, tenant=tenant)
    broadcast = fan_out(tenant, group_percent=50, group_failure_percent=10)
    rows = claim()
    start(rows)
    finish(failed(rows[0]))
    run_worker()
    broadcast.refresh_from_db()
    assert broadcast.state == State.SENDING, "one of ten is the limit, and not above it"
    finish(*(failed(row) for row in rows[1:]))
    run_worker()

    broadcast.refresh_from_db()
    assert broadcast.state == State.PAUSED
    assert "10 of 10 failed (100 %, and 10 % is the limit)" in broadcast.stop_reason
    assert Notice.objects.get(kind="broadcast_stopped", ended_at=None).page_pk == broadcast.pk
    broadcast_resume(broadcast=broadcast, actor=BEN)
    run_worker()
    assert rows_of(broadcast).count() == 20
    assert not Notice.objects.filter(ended_at=None).exists()


def test_a_small_group_that_still_waits_does_not_let_the_rest_go(tenant: Tenant) -> None:
    ContactFactory.create_batch(10, tenant=tenant)
    broadcast = fan_out(tenant, group_size=2, group_minutes=1)
    (row,) = claim(limit=1)
    start([row])
    finish(failed(row, status=Status.SENT, reason="", message=""))
    later(broadcast, minutes=2)
    run_worker()
    run_worker()
    broadcast.refresh_from_db()
    assert (broadcast.state, rows_of(broadcast).count()) == (State.SENDING, 2)

    later(broadcast, minutes=30)
    run_worker()
    broadcast.refresh_from_db()
    assert broadcast.state == State.PAUSED
    assert "1 of 2 still wait to be sent" in broadcast.stop_reason


def test_a_pause_during_the_group_s_hold_keeps_the_hold(tenant: Tenant) -> None:
    ContactFactory.create_batch(10, tenant=tenant)
    broadcast = fan_out(tenant, group_size=2)
    send_all()
    broadcast.refresh_from_db()
    broadcast_resume(broadcast=broadcast_pause(broadcast=broadcast, actor=BEN), actor=BEN)
    run_worker()
    assert rows_of(broadcast).count() == 2


def test_somebody_who_has_it_keeps_it_when_an_older_contact_joins_their_address(tenant: Tenant) -> None:
    older = ContactFactory(tenant=tenant, email="house@example.com")
    members = ContactFactory.create_batch(9, tenant=tenant)
    has_it = ContactFactory(tenant=tenant, email="house@example.com")
    listed = AudienceFactory(tenant=tenant, members=[each.user_id for each in [*members, has_it]])
    broadcast = fan_out(tenant, channels=["email"], audience={"type": "audience", "id": listed.pk})
    send_all("email")
    run_worker()
    listed.members.create(user_id=older.user_id)
    listed.members.create(user_id=ContactFactory(tenant=tenant).user_id)
    broadcast.refresh_from_db()
    broadcast_send_missing(broadcast=broadcast, actor=BEN)
    run_worker()

    assert not rows_of(broadcast).filter(user_id=older.user_id).exists()
    assert list(LeftOut.objects.values_list("user_id", "reason")) == [(older.user_id, "same_address")]
    assert rows_of(broadcast).count() == 11
    assert Contact.objects.count() == 12
