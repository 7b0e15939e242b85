"""Providers as staff configure them: whom a tenant's messages of a channel are handed to, in which order. No I/O, no clear secrets."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from deliveries.channels import Channel
from deliveries.models.tenants import Tenant

# The inbox is ours, and a webhook goes to the person's own endpoint: neither has a provider.
CARRIED = (Channel.EMAIL, Channel.PUSH, Channel.SMS)


class Provider(models.Model):
    """One company or server that carries a tenant's messages of one channel. The lowest position that works is used."""

    class Forced(models.TextChoices):
        NO = "", "No: it decides by itself"
        OPEN = "open", "Open: do not use this provider"
        CLOSED = "closed", "Closed: use it whatever happens"

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="providers")
    channel = models.CharField(max_length=16, choices=[(c.value, c.value) for c in CARRIED])
    name = models.CharField(max_length=100, help_text="What staff call it. Stands in every attempt that it made.")
    kind = models.CharField(max_length=32, help_text="What it speaks.")
    position = models.PositiveSmallIntegerField(
        default=1, help_text="1 is used first; the next takes over while it is broken."
    )
    is_enabled = models.BooleanField(default=True)
    rate_per_second = models.FloatField(
        null=True, blank=True, help_text="The most messages a second, over all processes. Empty: as fast as it goes."
    )
    deadline_seconds = models.FloatField(
        null=True, blank=True, help_text="The longest that one send takes. Empty: SEND_DEADLINE_SECONDS."
    )
    options = models.JSONField(default=dict, blank=True, help_text="What its kind asks for, other than secrets.")
    sealed_credentials = models.BinaryField(default=b"", blank=True, editable=False)
    breaker_forced = models.CharField(max_length=6, choices=Forced.choices, blank=True, default=Forced.NO)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["tenant", "channel", "position", "id"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "channel", "name"], name="provider_name_once"),
            models.CheckConstraint(
                condition=Q(rate_per_second=None) | Q(rate_per_second__gt=0), name="provider_rate_positive"
            ),
            models.CheckConstraint(
                condition=Q(deadline_seconds=None) | Q(deadline_seconds__gt=0), name="provider_deadline_positive"
            ),
            models.CheckConstraint(
                condition=Q(breaker_forced__in=["", "open", "closed"]), name="provider_forced_known"
            ),
        ]

    def __str__(self) -> str:
        return self.name
