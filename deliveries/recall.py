"""Recall: take what is in inboxes out of them again, in open tabs too. The status stays: it was sent, and then removed.

Here: the rows of a range of job ids, and the frames that tell open tabs. What still waits is the caller's to cancel (its lanes).
"""

from __future__ import annotations

from typing import Final, NamedTuple
from uuid import UUID

import structlog
from asgiref.sync import async_to_sync
from django.db import connection, transaction

from deliveries.channels import Channel
from deliveries.lifecycle.claim import CLAIM_LOCK
from deliveries.realtime import protocol
from deliveries.realtime.protocol import Item
from deliveries.realtime.publish import publish_items

log = structlog.get_logger(__name__)

CHUNK: Final = 5_000
#: A chunk whose rows others hold (a sender that records, a tab that acknowledges) is looked at again so often.
LOOKS: Final = 100
PAUSE_SECONDS: Final = 0.05

# A claim that had begun before the caller cancelled the lanes holds this lock until its leases can be seen.
_CLAIMS_ARE_SEEN: Final = "SELECT pg_advisory_xact_lock(%s, hashtext(%s))"
# In inboxes, or about to get there: with a sender, or waiting in a lane that nobody cancelled. Those in a cancelled lane never arrive.
_CHUNK: Final = """
WITH page AS MATERIALIZED (
    SELECT d.id, d.job_id, d.channel, d.status, d.recalled_at, d.lease_expires_at, d.lane_id FROM notification_delivery d
    WHERE d.tenant_id = %(tenant)s AND d.job_id > %(after)s AND d.job_id <= %(last)s
    ORDER BY d.job_id LIMIT %(chunk)s
), wanted AS MATERIALIZED (
    SELECT p.id FROM page p WHERE p.channel = 'ws' AND p.recalled_at IS NULL AND (p.status = 'SENT' OR p.lease_expires_at IS NOT NULL
        OR (p.status IN ('PENDING', 'RETRYING')
            AND EXISTS (SELECT FROM deliveries_lane l WHERE l.id = p.lane_id AND l.cancelled_at IS NULL)))
), locked AS MATERIALIZED (
    SELECT d.id FROM notification_delivery d JOIN wanted USING (id) ORDER BY d.id FOR NO KEY UPDATE OF d SKIP LOCKED
), done AS (
    UPDATE notification_delivery d SET recalled_at = statement_timestamp() FROM locked WHERE d.id = locked.id
    RETURNING d.user_id, d.job_id, d.status
)
SELECT (SELECT count(*) FROM page), (SELECT job_id FROM page ORDER BY job_id DESC LIMIT 1),
    (SELECT count(*) FROM wanted) - (SELECT count(*) FROM locked),
    (SELECT array_agg(ARRAY[user_id, job_id]) FROM done), (SELECT count(*) FROM done WHERE status = 'SENT')
"""


class Recalled(NamedTuple):
    """`removed`: how many were taken out of inboxes. `stopped`: how many were on their way and will not appear."""

    removed: int
    stopped: int


def inbox_recall(*, tenant_id: int, first: UUID, last: UUID) -> Recalled:
    """Take the inbox items with job ids from `first` to `last` out of people's inboxes, and say so to open tabs.

    Idempotent; chunks of CHUNK rows, each in its own transaction, so a call that died goes on where it is repeated. Beside sends: what
    a sender has at this moment is recorded as sent, and appears nowhere. Tell-tale frames are a courtesy that the channel layer
    may drop; a tab that connects anew gets only what its inbox holds. Raises: TimeoutError when others keep rows locked for
    seconds, with all the rest done; django.db.OperationalError.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_CLAIMS_ARE_SEEN, [CLAIM_LOCK, Channel.WS.value])
    after, removed, stopped, skipped = UUID(int=first.int - 1), 0, 0, 0
    while True:
        chunk = _recall_chunk(tenant_id, after, last)
        removed, stopped, skipped = removed + chunk.removed, stopped + chunk.stopped, skipped + chunk.skipped
        if chunk.rows < CHUNK or chunk.last is None:
            break
        after = chunk.last
    if skipped:
        raise TimeoutError(f"{skipped} rows are locked by others")
    return Recalled(removed, stopped)


class _Chunk(NamedTuple):
    rows: int
    last: UUID | None
    skipped: int
    removed: int
    stopped: int


def _recall_chunk(tenant_id: int, after: UUID, last: UUID) -> _Chunk:
    """Recall the rows of the next chunk, waiting for those that others are changing at this moment."""
    removed = stopped = 0
    for look in range(LOOKS):
        with connection.cursor() as cursor:
            if look:
                cursor.execute("SELECT pg_sleep(%s)", [PAUSE_SECONDS])
            cursor.execute(_CHUNK, {"tenant": tenant_id, "after": after, "last": last, "chunk": CHUNK})
            rows, newest, skipped, told, were_sent = cursor.fetchone()
        removed, stopped = removed + were_sent, stopped + len(told or ()) - were_sent
        if told:
            async_to_sync(publish_items.__call__)([_item(tenant_id, user_id, job_id) for user_id, job_id in told])
        if not skipped:
            break
    return _Chunk(rows, newest, skipped, removed, stopped)


def _item(tenant_id: int, user_id: UUID, job_id: UUID) -> Item:
    return Item(tenant_id, str(user_id), "", protocol.removed(job_id), removes=str(job_id))
