"""What staff do with the undeliverable: see it in groups by cause, retry a group, dismiss it. Publishing is in
`dead_letter_relay.py`.

A group is a cause, a channel and a template, of what failed or of what could not be read. A retry is a replay: nobody
got the first message, the old row stays as it is, and a new one goes out in a lane of its own, at its own pace.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connection, transaction

from deliveries import hints, lifecycle
from deliveries.channels import Priority
from deliveries.ingest import refusal_of
from deliveries.lifecycle import has_younger
from deliveries.models import DeadLetter

CHUNK = 500
MOST_GROUPS = 500
Kind = DeadLetter.Kind
State = DeadLetter.State

IN_TENANTS = "(%(tenants)s::bigint[] IS NULL OR letter.tenant_id = ANY (%(tenants)s))"
IN_GROUP = f"""letter.kind = %(kind)s AND letter.reason = %(reason)s AND letter.channel = %(channel)s
    AND letter.template_code = %(template_code)s AND {IN_TENANTS}"""
OPEN_IN_GROUP = f"letter.state = 'open' AND {IN_GROUP}"
# Also what lost its words, as its template asks: it could not be sent at any time.
TOO_LATE = """(delivery.blanked_at IS NOT NULL
    OR delivery.expires_at IS NOT NULL AND delivery.expires_at <= statement_timestamp())"""

GROUPS = f"""
SELECT letter.kind, letter.reason, letter.channel, letter.template_code, count(*), min(letter.failed_at), max(letter.failed_at),
    count(*) FILTER (WHERE letter.failed_at > statement_timestamp() - interval '1 hour'),
    count(*) FILTER (WHERE letter.failed_at > statement_timestamp() - interval '2 hours'
                       AND letter.failed_at <= statement_timestamp() - interval '1 hour'),
    max(letter.id)
FROM deliveries_deadletter letter
WHERE letter.state = %(state)s AND (%(kind)s::text IS NULL OR letter.kind = %(kind)s) AND {IN_TENANTS}
GROUP BY 1, 2, 3, 4 ORDER BY 5 DESC, 7 DESC LIMIT %(most)s
"""
COUNT_OPEN = f"SELECT count(*) FROM deliveries_deadletter letter WHERE {OPEN_IN_GROUP}"
OPEN_TENANTS = f"SELECT DISTINCT letter.tenant_id FROM deliveries_deadletter letter WHERE {OPEN_IN_GROUP} ORDER BY 1"
COUNT_TOO_LATE = f"""
SELECT count(*) FROM deliveries_deadletter letter JOIN notification_delivery delivery ON delivery.id = letter.delivery_id
WHERE {OPEN_IN_GROUP} AND {TOO_LATE}
"""
# Of what staff paused, cancelled or removed: nothing more of it goes out by the way of another lane.
IS_STOPPED = "(lane.paused_at IS NOT NULL OR lane.cancelled_at IS NOT NULL)"
STOPPED = f"EXISTS (SELECT FROM deliveries_lane lane WHERE lane.id = delivery.lane_id AND {IS_STOPPED})"
COUNT_STOPPED = f"""
SELECT count(*) FILTER (WHERE lane.cancelled_at IS NULL), count(*) FILTER (WHERE lane.cancelled_at IS NOT NULL)
FROM deliveries_deadletter letter JOIN notification_delivery delivery ON delivery.id = letter.delivery_id
JOIN deliveries_lane lane ON lane.id = delivery.lane_id
WHERE {OPEN_IN_GROUP} AND NOT {TOO_LATE} AND {IS_STOPPED}
"""
LANES = f"""
SELECT delivery.tenant_id, delivery.priority, min(coalesce(lane.bucket_id, lane.id)) FILTER (WHERE lane.source <> '')
FROM deliveries_deadletter letter JOIN notification_delivery delivery ON delivery.id = letter.delivery_id
LEFT JOIN deliveries_lane lane ON lane.id = delivery.lane_id
WHERE {OPEN_IN_GROUP} AND NOT {TOO_LATE} AND NOT {STOPPED}
GROUP BY delivery.tenant_id, delivery.priority
"""
# The delivery is locked first, as whoever sends a single one again does: what they hold is left to them.
TAKE = f"""
SELECT letter.id, letter.delivery_id
FROM deliveries_deadletter letter JOIN notification_delivery delivery ON delivery.id = letter.delivery_id
WHERE {OPEN_IN_GROUP} AND letter.id > %(after)s AND NOT {TOO_LATE} AND NOT {STOPPED} AND NOT {has_younger("delivery")}
ORDER BY letter.id LIMIT %(limit)s FOR NO KEY UPDATE OF delivery, letter SKIP LOCKED
"""
# A recipient of a fan-out whose row was sent again since: the newer row tells what became of it.
SETTLE_OVERTAKEN = f"""
UPDATE deliveries_deadletter SET state = 'retrying', settled_by = %(by)s, settled_at = statement_timestamp()
WHERE id IN (SELECT letter.id FROM deliveries_deadletter letter JOIN notification_delivery delivery ON delivery.id = letter.delivery_id
    WHERE {OPEN_IN_GROUP} AND {has_younger("delivery")} FOR NO KEY UPDATE OF letter SKIP LOCKED)
"""
DISMISS = f"""
UPDATE deliveries_deadletter letter SET state = 'dismissed', note = %(note)s, settled_by = %(by)s, settled_at = statement_timestamp()
WHERE {OPEN_IN_GROUP}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupKey:
    """Which dead letters belong together. `tenant_ids` None: those of every tenant, and those of none (unreadable
    records)."""

    reason: str
    channel: str = ""
    template_code: str = ""
    kind: str = Kind.FAILED
    tenant_ids: tuple[int, ...] | None = None

    @property
    def lane_source(self) -> str:
        """Return the source of the lane in which this group's retries go out."""
        return f"retry:{self.reason}:{self.template_code}"[:100].rstrip(":")

    @property
    def can_retry(self) -> bool:
        """Say whether there is something to send: a record that could not be read can only be dismissed."""
        return self.kind == Kind.FAILED

    def parameters(self) -> dict[str, Any]:
        """Return the SQL parameters that IN_GROUP names."""
        return {
            "kind": self.kind,
            "reason": self.reason,
            "channel": self.channel,
            "template_code": self.template_code,
            "tenants": None if self.tenant_ids is None else list(self.tenant_ids),
        }


@dataclass(frozen=True, slots=True)
class Group:
    """One row of the Undeliverable page. `last_hour` and `hour_before` make its trend; `sample_id` is its newest dead
    letter."""

    key: GroupKey
    count: int
    first_at: datetime
    last_at: datetime
    last_hour: int
    hour_before: int
    sample_id: int


class Stopped(NamedTuple):
    """How many are of what staff paused, and go once it is resumed; and of what was cancelled, so that they never do."""

    paused: int = 0
    cancelled: int = 0


@dataclass(frozen=True, slots=True)
class Retried:
    """`moved`: go out again. `too_late`: stay open, since their expiry has passed and nothing could be sent. `paused`, `cancelled`: stay
    open, since that is what they belong to."""

    moved: int
    too_late: int
    paused: int = 0
    cancelled: int = 0

    @property
    def stopped(self) -> int:
        """How many stay open because of what they belong to."""
        return self.paused + self.cancelled


class CannotRetryError(Exception):
    """Nothing of the group can be sent: its records could not be read, or its channel has no sender now."""


def groups(*, tenant_ids: Sequence[int] | None, state: str = State.OPEN, kind: str | None = None) -> list[Group]:
    """Return the dead letters of a state in groups, the largest first, at most 500. One query.

    `tenant_ids` None: everything. `kind`: only what failed, or only what could not be read.
    """
    tenants = None if tenant_ids is None else tuple(tenant_ids)
    values = {"state": state, "kind": kind, "tenants": None if tenants is None else list(tenants), "most": MOST_GROUPS}
    with connection.cursor() as cursor:
        cursor.execute(GROUPS, values)
        return [
            Group(
                GroupKey(reason=reason, channel=channel, template_code=template_code, kind=kind, tenant_ids=tenants),
                *figures,
            )
            for kind, reason, channel, template_code, *figures in cursor.fetchall()
        ]


def has_open(*, group: GroupKey) -> bool:
    """Say whether a group has an open dead letter."""
    return bool(_open_tenants(group))


def too_late(*, group: GroupKey) -> int:
    """Return how many open dead letters of a group could not be sent any more, since their expiry has passed."""
    return _count(COUNT_TOO_LATE, group)


def stopped(*, group: GroupKey) -> Stopped:
    """Return how many open dead letters of a group are of what is paused or was cancelled, so that nothing of it goes out now."""
    with connection.cursor() as cursor:
        cursor.execute(COUNT_STOPPED, group.parameters())
        return Stopped(*cursor.fetchone())


def retry(*, group: GroupKey, limit: int | None = None, pace_per_minute: int | None = None, by: str) -> Retried:
    """Send the open dead letters of a group again, the oldest first, at most `limit` of them.

    In chunks, each a transaction of its own: a dead letter is taken once however often the button is pressed, and
    what a crash leaves stays open. `pace_per_minute` sets the speed of the group's lane; None leaves the one
    it has, at first that of the channel. Raises: CannotRetryError, which says how many stay open where the channel has
    no sender now.
    """
    if not group.can_retry:
        raise CannotRetryError("Records that could not be read hold no message to send; they can only be dismissed.")
    tenants = _open_tenants(group)
    if tenants and len(lifecycle.unserved([(tenant_id, group.channel) for tenant_id in tenants])) == len(tenants):
        _reason, refusal = refusal_of(tenants[0], group.channel)
        stay = _count(COUNT_OPEN, group)
        raise CannotRetryError(f"{refusal}. {stay:,} {'stays' if stay == 1 else 'stay'} open.")
    _settle_overtaken(group, by)
    _open_lanes(group, pace_per_minute)
    moved, after = 0, 0
    while limit is None or moved < limit:
        size = CHUNK if limit is None else min(CHUNK, limit - moved)
        with transaction.atomic():
            taken = _take(group, after=after, limit=size)
            moved += _replay(group, [delivery_id for _letter_id, delivery_id in taken], pace_per_minute, by)
        if not taken:
            break
        after = taken[-1][0]
    if moved:
        hints.hint([group.channel])
    return Retried(moved, too_late(group=group), *stopped(group=group))


def dismiss(*, group: GroupKey, note: str, by: str) -> int:
    """Settle the open dead letters of a group without sending anything, and return how many. Pressed again it finds
    none."""
    with connection.cursor() as cursor:
        cursor.execute(DISMISS, {**group.parameters(), "note": note, "by": by[:150]})
        return int(cursor.rowcount)


def _count(statement: str, group: GroupKey) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement, group.parameters())
        return int(cursor.fetchone()[0])


def _open_tenants(group: GroupKey) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(OPEN_TENANTS, group.parameters())
        return [tenant_id for (tenant_id,) in cursor.fetchall()]


def _take(group: GroupKey, *, after: int, limit: int) -> list[tuple[int, int]]:
    with connection.cursor() as cursor:
        cursor.execute(TAKE, {**group.parameters(), "after": after, "limit": limit})
        return list(cursor.fetchall())


def _settle_overtaken(group: GroupKey, by: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(SETTLE_OVERTAKEN, {**group.parameters(), "by": by[:150]})


def _open_lanes(group: GroupKey, pace_per_minute: int | None) -> None:
    """Make the lanes before any row is in one, so that whoever pauses or cancels what they belong to finds them.

    Without a pace of its own a new one shares the bucket of the lane that the rows came by, so a broadcast's speed holds for it too.
    """
    with connection.cursor() as cursor:
        cursor.execute(LANES, group.parameters())
        found = cursor.fetchall()
    for tenant_id, priority, bucket_id in found:
        lifecycle.lanes_open(
            tenant_id=tenant_id,
            source=group.lane_source,
            priority=Priority(priority),
            paces={group.channel: pace_per_minute},
            bucket_id=bucket_id,
        )


def _replay(group: GroupKey, delivery_ids: Sequence[int], pace_per_minute: int | None, by: str) -> int:
    """Replay these, which settles their dead letters; one whose expiry passed just now stays open."""
    if not delivery_ids:
        return 0
    return len(
        lifecycle.replay(delivery_ids=delivery_ids, by=by, source=group.lane_source, pace_per_minute=pace_per_minute)
    )
