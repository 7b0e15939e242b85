"""Jobs become rows: COPY into a staging table, one ordered insert, and a second statement that tells duplicates apart.

Runs inside the caller's transaction, on Django's connection. What a job means is decided in `deliveries/ingest.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection

from deliveries.channels import Status
from deliveries.lifecycle.blank import hides
from deliveries.lifecycle.holds import aside_for
from deliveries.lifecycle.unwanted import SUPPRESSED, UNSUBSCRIBED, WORDS

STAGING = """
CREATE TEMPORARY TABLE IF NOT EXISTS staged_delivery (
    id bigint NOT NULL,
    tenant_id bigint NOT NULL, job_id uuid NOT NULL, user_id uuid NOT NULL,
    channel text NOT NULL, priority smallint NOT NULL, template_code text NOT NULL, locale text NOT NULL, category text NOT NULL,
    content jsonb, data jsonb NOT NULL, meta jsonb NOT NULL, body_hash bytea NOT NULL, is_test boolean NOT NULL, entrance text NOT NULL,
    created_at timestamptz NOT NULL, send_after timestamptz, expires_at timestamptz, reason text NOT NULL, error_message text NOT NULL
) ON COMMIT DELETE ROWS
"""

# Drawn in arrival order, because ids order what is due at the same moment.
DRAW_IDS = """
SELECT nextval(ids.sequence) FROM generate_series(1, %s),
    (SELECT pg_get_serial_sequence('notification_delivery', 'id')::regclass AS sequence OFFSET 0) ids
"""

COPY = """
COPY staged_delivery (id, tenant_id, job_id, user_id, channel, priority, template_code, locale, category, content, data, meta,
    body_hash, is_test, entrance, created_at, send_after, expires_at, reason, error_message) FROM STDIN
"""

# A lane is made the first time that a tenant uses a channel at a priority, and never deleted.
LANES = """
INSERT INTO deliveries_lane (tenant_id, channel, priority, source, tokens)
SELECT made.tenant_id, made.channel, made.priority, '', 0
FROM (SELECT DISTINCT tenant_id, channel, priority FROM staged_delivery s
      WHERE reason = '' AND NOT EXISTS (
          SELECT FROM deliveries_lane l
          WHERE (l.tenant_id, l.channel, l.priority, l.source) = (s.tenant_id, s.channel, s.priority, ''))) made
ORDER BY made.tenant_id, made.channel, made.priority
ON CONFLICT (tenant_id, channel, priority, source) DO NOTHING
"""

# Ordered by the unique key, so that two transactions that share jobs wait for each other and never deadlock. `accepted_at` is the
# transaction's time, as the hour of its receipt is: else the two could lie on both sides of a full hour.
INSERT = f"""
INSERT INTO notification_delivery (
    id, tenant_id, job_id, user_id, channel, priority, lane_id, template_code, locale, category, content, data, meta, body_hash,
    is_test, entrance, created_at, accepted_at, send_after, expires_at, status, next_attempt_at, hold_id, finished_at,
    reason, error_message, blanked_at)
SELECT s.id, s.tenant_id, s.job_id, s.user_id, s.channel, s.priority, l.id, s.template_code, s.locale, s.category, s.content,
    CASE WHEN v.is_blank THEN '{{}}' ELSE s.data END, s.meta, s.body_hash, s.is_test, s.entrance, s.created_at,
    transaction_timestamp(), s.send_after, s.expires_at, v.status,
    CASE WHEN v.status = 'PENDING' THEN greatest(s.send_after, statement_timestamp()) END,
    CASE WHEN v.status = 'PENDING' THEN {aside_for("s")} END,
    CASE WHEN v.status <> 'PENDING' THEN statement_timestamp() END,
    v.reason, CASE v.reason {WORDS} WHEN 'expired' THEN 'expires_at had passed when the job arrived' ELSE s.error_message END,
    CASE WHEN v.is_blank THEN statement_timestamp() END
FROM (SELECT DISTINCT ON (tenant_id, job_id) * FROM staged_delivery ORDER BY tenant_id, job_id, id) s
LEFT JOIN deliveries_lane l ON (l.tenant_id, l.channel, l.priority, l.source) = (s.tenant_id, s.channel, s.priority, '')
LEFT JOIN deliveries_contact c ON (c.tenant_id, c.user_id) = (s.tenant_id, s.user_id)
CROSS JOIN LATERAL (SELECT reason, CASE
        WHEN s.reason <> '' THEN 'FAILED' WHEN reason = '' THEN 'PENDING' WHEN reason = 'expired' THEN 'EXPIRED' ELSE 'SUPPRESSED'
        END AS status
    FROM (SELECT CASE
        WHEN s.reason <> '' THEN s.reason
        WHEN s.expires_at <= statement_timestamp() THEN 'expired'
        WHEN s.channel = ANY (c.opted_out) THEN 'opted_out'
        WHEN {UNSUBSCRIBED.format(row="s")} THEN 'unsubscribed'
        WHEN {SUPPRESSED.format(row="s")} THEN 'suppressed_address'
        ELSE '' END AS reason OFFSET 0) judged) w
CROSS JOIN LATERAL (SELECT w.status, w.reason, w.status <> 'PENDING' AND {hides("s")} AS is_blank) v
ORDER BY s.tenant_id, s.job_id
ON CONFLICT (tenant_id, job_id) DO NOTHING
RETURNING id, status, reason
"""

# A statement of its own: only its newer snapshot sees rows that another transaction committed while the insert waited for it.
EXISTING = """
SELECT s.id, d.id, d.body_hash = s.body_hash, d.status, d.reason
FROM staged_delivery s JOIN notification_delivery d ON (d.tenant_id, d.job_id) = (s.tenant_id, s.job_id)
WHERE d.id <> s.id
"""

DEAD_LETTERS = """
INSERT INTO deliveries_deadletter (kind, delivery_id, tenant_id, reason, error_message, channel, template_code, failed_at)
SELECT 'failed', id, tenant_id, reason, error_message, channel, template_code, finished_at
FROM notification_delivery WHERE id = ANY(%s)
"""


@dataclass(frozen=True, slots=True)
class NewRow:
    """One job resolved to values of the table. `reason` is set when it cannot be sent at all: it becomes FAILED at once."""

    tenant_id: int
    job_id: UUID
    user_id: UUID
    channel: str
    priority: int
    template_code: str
    locale: str
    category: str
    content: str | None
    data: str
    meta: str
    body_hash: bytes
    is_test: bool
    entrance: str
    created_at: datetime
    send_after: datetime | None
    expires_at: datetime | None
    reason: str = ""
    error_message: str = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of one row. `fate`: `new`, `same` (an equal job was there) or `altered` (the id was there with another body)."""

    fate: str
    delivery_id: int
    status: str
    reason: str


class RowsMissingError(RuntimeError):
    """Postgres took jobs and made no rows of them, as a trigger or a rule may: rather no answer than one that is not true."""


def accept(rows: Sequence[NewRow]) -> list[Accepted]:
    """Store the rows that are new and say of each what became of it, in the order given. Must run inside a transaction.

    Idempotent by (tenant, job_id). Raises: django.db.DataError when Postgres refuses a value; the caller bisects. RowsMissingError
    when the insert left out a row that is not there either: nothing of the transaction may then be committed.
    """
    if not rows:
        return []
    with connection.cursor() as cursor:
        cursor.execute(STAGING)
        cursor.execute(DRAW_IDS, [len(rows)])
        ids = [row_id for (row_id,) in cursor.fetchall()]
        # COPY goes past Django's cursor, so its errors are translated here.
        with connection.wrap_database_errors, cursor.copy(COPY) as copy:
            for row_id, row in zip(ids, rows, strict=True):
                copy.write_row(_copy_values(row_id, row))
        cursor.execute(LANES)
        cursor.execute(INSERT, {"mandatory": settings.MANDATORY_CATEGORIES})
        new = {row_id: Accepted("new", row_id, status, reason) for row_id, status, reason in cursor.fetchall()}
        known: dict[int, Accepted] = {}
        if len(new) < len(rows):
            cursor.execute(EXISTING)
            for staged_id, row_id, is_same, status, reason in cursor.fetchall():
                known[staged_id] = Accepted("same" if is_same else "altered", row_id, status, reason)
        failed = [row.delivery_id for row in new.values() if row.status == Status.FAILED]
        if failed:
            cursor.execute(DEAD_LETTERS, [failed])
    missing = [row_id for row_id in ids if row_id not in new and row_id not in known]
    if missing:
        raise RowsMissingError(f"{len(missing)} of {len(rows)} rows were neither stored nor there before")
    return [new.get(row_id) or known[row_id] for row_id in ids]


def _copy_values(row_id: int, row: NewRow) -> tuple[Any, ...]:
    return (
        row_id, row.tenant_id, row.job_id, row.user_id, row.channel, row.priority, row.template_code, row.locale, row.category,
        row.content, row.data, row.meta, row.body_hash, row.is_test, row.entrance, row.created_at, row.send_after, row.expires_at,
        row.reason, row.error_message,
    )  # fmt: skip
