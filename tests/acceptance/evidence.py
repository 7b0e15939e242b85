"""Where the checker's evidence comes from: the database by plain SQL, the DLQ topic, the sinks. Judges nothing."""

from __future__ import annotations

from uuid import UUID

import orjson
import psycopg
from kafka import KafkaConsumer
from kafka.structs import TopicPartition

from tests.acceptance.checker import Evidence, Place, Row
from tests.acceptance.ledger import Ledger
from tests.acceptance.sinks import SmtpSink

ROWS = """
SELECT d.job_id, d.status, d.attempts, count(*) FILTER (WHERE a.is_ambiguous), count(a.id)
FROM notification_delivery d LEFT JOIN deliveries_deliveryattempt a ON a.delivery_id = d.id GROUP BY d.id
"""
PARTITIONS = 6
"""Of each topic of a scenario."""

DEAD_LETTERS = """
SELECT d.job_id, l.partition, l."offset" FROM deliveries_deadletter l LEFT JOIN notification_delivery d ON d.id = l.delivery_id
"""


def gather(*, ledger: Ledger, database_url: str, sink: SmtpSink, bootstrap: str, dlq_topic: str) -> Evidence:
    """Read all that there is to read about one run of the service."""
    with psycopg.connect(database_url) as database:
        rows = [Row(*values) for values in database.execute(ROWS)]
        letters = [job_id or (partition, offset) for job_id, partition, offset in database.execute(DEAD_LETTERS)]
    return Evidence(
        jobs=ledger.job_ids(),
        rejected=ledger.rejected(),
        rows=rows,
        copies=sink.copies(),
        dead_letters=letters,
        dlq=read_dlq(bootstrap, dlq_topic),
    )


def read_dlq(bootstrap: str, topic: str) -> set[UUID | Place]:
    """Return the job ids and places on the DLQ topic, from its beginning to its end as it is now."""
    found: set[UUID | Place] = set()
    with KafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False) as consumer:
        partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        consumer.assign(partitions)
        ends = consumer.end_offsets(partitions)
        consumer.seek_to_beginning(*partitions)
        while any(consumer.position(partition) < end for partition, end in ends.items()):
            for records in consumer.poll(timeout_ms=200).values():
                found.update(_id_of(orjson.loads(record.value)) for record in records)
    return found


def _id_of(letter: dict[str, dict[str, object]]) -> UUID | Place:
    if "job" in letter:
        return UUID(str(letter["job"]["job_id"]))
    return int(str(letter["source"]["partition"])), int(str(letter["source"]["offset"]))
