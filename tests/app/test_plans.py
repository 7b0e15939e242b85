"""Claim, start and finish on a table without statistics: the first minutes of every installation.

The planner then believes that a tenant has a handful of rows. What is held here is how many blocks a step reads, not how long it takes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import closing
from typing import Any, TypeVar

import psycopg
import pytest
from django.db import connection

from deliveries import lifecycle
from deliveries.lifecycle import ClaimedRow
from deliveries.models import Contact, OptOut, Suppression, Tenant
from tests.factories import ContactFactory, SuppressionFactory
from tests.lifecycle import accept, incoming, on_connection, send_all, sent
from tests.mass import fan_out

T = TypeVar("T")
WAITING = 3000
CLAIMED = 500
MOST_BLOCKS_A_ROW = 100

GROWING = ("notification_delivery", "deliveries_contact", "deliveries_optout", "deliveries_suppression")
BLOCKS = f"""
WITH asked AS (SELECT unnest('{{{",".join(GROWING)}}}'::regclass[]) AS id)
SELECT sum(pg_stat_get_xact_blocks_fetched(part.id)) FROM (
    SELECT id FROM asked UNION ALL SELECT indexrelid FROM pg_index JOIN asked ON indrelid = asked.id) part
"""
ROWS = f"""
WITH asked AS (SELECT unnest('{{{",".join(GROWING)}}}'::regclass[]) AS id)
SELECT (SELECT sum(pg_stat_get_xact_tuples_returned(id)) FROM asked)
    + (SELECT sum(pg_stat_get_xact_tuples_fetched(indexrelid)) FROM pg_index JOIN asked ON indrelid = id)
"""
MOST_LOOKS_AT_A_ROW = 10


@pytest.fixture
def claimed(transactional_db: None) -> list[ClaimedRow]:
    """Claim from a table that was never analyzed."""
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE notification_delivery CASCADE")
        cursor.execute("DELETE FROM pg_statistic WHERE starelid = 'notification_delivery'::regclass")
    accept(*(incoming() for _ in range(WAITING)))
    rows, read = with_blocks(lambda c: lifecycle.claim(c, channel="ws", limit=CLAIMED, lease_seconds=90))
    assert len(rows) == CLAIMED
    assert read < CLAIMED * MOST_BLOCKS_A_ROW
    return rows


def test_a_claim_reads_few_blocks_beside_rows_in_flight(claimed: list[ClaimedRow]) -> None:
    rows, read = with_blocks(lambda c: lifecycle.claim(c, channel="ws", limit=CLAIMED, lease_seconds=90))
    assert len({row.id for row in (*rows, *claimed)}) == 2 * CLAIMED
    assert read < CLAIMED * MOST_BLOCKS_A_ROW


def test_a_claim_reads_few_blocks_where_the_statistics_know_nothing_in_flight(transactional_db: None) -> None:
    accept(*(incoming() for _ in range(WAITING)))
    while send_all():
        pass
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE notification_delivery")
    accept(*(incoming() for _ in range(WAITING)))
    for _ in range(3):
        rows, read = with_blocks(lambda c: lifecycle.claim(c, channel="ws", limit=CLAIMED, lease_seconds=90))
        assert len(rows) == CLAIMED
        assert read < CLAIMED * MOST_BLOCKS_A_ROW


def test_a_start_and_a_finish_read_few_blocks(claimed: list[ClaimedRow]) -> None:
    started, read = with_blocks(lambda c: lifecycle.start(c, rows=claimed, deadline_seconds=20, only_to=None))
    assert len(started) == CLAIMED
    assert read < CLAIMED * MOST_BLOCKS_A_ROW
    finished, read = with_blocks(lambda c: lifecycle.finish(c, outcomes=[sent(row) for row in claimed]))
    assert len(finished) == CLAIMED
    assert read < CLAIMED * MOST_BLOCKS_A_ROW


def test_a_claim_reads_few_blocks_behind_rows_that_were_put_aside(transactional_db: None) -> None:
    lifecycle.hold_place(by="ana", reason="wrong price", template_code="order")
    accept(*(incoming(content=None, template_code="order") for _ in range(WAITING)))
    accept(*(incoming() for _ in range(CLAIMED)))
    rows, read = with_blocks(lambda c: lifecycle.claim(c, channel="ws", limit=CLAIMED, lease_seconds=90))
    assert len(rows) == CLAIMED
    assert read < CLAIMED * MOST_BLOCKS_A_ROW


def test_a_session_that_planned_beside_empty_tables_reads_few_blocks_of_a_flood(
    transactional_db: None, tenant: Tenant, settings: Any
) -> None:
    """A sender's session plans each statement once, so what suits four pages must also suit what arrives a moment later."""
    settings.BROADCAST_APPROVAL_FROM = 2 * WAITING
    few = [ContactFactory(tenant=tenant) for _ in range(40)]
    accept(*(incoming(tenant_id=tenant.slug, channel="email", user_id=str(one.user_id)) for one in few))
    with connection.cursor() as cursor:
        cursor.execute(f"VACUUM ANALYZE {', '.join(GROWING)}")

    async def work(session: psycopg.AsyncConnection[Any]) -> list[tuple[int, int, int]]:
        taken = [await one_round(session)]
        await asyncio.to_thread(flood, tenant)
        return [*taken, await one_round(session), await one_round(session)]

    (first, _, _), *rounds = on_connection(work)
    assert first == len(few)
    for finished, read, looked_at in rounds:
        assert finished == CLAIMED
        assert read < CLAIMED * MOST_BLOCKS_A_ROW
        assert looked_at < CLAIMED * MOST_LOOKS_AT_A_ROW


async def one_round(session: psycopg.AsyncConnection[Any]) -> tuple[int, int, int]:
    """Claim, start and finish; return how many rows were finished, how many blocks that read and at how many rows it looked."""
    async with session.transaction():
        before = await number(session, BLOCKS), await number(session, ROWS)
        rows = await lifecycle.claim(session, channel="email", limit=CLAIMED, lease_seconds=90)
        started = await lifecycle.start(session, rows=rows, deadline_seconds=20, only_to=None)
        await lifecycle.finish(session, outcomes=[sent(row) for row in rows])
        return len(started), await number(session, BLOCKS) - before[0], await number(session, ROWS) - before[1]


def flood(tenant: Tenant) -> None:
    """People, some of the tenant's addresses suppressed, categories opted out of, and a broadcast to everybody."""
    with closing(connection):  # of this thread
        people = [ContactFactory.build(tenant=tenant) for _ in range(WAITING)]
        Contact.objects.bulk_create(people)
        Suppression.objects.bulk_create(
            SuppressionFactory.build(tenant=tenant, address=f"{n}@x.org") for n in range(WAITING)
        )
        OptOut.objects.bulk_create(
            OptOut(tenant=tenant, user_id=one.user_id, channel="email", category="news") for one in people
        )
        fan_out(tenant, channels=["email"], category="offers")


def with_blocks(work: Callable[[psycopg.AsyncConnection[Any]], Awaitable[T]]) -> tuple[T, int]:
    """Do database work; return its result and how many blocks of the table and its indexes it read."""

    async def counted(connection: psycopg.AsyncConnection[Any]) -> tuple[T, int]:
        async with connection.transaction():
            before = await number(connection, BLOCKS)
            result = await work(connection)
            return result, await number(connection, BLOCKS) - before

    return on_connection(counted)


async def number(connection: psycopg.AsyncConnection[Any], asked: str) -> int:
    row = await (await connection.execute(asked)).fetchone()
    assert row is not None
    return int(row[0])
