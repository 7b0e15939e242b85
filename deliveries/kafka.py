"""Kafka clients as the settings say: who connects, how, and what to tell a person when it does not work. What is read or written
with them belongs to `outbox.py`, `dead_letters.py` and the commands."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, TypeVar

from django.conf import settings
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.net.compat import KafkaNetClient

T = TypeVar("T")

MAX_POLL_INTERVAL_MS = 300_000
FETCH_MAX_WAIT_MS = 100


def consumer(*, group: str, max_poll_records: int, **options: Any) -> KafkaConsumer:
    """Return a consumer of raw bytes that never commits by itself and keeps what it has through a rebalance (cooperative sticky).
    `options` add to what is set here."""
    session_ms = settings.KAFKA_SESSION_TIMEOUT_SECONDS * 1000
    made = _started(
        KafkaConsumer,
        **options,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        partition_assignment_strategy=[CooperativeStickyAssignor],
        session_timeout_ms=session_ms,
        heartbeat_interval_ms=session_ms // 3,
        max_poll_interval_ms=MAX_POLL_INTERVAL_MS,
        max_poll_records=max_poll_records,
        fetch_max_wait_ms=FETCH_MAX_WAIT_MS,
        metadata_max_age_ms=30_000,
    )
    _finish_joins(made)
    # A reader that starts before `create_topics` would make the topic, with one partition. Version 3.0.12 drops the option of this
    # name on its way here.
    made._client.cluster.config["allow_auto_create_topics"] = False
    return made


def _finish_joins(consumer: KafkaConsumer) -> None:
    """Make every poll go on with a join that an earlier poll began.

    kafka-python 3.0 asks at each poll whether to join, and only then collects the answer to a join under way. When the reason was
    a new partition or topic, the reason is gone once the join is sent; if the poll ended before the answer came, no later poll
    collects it: the consumer sits in its group without partitions and without heartbeats, for ever and in silence.
    """
    coordinator = consumer._coordinator
    has_reason = coordinator.need_rejoin
    coordinator.need_rejoin = lambda: coordinator.rejoining or has_reason()


def producer(**options: Any) -> KafkaProducer:
    """Return a producer whose every record is acknowledged by all replicas. `options` override."""
    return _started(KafkaProducer, **{"acks": "all", "retries": 5, **options})


def admin(**options: Any) -> KafkaAdminClient:
    """Return an admin client. `options` override."""
    return _started(KafkaAdminClient, **options)


def unreachable(error: object) -> str:
    """Say in one line which Kafka could not be reached and what to do."""
    servers = ",".join(settings.KAFKA_BOOTSTRAP_SERVERS)
    return f"Kafka at {servers} cannot be reached ({error}). Set KAFKA_BOOTSTRAP_SERVERS to your brokers, as host:port,host:port."


def _started(kind: Callable[..., T], **options: Any) -> T:
    """Return a client that has reached a broker. kafka-python starts a thread before it knows whether anybody answers, and leaves it
    running, sockets and all, when nobody does: whoever tries again and again would gather them."""
    clients: list[KafkaNetClient] = []

    def client(**given: Any) -> KafkaNetClient:
        clients.append(KafkaNetClient(**given))
        return clients[0]

    try:
        return kind(**{**_connection(), "kafka_client": client, **options})
    except BaseException:
        for left in clients:
            left.close()
        raise


def _connection() -> dict[str, Any]:
    given = {
        "bootstrap_servers": settings.KAFKA_BOOTSTRAP_SERVERS,
        "client_id": f"notify-{socket.gethostname()}",
        "security_protocol": settings.KAFKA_SECURITY_PROTOCOL,
        "sasl_mechanism": settings.KAFKA_SASL_MECHANISM,
        "sasl_plain_username": settings.KAFKA_SASL_USERNAME,
        "sasl_plain_password": settings.KAFKA_SASL_PASSWORD,
        "ssl_cafile": settings.KAFKA_SSL_CAFILE,
    }
    return {name: value for name, value in given.items() if value}
