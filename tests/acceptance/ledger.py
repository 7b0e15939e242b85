"""The ledger: every record that Kafka acknowledged, and what the promise says must become of it.

Here belongs what was handed in. What came of it is the checker's to read elsewhere, never from here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid4

import orjson
from kafka import KafkaProducer

from tests.acceptance.people import Person
from tests.waiting import GENEROUS_SECONDS


class Fate(StrEnum):
    """What must become of a record: a job of its own, nothing (the same job is there already), or a dead letter."""

    JOB = "job"
    DUPLICATE = "duplicate"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Letter:
    """A record before it is sent. `job_id` is None where the bytes are no job; `partition` None lets the key choose."""

    value: bytes
    fate: Fate
    job_id: UUID | None = None
    key: bytes | None = None
    partition: int | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """A letter that Kafka acknowledged, and where it lies."""

    letter: Letter
    partition: int
    offset: int


def job(person: Person, *, job_id: UUID | None = None, title: str = "Hello", priority: str = "normal") -> Letter:
    """Return one e-mail job for a person."""
    job_id = job_id or uuid4()
    body: dict[str, Any] = {
        "job_id": str(job_id),
        "user_id": str(person.user_id),
        "tenant_id": person.tenant,
        "channel": "email",
        "content": {"title": title, "body": "There is news."},
        "meta": {"event_type": "test", "priority": priority},
        "created_at": datetime.now(UTC).isoformat(),
    }
    return Letter(orjson.dumps(body), Fate.JOB, job_id, str(person.user_id).encode())


class Ledger:
    """Writes to one topic and keeps what was acknowledged by all replicas."""

    def __init__(self, *, bootstrap: str, topic: str) -> None:
        self.topic = topic
        self.records: list[Record] = []
        # Longer than an election or a restart of the broker takes: a record is either acknowledged or the test fails.
        self._producer = KafkaProducer(
            bootstrap_servers=bootstrap, acks="all", retries=20, linger_ms=5, delivery_timeout_ms=120_000
        )

    def put(self, letters: Iterable[Letter]) -> None:
        """Send letters and return when each is acknowledged and written down. Raises: KafkaError."""
        sent = [
            (one, self._producer.send(self.topic, value=one.value, key=one.key, partition=one.partition))
            for one in letters
        ]
        self._producer.flush(timeout=GENEROUS_SECONDS)
        for letter, future in sent:
            at = future.get(timeout=GENEROUS_SECONDS)
            self.records.append(Record(letter, at.partition, at.offset))

    def ends(self) -> dict[int, int]:
        """Return the offset after the last record of each partition written to."""
        ends: dict[int, int] = {}
        for record in self.records:
            ends[record.partition] = max(ends.get(record.partition, 0), record.offset + 1)
        return ends

    def job_ids(self) -> set[UUID]:
        """Return the jobs that must each reach exactly one terminal status."""
        return {r.letter.job_id for r in self.records if r.letter.fate is Fate.JOB and r.letter.job_id is not None}

    def rejected(self) -> set[tuple[int, int]]:
        """Return partition and offset of the records that must be dead letters."""
        return {(r.partition, r.offset) for r in self.records if r.letter.fate is Fate.REJECTED}

    def close(self) -> None:
        """Let go of the producer."""
        self._producer.close()
