"""How far each partition has been stored, kept beside the rows: so that records which nobody read show as unaccounted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.db import connection
from kafka.structs import TopicPartition

# A row cannot be locked before it is there, so a partition's turn is taken by name. Whoever freezes in it, or whose host vanishes,
# would hold up the next consumer for as long as its session lives; so the database ends a session that is silent for this long.
TAKE_TURNS = """
SELECT pg_advisory_xact_lock(hashtextextended(topic || '/' || partition, 0)),
    set_config('idle_in_transaction_session_timeout', '10s', true)
FROM unnest(%s::text[], %s::int[]) AS named (topic, partition)
"""

READ = """
SELECT topic, partition, next_offset FROM deliveries_outboxposition
WHERE (topic, partition) IN (SELECT * FROM unnest(%s::text[], %s::int[]))
"""

MOVE = """
INSERT INTO deliveries_outboxposition (topic, partition, next_offset, records, rejected, tombstones, lost, updated_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, statement_timestamp())
ON CONFLICT (topic, partition) DO UPDATE SET next_offset = excluded.next_offset, updated_at = excluded.updated_at,
    records = deliveries_outboxposition.records + excluded.records, rejected = deliveries_outboxposition.rejected + excluded.rejected,
    tombstones = deliveries_outboxposition.tombstones + excluded.tombstones, lost = deliveries_outboxposition.lost + excluded.lost
"""


@dataclass(frozen=True, slots=True)
class Span:
    """A newly assigned partition: the position that was stored (`stored`, None: none), and what the broker said only after that:
    where reading begins (`start`) and where the log ends (`end`)."""

    stored: int | None
    start: int
    end: int


@dataclass(slots=True)
class Progress:
    """One batch's share of a partition: the offsets read, and how many of them were turned away or empty."""

    offsets: list[int]
    rejected: list[int]
    tombstones: list[int]


def lock(partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
    """Return the stored next offset of each partition that has one. All of them, in the order given, are the transaction's alone."""
    with connection.cursor() as cursor:
        cursor.execute(TAKE_TURNS, [[p.topic for p in partitions], [p.partition for p in partitions]])
    return read(partitions)


def read(partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
    """Return the stored next offset of each partition that has one, as it is now."""
    with connection.cursor() as cursor:
        cursor.execute(READ, [[p.topic for p in partitions], [p.partition for p in partitions]])
        return {TopicPartition(topic, partition): next_offset for topic, partition, next_offset in cursor.fetchall()}


def move(
    stored: Mapping[TopicPartition, int],
    progress: Mapping[TopicPartition, Progress],
    spans: Mapping[TopicPartition, Span],
) -> None:
    """Move positions past a batch. Offsets below the stored position were counted before and are not counted again.

    `spans` holds the partitions read for the first time since they were assigned. One whose reading begins above the stored position
    has lost the records between; one whose log ends below it was made anew, and counts from its beginning.
    """
    with connection.cursor() as cursor:
        for partition in sorted(progress):
            part = progress[partition]
            known = stored.get(partition)
            span = spans.get(partition)
            lost = 0
            if known is not None and span is not None:
                # Only a position that is older than the broker's word tells: another consumer may have gone on since.
                if span.end < known == span.stored:
                    known = None
                else:
                    lost = max(0, span.start - known)
            floor = -1 if known is None else known
            following = max(part.offsets[-1] + 1, floor)
            counts = [
                sum(1 for offset in offsets if offset >= floor)
                for offsets in (part.offsets, part.rejected, part.tombstones)
            ]
            cursor.execute(MOVE, [partition.topic, partition.partition, following, *counts, lost])
