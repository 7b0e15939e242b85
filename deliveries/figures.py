"""The figures on the dashboard, each by a fixed number of queries however many rows there are. Reads only; no words, no HTML.

The balance is one statement, so both of its sides see the same snapshot: what was accepted comes from receipts, what
became of it from the rows, and the two may differ only when a job is lost. Copies made by staff (entrance `replay:…`)
have no receipt; they count on neither side.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.db.models import Count, Max
from django.utils import timezone

from deliveries.channels import Channel
from deliveries.lifecycle.accept_people import ENTRANCE
from deliveries.lifecycle.holds import ASIDE, lane_is_held
from deliveries.models import DeadLetter, Delivery, Hold, Lane, Notice, Provider, WorkerHeartbeat
from deliveries.notices import HARMS_SENDING

CHART_MINUTES: Final = 60
RATE_MINUTES: Final = 5
BALANCE_HOURS: Final = 24
CAUSES: Final = 5
NOTICES: Final = 100
COUNT_LIMIT: Final = 10_000
#: Reading the figures may take this share of one connection's time; what is slow is read less often.
LOAD_SHARE: Final = 0.05
CACHE_SECONDS: Final = 3.0
CACHE_KEY: Final = "deliveries.figures"

BALANCE_SQL: Final = """
SELECT (SELECT coalesce(sum(accepted), 0) FROM deliveries_receipt WHERE hour >= %(since)s)::bigint,
    (SELECT coalesce(sum(lost), 0) FROM deliveries_outboxposition)::bigint,
    count(*) FILTER (WHERE status = 'SENT'),
    count(*) FILTER (WHERE status = 'FAILED'),
    count(*) FILTER (WHERE status IN ('EXPIRED', 'SUPPRESSED', 'CANCELLED')),
    count(*) FILTER (WHERE status IN ('PENDING', 'SENDING', 'RETRYING'))
FROM notification_delivery
WHERE accepted_at >= %(since)s AND entrance NOT LIKE 'replay:%%'
"""

# One bounded look into each lane, by the claim's own index, which has nothing that was put aside for a hold. A lane with a pace or on
# hold is late on purpose, and so is a broadcast's, which waits for whatever else there is.
QUEUE_SQL: Final = f"""
SELECT lane.channel,
    count(due.next_attempt_at),
    min(due.next_attempt_at) FILTER (WHERE NOT lane.on_purpose),
    mode() WITHIN GROUP (ORDER BY nullif(due.reason, '')) FILTER (WHERE NOT lane.on_purpose)
FROM (
    SELECT id, channel, (paused_at IS NOT NULL OR cancelled_at IS NOT NULL OR pace_per_minute IS NOT NULL
        OR starts_with(source, '{ENTRANCE}') OR {lane_is_held("deliveries_lane")}
        OR coalesce(not_before > statement_timestamp(), false)) AS on_purpose
    FROM deliveries_lane
) lane
CROSS JOIN LATERAL (
    SELECT next_attempt_at, reason FROM notification_delivery
    WHERE channel = lane.channel AND lane_id = lane.id AND lease_expires_at IS NULL AND next_attempt_at IS NOT NULL
        AND hold_id IS NULL AND next_attempt_at <= statement_timestamp()
    ORDER BY next_attempt_at LIMIT %(limit)s
) due
GROUP BY lane.channel
"""

# What waits in the lanes that a hold keeps whole, and what was put aside for it, each bounded.
HOLDS_SQL: Final = f"""SELECT counted.id, counted.waiting FROM ({ASIDE}
SELECT h.id, least(%(limit)s, CASE WHEN h.template_code = '' AND h.category = '' THEN (
        SELECT count(*) FROM (SELECT FROM deliveries_lane l CROSS JOIN LATERAL (
            SELECT FROM notification_delivery d
            WHERE d.channel = l.channel AND d.lane_id = l.id
                AND d.lease_expires_at IS NULL AND d.next_attempt_at IS NOT NULL AND d.hold_id IS NULL LIMIT %(limit)s) w
            WHERE coalesce(h.tenant_id = l.tenant_id, true) AND h.channel IN ('', l.channel) LIMIT %(limit)s) whole) ELSE 0 END
    + (SELECT count(*) FROM (SELECT FROM aside a JOIN deliveries_lane l ON l.id = a.lane_id CROSS JOIN LATERAL (
            SELECT FROM notification_delivery d WHERE d.hold_id = a.hold_id AND d.lane_id = a.lane_id LIMIT %(limit)s) w
        WHERE a.hold_id = h.id OR (h.template_code = '' AND h.category = ''
            AND coalesce(h.tenant_id = l.tenant_id, true) AND h.channel IN ('', l.channel)) LIMIT %(limit)s) put_aside)) AS waiting
FROM deliveries_hold h WHERE h.ended_at IS NULL) counted
"""

# By accepted_at first, which has the index: a job that waited for more than a day is not in the chart.
FLOW_SQL: Final = """
SELECT channel, date_trunc('minute', finished_at),
    count(*) FILTER (WHERE status = 'SENT'), count(*) FILTER (WHERE status = 'FAILED')
FROM notification_delivery
WHERE accepted_at >= %(accepted)s AND finished_at >= %(finished)s
GROUP BY 1, 2
"""

# From each retried dead letter to the copy that was made of its delivery, by the index of the person.
RETRIES_SQL: Final = """
SELECT letter.reason, letter.channel, letter.template_code,
    count(*) FILTER (WHERE copy.status = 'SENT'),
    count(*) FILTER (WHERE copy.status = 'FAILED'),
    count(*) FILTER (WHERE copy.status IN ('EXPIRED', 'SUPPRESSED', 'CANCELLED')),
    count(*) FILTER (WHERE copy.status IN ('PENDING', 'SENDING', 'RETRYING'))
FROM deliveries_deadletter letter
JOIN notification_delivery first ON first.id = letter.delivery_id
JOIN notification_delivery copy ON copy.tenant_id = first.tenant_id AND copy.user_id = first.user_id AND copy.id > first.id
    AND copy.replay_of_id = first.id
WHERE letter.state = 'retrying'
GROUP BY 1, 2, 3
"""


@dataclass(frozen=True, slots=True)
class Retries:
    """What became of a group's retried messages, counted from their copies."""

    sent: int
    failed: int
    not_sent: int
    waiting: int

    @property
    def total(self) -> int:
        """All copies."""
        return self.sent + self.failed + self.not_sent + self.waiting


@dataclass(frozen=True, slots=True)
class Balance:
    """What was accepted since `since` and what became of it. `lost`: records passed over unread since the service began."""

    since: datetime
    received: int
    lost: int
    sent: int
    failed: int
    not_sent: int
    waiting: int

    @property
    def accepted(self) -> int:
        """What came in, by receipts and offsets."""
        return self.received + self.lost

    @property
    def unaccounted(self) -> int:
        """What was accepted and has no row. Below zero: rows that no receipt vouches for."""
        return self.accepted - self.sent - self.failed - self.not_sent - self.waiting


@dataclass(frozen=True, slots=True)
class Queue:
    """What of a channel is due, up to a limit a lane. `oldest_due_at` and `late_reason` leave out what is late on purpose."""

    due: int = 0
    oldest_due_at: datetime | None = None
    late_reason: str = ""


@dataclass(frozen=True, slots=True)
class OnHold:
    """A hold, and how many rows wait behind it: up to COUNT_LIMIT. One that was let go stays until all of them are back."""

    hold: Hold
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class ChannelFigures:
    """One channel now. `due` stops at COUNT_LIMIT a lane. `oldest_due_at` leaves out what is late on purpose."""

    channel: str
    has_sender: bool
    due: int = 0
    oldest_due_at: datetime | None = None
    late_reason: str = ""
    sent_lately: int = 0
    sent_in_hour: int = 0
    failed_in_hour: int = 0

    @property
    def sent_per_minute(self) -> float:
        """The rate over the last RATE_MINUTES minutes."""
        return self.sent_lately / RATE_MINUTES


@dataclass(frozen=True, slots=True)
class Minute:
    """One bar of the chart."""

    at: datetime
    sent: int
    failed: int


@dataclass(frozen=True, slots=True)
class Cause:
    """Open dead letters of one reason on one channel."""

    kind: str
    reason: str
    channel: str
    count: int
    last_at: datetime


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything that the dashboard shows, read at `read_at`. `notices`: the open ones that touch the sending of messages."""

    read_at: datetime
    balance: Balance
    channels: list[ChannelFigures]
    minutes: list[Minute]
    causes: list[Cause]
    workers: list[WorkerHeartbeat] = field(default_factory=list)
    holds: list[OnHold] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    is_empty: bool = False


def current() -> Figures:
    """Return figures a few seconds old at most; read anew when they are older. The slower the reading, the rarer it is."""
    figures: Figures | None = cache.get(CACHE_KEY)
    if figures is None:
        started = time.monotonic()
        figures = read()
        cache.set(CACHE_KEY, figures, max(CACHE_SECONDS, (time.monotonic() - started) / LOAD_SHARE))
    return figures


def forget() -> None:
    """Make the next `current` read anew in this process, after something that staff expect to see at once."""
    cache.delete(CACHE_KEY)


def read() -> Figures:
    """Read all figures now: a fixed number of queries."""
    now = timezone.now()
    flow = _rows(
        FLOW_SQL, accepted=now - timedelta(hours=BALANCE_HOURS), finished=now - timedelta(minutes=CHART_MINUTES)
    )
    return Figures(
        read_at=now,
        balance=balance(now),
        channels=_channels(now, flow),
        minutes=_minutes(now, flow),
        causes=causes(),
        workers=list(WorkerHeartbeat.objects.exclude(state=WorkerHeartbeat.State.STOPPED)),
        holds=holds(),
        notices=list(
            Notice.objects.filter(ended_at=None, kind__in=HARMS_SENDING).order_by("kind", "opened_at")[:NOTICES]
        ),
        is_empty=not Delivery.objects.exists(),
    )


def balance(now: datetime) -> Balance:
    """Count both sides of the last BALANCE_HOURS whole hours and the running one, in one statement."""
    since = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=BALANCE_HOURS)
    (row,) = _rows(BALANCE_SQL, since=since)
    return Balance(since, *row)


def holds() -> list[OnHold]:
    """Return what is on hold or on its way back, the oldest first, with the rows that wait behind each. Two queries."""
    waiting = dict(_rows(HOLDS_SQL, limit=COUNT_LIMIT))
    open_holds = Hold.objects.filter(ended_at=None).select_related("tenant").order_by("id")
    return [OnHold(hold, waiting.get(hold.pk, 0)) for hold in open_holds]


def queues(*, limit: int = COUNT_LIMIT) -> dict[str, Queue]:
    """Return each channel that has due rows, by one bounded look into each lane."""
    return {row[0]: Queue(row[1], row[2], row[3] or "") for row in _rows(QUEUE_SQL, limit=limit)}


def causes(limit: int = CAUSES) -> list[Cause]:
    """Return the most frequent causes among open dead letters."""
    groups = (
        DeadLetter.objects.filter(state=DeadLetter.State.OPEN)
        .order_by()
        .values("kind", "reason", "channel")
        .annotate(count=Count("id"), last_at=Max("failed_at"))
        .order_by("-count", "reason")[:limit]
    )
    return [Cause(**group) for group in groups]


def retries() -> dict[tuple[str, str, str], Retries]:
    """Return how far the retries of each group (reason, channel, template code) are. One query; survives a reload."""
    return {(row[0], row[1], row[2]): Retries(*row[3:]) for row in _rows(RETRIES_SQL)}


def _channels(now: datetime, flow: Sequence[tuple[Any, ...]]) -> list[ChannelFigures]:
    waiting = queues()
    lanes = Lane.objects.filter(cancelled_at=None).order_by().values_list("channel", flat=True).distinct()
    lately = now - timedelta(minutes=RATE_MINUTES)
    served = {*settings.CHANNEL_SENDERS, *Provider.objects.filter(is_enabled=True).values_list("channel", flat=True)}
    names = {*served, *waiting, *lanes, *(row[0] for row in flow)}
    known = [channel.value for channel in Channel]
    figures = []
    for name in sorted(names, key=lambda name: (known.index(name) if name in known else len(known), name)):
        queue = waiting.get(name, Queue())
        mine = [row for row in flow if row[0] == name]
        figures.append(
            ChannelFigures(
                channel=name,
                has_sender=name in served,
                due=queue.due,
                oldest_due_at=queue.oldest_due_at,
                late_reason=queue.late_reason,
                sent_lately=sum(sent for _, minute, sent, _ in mine if minute >= lately),
                sent_in_hour=sum(sent for _, _, sent, _ in mine),
                failed_in_hour=sum(failed for _, _, _, failed in mine),
            )
        )
    return figures


def _minutes(now: datetime, flow: Sequence[tuple[Any, ...]]) -> list[Minute]:
    last = now.replace(second=0, microsecond=0)
    counts: dict[datetime, list[int]] = {}
    for _, minute, sent, failed in flow:
        total = counts.setdefault(minute, [0, 0])
        total[0] += sent
        total[1] += failed
    steps = (last - timedelta(minutes=back) for back in reversed(range(CHART_MINUTES)))
    return [Minute(at, *counts.get(at, (0, 0))) for at in steps]


def _rows(sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return list(cursor.fetchall())
