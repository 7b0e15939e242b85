"""The app's declaration: registers checks when Django starts. No queries, no connections."""

from django.apps import AppConfig


class DeliveriesConfig(AppConfig):
    name = "deliveries"
    verbose_name = "Deliveries"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from deliveries import checks  # noqa: F401  (registers the system checks)
