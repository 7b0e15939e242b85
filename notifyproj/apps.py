"""Wires the broker into every Django process, so that any of them can give a hint."""

from django.apps import AppConfig


class NotifyprojConfig(AppConfig):
    name = "notifyproj"
    verbose_name = "Notifications"

    def ready(self) -> None:
        from notifyproj import broker  # noqa: F401  (declares the broker and its actors)
