"""`manage.py rotate_credentials`: seal every stored secret under the newest key of CREDENTIALS_KEYS. The sealing is in
`deliveries/providers/credentials.py`."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from deliveries.models import Provider, WebhookEndpoint
from deliveries.providers.credentials import CredentialsError, reseal

CHUNK = 500
#: Each table that holds sealed secrets, and where.
SEALED = ((Provider, "sealed_credentials"), (WebhookEndpoint, "sealed_secrets"))


class Command(BaseCommand):
    help = "Seal providers' credentials and webhook secrets under the newest key of CREDENTIALS_KEYS. May run again."

    def handle(self, **options: Any) -> None:
        """Seal all. Raises: CommandError that counts those which no key opens; they stay as they are."""
        failed = 0
        for model, column in SEALED:
            done, closed = self._reseal(model, column)
            failed += closed
            self.stdout.write(f"{model._meta.verbose_name_plural}: {done:,} sealed under the newest key")
        if failed:
            raise CommandError(
                f"{failed:,} cannot be opened by any key of CREDENTIALS_KEYS and stay as they are. Put the key that sealed them"
                " behind the newest and run this again, or enter them again in the admin."
            )

    def _reseal(self, model: Any, column: str) -> tuple[int, int]:
        """Seal one table anew, a chunk a transaction, and return how many were sealed and how many could not be opened."""
        done = closed = last = 0
        while True:
            with transaction.atomic():
                rows = list(
                    model.objects.select_for_update()
                    .filter(pk__gt=last)
                    .exclude(**{column: b""})
                    .order_by("pk")[:CHUNK]
                )
                opened = []
                for row in rows:
                    try:
                        setattr(row, column, reseal(getattr(row, column)))
                        opened.append(row)
                    except CredentialsError:
                        closed += 1
                model.objects.bulk_update(opened, [column])
            done += len(opened)
            if len(rows) < CHUNK:
                return done, closed
            last = rows[-1].pk
