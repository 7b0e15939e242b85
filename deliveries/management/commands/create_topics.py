"""`manage.py create_topics`: make the Kafka topics of the contracts, section 1, with their partition counts."""

from __future__ import annotations

import itertools
import threading
import time
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from kafka import KafkaAdminClient
from kafka.errors import KafkaError, TopicAlreadyExistsError

from deliveries import kafka
from deliveries.workers.stopping import stop_event

RETRY_SECONDS = (0.5, 1.0, 2.0, 5.0)
TRY_MS = 5000
LOOK_SECONDS = 0.1


class Command(BaseCommand):
    help = "Make the Kafka topics with their partition counts. A topic that exists is left as it is."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--wait-seconds", type=float, default=60.0, help="How long to wait for a broker to answer. Default: 60."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        stopping = stop_event()
        admin = self._connect(options["wait_seconds"], stopping)
        try:
            for topic, partitions in wanted_topics().items():
                self._create(admin, topic, partitions)
            self._wait_until_visible(admin, set(wanted_topics()), stopping, options["wait_seconds"])
        except KafkaError as error:
            raise CommandError(kafka.unreachable(error)) from error
        finally:
            admin.close()

    def _connect(self, wait_seconds: float, stopping: threading.Event) -> KafkaAdminClient:
        waited = 0.0
        for pause in itertools.chain(RETRY_SECONDS, itertools.repeat(RETRY_SECONDS[-1])):
            try:
                return kafka.admin(bootstrap_timeout_ms=TRY_MS)
            except KafkaError as error:
                waited += TRY_MS / 1000 + pause
                if waited > wait_seconds or stopping.is_set():
                    raise CommandError(kafka.unreachable(error)) from error
                self.stderr.write(f"{kafka.unreachable(error)} Trying again in {pause:g} s.")
            stopping.wait(pause)
        raise AssertionError("unreachable")

    def _create(self, admin: KafkaAdminClient, topic: str, partitions: int) -> None:
        wanted = {topic: {"num_partitions": partitions, "replication_factor": settings.KAFKA_REPLICATION_FACTOR}}
        try:
            admin.create_topics(wanted, timeout_ms=20_000)
        except TopicAlreadyExistsError:
            self.stdout.write(f"{topic}: there already")
        else:
            self.stdout.write(f"{topic}: made with {partitions} partitions")

    def _wait_until_visible(
        self, admin: KafkaAdminClient, topics: set[str], stopping: threading.Event, wait_seconds: float
    ) -> None:
        """Return once every topic has a leader for each partition: Kafka says "made" before it can be written to."""
        deadline = time.monotonic() + wait_seconds
        while pending := topics - {
            topic["name"] for topic in admin.describe_topics(sorted(topics)) if _is_usable(topic)
        }:
            if time.monotonic() > deadline or stopping.wait(LOOK_SECONDS):
                raise CommandError(
                    f"Kafka made {', '.join(sorted(pending))} but names no leader yet. Check the brokers, then run this again."
                )


def _is_usable(topic: dict[str, Any]) -> bool:
    partitions = topic["partitions"]
    return bool(partitions) and all(partition["error_code"] == 0 for partition in partitions)


def wanted_topics() -> dict[str, int]:
    """Return each topic's partition count. The DLQ has the outbox's, so that it keeps up; control commands need one
    order."""
    return {
        settings.KAFKA_OUTBOX_TOPIC: settings.KAFKA_OUTBOX_PARTITIONS,
        settings.KAFKA_SIMPLE_TOPIC: settings.KAFKA_SIMPLE_PARTITIONS,
        settings.KAFKA_DLQ_TOPIC: settings.KAFKA_OUTBOX_PARTITIONS,
        settings.KAFKA_CONTROL_TOPIC: 1,
    }
