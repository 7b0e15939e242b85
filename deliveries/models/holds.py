"""Holds: what staff keep waiting, who does, and why. Only `deliveries/lifecycle/holds.py` writes them."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from deliveries.models.tenants import Tenant


class Hold(models.Model):
    """Everything of a tenant, a channel, a template or a category waits, or of several of them at once; what is empty asks nothing.

    In force until `let_go_at`. Ended once nothing waits behind it any more, which is later where rows were put aside for it.
    """

    tenant = models.ForeignKey(Tenant, null=True, blank=True, on_delete=models.CASCADE)
    channel = models.CharField(max_length=32, blank=True, default="", db_default="")
    template_code = models.CharField(max_length=100, blank=True, default="", db_default="")
    category = models.CharField(max_length=100, blank=True, default="", db_default="")
    reason = models.CharField(max_length=300)
    held_by = models.CharField(max_length=150)
    held_at = models.DateTimeField()
    let_go_at = models.DateTimeField(null=True, blank=True)
    let_go_by = models.CharField(max_length=150, blank=True, default="", db_default="")
    ended_at = models.DateTimeField(null=True, blank=True)
    # How far the sweeper has gone through what waited when it was made; `walked_at` when it was through.
    walk_lane_id = models.BigIntegerField(default=0, db_default=0)
    walk_due_at = models.DateTimeField(null=True, blank=True)
    walk_id = models.BigIntegerField(default=0, db_default=0)
    walked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "channel", "template_code", "category"],
                condition=Q(let_go_at=None),
                nulls_distinct=False,
                name="hold_once",
            ),
            models.CheckConstraint(
                condition=~Q(tenant=None, channel="", template_code="", category=""), name="hold_names_something"
            ),
            models.CheckConstraint(condition=~Q(reason=""), name="hold_says_why"),
            models.CheckConstraint(condition=Q(ended_at=None) | Q(let_go_at__isnull=False), name="hold_ends_let_go"),
        ]
        indexes = [models.Index(fields=["id"], condition=Q(ended_at=None), name="hold_open")]

    def __str__(self) -> str:
        named = [self.channel, self.template_code, self.category, self.tenant.name if self.tenant else ""]
        return f"Hold of {', '.join(filter(None, named))}"

    @property
    def is_of_lanes(self) -> bool:
        """Say whether whole lanes wait, so that no row need be looked at."""
        return not (self.template_code or self.category)

    def covers(self, *, tenant_id: int, channel: str, template_code: str, category: str) -> bool:
        """Say whether a delivery with these is meant."""
        return (
            self.tenant_id in (None, tenant_id)
            and self.channel in ("", channel)
            and self.template_code in ("", template_code)
            and self.category in ("", category)
        )
