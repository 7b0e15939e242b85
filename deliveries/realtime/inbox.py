"""The rows behind the sockets: replay, re-read, acknowledge, unread. All SQL of realtime, on the event loop's own pool.

Not here: frames and sockets. Nothing here touches `status`; acknowledging sets an outcome, which is beside it.

An inbox item is a ws delivery that is SENT, has `rendered`, was not recalled and did not come with a test key. Items are
ordered by `finished_at`, when they got into the inbox. Their ids tell nothing of that: ids commit out of order, and a row
that was parked for a week has an old one. So no cursor is kept anywhere; what is not acknowledged is what there is to say.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import OperationalError
from psycopg_pool import PoolTimeout

from deliveries.database import AsyncPool
from deliveries.realtime.connection import User

InboxAwayError = OperationalError
"""The database is away or its pool is exhausted. Nothing was changed; try again later."""

TENANT_CACHE_SECONDS = 60.0

ITEM = "d.rendered IS NOT NULL AND d.recalled_at IS NULL AND d.channel = 'ws' AND d.status = 'SENT' AND NOT d.is_test"
# Holds the predicate of the index delivery_inbox.
OPEN_ITEM = f"d.acknowledged_at IS NULL AND {ITEM}"
FIELDS = "d.job_id, d.rendered, d.data, d.priority, d.accepted_at, d.read_at"

TENANT = "SELECT id FROM deliveries_tenant WHERE slug = %s"

UNACKNOWLEDGED = f"""
SELECT {FIELDS} FROM notification_delivery d
WHERE d.tenant_id = %s AND d.user_id = %s AND {OPEN_ITEM} AND d.job_id <> ALL (%s::uuid[])
ORDER BY d.finished_at, d.id LIMIT %s
"""

ITEMS = f"""
SELECT d.tenant_id, d.user_id, {FIELDS}
FROM unnest(%s::bigint[], %s::uuid[], %s::uuid[]) AS asked (tenant_id, user_id, job_id)
JOIN notification_delivery d USING (tenant_id, user_id, job_id)
WHERE {OPEN_ITEM}
ORDER BY d.finished_at, d.id
"""

COUNTS = f"""
SELECT u.tenant_id, u.user_id, c.unacknowledged, c.unread
FROM unnest(%s::bigint[], %s::uuid[]) AS u (tenant_id, user_id) CROSS JOIN LATERAL (
    SELECT count(*) AS unacknowledged, count(*) FILTER (WHERE d.read_at IS NULL) AS unread FROM notification_delivery d
    WHERE d.tenant_id = u.tenant_id AND d.user_id = u.user_id AND {OPEN_ITEM}) c
"""

RECENT = f"""
SELECT u.tenant_id, u.user_id, d.job_id
FROM unnest(%s::bigint[], %s::uuid[]) AS u (tenant_id, user_id) CROSS JOIN LATERAL (
    SELECT d.job_id, d.finished_at, d.id FROM notification_delivery d
    WHERE d.tenant_id = u.tenant_id AND d.user_id = u.user_id AND {OPEN_ITEM}
        AND d.finished_at >= statement_timestamp() - %s * interval '1 second'
    ORDER BY d.finished_at, d.id LIMIT %s) d
ORDER BY d.finished_at, d.id
"""

# Locks in the order of the ids, so that two sockets of one person that acknowledge the same never deadlock.
ACKNOWLEDGE = f"""
WITH mine AS (
    SELECT d.id, d.job_id, d.acknowledged_at FROM notification_delivery d
    WHERE d.tenant_id = %s AND d.user_id = %s AND d.job_id = ANY(%s::uuid[]) AND {ITEM}
    ORDER BY d.id FOR UPDATE
), done AS (
    UPDATE notification_delivery d SET acknowledged_at = statement_timestamp(), outcome = 'acknowledged',
        read_at = coalesce(d.read_at, statement_timestamp())
    FROM mine WHERE d.id = mine.id AND mine.acknowledged_at IS NULL
)
SELECT job_id FROM mine
"""


class InboxItem(NamedTuple):
    """One notification as the inbox holds it."""

    job_id: UUID
    rendered: Mapping[str, str]
    data: Mapping[str, Any]
    priority: int
    accepted_at: datetime
    read_at: datetime | None


class Counts(NamedTuple):
    """What a person's inbox holds. What is unread is not acknowledged either."""

    unacknowledged: int
    unread: int


class Inbox:
    """Inboxes of all tenants. Every method is one statement in a transaction of its own. Raises: InboxAwayError."""

    def __init__(self, pool: AsyncPool) -> None:
        self._pool = pool
        self._tenants: dict[str, tuple[int, float]] = {}

    async def tenant_id(self, slug: str) -> int | None:
        """Return the tenant's row id, or None for one that does not exist. Remembers those that do for a minute."""
        known, until = self._tenants.get(slug, (0, 0.0))
        if time.monotonic() < until:
            return known
        rows = await self._fetch(TENANT, [slug])
        if not rows:
            return None
        self._tenants[slug] = (rows[0][0], time.monotonic() + TENANT_CACHE_SECONDS)
        return int(rows[0][0])

    async def unacknowledged(self, user: User, *, but: Iterable[str], limit: int) -> list[InboxItem]:
        """Return the person's unacknowledged items without the ids in `but`, those longest in the inbox first."""
        return [InboxItem(*row) for row in await self._fetch(UNACKNOWLEDGED, [*user, list(but), limit])]

    async def items(self, wanted: Mapping[User, Iterable[str]]) -> list[tuple[User, InboxItem]]:
        """Return these items of many people in one query, those longest in the inbox first. What is acknowledged by now is missing."""
        pairs = [(user, notification_id) for user, ids in wanted.items() for notification_id in ids]
        rows = await self._fetch(
            ITEMS, [*_columns(user for user, _ in pairs), [notification_id for _, notification_id in pairs]]
        )
        return [((tenant_id, str(user_id)), InboxItem(*fields)) for tenant_id, user_id, *fields in rows]

    async def counts(self, users: Iterable[User]) -> dict[User, Counts]:
        """Count the inboxes of many people in one query."""
        rows = await self._fetch(COUNTS, _columns(users))
        return {(tenant_id, str(user_id)): Counts(*counts) for tenant_id, user_id, *counts in rows}

    async def recent(self, users: Iterable[User], *, seconds: float, limit: int) -> dict[User, list[str]]:
        """Return the ids of what got into many people's inboxes in the last `seconds` and is unacknowledged, in one query.

        At most `limit` a person. Who has nothing is missing.
        """
        found: dict[User, list[str]] = {}
        for tenant_id, user_id, job_id in await self._fetch(RECENT, [*_columns(users), seconds, limit]):
            found.setdefault((tenant_id, str(user_id)), []).append(str(job_id))
        return found

    async def acknowledge(self, user: User, ids: Sequence[UUID]) -> set[UUID]:
        """Acknowledge items of this person, and return which of `ids` are theirs and acknowledged now. Idempotent."""
        return {job_id for (job_id,) in await self._fetch(ACKNOWLEDGE, [*user, list(ids)])}

    async def _fetch(self, statement: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        try:
            return await self._fetch_once(statement, parameters)
        except PoolTimeout:
            raise
        except OperationalError:
            # Most often the database was restarted and the pool's connections are dead. Every statement here may be repeated.
            await self._pool.check()
            return await self._fetch_once(statement, parameters)

    async def _fetch_once(self, statement: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        async with self._pool.connection() as connection:
            cursor = await connection.execute(statement, parameters)
            return await cursor.fetchall()


def _columns(users: Iterable[User]) -> list[list[Any]]:
    pairs = list(users)
    return [[tenant_id for tenant_id, _ in pairs], [user_id for _, user_id in pairs]]
