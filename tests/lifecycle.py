"""Steps through the state machine for tests: jobs in bulk through the real ingest, and the event-loop statements from a plain test."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID, uuid4

import orjson
import psycopg

from deliveries import ingest, lifecycle
from deliveries.channels import Status
from deliveries.database import connection_parameters, plan_once
from deliveries.jobs import parse_job
from deliveries.lifecycle import ClaimedRow, Outcome, Person

T = TypeVar("T")
CREATED_AT = "2026-01-02T03:04:05Z"


def body(**changes: Any) -> dict[str, Any]:
    """Return a valid job as a mapping; `changes` override, None leaves a field out."""
    job: dict[str, Any] = {
        "job_id": str(uuid4()),
        "user_id": str(uuid4()),
        "channel": "ws",
        "content": {"title": "Hello", "body": "There"},
        "created_at": CREATED_AT,
        **changes,
    }
    return {key: value for key, value in job.items() if value is not None}


def incoming(**changes: Any) -> ingest.Incoming:
    """Return a parsed job as ingest takes it."""
    return ingest.Incoming(parse_job(orjson.dumps(body(**changes)), now=datetime.now(UTC)), "kafka:test/0@1")


def accept(*jobs: ingest.Incoming) -> list[int]:
    """Ingest jobs and return their delivery ids, in order."""
    verdicts = ingest.ingest(jobs, entrance="test")
    assert all(verdict.kind == "accepted" for verdict in verdicts), verdicts
    return [verdict.delivery_id for verdict in verdicts if verdict.delivery_id is not None]


def on_connection(work: Callable[[psycopg.AsyncConnection[Any]], Awaitable[T]]) -> T:
    """Run event-loop work on an autocommit connection of its own, as a sending process does."""

    async def run() -> T:
        async with await psycopg.AsyncConnection.connect(**connection_parameters(), autocommit=True) as connection:
            await plan_once(connection)
            return await work(connection)

    return asyncio.run(run())


def claim(
    channel: str = "ws", *, limit: int = 500, lease_seconds: float = 90, lowest_priority: int = 2
) -> list[ClaimedRow]:
    return on_connection(
        lambda connection: lifecycle.claim(
            connection, channel=channel, limit=limit, lease_seconds=lease_seconds, lowest_priority=lowest_priority
        )
    )


def start(rows: list[ClaimedRow], *, only_to: list[str] | None = None) -> dict[int, Person]:
    return on_connection(
        lambda connection: lifecycle.start(connection, rows=rows, deadline_seconds=20, only_to=only_to)
    )


def finish(*outcomes: Outcome) -> set[int]:
    return on_connection(lambda connection: lifecycle.finish(connection, outcomes=outcomes))


def sent(row: ClaimedRow) -> Outcome:
    return Outcome(
        id=row.id, lease_token=row.lease_token, status=Status.SENT, provider="smtp", provider_message_id="250 ok"
    )


def failed(row: ClaimedRow, **changes: Any) -> Outcome:
    values: dict[str, Any] = {"status": Status.FAILED, "reason": "smtp_550", "message": "No such user", **changes}
    return Outcome(id=row.id, lease_token=row.lease_token, **values)


def send_all(channel: str = "ws") -> list[UUID]:
    """Claim, start and finish as SENT whatever is due; return the job ids in the order of the claim."""
    rows = claim(channel)
    start(rows)
    finish(*map(sent, rows))
    return [row.job_id for row in rows]
