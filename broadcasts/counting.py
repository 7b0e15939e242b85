"""The figures of a broadcast, counted from its rows. Never incremented: `counts` on the broadcast is only a copy of the last count.

Its rows are a range of job ids. A row that was tried again by staff is followed by its replays, which lie in the same range: of each
recipient the newest row counts, so the sum stays the number of recipients.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Final

from django.db import connection
from django.db.models import Count
from django.db.models.functions import Now

from broadcasts import job_ids
from broadcasts.changes import lanes_of
from broadcasts.models import Broadcast, LeftOut
from broadcasts.states import ACTIVE
from deliveries.channels import OPEN, Status

_ROWS: Final = "d.tenant_id = %(tenant)s AND d.job_id BETWEEN %(first)s AND %(last)s"
# A replay counts in the place of the row before it, in the range of ids of its own recipient (`job_ids.py`): so of each recipient only the
# newest row does, whichever of them were replayed, and however often. A broadcast without replays pays for one more look at its ids.
_COUNT: Final = f"""
SELECT channel, status, reason, outcome, sum(n)::bigint FROM (
    SELECT d.channel, d.status, d.reason, d.outcome, count(*) AS n FROM notification_delivery d WHERE {_ROWS} GROUP BY 1, 2, 3, 4
    UNION ALL
    SELECT o.channel, o.status, o.reason, o.outcome, -count(*)
    FROM notification_delivery d CROSS JOIN LATERAL (
        SELECT o.channel, o.status, o.reason, o.outcome FROM notification_delivery o
        WHERE o.tenant_id = d.tenant_id AND o.job_id < d.job_id AND o.job_id >= overlay(d.job_id::text PLACING '00' FROM 35)::uuid
        ORDER BY o.job_id DESC LIMIT 1) o
    WHERE {_ROWS} AND get_byte(uuid_send(d.job_id), 15) > 0 GROUP BY 1, 2, 3, 4
) counted GROUP BY 1, 2, 3, 4 HAVING sum(n) <> 0
"""
_OPEN_ROW: Final = """
SELECT EXISTS (SELECT FROM deliveries_lane l CROSS JOIN LATERAL (SELECT FROM notification_delivery d
        WHERE d.channel = l.channel AND d.lane_id = l.id AND d.lease_expires_at IS NULL AND d.next_attempt_at IS NOT NULL
            AND d.hold_id IS NULL LIMIT 1) waiting
    WHERE l.id = ANY (%(lanes)s))
"""
_POINT: Final = """
INSERT INTO broadcasts_broadcastpoint AS p (broadcast_id, minute, counted_at, sent, failed, over)
VALUES (%s, date_trunc('minute', statement_timestamp()), statement_timestamp(), %s, %s, %s)
ON CONFLICT (broadcast_id, minute) DO UPDATE SET counted_at = excluded.counted_at, sent = excluded.sent, failed = excluded.failed,
    over = excluded.over WHERE p.counted_at <= excluded.counted_at
"""


@dataclass(frozen=True, slots=True)
class Counts:
    """Recipients by channel, status, reason and outcome; and who was left out, by reason. A recipient is a person on a channel."""

    rows: list[tuple[str, str, str, str, int]] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)

    def of(self, *statuses: str, channel: str = "") -> int:
        """Return how many are in one of these statuses (all, when none is named)."""
        return sum(
            count
            for each, status, _reason, _outcome, count in self.rows
            if (not statuses or status in statuses) and channel in ("", each)
        )

    @property
    def total(self) -> int:
        """Return how many recipients have a row."""
        return self.of()

    @property
    def waiting(self) -> int:
        """Return how many are not over yet."""
        return self.of(*OPEN)

    @property
    def not_sent(self) -> int:
        """Return how many were neither sent nor failed, but for those that staff cancelled: too late, or somebody does not want it."""
        return self.of(Status.EXPIRED, Status.SUPPRESSED)

    @property
    def over(self) -> int:
        """Return how many are over."""
        return self.total - self.waiting

    @property
    def by_status(self) -> dict[str, int]:
        """Return the counts by status, all statuses named."""
        return {status.value: self.of(status) for status in Status}

    @property
    def by_channel(self) -> dict[str, dict[str, int]]:
        """Return the counts by channel and status; only those that are there."""
        found: dict[str, dict[str, int]] = {}
        for channel, status, _reason, _outcome, count in self.rows:
            of_channel = found.setdefault(channel, {})
            of_channel[status] = of_channel.get(status, 0) + count
        return found

    @property
    def outcomes(self) -> dict[str, int]:
        """Return what providers and people told of what was sent: delivered, bounced, seen, …"""
        found: dict[str, int] = {}
        for _channel, status, _reason, outcome, count in self.rows:
            if outcome and status == Status.SENT:
                found[outcome] = found.get(outcome, 0) + count
        return found

    @property
    def causes(self) -> list[tuple[str, str, int]]:
        """Return why rows failed: (reason, channel, count), the commonest first."""
        failed: dict[tuple[str, str], int] = {}
        for channel, status, reason, _outcome, count in self.rows:
            if status == Status.FAILED:
                failed[reason, channel] = failed.get((reason, channel), 0) + count
        return sorted(((reason, channel, n) for (reason, channel), n in failed.items()), key=lambda each: -each[2])

    def as_json(self) -> dict[str, Any]:
        """Return it as the broadcast keeps it."""
        return {"rows": [list(row) for row in self.rows], "left_out": self.left_out, "waiting": self.waiting}

    @classmethod
    def of_json(cls, stored: dict[str, Any]) -> Counts:
        """Return what was kept."""
        return cls([tuple(row) for row in stored.get("rows", [])], stored.get("left_out", {}))


def count(broadcast: Broadcast) -> Counts:
    """Count now. Two queries, each over the rows of this broadcast only; none before it began."""
    if broadcast.stamp_ms is None:
        return Counts()
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, row_range(broadcast))
        rows = [(str(c), str(s), str(r), str(o), int(n)) for c, s, r, o, n in cursor.fetchall()]
    left_out = LeftOut.objects.filter(broadcast=broadcast).order_by().values_list("reason").annotate(n=Count("*"))
    return Counts(sorted(rows), dict(left_out))


def kept(broadcast: Broadcast) -> Counts:
    """Return the last count without asking the database."""
    return Counts.of_json(broadcast.counts)


def count_and_keep(broadcast: Broadcast, *, is_last: bool = False) -> Counts:
    """Count, and keep the copy that lists show; while it is on its way, and at its end (`is_last`), also as the point of this minute."""
    counts = count(broadcast)
    Broadcast.objects.filter(pk=broadcast.pk).update(counts=counts.as_json(), counted_at=Now())
    if is_last or broadcast.state in ACTIVE:
        _keep_point(broadcast, counts)
    return counts


def _keep_point(broadcast: Broadcast, counts: Counts) -> None:
    sent = {channel: counts.of(Status.SENT, channel=channel) for channel in counts.by_channel}
    with connection.cursor() as cursor:
        cursor.execute(_POINT, [broadcast.pk, json.dumps(sent), max(0, counts.of(Status.FAILED)), max(0, counts.over)])


def has_waiting(broadcast: Broadcast) -> bool:
    """Say whether a row surely waits in its lanes, by the claim's index, however many there are. False decides nothing: count then."""
    with connection.cursor() as cursor:
        cursor.execute(_OPEN_ROW, {"lanes": lanes_of(broadcast)})
        return bool(cursor.fetchone()[0])


def row_range(broadcast: Broadcast) -> dict[str, Any]:
    """Return the parameters `tenant`, `first` and `last` that its rows lie between."""
    first, last = job_ids.bounds(stamp_ms=broadcast.stamp_ms or 0, broadcast_id=broadcast.pk)
    return {"tenant": broadcast.tenant_id, "first": first, "last": last}
