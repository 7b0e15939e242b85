"""The app's declaration. Broadcasts come with their own change; the room is kept so that imports go one way from the start."""

from django.apps import AppConfig


class BroadcastsConfig(AppConfig):
    name = "broadcasts"
    verbose_name = "Broadcasts"
    default_auto_field = "django.db.models.BigAutoField"
