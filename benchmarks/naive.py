"""The build that a hurried team would write, and what it costs: auto-committed offsets, a row and a Dramatiq message for each job,
an ORM object for every look and `save()` for every change, retries by Dramatiq. Measured here, used nowhere; it loses jobs.

python -m benchmarks.naive reads Kafka; dramatiq benchmarks.naive sends.
"""

from __future__ import annotations

import hashlib
import json
import os
from datetime import datetime, timedelta
from uuid import uuid4

import django
import dramatiq
from django.apps import apps
from dramatiq.brokers.redis import RedisBroker

if not apps.models_ready:
    django.setup()

from django.conf import settings
from django.utils import timezone
from kafka import KafkaConsumer
from minijinja import Environment

from deliveries.models import Contact, Delivery, Lane, TemplateVersion, Tenant

broker = RedisBroker(url=settings.REDIS_URL, namespace=f"{settings.REDIS_PREFIX}naive")  # type: ignore[no-untyped-call]
dramatiq.set_broker(broker)

PRIORITIES = {"high": 0, "normal": 1, "low": 2}
jinja = Environment(undefined_behavior="strict")


@dramatiq.actor(max_retries=3)
def deliver(delivery_id: int) -> None:
    """Send one delivery."""
    delivery = Delivery.objects.get(pk=delivery_id)
    delivery.status = "SENDING"
    delivery.attempts += 1
    delivery.started_at = timezone.now()
    delivery.lease_token = uuid4()
    delivery.lease_expires_at = timezone.now() + timedelta(seconds=90)
    delivery.save()
    contact = Contact.objects.get(tenant_id=delivery.tenant_id, user_id=delivery.user_id)
    version = (
        TemplateVersion.objects.filter(template__tenant_id=delivery.tenant_id, template__code=delivery.template_code)
        .filter(state=TemplateVersion.State.PUBLISHED)
        .select_related("template__tenant")
        .latest("number")
    )
    content = version.contents.get(locale=delivery.locale or contact.locale)
    for source in (content.subject, content.text, content.html):
        jinja.render_str(
            source, **delivery.data, contact={"name": contact.name}, tenant={"name": version.template.tenant.name}
        )
    delivery.status = "SENT"
    delivery.lease_token = delivery.lease_expires_at = delivery.next_attempt_at = None
    delivery.finished_at = timezone.now()
    delivery.address = contact.email
    delivery.template_version = version
    delivery.provider = "naive"
    delivery.save()


def consume() -> None:
    """Read Kafka until the process is ended."""
    consumer = KafkaConsumer(
        os.environ["KAFKA_OUTBOX_TOPIC"],
        bootstrap_servers=settings.KAFKA_BOOTSTRAP_SERVERS,
        group_id=settings.KAFKA_CONSUMER_GROUP,
        auto_offset_reset="earliest",
        enable_auto_commit=True,
        session_timeout_ms=settings.KAFKA_SESSION_TIMEOUT_SECONDS * 1000,
        heartbeat_interval_ms=3000,
        value_deserializer=json.loads,
    )
    for record in consumer:
        job = record.value
        tenant = Tenant.objects.get(slug=job.get("tenant_id") or settings.DEFAULT_TENANT)
        priority = PRIORITIES[job["meta"]["priority"]]
        lane, _ = Lane.objects.get_or_create(tenant=tenant, channel=job["channel"], priority=priority, source="")
        delivery = Delivery(
            tenant=tenant,
            job_id=job["job_id"],
            user_id=job["user_id"],
            channel=job["channel"],
            priority=priority,
            lane=lane,
            template_code=job["template_code"],
            locale=job["locale"],
            data=job["data"],
            meta={key: value for key, value in job["meta"].items() if key != "priority"},
            body_hash=hashlib.sha256(json.dumps(job, sort_keys=True).encode()).digest(),
            entrance=f"kafka:{record.topic}/{record.partition}@{record.offset}",
            created_at=datetime.fromisoformat(job["created_at"]),
            accepted_at=timezone.now(),
            status="PENDING",
            next_attempt_at=timezone.now(),
        )
        delivery.save()
        deliver.send(delivery.pk)


if __name__ == "__main__":
    consume()
