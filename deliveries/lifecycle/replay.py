"""Replay and cancel: what staff and callers may do to single rows.

A replay never touches the old row: it makes a new one that points at it, and settles the old one's dead letter.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django.db import connection, transaction

from deliveries.lifecycle.accept_people import ENTRANCE
from deliveries.lifecycle.blank import blanked
from deliveries.lifecycle.holds import aside_for
from deliveries.lifecycle.serving import asked, is_served

# A replay without a pace leaves the pace that its lane has; the lanes that jobs come in by are never given one here.
REPLAY_LANES = f"""
INSERT INTO deliveries_lane (tenant_id, channel, priority, source, pace_per_minute, tokens)
SELECT made.tenant_id, made.channel, made.priority, %(source)s, %(pace)s::int, 0
FROM (SELECT DISTINCT tenant_id, channel, priority FROM notification_delivery
      WHERE id = ANY (%(ids)s) AND finished_at IS NOT NULL AND {is_served("notification_delivery")}) made
ORDER BY made.tenant_id, made.channel, made.priority
ON CONFLICT (tenant_id, channel, priority, source) DO UPDATE SET pace_per_minute = excluded.pace_per_minute, bucket_id = NULL
    WHERE excluded.source <> '' AND excluded.pace_per_minute IS NOT NULL
"""


def _is_of_fan_out(row: str) -> str:
    """Return the SQL condition that a row is a fan-out's, or a replay of such: only they have ids of version 8 and these origins."""
    return f"(substr({row}.job_id::text, 15, 1) = '8' AND ({row}.entrance LIKE '{ENTRANCE}%%' OR {row}.replay_of_id IS NOT NULL))"


def has_younger(row: str) -> str:
    """Return the SQL condition that the recipient of a fan-out's row has a younger one: this row was sent again, or one after it."""
    return f"""({_is_of_fan_out(row)} AND EXISTS (SELECT FROM notification_delivery younger
        WHERE younger.tenant_id = {row}.tenant_id AND younger.job_id > {row}.job_id
            AND younger.job_id <= (left({row}.job_id::text, 34) || 'ff')::uuid))"""


# A fan-out's row keeps its replays in its own range: the last byte of its id counts them (`broadcasts/job_ids.py`). All others get a
# random id.
NEXT_OF_RANGE = """(SELECT CASE WHEN right(last.id, 2) = 'ff' THEN gen_random_uuid()
        ELSE (left(last.id, 34) || lpad(to_hex(('x' || right(last.id, 2))::bit(8)::int + 1), 2, '0'))::uuid END
    FROM (SELECT r.job_id::text AS id FROM notification_delivery r
          WHERE r.tenant_id = d.tenant_id AND r.job_id >= d.job_id
            AND r.job_id <= (left(d.job_id::text, 34) || 'ff')::uuid ORDER BY r.job_id DESC LIMIT 1) last)"""
# Two replays of one recipient's rows at once would take the same next id: the one that comes second waits at the recipient's first row.
LOCK_RANGES = f"""
SELECT FROM notification_delivery WHERE id = ANY (ARRAY(
    SELECT (SELECT r.id FROM notification_delivery r WHERE r.tenant_id = d.tenant_id AND r.job_id <= d.job_id
                AND r.job_id >= (left(d.job_id::text, 34) || '00')::uuid ORDER BY r.job_id LIMIT 1)
    FROM notification_delivery d WHERE d.id = ANY (%(ids)s) AND {_is_of_fan_out("d")}))
ORDER BY id FOR NO KEY UPDATE
"""
SETTLE_LETTERS = """
UPDATE deliveries_deadletter SET state = 'retrying', settled_by = %(by)s, settled_at = statement_timestamp()
WHERE delivery_id = ANY (%(ids)s) AND state = 'open'
"""
# An expiry that has passed would settle the new row at once, so the caller leaves those out ("too late"). Of a blanked row nobody
# has the words any more.
REPLAY = f"""
INSERT INTO notification_delivery (tenant_id, job_id, user_id, channel, priority, lane_id, template_code, locale, category, content,
    data, meta, body_hash, is_test, entrance, replay_of_id, created_at, accepted_at, expires_at, status, next_attempt_at, hold_id)
SELECT d.tenant_id, CASE WHEN {_is_of_fan_out("d")} THEN {NEXT_OF_RANGE} ELSE gen_random_uuid() END,
    d.user_id, d.channel, d.priority, l.id, d.template_code, d.locale, d.category, d.content, d.data,
    d.meta, d.body_hash, d.is_test OR %(is_test)s, 'replay:' || %(by)s, d.id, d.created_at, statement_timestamp(), d.expires_at, 'PENDING',
    statement_timestamp(), {aside_for("d")}
FROM notification_delivery d
JOIN deliveries_lane l ON (l.tenant_id, l.channel, l.priority, l.source) = (d.tenant_id, d.channel, d.priority, %(source)s)
WHERE d.id = ANY (%(ids)s) AND d.status IN ('SENT', 'FAILED', 'EXPIRED', 'SUPPRESSED', 'CANCELLED')
    AND d.blanked_at IS NULL AND {is_served("d")} AND (d.expires_at IS NULL OR d.expires_at > statement_timestamp())
ORDER BY d.id
RETURNING replay_of_id, job_id
"""

CANCEL = f"""
UPDATE notification_delivery d SET status = 'CANCELLED', reason = 'cancelled', error_message = 'Cancelled by ' || %(by)s,
    finished_at = statement_timestamp(), next_attempt_at = NULL, hold_id = NULL, {blanked()}
FROM (SELECT id FROM notification_delivery WHERE id = ANY (%(ids)s) AND tenant_id = %(tenant)s AND lease_expires_at IS NULL
        AND status IN ('PENDING', 'RETRYING') ORDER BY id FOR NO KEY UPDATE SKIP LOCKED) waiting
WHERE d.id = waiting.id
"""


def replay(
    *,
    delivery_ids: Sequence[int],
    by: str,
    source: str = "",
    pace_per_minute: int | None = None,
    is_test: bool = False,
) -> dict[int, UUID]:
    """Make a new delivery of each finished one and return the new job ids by old delivery id. One transaction.

    The open dead letter of what was replayed is settled. Of a fan-out's recipient name one row at most (`has_younger`).

    The old row keeps its status; the new one has its own job_id (so its own Message-ID) and `replay_of`. Left out are rows that are
    still open, whose data was removed, whose expiry has passed, or whose channel has no sender now: they would wait for ever.
    `source` names the lane, `pace_per_minute` sets its speed (only with a source of its own; None leaves the speed that it has).
    `is_test`: the new rows go all the way but for the provider, as replays of tests do anyway.

    Not idempotent: the caller makes sure, by a conditional update in the same transaction, that one click is one replay.
    """
    values = {
        "ids": list(delivery_ids),
        "by": by[:150],
        "source": source,
        "pace": pace_per_minute if source else None,
        "is_test": is_test,
        **asked(),
    }
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(LOCK_RANGES, values)
        cursor.execute(REPLAY_LANES, values)
        cursor.execute(REPLAY, values)
        made = dict(cursor.fetchall())
        cursor.execute(SETTLE_LETTERS, {"ids": list(made), "by": by[:150]})
        return made


def cancel(*, tenant_id: int, delivery_ids: Sequence[int], by: str) -> int:
    """Cancel waiting rows of one tenant and return how many were. What is being sent at this moment is not touched. Idempotent."""
    with connection.cursor() as cursor:
        cursor.execute(CANCEL, {"ids": list(delivery_ids), "tenant": tenant_id, "by": by[:150]})
        return int(cursor.rowcount)
