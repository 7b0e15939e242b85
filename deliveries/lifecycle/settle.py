"""Settle: what the sweeper finds. Rows past their expiry, leases whose process died, rows of cancelled lanes and of
channels that lost their sender, channels with work to do.

Any number of sweepers may run: each statement skips what another holds. Every call settles at most one chunk of each kind.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from django.conf import settings
from django.db import connection, transaction

from deliveries.lifecycle.blank import blanked
from deliveries.lifecycle.serving import asked, is_served
from deliveries.policies import policy_for
from deliveries.retry import next_delay_seconds

CHUNK = 1000

EXPIRE = f"""
UPDATE notification_delivery d SET status = 'EXPIRED', reason = 'expired', error_message = 'expires_at passed before it could be sent',
    finished_at = statement_timestamp(), next_attempt_at = NULL, {blanked()}
FROM (SELECT id FROM notification_delivery
      WHERE next_attempt_at IS NOT NULL AND expires_at IS NOT NULL AND expires_at <= statement_timestamp() AND lease_expires_at IS NULL
      ORDER BY expires_at LIMIT %s FOR NO KEY UPDATE SKIP LOCKED) late
WHERE d.id = late.id AND d.status IN ('PENDING', 'RETRYING')
"""

CANCEL_LANES = f"""
UPDATE notification_delivery d SET status = 'CANCELLED', reason = 'cancelled', error_message = 'Cancelled by staff',
    finished_at = statement_timestamp(), next_attempt_at = NULL, {blanked()}
FROM (SELECT w.id FROM deliveries_lane l CROSS JOIN LATERAL (
          SELECT id FROM notification_delivery
          WHERE channel = l.channel AND lane_id = l.id AND lease_expires_at IS NULL AND next_attempt_at IS NOT NULL
          LIMIT %s FOR NO KEY UPDATE SKIP LOCKED) w
      WHERE l.cancelled_at IS NOT NULL LIMIT %s) waiting
WHERE d.id = waiting.id AND d.status IN ('PENDING', 'RETRYING')
"""

DEAD_LEASES = """
SELECT id, channel, status, attempts, lost_leases FROM notification_delivery
WHERE lease_expires_at IS NOT NULL AND lease_expires_at < statement_timestamp() ORDER BY id LIMIT %s FOR NO KEY UPDATE SKIP LOCKED
"""

# Claimed, never started: no provider can have seen it. Only a row that keeps losing its process is held under suspicion.
RETURN_UNSTARTED = """
UPDATE notification_delivery SET lease_token = NULL, lease_expires_at = NULL,
    lost_leases = CASE WHEN claims >= %s THEN lost_leases + 1 ELSE lost_leases END
WHERE id = ANY (%s)
"""

# Its process died while a provider may have seen it. The attempt is recorded as unknown, whatever happens next.
SETTLE_UNKNOWN = f"""
WITH o AS (SELECT * FROM unnest(%(ids)s::bigint[], %(statuses)s::text[], %(delays)s::float8[]) AS o (id, status, delay)),
done AS (
    UPDATE notification_delivery d SET status = o.status, lease_token = NULL, lease_expires_at = NULL, claims = 0,
        attempts = greatest(d.attempts, 1), lost_leases = d.lost_leases + 1,
        finished_at = CASE WHEN o.status = 'FAILED' THEN statement_timestamp() END,
        next_attempt_at = CASE WHEN o.status = 'RETRYING' THEN statement_timestamp() + o.delay * interval '1 second' END,
        reason = 'outcome_unknown', error_message = %(message)s, {blanked(when="o.status = 'FAILED'")}
    FROM o WHERE d.id = o.id
    RETURNING d.id, d.tenant_id, d.status, d.attempts, coalesce(d.started_at, statement_timestamp()) AS started_at, d.channel,
        d.template_code
), attempt AS (
    INSERT INTO deliveries_deliveryattempt (delivery_id, number, started_at, finished_at, code, message, is_ambiguous)
    SELECT id, attempts, started_at, statement_timestamp(), 'outcome_unknown', %(message)s, true FROM done
    ON CONFLICT (delivery_id, number) DO NOTHING
)
INSERT INTO deliveries_deadletter (kind, delivery_id, tenant_id, reason, error_message, channel, template_code, failed_at)
SELECT 'failed', id, tenant_id, 'outcome_unknown', %(message)s, channel, template_code, statement_timestamp()
FROM done WHERE status = 'FAILED'
"""
UNKNOWN_MESSAGE = "The sending process stopped before the outcome was recorded: it may have been sent"

# Due rows that nobody serves any more would never be claimed. What is not due yet may see a sender again.
UNAVAILABLE = f"""
WITH waiting AS (
    SELECT w.id FROM deliveries_lane l CROSS JOIN LATERAL (
        SELECT id FROM notification_delivery
        WHERE channel = l.channel AND lane_id = l.id AND lease_expires_at IS NULL AND next_attempt_at <= statement_timestamp()
        ORDER BY next_attempt_at, id LIMIT %(chunk)s FOR NO KEY UPDATE SKIP LOCKED) w
    WHERE NOT {is_served("l")} AND l.paused_at IS NULL AND l.cancelled_at IS NULL LIMIT %(chunk)s
), done AS (
    UPDATE notification_delivery d SET status = 'FAILED', reason = 'channel_unavailable', finished_at = statement_timestamp(),
        next_attempt_at = NULL, {blanked()},
        error_message = 'The channel ' || d.channel || ' has no provider any more; enable one for the tenant'
    FROM waiting WHERE d.id = waiting.id AND d.status IN ('PENDING', 'RETRYING')
    RETURNING d.id, d.tenant_id, d.reason, d.error_message, d.channel, d.template_code, d.finished_at
)
INSERT INTO deliveries_deadletter (kind, delivery_id, tenant_id, reason, error_message, channel, template_code, failed_at)
SELECT 'failed', id, tenant_id, reason, error_message, channel, template_code, finished_at FROM done
"""

DUE_CHANNELS = f"""
WITH RECURSIVE heads (channel, lane_id) AS (
    (SELECT channel, lane_id FROM notification_delivery WHERE lease_expires_at IS NULL AND next_attempt_at IS NOT NULL
     ORDER BY channel, lane_id LIMIT 1)
    UNION ALL
    SELECT n.channel, n.lane_id FROM heads h CROSS JOIN LATERAL (
        SELECT d.channel, d.lane_id FROM notification_delivery d
        WHERE d.lease_expires_at IS NULL AND d.next_attempt_at IS NOT NULL AND (d.channel, d.lane_id) > (h.channel, h.lane_id)
        ORDER BY d.channel, d.lane_id LIMIT 1) n
)
SELECT DISTINCT h.channel, {is_served("l")} FROM heads h JOIN deliveries_lane l ON l.id = h.lane_id
WHERE l.paused_at IS NULL AND l.cancelled_at IS NULL AND (l.not_before IS NULL OR l.not_before <= statement_timestamp())
    AND (SELECT d.next_attempt_at FROM notification_delivery d
         WHERE d.channel = h.channel AND d.lane_id = h.lane_id AND d.lease_expires_at IS NULL AND d.next_attempt_at IS NOT NULL
         ORDER BY d.next_attempt_at LIMIT 1) <= statement_timestamp()
"""

SUSPECTS_DUE = """
SELECT EXISTS (SELECT FROM notification_delivery
    WHERE lost_leases > 0 AND next_attempt_at IS NOT NULL AND next_attempt_at <= statement_timestamp() AND lease_expires_at IS NULL)
"""


@dataclass(slots=True)
class Swept:
    """What one pass settled, in rows, and where there is work to do."""

    expired: int = 0
    cancelled: int = 0
    returned: int = 0
    retried: int = 0
    failed: int = 0
    unavailable: int = 0
    due_channels: list[str] = field(default_factory=list)
    has_suspects: bool = False

    @property
    def is_full(self) -> bool:
        """Say whether some kind filled its chunk, so that more of it may be there."""
        ended_leases = self.returned + self.retried + self.failed
        return max(self.expired, self.cancelled, self.unavailable, ended_leases) >= CHUNK


def sweep() -> Swept:
    """Settle one chunk of each kind and tell which channels have due rows. Safe to repeat and to run many times at once."""
    swept = Swept()
    with connection.cursor() as cursor:
        cursor.execute(EXPIRE, [CHUNK])
        swept.expired = cursor.rowcount
        cursor.execute(CANCEL_LANES, [CHUNK, CHUNK])
        swept.cancelled = cursor.rowcount
    _settle_dead_leases(swept)
    with connection.cursor() as cursor:
        cursor.execute(DUE_CHANNELS, asked())
        due = cursor.fetchall()
        swept.due_channels = sorted({channel for channel, is_served in due if is_served})
        if not all(is_served for _channel, is_served in due):
            cursor.execute(UNAVAILABLE, {**asked(), "chunk": CHUNK})
            swept.unavailable = cursor.rowcount
        cursor.execute(SUSPECTS_DUE)
        swept.has_suspects = cursor.fetchone()[0]
    return swept


def _settle_dead_leases(swept: Swept) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(DEAD_LEASES, [CHUNK])
        rows = cursor.fetchall()
        unstarted = [
            row_id for row_id, _channel, status, _attempts, lost in rows if status != "SENDING" and not _is_killer(lost)
        ]
        if unstarted:
            cursor.execute(RETURN_UNSTARTED, [settings.MAX_LOST_LEASES, unstarted])
        unknown = [row for row in rows if row[2] == "SENDING" or _is_killer(row[4])]
        if unknown:
            delays = [
                None if _is_killer(lost) else _delay(channel, attempts)
                for _id, channel, _status, attempts, lost in unknown
            ]
            cursor.execute(
                SETTLE_UNKNOWN,
                {
                    "ids": [row[0] for row in unknown],
                    "statuses": ["FAILED" if delay is None else "RETRYING" for delay in delays],
                    "delays": [delay or 0.0 for delay in delays],
                    "message": UNKNOWN_MESSAGE,
                },
            )
        swept.returned += len(unstarted)
        swept.retried += sum(1 for row in unknown if not _is_killer(row[4]) and _delay(row[1], row[3]) is not None)
        swept.failed = len(unknown) - swept.retried


def _is_killer(lost_leases: int) -> bool:
    """Say whether a row has now cost as many processes as one row may: this loss included."""
    return lost_leases + 1 > int(settings.MAX_LOST_LEASES)


def _delay(channel: str, attempts: int) -> float | None:
    return next_delay_seconds(policy_for(channel), attempts=attempts, permanent=False, ambiguous=True)
