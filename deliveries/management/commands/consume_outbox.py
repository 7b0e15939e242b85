"""`manage.py consume_outbox`: read jobs from Kafka into rows until told to stop."""

from __future__ import annotations

import itertools
import threading
from argparse import ArgumentParser
from typing import Any

import structlog
from django.conf import settings
from django.core.management.base import BaseCommand
from kafka import KafkaConsumer
from kafka.errors import KafkaError

from deliveries import kafka
from deliveries.outbox import Outbox
from deliveries.workers.garbage import spare_what_stays
from deliveries.workers.heartbeat import Heartbeat
from deliveries.workers.stopping import stop_event

log = structlog.get_logger(__name__)

CONNECT_RETRY_SECONDS = (0.5, 1.0, 2.0, 5.0)


class Command(BaseCommand):
    help = "Read jobs from Kafka into deliveries. Any number may run; SIGTERM ends one cleanly."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--topic", help="Default: KAFKA_OUTBOX_TOPIC. KAFKA_SIMPLE_TOPIC is read in its own format and group."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        topic = options["topic"] or settings.KAFKA_OUTBOX_TOPIC
        is_simple = topic == settings.KAFKA_SIMPLE_TOPIC
        group = settings.KAFKA_SIMPLE_CONSUMER_GROUP if is_simple else settings.KAFKA_CONSUMER_GROUP
        stopping = stop_event()
        spare_what_stays()
        with Heartbeat("consumer", topic=topic) as heartbeat:
            consumer = connect(group, stopping)
            if consumer is not None:
                log.info("consuming", topic=topic, group=group, servers=settings.KAFKA_BOOTSTRAP_SERVERS)
                Outbox(consumer, topic=topic, heartbeat=heartbeat, stopping=stopping).run()
        log.info("stopped", topic=topic)


def connect(group: str, stopping: threading.Event) -> KafkaConsumer | None:
    """Return a consumer once Kafka answers, or None when told to stop before."""
    for wait in itertools.chain(CONNECT_RETRY_SECONDS, itertools.repeat(CONNECT_RETRY_SECONDS[-1])):
        try:
            return kafka.consumer(group=group, max_poll_records=settings.OUTBOX_BATCH_SIZE)
        except KafkaError as error:
            log.warning(kafka.unreachable(error), retry_in_seconds=wait)
        if stopping.wait(wait):
            break
    return None
