"""The run's servers answer at the addresses that the settings hold, and each xdist worker has a corner of its own."""

from __future__ import annotations

import os

import pytest
import redis
from django.conf import settings
from django.db import connection
from kafka import KafkaConsumer, KafkaProducer

from tests.waiting import GENEROUS_SECONDS


def test_the_database_is_a_test_database(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_database(), current_setting('fsync')")
        name, fsync = cursor.fetchone()
    assert name.startswith("test_")
    assert fsync == "on"


def test_redis_answers_and_keys_are_apart(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.ping()
    assert redis_url == settings.REDIS_URL
    assert os.environ.get("PYTEST_XDIST_WORKER", "main") in settings.REDIS_PREFIX


@pytest.mark.kafka
def test_a_record_goes_through_the_broker(kafka_bootstrap: str, unique_prefix: str) -> None:
    topic = f"{unique_prefix}topic"
    with KafkaProducer(bootstrap_servers=kafka_bootstrap, acks="all") as producer:
        producer.send(topic, b"hello").get(timeout=GENEROUS_SECONDS)
    with KafkaConsumer(topic, bootstrap_servers=kafka_bootstrap, auto_offset_reset="earliest") as consumer:
        assert next(consumer).value == b"hello"


def test_a_child_process_works_on_this_tests_data(service_environment: dict[str, str], unique_prefix: str) -> None:
    assert service_environment["DATABASE_URL"].endswith(f"/{connection.settings_dict['NAME']}")
    assert service_environment["KAFKA_OUTBOX_TOPIC"] == settings.KAFKA_OUTBOX_TOPIC == f"{unique_prefix}outbox"
