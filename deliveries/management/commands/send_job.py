"""`manage.py send_job`: put NotificationJobs on the real Kafka topic, as any producer would. Judges them first; stores nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import orjson
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from kafka.errors import KafkaError

from deliveries import kafka
from deliveries.channels import Channel
from deliveries.jobs import InvalidJob, parse_job
from deliveries.jobs.notification import PRIORITIES
from deliveries.models import Contact

REACHED_WITHIN_MS = 8_000
ACKNOWLEDGED_WITHIN_SECONDS = 30


class Command(BaseCommand):
    help = "Put one or more NotificationJobs on the outbox topic. Prints the job_id of each once Kafka has acknowledged it."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--user", required=True, help="whom to reach: a contact's user_id or e-mail address")
        parser.add_argument("--channel", default=Channel.WS.value, help=f"{', '.join(Channel)} (default: ws)")
        parser.add_argument("--template", help="a template_code; or give --body")
        parser.add_argument("--title", default="Hello", help="with --body: the subject (default: Hello)")
        parser.add_argument("--body", help="the text itself (default, without --template: It works.)")
        parser.add_argument("--data", default="{}", help="the template's variables, as a JSON object")
        parser.add_argument("--priority", default="normal", choices=[*PRIORITIES])
        parser.add_argument("--tenant", help="its tenant's short name (default: the default tenant)")
        parser.add_argument("--count", type=int, default=1, help="how many jobs, each with an id of its own")

    def handle(self, *, count: int, **options: Any) -> None:
        """Send and wait for every acknowledgement. Raises: CommandError for a bad job or a Kafka that is away."""
        if count < 1:
            raise CommandError("--count is a number from 1.")
        user_id = _user_id(options["user"], options["tenant"])
        common = _common(user_id, options)
        try:
            for job_id in _send(common, user_id, count):
                self.stdout.write(job_id)
        except KafkaError as error:
            raise CommandError(kafka.unreachable(error)) from None
        self.stderr.write(f"{count} on {settings.KAFKA_OUTBOX_TOPIC}, acknowledged.")


def _send(common: dict[str, Any], user_id: UUID, count: int) -> Iterator[str]:
    """Hand all jobs over, then give the id of each as it is acknowledged. Raises: KafkaError."""
    producer = kafka.producer(bootstrap_timeout_ms=REACHED_WITHIN_MS)
    try:
        waiting = []
        for _ in range(count):
            job = {**common, "job_id": str(uuid4()), "created_at": timezone.now().isoformat()}
            key, value = str(user_id).encode(), _checked(job)
            waiting.append((job["job_id"], producer.send(settings.KAFKA_OUTBOX_TOPIC, key=key, value=value)))
        producer.flush(ACKNOWLEDGED_WITHIN_SECONDS)
        for job_id, record in waiting:
            record.get(ACKNOWLEDGED_WITHIN_SECONDS)
            yield job_id
    finally:
        producer.close(ACKNOWLEDGED_WITHIN_SECONDS)


def _common(user_id: UUID, options: dict[str, Any]) -> dict[str, Any]:
    """Return what all the jobs share. Raises: CommandError."""
    try:
        data = orjson.loads(options["data"])
    except orjson.JSONDecodeError as error:
        raise CommandError(f'--data is not JSON: {error}. Write it like \'{{"name": "Ana"}}\'.') from None
    template, body = options["template"], options["body"]
    if template and body:
        raise CommandError("Give --template or --body, not both.")
    words = (
        {"template_code": template}
        if template
        else {"content": {"title": options["title"], "body": body or "It works."}}
    )
    return {
        **words,
        "user_id": str(user_id),
        "channel": options["channel"],
        "data": data,
        "meta": {"event_type": "send_job", "priority": options["priority"]},
        "tenant_id": options["tenant"],
    }


def _user_id(text: str, tenant: str | None) -> UUID:
    """Read a user_id, or find the one person with this address. Raises: CommandError."""
    if "@" not in text:
        try:
            return UUID(text)
        except ValueError:
            raise CommandError(f"--user is a contact's user_id (a UUID) or e-mail address, not {text!r}.") from None
    people = Contact.objects.filter(tenant__slug=tenant or settings.DEFAULT_TENANT, email__iexact=text)
    found = list(people.values_list("user_id", flat=True)[:2])
    if len(found) != 1:
        known = "No contact has" if not found else "Several contacts have"
        raise CommandError(f"{known} the address {text}. Name the person by user_id; see Contacts in the admin.")
    return found[0]


def _checked(job: dict[str, Any]) -> bytes:
    """Write a job, if the consumer would take it. Raises: CommandError."""
    raw = orjson.dumps(job)
    try:
        parse_job(raw, now=timezone.now())
    except InvalidJob as invalid:
        raise CommandError(f"This is no job that would be accepted: {invalid.message}") from None
    return raw
