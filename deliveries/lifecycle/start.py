"""Start: mark SENDING and count the attempt, for rows that are about to touch the wire; and give back what will not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import orjson
from django.conf import settings
from psycopg import AsyncConnection

from deliveries.lifecycle.blank import blanked
from deliveries.lifecycle.claim import ClaimedRow, by_id
from deliveries.lifecycle.holds import IN_FORCE, OF_ROWS, covers
from deliveries.lifecycle.unwanted import SUPPRESSED, UNSUBSCRIBED, WORDS

# Rows are found by their ids and by nothing else, whatever the statistics say: on a table that was empty when it was analyzed the
# planner would read all rows of a tenant, or compare every token with every row. OFFSET 0 and coalesce keep it from that.
# A test of staff's says in its content where it goes (`deliveries/test_sends.py`), which is then what SEND_ONLY_TO must list.
# `tenant_id + 0`: however few contacts there are when this is planned, it must not be answered by walking all of the tenant's.
# `attempts` comes from the claim, so the same start sent twice (its answer was lost with the connection) counts once.
BATCH = f"""
WITH hold AS MATERIALIZED (
    SELECT h.*, {OF_ROWS} AS is_of_rows FROM deliveries_hold h WHERE {IN_FORCE}
), batch AS MATERIALIZED (
    SELECT d.id, asked.token, asked.attempts, coalesce(c.name, '') AS name, coalesce(c.email, '') AS email, coalesce(c.phone, '') AS phone,
        coalesce(c.locale, '') AS locale, coalesce(c.time_zone, '') AS time_zone, c.attributes,
        c.id IS NOT NULL AS has_contact, t.slug AS tenant_slug, t.name AS tenant_name,
        t.from_address, t.reply_to,
        CASE
            WHEN d.expires_at <= statement_timestamp() THEN 'expired'
            WHEN l.cancelled_at IS NOT NULL THEN 'cancelled'
            WHEN d.channel = ANY (c.opted_out) THEN 'opted_out'
            WHEN {UNSUBSCRIBED.format(row="d")} THEN 'unsubscribed'
            WHEN {SUPPRESSED.format(row="d")} THEN 'suppressed_address'
            WHEN %(only_to)s::text[] IS NOT NULL AND NOT coalesce(
                %(only_to)s::text[] && ARRAY[lower(coalesce(d.content ->> 'to', c.email)), coalesce(d.content ->> 'to', c.phone),
                    d.user_id::text, '@' || split_part(lower(coalesce(d.content ->> 'to', c.email)), '@', 2)], false)
                THEN 'not_on_send_only_list'
            WHEN l.paused_at IS NOT NULL OR held.hold_id IS NOT NULL
                OR d.lease_expires_at < statement_timestamp() + %(deadline)s * interval '1 second' THEN 'held'
            ELSE ''
        END AS refusal, CASE WHEN held.is_of_rows THEN held.hold_id END AS hold_id
    FROM json_to_recordset(%(rows)s::json) AS asked (id bigint, token uuid, attempts smallint)
    CROSS JOIN LATERAL (SELECT * FROM notification_delivery WHERE id = asked.id OFFSET 0) d
    JOIN deliveries_lane l ON l.id = d.lane_id
    JOIN deliveries_tenant t ON t.id = d.tenant_id
    LEFT JOIN LATERAL (
        SELECT h.id AS hold_id, h.is_of_rows FROM hold h WHERE {covers("d")} ORDER BY h.is_of_rows DESC, h.id LIMIT 1) held ON true
    LEFT JOIN LATERAL (SELECT * FROM deliveries_contact WHERE user_id = d.user_id AND tenant_id + 0 = d.tenant_id OFFSET 0) c ON true
    WHERE coalesce(d.lease_token = asked.token AND d.attempts <= asked.attempts + 1, false)
)
"""

START = f"""{BATCH}
UPDATE notification_delivery d SET status = 'SENDING', attempts = b.attempts + 1, started_at = statement_timestamp()
FROM batch b
WHERE {by_id("b")} AND b.refusal = '' AND coalesce(d.lease_token = b.token AND d.attempts <= b.attempts + 1, false)
RETURNING d.id, b.name, b.email, b.phone, b.locale, b.time_zone, b.attributes, b.has_contact, b.tenant_slug, b.tenant_name,
    b.from_address, b.reply_to
"""

# What was not started: settled where it is over, otherwise given back with nothing counted against it, or put aside for its hold.
REFUSE = f"""{BATCH}
UPDATE notification_delivery d SET
    status = CASE b.refusal WHEN 'expired' THEN 'EXPIRED' WHEN 'cancelled' THEN 'CANCELLED' WHEN 'held' THEN d.status ELSE 'SUPPRESSED' END,
    reason = CASE b.refusal WHEN 'held' THEN d.reason ELSE b.refusal END,
    error_message = CASE b.refusal
        WHEN 'expired' THEN 'expires_at passed before it could be sent'
        WHEN 'cancelled' THEN 'Cancelled by staff'
        {WORDS}
        WHEN 'not_on_send_only_list' THEN 'SEND_ONLY_TO does not list this person''s address'
        ELSE d.error_message END,
    finished_at = CASE WHEN b.refusal <> 'held' THEN statement_timestamp() END,
    {blanked(when="b.refusal <> 'held'")},
    next_attempt_at = CASE WHEN b.refusal = 'held' THEN d.next_attempt_at END,
    hold_id = CASE WHEN b.refusal = 'held' THEN b.hold_id END,
    lease_token = NULL, lease_expires_at = NULL, claims = greatest(0, d.claims - 1)
FROM batch b
WHERE {by_id("b")} AND b.refusal <> '' AND coalesce(d.lease_token = b.token AND d.status IN ('PENDING', 'RETRYING'), false)
RETURNING d.id, d.status
"""

GIVE_BACK = f"""
UPDATE notification_delivery d SET lease_token = NULL, lease_expires_at = NULL, claims = greatest(0, claims - 1)
FROM unnest(%(ids)s::bigint[], %(tokens)s::uuid[]) AS mine (id, token)
WHERE {by_id("mine")} AND coalesce(d.lease_token = mine.token AND d.status IN ('PENDING', 'RETRYING'), false)
"""


class Person(msgspec.Struct, frozen=True, gc=False):
    """Who a started row is for, as the contact stood at that moment. `is_known` is false where there is no such contact."""

    name: str
    email: str
    phone: str
    locale: str
    time_zone: str
    attributes: dict[str, Any]
    is_known: bool
    tenant_slug: str
    tenant_name: str
    from_address: str = ""
    """The tenant's own sender of e-mails, and where answers go; empty where the provider's holds."""
    reply_to: str = ""


async def start(
    connection: AsyncConnection[tuple[Any, ...]],
    *,
    rows: Sequence[ClaimedRow],
    deadline_seconds: float,
    only_to: Sequence[str] | None,
) -> dict[int, Person]:
    """Mark rows SENDING, each with one attempt more, and return the person of each that may be sent now, by delivery id.

    A row is not started when its lease is not ours or too short for a send, it expired, its lane is held or cancelled, the person
    opted out or unsubscribed, the address is suppressed, or `only_to` leaves them out: it is settled or given back, and missing from the
    result. Idempotent for the same claim, so it may be repeated after a lost connection. One transaction a statement.
    Raises: psycopg.OperationalError.
    """
    asked = {
        "rows": orjson.dumps(
            [{"id": row.id, "token": row.lease_token, "attempts": row.attempts} for row in rows]
        ).decode(),
        "deadline": deadline_seconds,
        "only_to": list(only_to) if only_to else None,
        "mandatory": settings.MANDATORY_CATEGORIES,
    }
    cursor = await connection.execute(START, asked)
    started = {values[0]: Person(*(*values[1:6], values[6] or {}, *values[7:])) for values in await cursor.fetchall()}
    if len(started) < len(rows):
        await connection.execute(REFUSE, asked)
    return started


async def give_back(connection: AsyncConnection[tuple[Any, ...]], *, rows: Sequence[ClaimedRow]) -> None:
    """Return leased rows that were never started, with nothing counted against them. Idempotent."""
    if rows:
        await connection.execute(
            GIVE_BACK, {"ids": [row.id for row in rows], "tokens": [row.lease_token for row in rows]}
        )
