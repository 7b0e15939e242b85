"""A delivery's story, derived from its columns, attempts and relatives; nothing is stored for it. Reads only.

The admin and the API show the same events in the same words. How they look is not decided here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from django.db.models import Q, QuerySet, Subquery
from django.utils import timezone

from deliveries.channels import Channel, Status
from deliveries.models import Delivery, DeliveryAttempt, Hold, Lane
from deliveries.reasons import describe

Facts = Mapping[str, str | int | bool]

_KAFKA: Final = re.compile(r"kafka:(?P<topic>.+)/(?P<partition>\d+)@(?P<offset>\d+)")


class Kind(StrEnum):
    """What happened; stable words for programs."""

    ACCEPTED = "accepted"
    REPLAY_OF = "replay_of"
    ATTEMPT_FAILED = "attempt_failed"
    SENDING = "sending"
    SENT = "sent"
    DELIVERED = "delivered"
    BOUNCED = "bounced"
    COMPLAINED = "complained"
    SEEN = "seen"
    ACKNOWLEDGED = "acknowledged"
    RECALLED = "recalled"
    FAILED = "failed"
    EXPIRED = "expired"
    SUPPRESSED = "suppressed"
    CANCELLED = "cancelled"
    REPLAYED = "replayed"
    HELD = "held"
    WAITING = "waiting"


@dataclass(frozen=True, slots=True)
class TimelineEvent:
    """One event. `title` and `detail` are for people; `facts` has the same for programs (provider, code, job_id, …).

    `at` lies in the future only for WAITING. A relative's `job_id` is in `facts` as text.
    """

    at: datetime
    kind: Kind
    title: str
    detail: str = ""
    facts: Facts = field(default_factory=dict)


def timeline(delivery: Delivery, *, hold: Hold | None = None) -> list[TimelineEvent]:
    """Tell what happened to a delivery, oldest first; what it waits for comes last. At most two queries.

    `hold`: what it waits for, if it is on hold (`deliveries.holds`).
    """
    attempts = list(delivery.failed_attempts.order_by("number")) if delivery.attempts else []
    lane, original, replays = _relatives(delivery)
    return [
        _accepted(delivery, original),
        *(_failed_attempt(attempt) for attempt in attempts),
        *_ending(delivery),
        *_afterwards(delivery),
        *(_replayed(replay) for replay in replays),
        *_next(delivery, lane, hold),
    ]


def _relatives(delivery: Delivery) -> tuple[Lane | None, UUID | None, list[Delivery]]:
    """Read in one query what such a row needs: an open one its lane, a finished one its replays; both the original."""
    if delivery.lane_id is not None and not delivery.is_terminal:
        lanes: QuerySet[Lane] = Lane.objects.filter(pk=delivery.lane_id)
        if delivery.replay_of_id is not None:
            lanes = lanes.annotate(original=Subquery(_job_id_of(delivery.replay_of_id)))
        lane = lanes.get()
        return lane, getattr(lane, "original", None), []
    # By person, because that is indexed: a replay goes to the same one, and is younger.
    related = Q(replay_of=delivery, pk__gt=delivery.pk)
    if delivery.replay_of_id is not None:
        related |= Q(pk=delivery.replay_of_id)
    rows = Delivery.objects.filter(related, tenant=delivery.tenant_id, user_id=delivery.user_id).order_by("id")
    found = list(rows.only("job_id", "accepted_at", "entrance"))
    originals = [row.job_id for row in found if row.pk == delivery.replay_of_id]
    return None, next(iter(originals), None), [row for row in found if row.pk > delivery.pk]


def _accepted(delivery: Delivery, original: UUID | None) -> TimelineEvent:
    entrance = delivery.entrance
    if match := _KAFKA.fullmatch(entrance):
        topic, partition, offset = match["topic"], int(match["partition"]), int(match["offset"])
        detail = f"From Kafka: topic {topic}, partition {partition}, offset {offset}."
        facts: Facts = {"topic": topic, "partition": partition, "offset": offset}
        return TimelineEvent(delivery.accepted_at, Kind.ACCEPTED, "Accepted", detail, facts)
    if entrance.startswith("api:"):
        key = entrance.removeprefix("api:")
        return TimelineEvent(delivery.accepted_at, Kind.ACCEPTED, "Accepted", f"By HTTP, key {key}…", {"key": key})
    if entrance.startswith("replay:"):
        by = entrance.removeprefix("replay:")
        detail = f"Sent again by {by}" + (f", after job {original}." if original else ".")
        facts = {"by": by, **({"job_id": str(original)} if original else {})}
        return TimelineEvent(delivery.accepted_at, Kind.REPLAY_OF, "Accepted once more", detail, facts)
    return TimelineEvent(delivery.accepted_at, Kind.ACCEPTED, "Accepted", f"From {entrance}.", {"entrance": entrance})


def _failed_attempt(attempt: DeliveryAttempt) -> TimelineEvent:
    title = f"Attempt {attempt.number} " + ("may have been sent" if attempt.is_ambiguous else "failed")
    facts: dict[str, str | int | bool] = {
        "attempt": attempt.number,
        "code": attempt.code,
        "message": attempt.message,
        "is_ambiguous": attempt.is_ambiguous,
    }
    if attempt.provider:
        facts["provider"] = attempt.provider
    if attempt.duration_ms is not None:
        facts["duration_ms"] = attempt.duration_ms
    told = [attempt.provider, attempt.code, _milliseconds(attempt.duration_ms)]
    return TimelineEvent(attempt.finished_at, Kind.ATTEMPT_FAILED, title, f"{_joined(told)}: {attempt.message}", facts)


def _ending(delivery: Delivery) -> Iterator[TimelineEvent]:
    """Tell how the present attempt stands, or how the row ended."""
    if delivery.status == Status.SENDING and delivery.started_at is not None:
        number = delivery.attempts
        yield TimelineEvent(delivery.started_at, Kind.SENDING, f"Attempt {number} in progress", "", {"attempt": number})
    if delivery.finished_at is None:
        return
    if delivery.status == Status.SENT:
        yield _sent(delivery, delivery.finished_at)
        return
    kind, title = {
        Status.FAILED: (Kind.FAILED, "Failed"),
        Status.EXPIRED: (Kind.EXPIRED, "Too late"),
        Status.SUPPRESSED: (Kind.SUPPRESSED, "Not sent"),
        Status.CANCELLED: (Kind.CANCELLED, "Cancelled"),
    }[Status(delivery.status)]
    why = describe(delivery.reason)
    detail = _joined([why.title, delivery.error_message], ": ")
    yield TimelineEvent(delivery.finished_at, kind, title, detail, {"code": delivery.reason})


def _sent(delivery: Delivery, at: datetime) -> TimelineEvent:
    facts: dict[str, str | int | bool] = {"attempt": delivery.attempts, "provider": delivery.provider}
    if delivery.provider_message_id:
        facts["provider_message_id"] = delivery.provider_message_id
    if delivery.duration_ms is not None:
        facts["duration_ms"] = delivery.duration_ms
    if delivery.address:
        facts["address"] = delivery.address
    told = [
        delivery.provider,
        delivery.address and f"to {delivery.address}",
        _milliseconds(delivery.duration_ms),
        delivery.provider_message_id and f"its id {delivery.provider_message_id}",
    ]
    title = "In inbox" if delivery.channel == Channel.WS else "Handed to provider"
    return TimelineEvent(at, Kind.SENT, title, _joined(told), facts)


def _afterwards(delivery: Delivery) -> list[TimelineEvent]:
    later = [
        (delivery.read_at, Kind.SEEN, "Seen"),
        (delivery.acknowledged_at, Kind.ACKNOWLEDGED, "Acknowledged"),
        (delivery.recalled_at if delivery.status == Status.SENT else None, Kind.RECALLED, "Removed from inbox"),
    ]
    events = [TimelineEvent(at, kind, title) for at, kind, title in later if at]
    events += [_reported(report) for report in (delivery.details or {}).get("reports", ())]
    return sorted(events, key=lambda event: event.at)


def _reported(report: Mapping[str, str]) -> TimelineEvent:
    """Tell what the provider reported, as `lifecycle.record_outcomes` keeps it."""
    kind = Kind(report["outcome"])
    facts = {"code": report["code"], "message": report["message"]} if report["code"] or report["message"] else {}
    return TimelineEvent(datetime.fromisoformat(report["at"]), kind, kind.capitalize(), report["message"], facts)


def _replayed(replay: Delivery) -> TimelineEvent:
    detail = f"As job {replay.job_id}, by {replay.entrance.removeprefix('replay:')}."
    return TimelineEvent(replay.accepted_at, Kind.REPLAYED, "Sent again", detail, {"job_id": str(replay.job_id)})


def _next(delivery: Delivery, lane: Lane | None, hold: Hold | None) -> Iterator[TimelineEvent]:
    """Tell what a waiting row waits for, until when and why."""
    due = delivery.next_attempt_at
    if lane is None or due is None or not delivery.is_waiting:
        return
    if hold is not None:
        since = max(hold.held_at, delivery.accepted_at)
        yield TimelineEvent(since, Kind.HELD, "On hold", f"By {hold.held_by}: {hold.reason}", {"by": hold.held_by})
        return
    if lane.paused_at is not None:
        detail = _joined([f"By {lane.paused_by}" if lane.paused_by else "", lane.pause_reason], ": ")
        yield TimelineEvent(lane.paused_at, Kind.HELD, "On hold", detail, {"by": lane.paused_by})
        return
    now = timezone.now()
    if lane.not_before is not None and lane.not_before > max(now, due):
        yield TimelineEvent(lane.not_before, Kind.WAITING, "Waiting", "Nothing of its kind goes out before this time.")
    elif delivery.status == Status.RETRYING or delivery.reason:
        detail = f"Next try at {due:%H:%M:%S} UTC, because: {describe(delivery.reason).title}."
        yield TimelineEvent(due, Kind.WAITING, "Trying again", detail, {"code": delivery.reason})
    elif due > now:
        yield TimelineEvent(due, Kind.WAITING, "Waiting", "The job asked not to be sent before this time.")
    else:
        yield TimelineEvent(due, Kind.WAITING, "Waiting", "Due; the next free sender takes it.")


def _job_id_of(delivery_id: int) -> QuerySet[Delivery, UUID]:
    return Delivery.objects.filter(pk=delivery_id).values_list("job_id", flat=True)


def _milliseconds(duration_ms: int | None) -> str:
    return "" if duration_ms is None else f"{duration_ms:,} ms"


def _joined(parts: list[str], separator: str = ", ") -> str:
    return separator.join(part for part in parts if part)
