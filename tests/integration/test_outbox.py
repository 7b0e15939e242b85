"""The poll loop on a real broker and a real database: every record is a row, a dead letter or skipped, and none is read for nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import orjson
import psycopg
import pytest
from django.conf import settings as django_settings
from kafka import KafkaConsumer, KafkaProducer
from kafka.admin import NewTopic
from kafka.coordinator.base import MemberState
from kafka.structs import OffsetAndMetadata, TopicPartition

from deliveries import kafka, outbox
from deliveries.models import DeadLetter, Delivery, OutboxPosition, WorkerHeartbeat
from deliveries.outbox import Batch, Outbox
from deliveries.workers.heartbeat import Heartbeat
from notifyproj.embedded import Postgres
from tests.lifecycle import body
from tests.waiting import wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.kafka]

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def topic(service_environment: dict[str, str]) -> str:
    """Make this test's outbox topic, of three partitions."""
    name = django_settings.KAFKA_OUTBOX_TOPIC
    make(name)
    return str(name)


def make(topic: str) -> None:
    admin = kafka.admin()
    admin.create_topics([NewTopic(topic, 3, 1)])
    admin.close()


def produce(topic: str, *values: bytes | None, partition: int = 0, timestamp_ms: int | None = None) -> None:
    producer: KafkaProducer = kafka.producer()
    for value in values:
        producer.send(topic, value=value, key=b"k", partition=partition, timestamp_ms=timestamp_ms)
    producer.flush()
    producer.close()


def job(**changes: Any) -> bytes:
    return orjson.dumps(body(**changes))


@contextmanager
def consuming(topic: str) -> Iterator[Outbox]:
    """Run the poll loop on a thread, as `consume_outbox` runs it."""
    stopping = threading.Event()
    outbox = Outbox(
        kafka.consumer(group=django_settings.KAFKA_CONSUMER_GROUP, max_poll_records=500),
        topic=topic,
        heartbeat=Heartbeat("test"),
        stopping=stopping,
    )
    thread = threading.Thread(target=outbox.run)
    thread.start()
    try:
        yield outbox
    finally:
        stopping.set()
        thread.join()


def read_to(topic: str, offset: int, partition: int = 0) -> None:
    wait_until(
        lambda: OutboxPosition.objects.filter(topic=topic, partition=partition, next_offset__gte=offset).exists(),
        f"partition {partition} is stored up to {offset}",
    )


def test_bad_records_are_dead_letters_and_harm_no_neighbour(topic: str) -> None:
    bad = [
        b"{",
        b"",
        b"[1]",
        b'{"a": NaN}',
        b"\xff",
        job(job_id="x"),
        job(channel="UPPER"),
        job(tenant_id="nobody"),
        b"x" * 300_000,
    ]
    good = [job() for _ in range(len(bad))]
    produce(topic, *(record for pair in zip(bad, good, strict=True) for record in pair), None)
    with consuming(topic):
        read_to(topic, 2 * len(bad) + 1)
    assert Delivery.objects.filter(status="PENDING").count() == len(good)
    letters = list(DeadLetter.objects.order_by("offset").values_list("topic", "partition", "offset", "reason"))
    assert [letter[:3] for letter in letters] == [(topic, 0, 2 * n) for n in range(len(bad))]
    assert [letter[3] for letter in letters] == [
        "invalid_json", "empty", "not_an_object", "not_finite", "not_utf8", "invalid_uuid", "invalid_channel", "unknown_tenant", "too_big",
    ]  # fmt: skip
    assert DeadLetter.objects.get(offset=0).error_message == "Invalid JSON in Kafka message"
    assert len(DeadLetter.objects.get(reason="too_big").raw or b"") == 64 * 1024
    position = OutboxPosition.objects.get(topic=topic)
    assert (position.records, position.rejected, position.tombstones, position.lost) == (19, 9, 1, 0)


@pytest.mark.apache
def test_a_topic_that_is_made_after_its_reader_joined_is_read(
    service_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader joins its group twice, first for nothing; and no join is over within one such poll."""
    monkeypatch.setattr(outbox, "POLL_MS", 2)
    topic = django_settings.KAFKA_OUTBOX_TOPIC
    with consuming(topic) as reader:
        wait_until(lambda: reader.consumer._coordinator.state is MemberState.STABLE, "it has joined, for nothing")
        make(topic)
        produce(topic, job())
        read_to(topic, 1)
    assert Delivery.objects.count() == 1


def test_a_record_older_than_the_rows_are_kept_is_rejected(topic: str) -> None:
    produce(topic, job(), timestamp_ms=1_500_000_000_000)
    with consuming(topic):
        read_to(topic, 1)
    assert DeadLetter.objects.get().reason == "too_old"
    assert not Delivery.objects.exists()


def test_an_altered_duplicate_is_a_dead_letter_and_a_plain_one_is_dropped(topic: str) -> None:
    job_id, user_id = str(uuid4()), str(uuid4())
    first = job(job_id=job_id, user_id=user_id)
    produce(topic, first, first, job(job_id=job_id, user_id=user_id, data={"a": 1}))
    with consuming(topic):
        read_to(topic, 3)
    assert Delivery.objects.count() == 1
    assert list(DeadLetter.objects.values_list("reason", "offset")) == [("job_id_conflict", 2)]


def test_offsets_are_committed_so_that_a_second_reader_finds_nothing(topic: str) -> None:
    produce(topic, *(job() for _ in range(20)))
    with consuming(topic):
        read_to(topic, 20)
    reader = KafkaConsumer(
        bootstrap_servers=django_settings.KAFKA_BOOTSTRAP_SERVERS, group_id=django_settings.KAFKA_CONSUMER_GROUP
    )
    assert reader.committed(TopicPartition(topic, 0)) == 20
    reader.close()


def test_reading_everything_again_changes_nothing(topic: str) -> None:
    produce(topic, *(job() for _ in range(20)), b"{")
    with consuming(topic):
        read_to(topic, 21)
    move_group_to(topic, 0)
    produce(topic, job())
    with consuming(topic):
        read_to(topic, 22)
    assert Delivery.objects.count() == 21
    assert DeadLetter.objects.count() == 1
    position = OutboxPosition.objects.get(topic=topic)
    assert (position.records, position.rejected, position.lost) == (22, 1, 0)


def test_records_that_somebody_skipped_are_counted_as_lost(topic: str) -> None:
    produce(topic, *(job() for _ in range(5)))
    with consuming(topic):
        read_to(topic, 5)
    produce(topic, *(job() for _ in range(7)))
    move_group_to(topic, 12)
    produce(topic, job())
    with consuming(topic):
        read_to(topic, 13)
    assert OutboxPosition.objects.get(topic=topic).lost == 7


def move_group_to(topic: str, offset: int) -> None:
    mover = KafkaConsumer(
        bootstrap_servers=django_settings.KAFKA_BOOTSTRAP_SERVERS,
        group_id=django_settings.KAFKA_CONSUMER_GROUP,
        enable_auto_commit=False,
    )
    mover.assign([TopicPartition(topic, 0)])
    mover.commit({TopicPartition(topic, 0): OffsetAndMetadata(offset, "", -1)})
    mover.close()


def test_simple_messages_become_a_job_a_channel_and_a_re_read_makes_none(service_environment: dict[str, str]) -> None:
    topic = str(django_settings.KAFKA_SIMPLE_TOPIC)
    admin = kafka.admin()
    admin.create_topics([NewTopic(topic, 1, 1)])
    admin.close()
    message = {
        "message_type": "simple",
        "user_uuid": str(uuid4()),
        "content": "Hi",
        "title": "T",
        "channels": ["ws", "email"],
        "priority": 0,
    }
    produce(topic, orjson.dumps(message))
    with consuming(topic):
        read_to(topic, 1)
    move_group_to(topic, 0)
    produce(topic, orjson.dumps(message))
    with consuming(topic):
        read_to(topic, 2)
    assert sorted(Delivery.objects.values_list("channel", flat=True)) == ["email", "email", "ws", "ws"]
    assert set(Delivery.objects.values_list("priority", flat=True)) == {0}


def test_a_database_that_is_away_costs_time_and_nothing_else(
    topic: str, service_environment: dict[str, str], own_postgres: Postgres
) -> None:
    """The command's own database is shut down hard with records on the topic, and comes back."""
    environment = {**service_environment, "DATABASE_URL": own_postgres.address}
    subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=ROOT, env=environment, check=True)
    command = subprocess.Popen(
        [sys.executable, "manage.py", "consume_outbox"], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        produce(topic, job())
        wait_until(lambda: rows(own_postgres) == 1, "the first job is stored")
        own_postgres.stop_immediately()
        produce(topic, *(job() for _ in range(50)), b"{")
        assert command.stderr is not None
        assert any("holding the batch" in line and "database" in line for line in command.stderr)
        own_postgres.restart()
        wait_until(lambda: rows(own_postgres) == 51, "the jobs of the outage are stored")
        wait_until(lambda: rows(own_postgres, "deliveries_deadletter") == 1, "and the bad one is the only dead letter")
    finally:
        command.send_signal(signal.SIGTERM)
        with command:
            command.communicate()
    assert command.returncode == 0


def rows(server: Postgres, table: str = "notification_delivery") -> int:
    with psycopg.connect(server.address) as other:
        row = other.execute(f"SELECT count(*) FROM {table}").fetchone()
    assert row is not None
    return int(row[0])


def test_partitions_go_on_when_the_batch_of_an_outage_went_to_another_consumer(topic: str) -> None:
    kept, lost = TopicPartition(topic, 0), TopicPartition(topic, 1)
    consumer = kafka.consumer(group=django_settings.KAFKA_CONSUMER_GROUP, max_poll_records=10)
    outbox = Outbox(consumer, topic=topic, heartbeat=Heartbeat("test"), stopping=threading.Event())
    consumer.assign([kept, lost])
    consumer.pause(kept, lost)
    outbox._held = Batch({lost: [SimpleNamespace(offset=0, value=None)]})
    outbox._failures = 1
    outbox.on_partitions_revoked([lost])
    outbox._turn()
    assert consumer.paused() == set()
    consumer.close()


def test_the_command_stops_cleanly_and_says_where_it_cannot_connect(service_environment: dict[str, str]) -> None:
    environment = {**service_environment, "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    with subprocess.Popen(
        [sys.executable, "manage.py", "consume_outbox"], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
    ) as command:
        assert command.stderr is not None
        line = next(line for line in command.stderr if "cannot be reached" in line)
        command.send_signal(signal.SIGTERM)
        rest = command.stderr.read()
    assert "127.0.0.1:1" in line
    assert "KAFKA_BOOTSTRAP_SERVERS" in line
    assert "Traceback" not in rest
    assert command.returncode == 0


def test_two_commands_share_the_topic_and_end_with_zero(topic: str, service_environment: dict[str, str]) -> None:
    commands = [
        subprocess.Popen(
            [sys.executable, "manage.py", "consume_outbox"],
            cwd=ROOT,
            env=service_environment,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(2)
    ]
    try:
        for partition in range(3):
            produce(topic, *(job() for _ in range(100)), partition=partition)
        wait_until(lambda: Delivery.objects.count() == 300, "all three partitions are stored")
        wait_until(lambda: WorkerHeartbeat.objects.count() == 2, "both commands are up, and listen for signals")
    finally:
        for command in commands:
            command.send_signal(signal.SIGTERM)
    assert [command.wait() for command in commands] == [0, 0]
    assert OutboxPosition.objects.filter(topic=topic, lost=0, records=100).count() == 3
