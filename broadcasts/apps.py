"""The app's declaration: registers checks when Django starts."""

from django.apps import AppConfig


class BroadcastsConfig(AppConfig):
    name = "broadcasts"
    verbose_name = "Broadcasts"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from broadcasts import checks  # noqa: F401  (registers the system checks)
