"""The dead-letter relay on a real broker and database, and the command that makes the topics."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Iterator
from typing import Any

import orjson
import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections
from django.utils import timezone
from kafka import KafkaConsumer
from kafka.errors import KafkaError

from deliveries import dead_letter_relay, kafka
from deliveries.database import connection_parameters
from deliveries.dead_letter_relay import RELAY_LOCK, Relay, record_of
from deliveries.jobs import parse_job
from deliveries.models import DeadLetter, Delivery
from notifyproj.embedded.process import free_port
from tests.factories import DeliveryFactory

pytestmark = pytest.mark.kafka


@pytest.fixture
def relay(transactional_db: None, settings: Any, unique_prefix: str) -> Iterator[Relay]:
    settings.KAFKA_DLQ_TOPIC = f"{unique_prefix}dlq"
    made = Relay()
    yield made
    made.close()


@pytest.fixture
def no_broker(settings: Any) -> str:
    """Lead the clients where nothing listens."""
    address = f"127.0.0.1:{free_port()}"
    settings.KAFKA_BOOTSTRAP_SERVERS = [address]
    return address


def failed(**values: Any) -> DeadLetter:
    delivery = DeliveryFactory(failed=True, **values)
    return DeadLetter.objects.create(
        kind="failed", delivery=delivery, tenant=delivery.tenant, reason="no_contact", error_message="User has no email",
        channel=delivery.channel, failed_at=timezone.now(),
    )  # fmt: skip


def rejected(raw: bytes = b"{oops", offset: int = 7) -> DeadLetter:
    return DeadLetter.objects.create(
        kind="rejected", topic="outbox", partition=3, offset=offset, raw=raw, reason="bad_json",
        error_message="Invalid JSON in Kafka message", failed_at=timezone.now(),
    )  # fmt: skip


def read(topic: str, count: int) -> list[Any]:
    records: list[Any] = []
    with KafkaConsumer(
        topic, bootstrap_servers=kafka._connection()["bootstrap_servers"], auto_offset_reset="earliest", group_id=None
    ) as consumer:
        while len(records) < count:
            for batch in consumer.poll(timeout_ms=500).values():
                records.extend(batch)
    return records


def test_both_kinds_arrive_with_the_keys_of_the_contract_and_are_marked(relay: Relay, settings: Any) -> None:
    delivery = failed(data={"order": 7}, meta={"event_type": "user_registered"}).delivery
    assert delivery is not None
    rejected()
    assert relay.run() == 2
    by_key = {record.key: json.loads(record.value) for record in read(settings.KAFKA_DLQ_TOPIC, 2)}
    mine, unread = by_key[str(delivery.user_id).encode()], by_key[None]
    assert list(mine)[:3] == ["job", "error_message", "failed_at"]
    assert list(unread)[:3] == ["raw_value", "error_message", "failed_at"]
    assert mine["failed_at"].endswith("Z")
    assert (mine["error_message"], mine["reason"]) == ("User has no email", "no_contact")
    assert mine["source"] == {"topic": "notifications.outbox", "partition": 0, "offset": 1}
    assert (mine["job"]["job_id"], mine["job"]["data"]) == (str(delivery.job_id), {"order": 7})
    assert mine["job"]["meta"] == {
        "event_type": "user_registered", "event_id": None, "campaign_id": None, "priority": "normal",
    }  # fmt: skip
    assert (unread["raw_value"], unread["error_message"]) == ("{oops", "Invalid JSON in Kafka message")
    assert unread["source"] == {"topic": "outbox", "partition": 3, "offset": 7}
    assert not DeadLetter.objects.filter(published_at=None).exists()


def test_a_job_in_a_dead_letter_can_be_handed_in_again(relay: Relay) -> None:
    delivery = failed(data={"a": [1]}, category="news", locale="pt-BR").delivery
    assert delivery is not None
    record = json.loads(record_of(DeadLetter.objects.get()))
    job = parse_job(orjson.dumps(record["job"]), now=timezone.now())
    assert (job.job_id, job.user_id, job.data, job.content) == (
        delivery.job_id, delivery.user_id, delivery.data, delivery.content,
    )  # fmt: skip
    assert (job.tenant, job.category, job.locale) == (delivery.tenant.slug, "news", "pt-BR")


def test_a_number_that_jsonb_gives_back_as_a_long_integer_goes_out_and_can_be_handed_in_again(relay: Relay) -> None:
    failed(data={"x": 1e30, "list": [1e19, 1e300]})
    assert relay.run() == 1
    record = json.loads(record_of(DeadLetter.objects.get()))
    assert parse_job(orjson.dumps(record["job"]), now=timezone.now()).data == {"x": 1e30, "list": [1e19, 1e300]}


def test_a_row_that_cannot_be_written_goes_out_without_its_job_and_holds_up_nobody(
    relay: Relay, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    broken, sound = failed().delivery, failed().delivery
    assert broken is not None
    assert sound is not None
    Delivery.objects.filter(pk=broken.pk).update(meta=[])
    assert relay.run() == 2
    records = {record.key.decode(): json.loads(record.value) for record in read(settings.KAFKA_DLQ_TOPIC, 2)}
    assert records[str(sound.user_id)]["job"]["job_id"] == str(sound.job_id)
    stub = records[str(broken.user_id)]
    assert stub["job"] == {"job_id": str(broken.job_id), "user_id": str(broken.user_id), "channel": broken.channel}
    assert stub["error_message"].startswith("User has no email (the rest of the job cannot be written: ")
    assert "dead letter not written whole" in caplog.text


def test_a_job_larger_than_a_record_may_be_goes_out_without_its_data(relay: Relay, settings: Any) -> None:
    failed(data={"a": "x" * 1_100_000})
    assert relay.run() == 1
    [record] = read(settings.KAFKA_DLQ_TOPIC, 1)
    assert "larger than a record may be" in json.loads(record.value)["error_message"]


def test_bytes_that_are_no_text_are_kept_whole(relay: Relay) -> None:
    record = json.loads(record_of(rejected(raw=b"\xff\xfe{\x00")))
    assert base64.b64decode(record["raw_value_base64"]) == b"\xff\xfe{\x00"
    assert record["raw_value"]


def test_more_than_a_batch_is_published_once_each(relay: Relay, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letter_relay, "BATCH", 5)
    offsets = list(range(12))
    for offset in offsets:
        rejected(offset=offset)
    assert relay.run() == 12
    assert relay.run() == 0
    found = [json.loads(record.value)["source"]["offset"] for record in read(settings.KAFKA_DLQ_TOPIC, 12)]
    assert sorted(found) == offsets


def test_one_relay_works_at_a_time_and_none_waits(relay: Relay) -> None:
    rejected()
    with psycopg.connect(**connection_parameters(), autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [RELAY_LOCK])
        assert relay.run() == 0
        # Explicitly: a closed connection's session ends a moment after the close returns.
        other.execute("SELECT pg_advisory_unlock(%s)", [RELAY_LOCK])
        assert relay.run() == 1


def test_no_transaction_is_open_while_kafka_is_waited_for(relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    rejected()
    seen: list[tuple[str, int]] = []
    send = relay._send

    def look(batch: Any) -> Any:
        with psycopg.connect(**connection_parameters(), autocommit=True) as other:
            pid = connection.connection.info.backend_pid
            seen.extend(other.execute("SELECT state, 1 FROM pg_stat_activity WHERE pid = %s", [pid]).fetchall())
        return send(batch)

    monkeypatch.setattr(relay, "_send", look)
    assert relay.run() == 1
    assert seen == [("idle", 1)]


def test_a_broker_that_is_away_leaves_the_rows_and_the_turn_and_is_made_good_later(
    relay: Relay, no_broker: str, kafka_bootstrap: str, settings: Any
) -> None:
    rejected()
    with pytest.raises(KafkaError, match="Set KAFKA_BOOTSTRAP_SERVERS"):
        relay.run()
    assert DeadLetter.objects.filter(published_at=None).count() == 1
    settings.KAFKA_BOOTSTRAP_SERVERS = kafka_bootstrap.split(",")
    published: list[int] = []

    def elsewhere() -> None:
        other = Relay()
        published.append(other.run())
        other.close()
        connections.close_all()

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert published == [1]


@pytest.fixture
def topics(settings: Any, unique_prefix: str) -> dict[str, int]:
    settings.KAFKA_OUTBOX_TOPIC, settings.KAFKA_OUTBOX_PARTITIONS = f"{unique_prefix}outbox", 3
    settings.KAFKA_SIMPLE_TOPIC, settings.KAFKA_SIMPLE_PARTITIONS = f"{unique_prefix}simple", 2
    settings.KAFKA_DLQ_TOPIC = f"{unique_prefix}dlq"
    settings.KAFKA_CONTROL_TOPIC = f"{unique_prefix}control"
    return {
        f"{unique_prefix}{name}": count for name, count in (("outbox", 3), ("simple", 2), ("dlq", 3), ("control", 1))
    }


def test_create_topics_makes_them_once(topics: dict[str, int]) -> None:
    first, second = io.StringIO(), io.StringIO()
    call_command("create_topics", stdout=first)
    call_command("create_topics", stdout=second)
    for topic, partitions in topics.items():
        assert f"{topic}: made with {partitions} partitions" in first.getvalue()
        assert f"{topic}: there already" in second.getvalue()
    admin = kafka.admin()
    try:
        found = {topic["name"]: len(topic["partitions"]) for topic in admin.describe_topics(list(topics))}
    finally:
        admin.close()
    assert found == topics


def test_create_topics_says_which_address_does_not_answer(no_broker: str) -> None:
    with pytest.raises(CommandError, match=rf"Kafka at {no_broker} cannot be reached.*Set KAFKA_BOOTSTRAP_SERVERS"):
        call_command("create_topics", wait_seconds=0.0, stderr=io.StringIO())
