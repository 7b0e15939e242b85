"""`manage.py send_job` puts real records on a real broker."""

from __future__ import annotations

import os
import subprocess
import sys
from io import StringIO
from time import monotonic

import orjson
import pytest
from django.core.management import CommandError, call_command
from kafka import KafkaConsumer

from deliveries.models import Tenant
from tests.factories import ContactFactory, TenantFactory
from tests.waiting import GENEROUS_SECONDS

pytestmark = pytest.mark.django_db
USER = "2d6a1f64-9a3b-4a55-8f64-1e2f3a4b5c6d"


@pytest.fixture
def topic(settings, unique_prefix: str, kafka_bootstrap: str) -> str:
    settings.KAFKA_OUTBOX_TOPIC = f"{unique_prefix}outbox"
    settings.KAFKA_OUTBOX_PARTITIONS = 1
    settings.KAFKA_BOOTSTRAP_SERVERS = kafka_bootstrap.split(",")
    call_command("create_topics", stdout=StringIO(), stderr=StringIO())
    return settings.KAFKA_OUTBOX_TOPIC


def records(topic: str, bootstrap: str, count: int) -> list[tuple[bytes, dict]]:
    consumer = KafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest", enable_auto_commit=False)
    found: list[tuple[bytes, dict]] = []
    deadline = monotonic() + GENEROUS_SECONDS
    try:
        while len(found) < count and monotonic() < deadline:
            for batch in consumer.poll(timeout_ms=500).values():
                found += [(record.key, orjson.loads(record.value)) for record in batch]
    finally:
        consumer.close()
    return found


@pytest.mark.kafka
def test_jobs_arrive_keyed_by_user_and_their_ids_are_printed(topic: str, kafka_bootstrap: str) -> None:
    out = StringIO()
    call_command(
        "send_job", user=USER, body="It is on its way.", count=3, priority="high", stdout=out, stderr=StringIO()
    )
    found = records(topic, kafka_bootstrap, 3)
    assert [job["job_id"] for _key, job in found] == out.getvalue().split()
    assert {key for key, _job in found} == {USER.encode()}
    assert found[0][1]["content"] == {"title": "Hello", "body": "It is on its way."}
    assert found[0][1]["meta"]["priority"] == "high"


@pytest.mark.kafka
def test_a_person_may_be_named_by_address(topic: str, kafka_bootstrap: str) -> None:
    ana = ContactFactory(tenant=TenantFactory(), email="ana@example.com")
    options = {"user": "Ana@example.com", "template": "welcome", "data": '{"name": "Ana"}', "tenant": ana.tenant.slug}
    call_command("send_job", **options, channel="email", stdout=StringIO(), stderr=StringIO())
    ((key, job),) = records(topic, kafka_bootstrap, 1)
    assert key == str(ana.user_id).encode()
    assert (job["template_code"], job["data"], job["tenant_id"]) == ("welcome", {"name": "Ana"}, ana.tenant.slug)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"user": "ana"}, "user_id"),
        ({"user": "nobody@example.com"}, "No contact has the address"),
        ({"data": "{"}, "--data is not JSON"),
        ({"data": "[]"}, "data: this is a list"),
        ({"body": "x", "template": "y"}, "not both"),
        ({"channel": "no channel"}, "is no channel name"),
        ({"count": 0}, "--count"),
    ],
)
def test_a_wrong_option_is_told_in_words_and_nothing_is_sent(options: dict, said: str, settings) -> None:
    Tenant.objects.get_or_create(slug=settings.DEFAULT_TENANT, defaults={"name": "Default"})
    with pytest.raises(CommandError, match=said):
        call_command("send_job", **{"user": USER, **options}, stdout=StringIO(), stderr=StringIO())


def test_a_kafka_that_is_away_is_told_with_its_address_and_without_a_traceback() -> None:
    environment = {**os.environ, "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    command = [sys.executable, "manage.py", "send_job", "--user", USER]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Kafka at 127.0.0.1:1 cannot be reached" in done.stderr
    assert "Traceback" not in done.stderr
