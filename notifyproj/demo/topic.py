"""Puts the demo's jobs on the real outbox topic, as any producer would. Makes no jobs and stores nothing."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Iterable
from typing import Any, NamedTuple

import structlog
from django.conf import settings
from kafka import KafkaProducer
from kafka.errors import KafkaError

from deliveries import kafka

log = structlog.get_logger(__name__)

ACKNOWLEDGED_SECONDS = 10.0
_making = threading.Lock()


class Place(NamedTuple):
    """Where a record came to lie."""

    partition: int
    offset: int


def put_jobs(jobs: Iterable[dict[str, Any]]) -> list[Place]:
    """Put jobs on the topic, each under its person, and return when the broker has all. Raises: KafkaError."""
    return put((job["user_id"].encode(), encode(job)) for job in jobs)


def encode(job: dict[str, Any]) -> bytes:
    """Return a job as it goes on the topic."""
    return json.dumps(job, ensure_ascii=False).encode()


def put(records: Iterable[tuple[bytes, bytes]]) -> list[Place]:
    """Put keys and values on the topic as they are, and return where they lie, in order. Raises: KafkaError."""
    with _making:
        producer = _producer()
    sent = [producer.send(settings.KAFKA_OUTBOX_TOPIC, key=key, value=value) for key, value in records]
    made = [future.get(timeout=ACKNOWLEDGED_SECONDS) for future in sent]
    return [Place(one.partition, one.offset) for one in made]


def warm_up() -> None:
    """Connect the producer and learn the topic, so that a person's first job does not wait for it. Returns at once."""
    threading.Thread(target=_connect, name="topic-warm-up", daemon=True).start()


def _connect() -> None:
    try:
        with _making:
            _producer().partitions_for(settings.KAFKA_OUTBOX_TOPIC)
    except KafkaError as error:
        log.warning(kafka.unreachable(error))


@functools.cache
def _producer() -> KafkaProducer:
    """Return this process's one producer, made at first use."""
    return kafka.producer(max_block_ms=ACKNOWLEDGED_SECONDS * 1000)
