"""Records that could not become jobs: each is one dead letter, named by topic, partition and offset. Written in ingest's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection

RAW_LIMIT_BYTES = 64 * 1024

STORE = """
INSERT INTO deliveries_deadletter (kind, topic, partition, "offset", raw, reason, error_message, failed_at)
SELECT 'rejected', r.topic, r.partition, r.at, r.raw, r.reason, r.message, statement_timestamp()
FROM unnest(%s::text[], %s::int[], %s::bigint[], %s::bytea[], %s::text[], %s::text[]) AS r (topic, partition, at, raw, reason, message)
ORDER BY r.topic, r.partition, r.at
ON CONFLICT (topic, partition, "offset") WHERE kind = 'rejected' DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class Reject:
    """One record that was turned away, and why. `raw` holds its first 64 KiB."""

    topic: str
    partition: int
    offset: int
    raw: bytes
    reason: str
    message: str


def reject(record: Any, reason: str, message: str) -> Reject:
    """Return the reject of a Kafka record."""
    return Reject(record.topic, record.partition, record.offset, record.value[:RAW_LIMIT_BYTES], reason, message)


def store(rejected: Sequence[Reject]) -> None:
    """Store rejects as dead letters, in the caller's transaction. Idempotent: a record read again stays one dead letter."""
    if rejected:
        with connection.cursor() as cursor:
            cursor.execute(
                STORE,
                [
                    [r.topic for r in rejected],
                    [r.partition for r in rejected],
                    [r.offset for r in rejected],
                    [r.raw for r in rejected],
                    [r.reason for r in rejected],
                    [r.message.replace("\x00", "\ufffd") for r in rejected],
                ],
            )
