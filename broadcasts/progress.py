"""How far a broadcast is, for the page that watches it: parts that add up, the rate, when it ends, the chart. Pure but for `read`.

Nothing here counts rows: the figures are those that the worker counted last, however many rows there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from django.db.models import Sum
from django.utils import timezone

from broadcasts.counting import Counts, kept
from broadcasts.models import Broadcast, BroadcastPoint
from broadcasts.states import ACTIVE, ENDED, State
from deliveries.channels import OPEN, Status
from deliveries.models import Receipt

#: The rate is that of at least so long; shorter stretches jump.
RATE_OVER: Final = timedelta(seconds=20)
MOST_BARS: Final = 120
#: So many of the newest points are read: three days of a broadcast that is on its way.
MOST_POINTS: Final = 4320
NOT_SENT: Final = (Status.EXPIRED, Status.SUPPRESSED)
MINUTE: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Chart:
    """What went out in each step, by channel, and what failed. A step is one minute, or several where it took long."""

    labels: list[datetime] = field(default_factory=list)
    sent: dict[str, list[int]] = field(default_factory=dict)
    failed: list[int] = field(default_factory=list)
    step_minutes: int = 1


@dataclass(frozen=True, slots=True)
class Progress:
    """`made`: how many rows it accepted, by its receipts, apart from the rows themselves. `expected`: how many there will be, as far as
    is known. `rate`: how many end a minute. `unaccounted`: accepted, and no row there; None while figures still move."""

    broadcast: Broadcast
    read_at: datetime
    counts: Counts
    made: int
    expected: int
    rate: float
    ends_at: datetime | None
    chart: Chart
    unaccounted: int | None

    @property
    def is_over(self) -> bool:
        """Say whether the figures stand: it has ended, and was counted since."""
        broadcast = self.broadcast
        if broadcast.state not in ENDED or broadcast.stamp_ms is None or broadcast.state == State.FAILED:
            return broadcast.state in ENDED
        ended, counted = broadcast.finished_at, broadcast.counted_at
        return not self.counts.waiting and ended is not None and counted is not None and counted >= ended

    @property
    def left(self) -> int:
        """How many are still to come: waiting, or not even made."""
        return max(0, self.expected - self.counts.over)

    @property
    def sent(self) -> int:
        """How many were sent."""
        return self.counts.of(Status.SENT)

    @property
    def failed(self) -> int:
        """How many failed."""
        return self.counts.of(Status.FAILED)

    @property
    def not_sent(self) -> int:
        """How many were too late, or somebody did not want them any more."""
        return self.counts.of(*NOT_SENT)

    @property
    def cancelled(self) -> int:
        """How many staff cancelled."""
        return self.counts.of(Status.CANCELLED)

    @property
    def waiting(self) -> int:
        """How many wait or are on their way."""
        return self.counts.of(*OPEN)

    @property
    def left_out(self) -> int:
        """How many of the audience get nothing."""
        return sum(self.counts.left_out.values())

    @property
    def audience(self) -> int:
        """Everybody who was looked at: recipients and those left out."""
        return self.counts.total + self.left_out


def read(broadcast: Broadcast) -> Progress:
    """Return how far it is, by what the worker counted last. Two queries."""
    newest = BroadcastPoint.objects.filter(broadcast=broadcast).order_by("-minute")[:MOST_POINTS]
    receipts = Receipt.objects.filter(tenant=broadcast.tenant_id, entrance=broadcast.source)
    made = receipts.aggregate(made=Sum("accepted"))["made"] or 0
    return progress(broadcast, list(reversed(newest)), made=made, now=timezone.now())


def progress(broadcast: Broadcast, points: Sequence[BroadcastPoint], *, made: int, now: datetime) -> Progress:
    """Work it out. `points`: the oldest first."""
    counts = kept(broadcast)
    is_whole = broadcast.fanned_out_at is not None or broadcast.state not in ACTIVE
    expected = counts.total if is_whole else max(counts.total, broadcast.approved_size or 0)
    speed = rate(broadcast, points, counts, now) if broadcast.state == State.SENDING else 0.0
    left = max(0, expected - counts.over)
    is_settled = broadcast.state in (State.COMPLETED, State.CANCELLED) and not counts.waiting
    return Progress(
        broadcast=broadcast,
        read_at=broadcast.counted_at or now,
        counts=counts,
        made=made,
        expected=expected,
        rate=speed,
        ends_at=now + timedelta(minutes=left / speed) if left and speed > 0 else None,
        chart=chart(points),
        unaccounted=made - counts.total if is_settled else None,
    )


def rate(broadcast: Broadcast, points: Sequence[BroadcastPoint], counts: Counts, now: datetime) -> float:
    """Return how many ended a minute lately, or since it began where that is not long ago."""
    at = broadcast.counted_at or now
    before = next((point for point in reversed(points) if at - point.counted_at >= RATE_OVER), None)
    since, over = (before.counted_at, before.over) if before else (broadcast.started_at or at, 0)
    minutes = (at - since) / MINUTE
    return max(0.0, (counts.over - over) / minutes) if minutes > 0 else 0.0


def chart(points: Sequence[BroadcastPoint]) -> Chart:
    """Turn sums into what came about in each step; steps without a count show nothing."""
    if not points:
        return Chart()
    first, last = points[0].minute, points[-1].minute
    steps = int((last - first) / MINUTE) + 1
    width = -(-steps // MOST_BARS)
    bars = -(-steps // width)
    channels = sorted({channel for point in points for channel in point.sent})
    sent = {channel: [0] * bars for channel in channels}
    failed = [0] * bars
    before_sent: Mapping[str, Any] = {}
    before_failed = 0
    for point in points:
        bar = int((point.minute - first) / MINUTE) // width
        for channel in channels:
            sent[channel][bar] += max(0, int(point.sent.get(channel, 0)) - int(before_sent.get(channel, 0)))
        failed[bar] += max(0, point.failed - before_failed)
        before_sent, before_failed = point.sent, point.failed
    return Chart([first + bar * width * MINUTE for bar in range(bars)], sent, failed, width)
