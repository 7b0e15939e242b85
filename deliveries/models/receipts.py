"""What was accepted, counted apart from the delivery rows, so that the balance on the dashboard can fail."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from deliveries.models.tenants import Tenant


class OutboxPosition(models.Model):
    """How far one partition has been read, and what its records became. Offsets below `next_offset` are never counted again.

    `lost`: records that were passed over unread (an offset was committed by somebody else, or retention deleted them first).
    """

    topic = models.CharField(max_length=249)
    partition = models.IntegerField()
    next_offset = models.BigIntegerField()
    records = models.BigIntegerField(default=0, db_default=0)
    rejected = models.BigIntegerField(default=0, db_default=0)
    tombstones = models.BigIntegerField(default=0, db_default=0)
    lost = models.BigIntegerField(default=0, db_default=0)
    updated_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["topic", "partition"], name="outbox_position_once")]

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}@{self.next_offset}"


class Receipt(models.Model):
    """How many jobs one entrance accepted in one hour. `accepted` is what came in less what was turned away, never a count of rows."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, db_index=False)
    entrance = models.CharField(max_length=300, help_text="kafka:topic/partition, or api:instance.")
    hour = models.DateTimeField()
    accepted = models.BigIntegerField(default=0)
    duplicates = models.BigIntegerField(default=0)
    conflicts = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "entrance", "hour"], name="receipt_once_per_hour"),
            models.CheckConstraint(
                condition=Q(accepted__gte=0, duplicates__gte=0, conflicts__gte=0), name="receipt_not_negative"
            ),
        ]
        indexes = [models.Index(fields=["hour"], name="receipt_by_hour")]

    def __str__(self) -> str:
        return f"{self.entrance} {self.hour:%Y-%m-%d %H}h"
