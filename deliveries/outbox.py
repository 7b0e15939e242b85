"""The Kafka poll loop: fetch → parse → ingest → commit offsets → hint. One transaction a poll; offsets only after its commit.

When the database is away the batch is kept, the partitions are paused and polling goes on, so that the group keeps its members; nothing
of that ever reaches the dead letters. What a record means is `deliveries/jobs`, what it becomes is `deliveries/ingest.py`.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import InterfaceError, InternalError, OperationalError, connection, transaction
from kafka import ConsumerRebalanceListener, KafkaConsumer
from kafka.errors import CommitFailedError, KafkaError, RebalanceInProgressError
from kafka.structs import OffsetAndMetadata, TopicPartition

from deliveries import hints, ingest, positions, rejects
from deliveries.channels import Status
from deliveries.jobs import InvalidJob, NotificationJob, parse_job, parse_simple
from deliveries.positions import Progress, Span
from deliveries.workers.heartbeat import Heartbeat

log = structlog.get_logger(__name__)

POLL_MS = 200
RETRY_SECONDS = (0.2, 0.5, 1.0, 2.0)
# InternalError: the database became read-only in a failover, or ended a session that was silent for too long.
AWAY = (OperationalError, InterfaceError, InternalError, KafkaError)


@dataclass(slots=True)
class Batch:
    """One poll's records, by partition, and what parsing made of them. `spans`: partitions that are read for the first time."""

    records: dict[TopicPartition, list[Any]]
    incoming: dict[TopicPartition, list[tuple[Any, NotificationJob]]] = field(default_factory=lambda: defaultdict(list))
    rejected: list[rejects.Reject] = field(default_factory=list)
    spans: dict[TopicPartition, Span] = field(default_factory=dict)

    def next_offsets(self) -> dict[TopicPartition, int]:
        return {partition: records[-1].offset + 1 for partition, records in self.records.items()}

    def forget(self, partitions: Sequence[TopicPartition]) -> None:
        """Drop what belongs to partitions that are another consumer's now: it reads them from the last commit."""
        for partition in partitions:
            self.records.pop(partition, None)
            self.incoming.pop(partition, None)
        self.rejected = [r for r in self.rejected if TopicPartition(r.topic, r.partition) in self.records]

    def join(self, later: Batch) -> None:
        """Put a later poll behind this one."""
        for partition, records in later.records.items():
            self.records.setdefault(partition, []).extend(records)
            self.incoming[partition].extend(later.incoming[partition])
        self.rejected.extend(later.rejected)
        self.spans.update(later.spans)

    def progress(self, rejected: Sequence[rejects.Reject]) -> dict[TopicPartition, Progress]:
        """Return each partition's offsets, and which of them were turned away or empty."""
        turned_away: dict[TopicPartition, list[int]] = defaultdict(list)
        for one in rejected:
            turned_away[TopicPartition(one.topic, one.partition)].append(one.offset)
        return {
            partition: Progress(
                offsets=[record.offset for record in records],
                rejected=turned_away[partition],
                tombstones=[record.offset for record in records if record.value is None],
            )
            for partition, records in self.records.items()
        }


class Outbox(ConsumerRebalanceListener):  # type: ignore[misc]
    """Reads one topic until told to stop. Any number may run in one consumer group."""

    def __init__(self, consumer: KafkaConsumer, *, topic: str, heartbeat: Heartbeat, stopping: threading.Event) -> None:
        self.consumer = consumer
        self.topic = topic
        self.heartbeat = heartbeat
        self.stopping = stopping
        self._held: Batch | None = None
        self._held_since = 0.0
        self._failures = 0
        self._new: set[TopicPartition] = set()
        self._turns = heartbeat.watch("poll loop")
        self._watch = heartbeat.watch("batch in hand")

    def run(self) -> None:
        """Poll until `stopping` is set, finish the turn under way, and leave the group: what is not committed is read again by another.

        Raises: what is neither Kafka's nor the database's.
        """
        self.consumer.subscribe([self.topic], listener=self)
        while not self.stopping.is_set():
            self._turn()
        self.consumer.close()
        connection.close()

    def _turn(self) -> None:
        self._turns.moved()
        try:
            polled = self.consumer.poll(timeout_ms=POLL_MS, max_records=settings.OUTBOX_BATCH_SIZE)
        except KafkaError as error:
            log.warning(
                "Kafka away",
                servers=settings.KAFKA_BOOTSTRAP_SERVERS,
                error=str(error),
                help="check KAFKA_BOOTSTRAP_SERVERS",
            )
            self.stopping.wait(RETRY_SECONDS[0])
            return
        if polled:
            # While a batch is held every partition is paused, so nothing new can come on top of it; a partition that was assigned
            # meanwhile is the exception, and its records wait their turn behind the held ones.
            batch = read(polled)
            if self._held is None:
                self._held = batch
            else:
                self._held.join(batch)
        if self._held is None:
            self._go_on()
            self._watch.idle()
            return
        self._watch.busy()
        if (
            self._failures
            and time.monotonic() - self._held_since < RETRY_SECONDS[min(self._failures, len(RETRY_SECONDS)) - 1]
        ):
            return
        self._store_held(self._held)

    def _store_held(self, batch: Batch) -> None:
        began = time.monotonic()
        try:
            batch.spans.update(self._spans_of_new(batch.records))
            channels = store(batch)
        except AWAY as error:
            self._failures += 1
            self._held_since = time.monotonic()
            self.consumer.pause(*self.consumer.assignment())
            connection.close()
            first_line = next(iter(str(error).splitlines()), type(error).__name__)
            away = "Kafka" if isinstance(error, KafkaError) else "database"
            log.warning("server away, holding the batch", server=away, failures=self._failures, error=first_line)
            return
        self._held = None
        self._go_on()
        self._commit(batch.next_offsets())
        if channels:
            hints.hint(channels)
        self._watch.moved()
        count = sum(len(records) for records in batch.records.values())
        self.heartbeat.count(
            consumed=count, failed=len(batch.rejected), processing_ms=(time.monotonic() - began) * 1000, processed=count
        )

    def _go_on(self) -> None:
        """Take up the partitions again that an outage paused: its batch is stored, or went to another consumer."""
        if self._failures:
            self._failures = 0
            self.consumer.resume(*self.consumer.paused())
            log.info("the servers are back")

    def _commit(self, offsets: dict[TopicPartition, int]) -> None:
        """Commit next offsets explicitly. One that fails is made good by the next, or the records are read again and found stored."""
        mine = self.consumer.assignment()
        explicit = {
            partition: OffsetAndMetadata(offset, "", -1) for partition, offset in offsets.items() if partition in mine
        }
        try:
            if explicit:
                self.consumer.commit(explicit)
        except (CommitFailedError, RebalanceInProgressError, KafkaError) as error:
            log.warning(
                "offsets not committed",
                topic=self.topic,
                error=str(error),
                help="the records are read again and dropped as known",
            )

    # --- ConsumerRebalanceListener ---

    def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:
        """Drop what is held of partitions that go to another consumer."""
        if self._held is not None:
            self._held.forget(revoked)
            if not self._held.records:
                self._held = None  # the next turn resumes what this batch's outage paused

    def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        """Note the new partitions; their first batch compares where reading begins with what was stored."""
        self._new.update(assigned)
        if self._failures:
            self.consumer.pause(*assigned)

    def _spans_of_new(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, Span]:
        """Ask the broker where partitions begin and end that are stored for the first time since they were assigned."""
        new = sorted(self._new & set(partitions))
        if not new:
            return {}
        stored = positions.read(new)
        beginnings, ends = self.consumer.beginning_offsets(new), self.consumer.end_offsets(new)
        starts = {p: max(beginnings[p], self.consumer.committed(p) or 0) for p in new}
        spans = {p: Span(stored=stored.get(p), start=starts[p], end=ends[p]) for p in new}
        self._new.difference_update(new)
        return spans


def read(polled: dict[TopicPartition, list[Any]]) -> Batch:
    """Parse every record of a poll. A record that cannot be read becomes a reject and harms no other."""
    now = datetime.now(UTC)
    oldest_ms = (now - timedelta(days=settings.RETENTION_DAYS)).timestamp() * 1000
    batch = Batch(records=dict(polled))
    for partition, records in polled.items():
        parse = _parse_simple if partition.topic == settings.KAFKA_SIMPLE_TOPIC else _parse
        for record in records:
            if record.value is None:
                continue
            try:
                if 0 <= record.timestamp < oldest_ms:
                    raise _too_old(record.timestamp)
                for job in parse(record, now):
                    batch.incoming[partition].append((record, job))
            except InvalidJob as invalid:
                batch.rejected.append(rejects.reject(record, invalid.reason, invalid.dlq_message))
    return batch


def store(batch: Batch) -> set[str]:
    """Store a batch with its rejects, receipts and positions in one transaction; return the channels that have new work.

    Idempotent: a batch read twice changes nothing. Raises: OperationalError, InterfaceError, InternalError when the database is away.
    """
    channels: set[str] = set()
    rejected = list(batch.rejected)
    partitions = sorted(batch.records)
    entries = [entry for partition in partitions for entry in batch.incoming[partition]]
    incoming = [
        ingest.Incoming(job, f"kafka:{record.topic}/{record.partition}@{record.offset}") for record, job in entries
    ]
    with transaction.atomic():
        stored = positions.lock(partitions)
        # Counted under the first partition: its position is locked, so nobody else counts there now.
        entrance = f"kafka:{partitions[0].topic}/{partitions[0].partition}"
        for (record, job), verdict in zip(entries, ingest.ingest(incoming, entrance=entrance), strict=True):
            if verdict.kind in ("rejected", "conflict"):
                rejected.append(rejects.reject(record, verdict.reason, verdict.message))
            elif verdict.kind == "accepted" and verdict.status == Status.PENDING:
                channels.add(job.channel)
        rejects.store(rejected)
        positions.move(stored, batch.progress(rejected), batch.spans)
    return channels


def _parse(record: Any, now: datetime) -> list[NotificationJob]:
    return [parse_job(record.value, now=now)]


def _parse_simple(record: Any, now: datetime) -> list[NotificationJob]:
    return parse_simple(
        record.value,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=record.timestamp,
        now=now,
    )


def _too_old(timestamp_ms: int) -> InvalidJob:
    at = datetime.fromtimestamp(timestamp_ms / 1000, UTC)
    return InvalidJob(
        "too_old",
        f"the record is from {at:%Y-%m-%d}, older than the {settings.RETENTION_DAYS} days that rows are kept (RETENTION_DAYS).",
    )
