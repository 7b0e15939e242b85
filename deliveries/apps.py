"""The app's declaration: registers checks when Django starts, and makes the default tenant once the tables are there."""

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class DeliveriesConfig(AppConfig):
    name = "deliveries"
    verbose_name = "Deliveries"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from deliveries import checks  # noqa: F401  (registers the system checks)

        post_migrate.connect(make_default_tenant, sender=self)


def make_default_tenant(using: str, **kwargs: Any) -> None:
    """Make the tenant that jobs without `tenant_id` belong to. Idempotent; runs after every `migrate`."""
    from django.conf import settings

    from deliveries.models import Tenant

    Tenant.objects.using(using).get_or_create(
        slug=settings.DEFAULT_TENANT, defaults={"name": "Default", "default_locale": settings.DEFAULT_LOCALE}
    )
