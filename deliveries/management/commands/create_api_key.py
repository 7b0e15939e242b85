"""`manage.py create_api_key`: make an API key and show it once. Parses and prints; keys are made by `deliveries.api.keys`."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from deliveries.api.keys import api_key_create
from deliveries.models import ApiKey, Tenant


class Command(BaseCommand):
    help = "Make an API key and print it: the only time that it is shown. Only the key goes to standard output."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        scopes = ApiKey.Scope.values
        parser.add_argument("name", help="who uses it, for example: billing service")
        parser.add_argument("--tenant", default=settings.DEFAULT_TENANT, help="its tenant's short name")
        parser.add_argument(
            "--scope", action="append", choices=scopes, help="what it may do; may be repeated; default: jobs"
        )
        parser.add_argument("--test", action="store_true", help="a test key: everything happens but the sending")

    def handle(self, *, name: str, tenant: str, scope: list[str] | None, test: bool, **options: Any) -> None:
        """Make the key. Raises: CommandError when there is no such tenant."""
        owner = Tenant.objects.filter(slug=tenant).first()
        if owner is None:
            known = ", ".join(Tenant.objects.values_list("slug", flat=True)[:10])
            raise CommandError(f"There is no tenant {tenant!r}. There are: {known}. Add one in the admin.")
        mode = ApiKey.Mode.TEST if test else ApiKey.Mode.LIVE
        new = api_key_create(tenant=owner, name=name, scopes=scope or [ApiKey.Scope.JOBS], mode=mode)
        self.stderr.write(
            f"A {mode} key of {owner.slug} for {', '.join(new.row.scopes)}. Keep it: it is not shown again."
        )
        self.stdout.write(new.plain)
