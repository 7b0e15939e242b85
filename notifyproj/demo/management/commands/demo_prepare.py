"""`manage.py demo_prepare`: tables, topics, sample data and first jobs, in one process. `manage.py demo` runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError
from django.utils import timezone
from kafka.errors import KafkaError

from deliveries import kafka
from notifyproj.demo import crowd, sample, topic
from notifyproj.demo.folder import Folder


class Command(BaseCommand):
    help = "Prepare the demo's database and topics. May run again; what is there stays."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--job-id", required=True, help="of the job by which the demo sees that the path is open")

        parser.add_argument("--mail-ports", nargs=2, type=int, required=True, help="of provider A and provider B")

    def handle(self, *, job_id: str, mail_ports: list[int], **options: Any) -> None:
        """Prepare everything. Raises: CommandError in words."""
        try:
            call_command("migrate", interactive=False, verbosity=0)
        except OperationalError as error:
            host = settings.DATABASES["default"]["HOST"]
            raise CommandError(
                f"PostgreSQL at {host} cannot be used: {error}. Set DATABASE_URL, or unset it."
            ) from error
        call_command("create_topics", stdout=self.stdout, stderr=self.stderr)
        self._store_sample(mail_ports)
        now = timezone.now()
        hello = {
            "title": "The demo is running",
            "body": f"This came through Kafka, a row and a sender, at {now:%H:%M} UTC.",
        }
        try:
            topic.put_jobs([*sample.first_jobs(), sample.job(sample.ANA, "ws", job_id=job_id, content=hello)])
        except KafkaError as error:
            raise CommandError(kafka.unreachable(error)) from error

    def _store_sample(self, mail_ports: list[int]) -> None:
        folder = Folder(Path(settings.DEMO_FOLDER))
        kept = folder.kept()
        tenant = sample.tenant_ensure()
        sample.contacts_ensure(tenant)
        sample.templates_ensure(tenant)
        sample.providers_ensure(tenant, mail_ports)
        sample.staff_ensure("admin", kept.admin_password, is_superuser=True)
        sample.staff_ensure("ben", kept.ben_password, is_superuser=False)
        crowd.crowd_ensure(tenant)
        crowd.broadcasts_ensure(tenant, writer="ben", approver="admin")
        kept.api_key = sample.api_key_ensure(tenant, kept.api_key)
        folder.keep(kept)
