"""The timeline tells what the columns, attempts and relatives say, in at most two queries."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from deliveries import lifecycle
from deliveries.models import Delivery, Lane
from deliveries.timeline import Kind, timeline
from tests.factories import DeliveryAttemptFactory, DeliveryFactory, LaneFactory

pytestmark = pytest.mark.django_db


def kinds(row: Delivery) -> list[str]:
    return [event.kind for event in timeline(Delivery.objects.get(pk=row.pk))]


def last(row: Delivery):
    return timeline(Delivery.objects.get(pk=row.pk))[-1]


def test_a_record_from_kafka_names_its_place() -> None:
    first = timeline(DeliveryFactory(entrance="kafka:a/b.c/7@118"))[0]
    assert (first.kind, first.facts) == (Kind.ACCEPTED, {"topic": "a/b.c", "partition": 7, "offset": 118})
    assert first.detail == "From Kafka: topic a/b.c, partition 7, offset 118."


def test_a_job_from_http_names_the_keys_public_part() -> None:
    assert timeline(DeliveryFactory(entrance="api:nk_live_abc"))[0].facts == {"key": "nk_live_abc"}


def test_attempts_then_success_are_told_in_order() -> None:
    row = DeliveryFactory(sent=True, attempts=2)
    DeliveryAttemptFactory(delivery=row, number=1, code="smtp_451", message="451 later", duration_ms=1250)
    events = timeline(row)
    assert [event.kind for event in events] == ["accepted", "attempt_failed", "sent"]
    assert events[1].detail == "smtp, smtp_451, 1,250 ms: 451 later"
    assert events[1].facts["code"] == "smtp_451"
    assert events[2].title == "Handed to provider"
    assert events[2].facts == {
        "attempt": 2, "provider": "smtp", "provider_message_id": "250 ok", "duration_ms": 12, "address": "ana@example.com",
    }  # fmt: skip


def test_an_ambiguous_attempt_may_have_been_sent() -> None:
    row = DeliveryFactory(retrying=True)
    DeliveryAttemptFactory(delivery=row, is_ambiguous=True)
    assert timeline(row)[1].title == "Attempt 1 may have been sent"


def test_an_inbox_item_is_seen_and_acknowledged() -> None:
    now = timezone.now()
    row = DeliveryFactory(channel="ws", sent=True, acknowledged_at=now, read_at=now + timedelta(seconds=1))
    assert [event.title for event in timeline(row)] == ["Accepted", "In inbox", "Acknowledged", "Seen"]


@pytest.mark.parametrize(
    ("trait", "kind"),
    [
        ("failed", "failed"), ("expired", "expired"), ("suppressed", "suppressed"), ("cancelled", "cancelled"),
        ("sending", "sending"),
    ],
)  # fmt: skip
def test_an_ending_is_told_with_its_reason(trait: str, kind: str) -> None:
    event = last(DeliveryFactory(**{trait: True}))
    assert event.kind == kind
    assert event.detail or kind == "sending"


def test_a_due_row_waits_for_a_sender() -> None:
    event = last(DeliveryFactory())
    assert (event.kind, event.detail) == (Kind.WAITING, "Due; the next free sender takes it.")


def test_a_scheduled_row_waits_until_its_time() -> None:
    at = timezone.now() + timedelta(hours=1)
    event = last(DeliveryFactory(next_attempt_at=at, send_after=at))
    assert (event.kind, event.at) == (Kind.WAITING, at)


def test_a_retry_says_when_and_why() -> None:
    event = last(DeliveryFactory(retrying=True))
    assert (event.kind, event.title, event.facts) == (Kind.WAITING, "Trying again", {"code": "smtp_451"})


def test_what_is_on_hold_says_who_holds_it_and_why() -> None:
    row = DeliveryFactory()
    hold, _is_new = lifecycle.hold_place(by="ben", reason="wrong price", channel=row.channel)
    event = timeline(row, hold=hold)[-1]
    assert (event.kind, event.at, event.detail) == (Kind.HELD, hold.held_at, "By ben: wrong price")


def test_a_paused_lane_says_who_paused_it_and_why() -> None:
    row = DeliveryFactory()
    Lane.objects.filter(pk=row.lane_id).update(
        paused_at=timezone.now(), paused_by="ana", pause_reason="provider is down"
    )
    event = last(row)
    assert (event.kind, event.detail) == (Kind.HELD, "By ana: provider is down")


def test_a_lane_with_a_start_time_says_so() -> None:
    lane = LaneFactory(not_before=timezone.now() + timedelta(hours=1))
    assert last(DeliveryFactory(tenant=lane.tenant, lane=lane)).at == lane.not_before


def test_original_and_replay_point_at_each_other_while_open_and_when_over() -> None:
    old = DeliveryFactory(failed=True)
    new_id = lifecycle.replay(delivery_ids=[old.pk], by="ana")[old.pk]
    told = last(old)
    assert (told.kind, told.facts) == (Kind.REPLAYED, {"job_id": str(new_id)})
    new = Delivery.objects.get(job_id=new_id)
    for _ in range(2):
        first = timeline(new)[0]
        assert (first.kind, first.facts) == (Kind.REPLAY_OF, {"by": "ana", "job_id": str(old.job_id)})
        lifecycle.cancel(tenant_id=new.tenant_id, delivery_ids=[new.pk], by="ana")
        new.refresh_from_db()
    assert new.status == "CANCELLED"


@pytest.mark.parametrize("trait", ["sent", "failed", "retrying", "sending", "cancelled", None])
def test_it_takes_at_most_two_queries(trait: str | None, django_assert_max_num_queries) -> None:
    old = DeliveryFactory(failed=True)
    row = DeliveryFactory(**({trait: True} if trait else {}), replay_of=old, tenant=old.tenant, user_id=old.user_id)
    row = Delivery.objects.get(pk=row.pk)
    with django_assert_max_num_queries(2):
        timeline(row)
