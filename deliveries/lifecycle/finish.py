"""Finish: record what became of sends, many at once, guarded by the lease. A failure's attempt and dead letter go in the same statement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec
from psycopg import AsyncConnection

from deliveries.channels import Status
from deliveries.lifecycle.blank import blanked, told
from deliveries.lifecycle.claim import by_id

# What the provider reported before its receipt was recorded (outcome.py) stays.
# Rows are found by their ids whatever the statistics say; coalesce hides from the planner what it would like to begin with.
FINISH = f"""
WITH o AS (
    SELECT * FROM json_to_recordset(%(outcomes)s::json) AS o (id bigint, lease_token uuid, status text, delay_seconds float8, reason text,
        message text, is_ambiguous boolean, provider text, provider_message_id text, duration_ms int, address text,
        template_version_id bigint, rendered jsonb, details jsonb)
), done AS (
    UPDATE notification_delivery d SET
        status = o.status, lease_token = NULL, lease_expires_at = NULL, claims = 0, lost_leases = 0,
        finished_at = CASE WHEN o.status <> 'RETRYING' THEN statement_timestamp() END,
        next_attempt_at = CASE WHEN o.status = 'RETRYING' THEN statement_timestamp() + o.delay_seconds * interval '1 second' END,
        reason = o.reason, error_message = {told("o.message")}, provider = o.provider, provider_message_id = o.provider_message_id,
        {blanked(when="o.status <> 'RETRYING'")},
        duration_ms = o.duration_ms, address = o.address, template_version_id = o.template_version_id, rendered = o.rendered,
        details = CASE WHEN coalesce(d.details ?| '{{reports,suppressed}}', false) THEN coalesce(o.details, '{{}}')
            || (SELECT jsonb_object_agg(key, value) FROM jsonb_each(d.details) WHERE key IN ('reports', 'suppressed')) ELSE o.details END
    FROM o WHERE {by_id("o")} AND coalesce(d.lease_token = o.lease_token AND d.status = 'SENDING', false)
    RETURNING d.id, d.tenant_id, d.status, d.attempts, d.started_at, d.channel, d.template_code, d.error_message, d.provider, d.reason,
        o.is_ambiguous, d.duration_ms
), attempt AS (
    INSERT INTO deliveries_deliveryattempt (delivery_id, number, started_at, finished_at, provider, code, message, is_ambiguous,
        duration_ms)
    SELECT id, attempts, started_at, statement_timestamp(), provider, reason, error_message, is_ambiguous, duration_ms
    FROM done WHERE status <> 'SENT'
), dead AS (
    INSERT INTO deliveries_deadletter (kind, delivery_id, tenant_id, reason, error_message, channel, template_code, failed_at)
    SELECT 'failed', id, tenant_id, reason, error_message, channel, template_code, statement_timestamp()
    FROM done WHERE status = 'FAILED'
)
SELECT id FROM done
"""


class Outcome(msgspec.Struct, frozen=True, gc=False):
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
    details: dict[str, Any] | None = None


async def finish(connection: AsyncConnection[tuple[Any, ...]], *, outcomes: Sequence[Outcome]) -> set[int]:
    """Record outcomes of rows in SENDING whose lease is still ours, in one statement; return the ids that were recorded.

    A missing id lost its lease: the sweeper recorded the attempt as unknown before we could. Repeating a call whose answer was lost
    changes nothing (the lease is gone then). Raises: psycopg.OperationalError.
    """
    # One JSON text: thirteen lists cost a sender ten times as much to write.
    cursor = await connection.execute(FINISH, {"outcomes": msgspec.json.encode(outcomes).decode()})
    return {row_id for (row_id,) in await cursor.fetchall()}
