"""The relay: unpublished dead letters → the DLQ topic, marked when all replicas have acknowledged them. What staff do
with them is in `dead_letters.py`.

At least once: a process that dies between the acknowledgement and its mark publishes again. One relay works at a
time, by an advisory lock of its session, so no row is locked and no transaction is open while Kafka is waited for.
"""

from __future__ import annotations

import base64
import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import structlog
from django.conf import settings
from django.db import connection
from django.db.models.functions import Now
from kafka import KafkaProducer
from kafka.errors import KafkaError

from deliveries import kafka
from deliveries.json_text import json_bytes
from deliveries.models import DeadLetter
from deliveries.original_job import job_of, timestamp

log = structlog.get_logger(__name__)

BATCH = 500
ACK_SECONDS = 15.0
RELAY_LOCK = 0x646C71
#: What a broker and a producer take unless they are told otherwise is 1 MiB, with key and frame.
LARGEST_RECORD_BYTES: Final = 1_000_000
ENTRANCE = re.compile(r"kafka:(?P<topic>[^/]+)/(?P<partition>\d+)@(?P<offset>\d+)")


class Relay:
    """One process's relay, which keeps its producer from round to round."""

    def __init__(self) -> None:
        self._producer: KafkaProducer | None = None

    def run(self, *, stopping: Callable[[], bool] = lambda: False, moved: Callable[[], None] = lambda: None) -> int:
        """Publish what is unpublished, batch by batch, and return how many were acknowledged. 0 also while another
        relay is at it.

        Raises: KafkaError when the broker is away (what it acknowledged is marked; the rest stays), OperationalError.
        """
        published = 0
        with _turn() as mine:
            while mine and not stopping():
                batch = list(
                    DeadLetter.objects.filter(published_at=None)
                    .select_related("delivery", "delivery__tenant")
                    .order_by("id")[:BATCH]
                )
                if batch:
                    published += self._publish(batch)
                    moved()
                if len(batch) < BATCH:
                    break
        return published

    def close(self) -> None:
        """Let go of the producer."""
        if self._producer is not None:
            self._producer.close(timeout=1)
            self._producer = None

    def _publish(self, batch: Sequence[DeadLetter]) -> int:
        acknowledged, error = self._send(batch)
        if acknowledged:
            DeadLetter.objects.filter(pk__in=acknowledged, published_at=None).update(published_at=Now())
        if error is not None:
            # A producer that lost its broker retries on its own time; a new one starts clean.
            self.close()
            raise error
        return len(acknowledged)

    def _send(self, batch: Sequence[DeadLetter]) -> tuple[list[int], KafkaError | None]:
        """Return the ids that were acknowledged, and the first error of the others."""
        acknowledged: list[int] = []
        problem: KafkaError | None = None
        try:
            producer = self._connected()
            futures = [
                (row.pk, producer.send(settings.KAFKA_DLQ_TOPIC, value=_writable_record_of(row), key=key_of(row)))
                for row in batch
            ]
            producer.flush(timeout=ACK_SECONDS)
        except KafkaError as error:
            return [], KafkaError(kafka.unreachable(error))
        for pk, future in futures:
            if future.succeeded():
                acknowledged.append(pk)
            else:
                problem = problem or KafkaError(kafka.unreachable(future.exception or "no acknowledgement in time"))
        return acknowledged, problem

    def _connected(self) -> KafkaProducer:
        if self._producer is None:
            self._producer = kafka.producer(
                bootstrap_timeout_ms=5000,
                max_block_ms=10_000,
                request_timeout_ms=10_000,
                delivery_timeout_ms=14_000,
                linger_ms=5,
            )
        return self._producer


def key_of(row: DeadLetter) -> bytes | None:
    """Return the record's key: the user where one is known, so that a person's dead letters keep their order."""
    return str(row.delivery.user_id).encode() if row.delivery is not None else None


def record_of(row: DeadLetter) -> bytes:
    """Return the DLQ record: keys exactly as in contracts, section 1, then `reason` and `source`."""
    common = {"error_message": row.error_message, "failed_at": timestamp(row.failed_at), "reason": row.reason}
    if row.delivery is not None:
        blanked = {"data_removed_at": timestamp(row.delivery.blanked_at)} if row.delivery.blanked_at else {}
        return json_bytes(
            {"job": job_of(row.delivery), **common, "source": _source_of(row.delivery.entrance), **blanked}
        )
    raw = bytes(row.raw or b"")
    source = {"topic": row.topic, "partition": row.partition, "offset": row.offset} if row.topic else None
    try:
        return json_bytes({"raw_value": raw.decode(), **common, "source": source})
    except UnicodeDecodeError:
        # The text shows what can be shown; the bytes are there whole for whoever has to read them.
        value = {"raw_value": raw.decode(errors="replace"), **common, "source": source}
        return json_bytes(value | {"raw_value_base64": base64.b64encode(raw).decode()})


def _writable_record_of(row: DeadLetter) -> bytes:
    """Return the record; of a row that makes none, one that names the job and says why, so that the rows behind it get out."""
    try:
        record = record_of(row)
        if len(record) > LARGEST_RECORD_BYTES:
            raise ValueError(f"its {len(record):,} bytes are larger than a record may be")
    except Exception as error:  # whatever is wrong with one row's values is wrong at every try
        log.exception("dead letter not written whole", dead_letter=row.pk, delivery=row.delivery_id)
        return _stub_of(row, f"{type(error).__name__}: {error}")
    return record


def _stub_of(row: DeadLetter, why: str) -> bytes:
    one = row.delivery
    job = None if one is None else {"job_id": str(one.job_id), "user_id": str(one.user_id), "channel": one.channel}
    message = f"{row.error_message[:1000]} (the rest of the job cannot be written: {why[:1000]})"
    return json_bytes(
        {"job": job, "error_message": message, "failed_at": timestamp(row.failed_at), "reason": row.reason}
    )


def _source_of(entrance: str) -> dict[str, Any] | None:
    match = ENTRANCE.fullmatch(entrance)
    if match is None:
        return None
    return {"topic": match["topic"], "partition": int(match["partition"]), "offset": int(match["offset"])}


@contextlib.contextmanager
def _turn() -> Iterator[bool]:
    """Take the relay's turn without waiting. The lock ends with the session, so a process that dies holds up nobody."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [RELAY_LOCK])
        mine = bool(cursor.fetchone()[0])
        try:
            yield mine
        finally:
            if mine and connection.connection is not None and not connection.connection.closed:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [RELAY_LOCK])
