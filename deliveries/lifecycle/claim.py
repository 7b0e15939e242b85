"""Claim: take a lease on rows that are due, fairly between tenants, in order for each person, however many rows wait.

A claim counts no attempt. The shape, its timings and its traps: docs/architecture.md, "Claim".
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import msgspec
from psycopg import AsyncConnection

from deliveries.channels import Priority
from deliveries.lifecycle.holds import lane_is_held

# Two int4 keys: this constant names the use, the second is the channel. Claims of one channel take turns; with SKIP LOCKED alone
# they fight over the same heads and come back short.
CLAIM_LOCK = 0x6E6F7469
# A process that freezes, or whose host vanishes, in its turn would keep every other from claiming for as long as its session lives;
# so a session that says nothing for this long in its turn is ended by the database.
TAKE_TURN = """
SELECT set_config('idle_in_transaction_session_timeout', '10s', true), pg_advisory_xact_lock(%s, hashtext(%s))
"""

# A person's rows of one channel and priority run one after another, so a claim takes only a few of each.
MOST_PER_PERSON = 8
# How many rows a lane may be searched beyond its quota, past rows that cannot be claimed now (their person has one in flight).
SEARCH_MARGIN = 2000
# How many rows a lane is searched in a second look, when such persons crowd its head.
SEARCH_CROWD = 100_000
PACE_BURST_SECONDS = 2.0


def by_id(row: str) -> str:
    """Return the condition that delivery `d` is the one that `row.id` names, asked row by row in the primary key.

    `d.id = row.id` would do where statistics are right: beside a table of forty rows the planner reads all of it instead, and keeps
    that plan while a million arrive.
    """
    return f"d.id = ANY (ARRAY[{row}.id])"


WAITING = "d.lease_expires_at IS NULL AND d.next_attempt_at IS NOT NULL AND d.hold_id IS NULL"

COLUMNS = """d.id, d.tenant_id, d.job_id, d.user_id, d.channel, d.priority, d.template_code, d.locale, d.category, d.content, d.data,
    d.attempts, d.is_test, d.accepted_at, d.next_attempt_at, d.lost_leases, d.provider, d.expires_at"""

# Written so that the plan holds without statistics, as in the first minutes of a new table, and with those of a table where nearly all
# is finished. Rows are re-checked by `lease_token`, because the same condition on `lease_expires_at` would let the planner walk the
# waiting index once for every row it picked. Who has one in flight is asked person by person: without OFFSET 0 the planner would walk
# all that is in flight for every row, and without `tenant_id + 0` all rows of the tenant.
IN_FLIGHT = """EXISTS (SELECT FROM notification_delivery f
    WHERE f.user_id = w.user_id AND f.channel = %(channel)s AND f.priority = l.priority
        AND f.tenant_id + 0 = l.tenant_id AND f.lease_expires_at IS NOT NULL OFFSET 0)"""
# Beginning with the first that waits, so that the dead entries before it, which pile up beside an open snapshot, are walked once.
DUE_IN_LANE = f"""FROM notification_delivery d
    WHERE d.channel = %(channel)s AND d.lane_id = {{lane}} AND {WAITING}
        AND d.next_attempt_at BETWEEN {{since}} AND statement_timestamp()"""
DUE = DUE_IN_LANE.format(lane="l.id", since="l.first_due_at")
CLAIMABLE = "(w.expires_at IS NULL OR w.expires_at > statement_timestamp()) AND w.lost_leases = 0"
# The first look stops as soon as it has enough, and looks past few rows. The second one takes each person's first rows only, so it has to
# read all of its window; it looks only into lanes whose window was too small for the first.
NEAR = f"""
    SELECT w.id, w.next_attempt_at, w.user_id FROM (
        SELECT d.* {DUE} ORDER BY d.next_attempt_at, d.id LIMIT q.rows + %(margin)s) w
    WHERE {CLAIMABLE} AND NOT {IN_FLIGHT}"""
FAR = f"""
    SELECT w.id, w.next_attempt_at, w.user_id FROM (
        SELECT w.*, row_number() OVER (PARTITION BY w.user_id ORDER BY w.next_attempt_at, w.id) AS of_person FROM (
            SELECT d.* {DUE} ORDER BY d.next_attempt_at, d.id LIMIT %(crowd)s) w
        WHERE {CLAIMABLE}) w
    WHERE w.of_person <= %(most_per_person)s AND NOT {IN_FLIGHT}"""
# By `l.id`, so that it is asked of lanes that may be claimed from, and of no others.
IS_CROWDED = f"EXISTS (SELECT {DUE_IN_LANE.format(lane='l.id', since='h.first_due_at')} OFFSET %(margin)s)"
# The lanes that have rows waiting, and where the first of each stands: a loose walk along the index.
HEADS = f"""head (lane_id, first_due_at) AS (
    (SELECT d.lane_id, d.next_attempt_at FROM notification_delivery d WHERE d.channel = %(channel)s AND {WAITING}
     ORDER BY d.lane_id, d.next_attempt_at LIMIT 1)
    UNION ALL
    SELECT n.lane_id, n.next_attempt_at FROM head h CROSS JOIN LATERAL (
        SELECT d.lane_id, d.next_attempt_at FROM notification_delivery d
        WHERE d.channel = %(channel)s AND {WAITING} AND d.lane_id > h.lane_id ORDER BY d.lane_id, d.next_attempt_at LIMIT 1) n
)"""
OF_HEADS = "head h CROSS JOIN LATERAL (SELECT * FROM deliveries_lane WHERE id = h.lane_id OFFSET 0) l"
BUCKET = "coalesce(l.bucket_id, l.id)"
IS_OPEN = f"""l.paused_at IS NULL AND l.cancelled_at IS NULL AND NOT {lane_is_held("l")}
        AND coalesce(l.tenant_id = %(only_tenant)s::bigint, true) AND l.tenant_id <> ALL (%(not_tenants)s::bigint[])
        AND (l.not_before IS NULL OR l.not_before <= statement_timestamp())
        AND l.priority <= %(lowest_priority)s AND h.first_due_at <= statement_timestamp()"""
# What the token bucket of lane `p` has by now. Lanes that share one may take more at once than it has: then it owes, and they wait.
# Channels claim beside each other, so buckets are locked in one order before they are paid from.
FILLED = """least(greatest(1, p.pace_per_minute / 60.0 * %(burst)s),
        p.tokens + p.pace_per_minute / 60.0 * extract(epoch FROM statement_timestamp() - coalesce(p.tokens_at, 'epoch')))"""
CLAIM_SHAPE = f"""
WITH RECURSIVE {HEADS}, lane AS MATERIALIZED (
    SELECT l.id, l.tenant_id, l.priority, h.first_due_at, least(%(limit)s, b.tokens)::int AS allowance
    FROM {OF_HEADS}
    CROSS JOIN LATERAL (SELECT CASE WHEN p.pace_per_minute IS NULL THEN %(limit)s ELSE floor({FILLED}) END AS tokens
        FROM deliveries_lane p WHERE p.id = {BUCKET} OFFSET 0) b
    WHERE {IS_OPEN} AND b.tokens >= 1 AND {{which}}
), share AS MATERIALIZED (
    SELECT ceil(%(limit)s::numeric / greatest(1, count(DISTINCT tenant_id)))::int AS rows FROM lane
), tenant AS MATERIALIZED (
    SELECT l.tenant_id, least(sum(c.due), s.rows)::int AS due, s.rows AS share
    FROM lane l CROSS JOIN share s CROSS JOIN LATERAL (SELECT count(*) AS due FROM (
        SELECT {DUE}
        ORDER BY d.next_attempt_at, d.id LIMIT least(s.rows, l.allowance)) bounded) c
    GROUP BY l.tenant_id, s.rows
), quota AS MATERIALIZED (
    SELECT tenant_id, CASE WHEN due < share THEN due ELSE due + ceil(
        (%(limit)s - sum(due) OVER ())::numeric / greatest(1, count(*) FILTER (WHERE due >= share) OVER ()))::int END AS rows, share
    FROM tenant
), candidate AS (
    SELECT p.*, l.tenant_id, l.priority, q.rows AS quota, q.share, row_number() OVER (
        PARTITION BY l.tenant_id, l.priority, p.user_id ORDER BY p.next_attempt_at, p.id) AS of_person
    FROM lane l JOIN quota q ON q.tenant_id = l.tenant_id
    CROSS JOIN LATERAL ({{search}}
        ORDER BY w.next_attempt_at, w.id LIMIT least(q.rows, l.allowance)) p
), ranked AS (
    SELECT id, next_attempt_at, priority, quota, share,
        row_number() OVER (PARTITION BY tenant_id ORDER BY priority, next_attempt_at, id) AS place
    FROM candidate WHERE of_person <= %(most_per_person)s
), picked AS (
    SELECT id FROM ranked WHERE place <= quota ORDER BY place > share, priority, next_attempt_at, id LIMIT %(limit)s
), locked AS (
    SELECT d.id FROM picked JOIN notification_delivery d ON {by_id("picked")}
    WHERE d.lease_token IS NULL AND d.hold_id IS NULL AND d.next_attempt_at <= statement_timestamp()
        AND (d.expires_at IS NULL OR d.expires_at > statement_timestamp())
    ORDER BY d.id FOR NO KEY UPDATE OF d SKIP LOCKED
), claimed AS (
    UPDATE notification_delivery d SET lease_token = %(token)s, claims = claims + 1,
        lease_expires_at = statement_timestamp() + %(lease)s * interval '1 second'
    FROM locked WHERE {by_id("locked")}
    RETURNING {COLUMNS}, d.lane_id
), taken AS (
    SELECT {BUCKET} AS bucket_id, sum(c.rows) AS rows
    FROM (SELECT lane_id, count(*) AS rows FROM claimed GROUP BY lane_id) c JOIN deliveries_lane l ON l.id = c.lane_id
    GROUP BY 1
), bucket AS (
    SELECT p.id, taken.rows FROM taken JOIN deliveries_lane p ON p.id = taken.bucket_id
    WHERE p.pace_per_minute IS NOT NULL ORDER BY p.id FOR NO KEY UPDATE OF p
), paid AS (
    UPDATE deliveries_lane p SET tokens_at = statement_timestamp(), tokens = {FILLED} - bucket.rows FROM bucket WHERE p.id = bucket.id
)
SELECT {COLUMNS} FROM claimed d ORDER BY d.priority, d.next_attempt_at, d.id
"""
CLAIM = CLAIM_SHAPE.format(search=NEAR, which="true")
CLAIM_FROM_CROWD = CLAIM_SHAPE.format(search=FAR, which=IS_CROWDED)
IS_PACED = f"""
WITH RECURSIVE {HEADS} SELECT EXISTS (SELECT FROM {OF_HEADS} WHERE {IS_OPEN}
    AND EXISTS (SELECT FROM deliveries_lane p WHERE p.id = {BUCKET} AND p.pace_per_minute IS NOT NULL))
"""

# Rows whose process died while they were being sent run apart from the rest, the oldest loss first: alone from the second loss on.
CLAIM_SUSPECTS = f"""
WITH suspect AS (
    SELECT d.id, d.lost_leases, row_number() OVER (ORDER BY d.next_attempt_at, d.id) AS place,
        first_value(d.lost_leases) OVER (ORDER BY d.next_attempt_at, d.id) AS first_losses
    FROM notification_delivery d JOIN deliveries_lane l ON l.id = d.lane_id
    WHERE d.channel = ANY (%(channels)s) AND d.lost_leases > 0 AND {WAITING} AND d.next_attempt_at <= statement_timestamp()
        AND (d.expires_at IS NULL OR d.expires_at > statement_timestamp())
        AND l.paused_at IS NULL AND l.cancelled_at IS NULL AND NOT {lane_is_held("l")}
        AND coalesce(l.tenant_id = %(only_tenant)s::bigint, true) AND l.tenant_id <> ALL (%(not_tenants)s::bigint[])
), locked AS (
    SELECT d.id FROM suspect s JOIN notification_delivery d ON {by_id("s")}
    WHERE d.lease_token IS NULL AND d.hold_id IS NULL
        AND (s.place = 1 OR (s.first_losses = 1 AND s.lost_leases = 1 AND s.place <= %(limit)s))
    ORDER BY d.id FOR NO KEY UPDATE OF d SKIP LOCKED
)
UPDATE notification_delivery d SET lease_token = %(token)s, claims = claims + 1,
    lease_expires_at = statement_timestamp() + %(lease)s * interval '1 second'
FROM locked WHERE {by_id("locked")}
RETURNING {COLUMNS}
"""


class ClaimedRow(msgspec.Struct, frozen=True, gc=False):
    """One leased row: what dispatch needs to start, render and send it. `lease_token` guards everything that follows."""

    id: int
    tenant_id: int
    job_id: UUID
    user_id: UUID
    channel: str
    priority: int
    template_code: str
    locale: str
    category: str
    content: dict[str, str] | None
    data: dict[str, Any]
    attempts: int
    is_test: bool
    accepted_at: datetime
    due_at: datetime
    lost_leases: int
    refused_by: str
    expires_at: datetime | None
    lease_token: UUID


@dataclass(frozen=True, slots=True)
class Tenants:
    """Whose rows are claimed: one tenant's, or all but some."""

    only: int | None = None
    without: frozenset[int] = frozenset()


EVERYONE = Tenants()


async def claim(
    connection: AsyncConnection[tuple[Any, ...]],
    *,
    channel: str,
    limit: int,
    lease_seconds: float,
    lowest_priority: int = 2,
    tenants: Tenants = EVERYONE,
) -> list[ClaimedRow]:
    """Lease up to `limit` due rows of one channel and return them by priority, due time and id.

    Tenants share the claim evenly; what one leaves over goes to the others. `lowest_priority=0` claims high priority only.
    A row whose person has one in flight on that channel and priority is passed over. Raises: psycopg.OperationalError.
    """
    token = uuid4()
    values = {
        "channel": channel,
        "limit": limit,
        "token": token,
        "lease": lease_seconds,
        "lowest_priority": lowest_priority,
        "burst": PACE_BURST_SECONDS,
        "margin": SEARCH_MARGIN,
        "crowd": SEARCH_CROWD,
        "most_per_person": MOST_PER_PERSON,
        **_asked(tenants),
    }
    async with connection.transaction():
        await connection.execute(TAKE_TURN, (CLAIM_LOCK, channel))
        rows = await (await connection.execute(CLAIM, values)).fetchall()
        if not rows:
            rows = await (await connection.execute(CLAIM_FROM_CROWD, values)).fetchall()
        return [ClaimedRow(*(*row, token)) for row in rows]


async def is_paced(connection: AsyncConnection[tuple[Any, ...]], *, channel: str, tenants: Tenants = EVERYONE) -> bool:
    """Say whether due rows wait in a lane that has a speed: a claim that found nothing may soon find some, and nobody will say so.

    Raises: psycopg.OperationalError.
    """
    values = {"channel": channel, "lowest_priority": Priority.LOW.value, **_asked(tenants)}
    row = await (await connection.execute(IS_PACED, values)).fetchone()
    return bool(row and row[0])


async def claim_suspects(
    connection: AsyncConnection[tuple[Any, ...]],
    *,
    channels: list[str],
    limit: int,
    lease_seconds: float,
    tenants: Tenants = EVERYONE,
) -> list[ClaimedRow]:
    """Lease rows whose process died with them before: up to `limit` first offenders, or one that lost more than one lease."""
    token = uuid4()
    values = {"channels": channels, "limit": limit, "token": token, "lease": lease_seconds, **_asked(tenants)}
    cursor = await connection.execute(CLAIM_SUSPECTS, values)
    return [ClaimedRow(*(*row, token)) for row in await cursor.fetchall()]


def _asked(tenants: Tenants) -> dict[str, Any]:
    return {"only_tenant": tenants.only, "not_tenants": sorted(tenants.without)}
