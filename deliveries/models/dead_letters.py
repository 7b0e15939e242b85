"""Dead letters: what could not be read and what failed for good, kept until somebody has dealt with it (staff read "Undeliverable")."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from deliveries.models.deliveries import Delivery
from deliveries.models.tenants import Tenant


class DeadLetter(models.Model):
    """One record that was rejected (`raw`, source) or one delivery that failed (`delivery`). The relay publishes each to the DLQ topic."""

    class Kind(models.TextChoices):
        REJECTED = "rejected", "Unreadable"
        FAILED = "failed", "Failed"

    class State(models.TextChoices):
        OPEN = "open", "Open"
        RETRYING = "retrying", "Retrying"
        DISMISSED = "dismissed", "Dismissed"

    kind = models.CharField(max_length=8, choices=Kind.choices)
    state = models.CharField(max_length=9, choices=State.choices, default=State.OPEN, db_default="open")
    tenant = models.ForeignKey(Tenant, null=True, blank=True, on_delete=models.CASCADE)
    delivery = models.OneToOneField(
        Delivery, null=True, blank=True, on_delete=models.CASCADE, related_name="dead_letter"
    )
    topic = models.CharField(max_length=249, blank=True, default="", db_default="")
    partition = models.IntegerField(null=True, blank=True)
    offset = models.BigIntegerField(null=True, blank=True)
    raw = models.BinaryField(null=True, blank=True, help_text="The record's first 64 KiB, as it came.")
    reason = models.CharField(max_length=64)
    error_message = models.TextField()
    channel = models.CharField(max_length=32, blank=True, default="", db_default="")
    template_code = models.CharField(max_length=100, blank=True, default="", db_default="")
    failed_at = models.DateTimeField()
    published_at = models.DateTimeField(null=True, blank=True, help_text="When the DLQ topic acknowledged it.")
    note = models.TextField(blank=True, default="", db_default="")
    settled_by = models.CharField(max_length=150, blank=True, default="", db_default="")
    settled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = "undeliverable"
        verbose_name_plural = "undeliverable"
        constraints = [
            models.UniqueConstraint(
                fields=["topic", "partition", "offset"],
                condition=Q(kind="rejected"),
                name="dead_letter_once_per_record",
            ),
            models.CheckConstraint(
                condition=Q(kind="rejected", delivery=None) | Q(kind="failed", delivery__isnull=False, raw=None),
                name="dead_letter_has_its_source",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["open", "retrying", "dismissed"]), name="dead_letter_state_known"
            ),
        ]
        indexes = [
            models.Index(fields=["id"], condition=Q(published_at=None), name="dead_letter_unpublished"),
            models.Index(fields=["state", "reason", "channel", "template_code", "id"], name="dead_letter_groups"),
        ]

    def __str__(self) -> str:
        return f"{self.reason} #{self.pk}"
