"""Tenants and the API keys that act for them. Secrets are stored hashed; `deliveries/api/keys.py` makes and checks them."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q

TENANT_NAME = RegexValidator(
    r"^[a-z0-9][a-z0-9_-]{0,62}$", "Use 1 to 63 of a-z, 0-9, - and _, starting with a letter or digit."
)


class Tenant(models.Model):
    """A customer of the service. `slug` is what jobs and tokens carry as `tenant_id`."""

    slug = models.CharField(
        max_length=63, unique=True, validators=[TENANT_NAME], help_text="Jobs and tokens name it as tenant_id."
    )
    name = models.CharField(max_length=200)
    default_locale = models.CharField(max_length=35, default="en")
    from_address = models.CharField(
        "from",
        max_length=320,
        blank=True,
        default="",
        db_default="",
        help_text="Sender of its e-mails, such as Shop <shop@example.com>. Empty: the mail provider's, else EMAIL_FROM.",
    )
    reply_to = models.CharField(
        "reply-to",
        max_length=320,
        blank=True,
        default="",
        db_default="",
        help_text="Where answers to its e-mails go. Empty: to their sender.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.name


class ApiKey(models.Model):
    """A caller's credential: a public prefix to find it by and the SHA-256 of the whole key."""

    class Mode(models.TextChoices):
        LIVE = "live", "Live"
        TEST = "test", "Test"

    class Scope(models.TextChoices):
        JOBS = "jobs", "Hand in jobs"
        DELIVERIES = "deliveries", "Read deliveries"
        TEMPLATES = "templates", "Templates"
        CONTACTS = "contacts", "Contacts"
        BROADCASTS = "broadcasts", "Broadcasts"
        WORKERS = "workers", "External jobs"
        TELEMETRY = "telemetry", "Telemetry"

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=200, help_text="Who uses it, for example: billing service.")
    prefix = models.CharField(max_length=24, unique=True, editable=False)
    key_hash = models.BinaryField(max_length=32, editable=False)
    mode = models.CharField(max_length=4, choices=Mode.choices, default=Mode.LIVE)
    scopes = ArrayField(models.CharField(max_length=20, choices=Scope.choices), default=list)
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ["-id"]
        verbose_name = "API key"
        constraints = [
            models.CheckConstraint(condition=Q(mode__in=["live", "test"]), name="apikey_mode_known"),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"
