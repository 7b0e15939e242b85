"""Finish: record what became of sends, many at once, guarded by the lease. A failure's attempt and dead letter go in the same statement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from psycopg import AsyncConnection

from deliveries.channels import Status

# Rows are found by their ids whatever the statistics say; coalesce hides from the planner what it would like to begin with.
FINISH = """
WITH o AS (
    SELECT * FROM unnest(%(ids)s::bigint[], %(tokens)s::uuid[], %(statuses)s::text[], %(delays)s::float8[], %(reasons)s::text[],
        %(messages)s::text[], %(ambiguous)s::boolean[], %(providers)s::text[], %(provider_ids)s::text[], %(durations)s::int[],
        %(addresses)s::text[], %(versions)s::bigint[], %(rendered)s::jsonb[])
    AS o (id, token, status, delay, reason, message, ambiguous, provider, provider_id, duration, address, version, rendered)
), done AS (
    UPDATE notification_delivery d SET
        status = o.status, lease_token = NULL, lease_expires_at = NULL, claims = 0, lost_leases = 0,
        finished_at = CASE WHEN o.status <> 'RETRYING' THEN statement_timestamp() END,
        next_attempt_at = CASE WHEN o.status = 'RETRYING' THEN statement_timestamp() + o.delay * interval '1 second' END,
        reason = o.reason, error_message = o.message, provider = o.provider, provider_message_id = o.provider_id,
        duration_ms = o.duration, address = o.address, template_version_id = o.version, rendered = o.rendered
    FROM o WHERE d.id = o.id AND coalesce(d.lease_token = o.token AND d.status = 'SENDING', false)
    RETURNING d.id, d.tenant_id, d.status, d.attempts, d.started_at, d.channel, d.template_code
), attempt AS (
    INSERT INTO deliveries_deliveryattempt (delivery_id, number, started_at, finished_at, provider, code, message, is_ambiguous,
        duration_ms)
    SELECT done.id, done.attempts, done.started_at, statement_timestamp(), o.provider, o.reason, o.message, o.ambiguous, o.duration
    FROM done JOIN o USING (id) WHERE done.status <> 'SENT'
), dead AS (
    INSERT INTO deliveries_deadletter (kind, delivery_id, tenant_id, reason, error_message, channel, template_code, failed_at)
    SELECT 'failed', done.id, done.tenant_id, o.reason, o.message, done.channel, done.template_code, statement_timestamp()
    FROM done JOIN o USING (id) WHERE done.status = 'FAILED'
)
SELECT id FROM done
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one send came to. `status`: SENT, RETRYING (after `delay_seconds`) or FAILED. `reason` and `message` are empty for SENT."""

    id: int
    lease_token: UUID
    status: Status
    delay_seconds: float = 0.0
    reason: str = ""
    message: str = ""
    is_ambiguous: bool = False
    provider: str = ""
    provider_message_id: str = ""
    duration_ms: int = 0
    address: str = ""
    template_version_id: int | None = None
    rendered: dict[str, str] | None = None


async def finish(connection: AsyncConnection[tuple[Any, ...]], *, outcomes: Sequence[Outcome]) -> set[int]:
    """Record outcomes of rows in SENDING whose lease is still ours, in one statement; return the ids that were recorded.

    A missing id lost its lease: the sweeper recorded the attempt as unknown before we could. Repeating a call whose answer was lost
    changes nothing (the lease is gone then). Raises: psycopg.OperationalError.
    """
    cursor = await connection.execute(
        FINISH,
        {
            "ids": [o.id for o in outcomes],
            "tokens": [o.lease_token for o in outcomes],
            "statuses": [o.status.value for o in outcomes],
            "delays": [float(o.delay_seconds) for o in outcomes],
            "reasons": [o.reason for o in outcomes],
            "messages": [o.message for o in outcomes],
            "ambiguous": [o.is_ambiguous for o in outcomes],
            "providers": [o.provider for o in outcomes],
            "provider_ids": [o.provider_message_id for o in outcomes],
            "durations": [o.duration_ms for o in outcomes],
            "addresses": [o.address for o in outcomes],
            "versions": [o.template_version_id for o in outcomes],
            "rendered": [orjson.dumps(o.rendered).decode() if o.rendered is not None else None for o in outcomes],
        },
    )
    return {row_id for (row_id,) in await cursor.fetchall()}
