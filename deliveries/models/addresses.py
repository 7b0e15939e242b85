"""Where a person is reached beside their e-mail and phone: devices for push, an endpoint for webhooks. No I/O, no secrets in the clear."""

from __future__ import annotations

from urllib.parse import urlsplit

from django.db import models
from django.db.models import Q

from deliveries.models.tenants import Tenant


class Device(models.Model):
    """One device or browser that takes pushes for a person. It goes when its platform says that nothing will ever arrive there."""

    class Platform(models.TextChoices):
        FCM = "fcm", "Android (FCM)"
        APNS = "apns", "Apple (APNs)"
        WEBPUSH = "webpush", "Browser (Web Push)"

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="devices", db_index=False)
    user_id = models.UUIDField()
    platform = models.CharField(max_length=7, choices=Platform.choices)
    token = models.CharField(
        max_length=2000, help_text="What the platform calls the device; for Web Push the subscription's endpoint."
    )
    keys = models.JSONField(default=dict, blank=True, help_text="A Web Push subscription's p256dh and auth.")
    name = models.CharField(max_length=100, blank=True, default="", help_text="What the person would call it.")
    created_at = models.DateTimeField(auto_now_add=True)
    seen_at = models.DateTimeField(help_text="When the app last registered it.")

    class Meta:
        ordering = ["tenant", "user_id", "id"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "platform", "token"], name="device_once"),
            models.CheckConstraint(condition=Q(platform__in=["fcm", "apns", "webpush"]), name="device_platform_known"),
            models.CheckConstraint(condition=~Q(token=""), name="device_has_token"),
        ]
        indexes = [models.Index(fields=["tenant", "user_id"], name="device_by_person")]

    def __str__(self) -> str:
        return self.name or f"{self.get_platform_display()} {self.pk}"


class WebhookEndpoint(models.Model):
    """The URL that takes a person's webhooks, and what signs them."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="webhook_endpoints", db_index=False)
    user_id = models.UUIDField()
    url = models.URLField(max_length=2000, help_text="Public, and https unless the settings allow private addresses.")
    sealed_secrets = models.BinaryField(default=b"", editable=False)
    failing_since = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="Since when nothing was taken. Empty: the last one was."
    )
    failed_at = models.DateTimeField(null=True, blank=True, editable=False, help_text="When it last took nothing.")
    disabled_at = models.DateTimeField(null=True, blank=True)
    disabled_why = models.CharField(max_length=300, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["tenant", "user_id"]
        constraints = [models.UniqueConstraint(fields=["tenant", "user_id"], name="endpoint_once_per_person")]
        indexes = [
            models.Index(
                fields=["failing_since"],
                condition=Q(failing_since__isnull=False, disabled_at=None),
                name="endpoint_failing",
            )
        ]

    def __str__(self) -> str:
        # Never the path, which may be a secret: names go into the admin's log.
        return urlsplit(self.url).netloc
