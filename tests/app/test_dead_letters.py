"""What staff do with the undeliverable: groups, retry, dismiss."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from deliveries import dead_letters
from deliveries.channels import Status
from deliveries.dead_letters import CannotRetryError, GroupKey, dismiss, groups, retry, stopped, too_late
from deliveries.models import DeadLetter, Delivery, Lane
from tests.factories import DeliveryFactory, LaneFactory, TenantFactory

KEY = GroupKey(reason="smtp_550", channel="email")


def letter(
    age: timedelta = timedelta(0), reason: str = "smtp_550", template_code: str = "", **values: Any
) -> DeadLetter:
    delivery = DeliveryFactory(failed=True, template_code=template_code, **values)
    return DeadLetter.objects.create(
        kind="failed", delivery=delivery, tenant=delivery.tenant, reason=reason, error_message="no such user",
        channel=delivery.channel, template_code=template_code, failed_at=timezone.now() - age,
    )  # fmt: skip


def unreadable(offset: int) -> DeadLetter:
    return DeadLetter.objects.create(
        kind="rejected", topic="outbox", partition=0, offset=offset, raw=b"x", reason="bad_json", error_message="bad",
        failed_at=timezone.now(),
    )  # fmt: skip


@pytest.mark.django_db
def test_groups_are_by_cause_channel_and_template_in_one_query(django_assert_num_queries: Any) -> None:
    tenant = TenantFactory()
    ages = [timedelta(0), timedelta(minutes=90), timedelta(days=2)]
    letters = [letter(age, tenant=tenant) for age in ages]
    letter(template_code="welcome", tenant=tenant)
    letter(channel="ws", tenant=tenant)
    letter(reason="timeout", tenant=TenantFactory())
    unreadable(1)
    DeadLetter.objects.filter(pk=letter(tenant=tenant).pk).update(state="dismissed")
    with django_assert_num_queries(1):
        found = groups(tenant_ids=[tenant.pk])
    assert len(found) == 3
    first = found[0]
    assert (first.key, first.count) == (GroupKey(reason="smtp_550", channel="email", tenant_ids=(tenant.pk,)), 3)
    assert (first.last_hour, first.hour_before, first.sample_id) == (1, 1, letters[-1].pk)
    assert (first.first_at, first.last_at) == (letters[2].failed_at, letters[0].failed_at)
    assert {(g.key.reason, g.key.kind) for g in groups(tenant_ids=None)} >= {
        ("timeout", "failed"),
        ("bad_json", "rejected"),
    }
    assert [g.key.reason for g in groups(tenant_ids=None, kind="rejected")] == ["bad_json"]
    assert [g.count for g in groups(tenant_ids=[tenant.pk], state="dismissed")] == [1]


@pytest.mark.django_db
def test_retry_sends_again_the_oldest_first_and_leaves_the_old_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letters, "CHUNK", 2)
    letters = [letter() for _ in range(7)]
    other = letter(reason="timeout")
    assert retry(group=KEY, limit=5, by="ana").moved == 5
    assert [row.state for row in DeadLetter.objects.filter(reason="smtp_550").order_by("pk")] == ["retrying"] * 5 + [
        "open"
    ] * 2
    new = list(Delivery.objects.filter(replay_of__isnull=False).order_by("pk"))
    assert [row.replay_of_id for row in new] == [each.delivery_id for each in letters[:5]]
    assert {row.status for row in new} == {Status.PENDING}
    assert {row.lane.source for row in new if row.lane} == {"retry:smtp_550"}
    assert Delivery.objects.filter(pk__in=[each.delivery_id for each in letters], status=Status.FAILED).count() == 7
    assert retry(group=KEY, by="ana").moved == 2
    other.refresh_from_db()
    assert other.state == "open"
    assert DeadLetter.objects.filter(settled_by="ana", settled_at__isnull=False).count() == 7


@pytest.mark.django_db
def test_retry_at_a_pace_slows_only_its_own_lane() -> None:
    row = letter()
    retry(group=KEY, pace_per_minute=200, by="ana")
    assert {lane.source: lane.pace_per_minute for lane in Lane.objects.filter(tenant=row.tenant)} == {
        "": None,
        "retry:smtp_550": 200,
    }


@pytest.mark.django_db
def test_what_expired_meanwhile_is_too_late_and_stays_open() -> None:
    gone = letter(expires_at=timezone.now() - timedelta(seconds=1))
    letter(expires_at=timezone.now() + timedelta(days=1))
    assert too_late(group=KEY) == 1
    assert retry(group=KEY, by="ana") == dead_letters.Retried(moved=1, too_late=1)
    gone.refresh_from_db()
    assert gone.state == "open"


@pytest.mark.django_db
@pytest.mark.parametrize("how", ["paused", "cancelled"])
def test_what_belongs_to_a_stopped_lane_stays_open(how: str) -> None:
    there = letter()
    lane = LaneFactory(tenant=there.tenant, source="broadcast:7", **{f"{how}_at": timezone.now()})
    held = letter(tenant=there.tenant, lane=lane)
    assert stopped(group=KEY)._asdict() == {"paused": 0, "cancelled": 0, how: 1}
    done = retry(group=KEY, by="ana")
    assert done == dead_letters.Retried(moved=1, too_late=0, **{how: 1})
    assert done.stopped == 1
    held.refresh_from_db()
    assert held.state == "open"
    assert not Delivery.objects.filter(replay_of=held.delivery).exists()


@pytest.mark.django_db
def test_the_lane_is_there_before_a_row_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever pauses what they belong to meanwhile finds it."""
    there: list[bool] = []
    take = dead_letters._take

    def look(group: GroupKey, **asked: int) -> list[tuple[int, int]]:
        there.append(Lane.objects.filter(source=group.lane_source).exists())
        return take(group, **asked)

    monkeypatch.setattr(dead_letters, "_take", look)
    letter()
    assert retry(group=KEY, by="ana").moved == 1
    assert there == [True, True]


@pytest.mark.django_db
def test_another_tenants_dead_letters_are_not_touched() -> None:
    mine, theirs = letter(), letter()
    key = GroupKey(reason="smtp_550", channel="email", tenant_ids=(mine.tenant_id or 0,))
    assert retry(group=key, by="ana").moved == 1
    assert dismiss(group=key, note="x", by="ana") == 0
    theirs.refresh_from_db()
    assert theirs.state == "open"


@pytest.mark.django_db
def test_dismissing_keeps_the_note_and_works_once() -> None:
    row = letter()
    assert dismiss(group=KEY, note="typo in the import", by="ana") == 1
    assert dismiss(group=KEY, note="again", by="ben") == 0
    row.refresh_from_db()
    assert (row.state, row.note, row.settled_by) == ("dismissed", "typo in the import", "ana")
    assert retry(group=KEY, by="ana").moved == 0


@pytest.mark.django_db
def test_unreadable_records_can_only_be_dismissed() -> None:
    unreadable(1)
    key = GroupKey(reason="bad_json", kind="rejected")
    assert not key.can_retry
    with pytest.raises(CannotRetryError):
        retry(group=key, by="ana")
    assert dismiss(group=key, note="", by="ana") == 1


@pytest.mark.django_db(transaction=True)
def test_pressing_retry_many_times_at_once_sends_each_once() -> None:
    letters = [letter() for _ in range(40)]
    moved: list[int] = []

    def press() -> None:
        moved.append(retry(group=KEY, by="ana").moved)
        connections.close_all()

    threads = [threading.Thread(target=press) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(moved) == len(letters)
    assert Delivery.objects.filter(replay_of__isnull=False).count() == len(letters)
