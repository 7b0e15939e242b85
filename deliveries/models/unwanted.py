"""Who must get nothing: addresses that are suppressed, and people who unsubscribed from a category. No I/O.

A whole channel that a person does not want is `Contact.opted_out`. Services: `deliveries/suppressions.py`, `deliveries/unsubscribe.py`.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from deliveries.channels import Channel
from deliveries.models.tenants import Tenant

# The channels whose addresses are a contact's own fields, and can so be suppressed.
SUPPRESSIBLE = (Channel.EMAIL, Channel.SMS)


class Suppression(models.Model):
    """An address of one channel that a tenant's messages must not go to, whoever has it: when a job comes in, and at every start."""

    class Reason(models.TextChoices):
        HARD_BOUNCE = "hard_bounce", "Came back for good"
        COMPLAINT = "complaint", "Called spam"
        STAFF = "staff", "Added by staff"
        UNSUBSCRIBED = "unsubscribed", "Unsubscribed at the provider"

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="suppressions", db_index=False)
    channel = models.CharField(max_length=16, choices=[(c.value, c.value) for c in SUPPRESSIBLE])
    address = models.CharField(max_length=320, help_text="As `suppressions.normal_address` spells it.")
    reason = models.CharField(max_length=12, choices=Reason.choices)
    note = models.CharField(max_length=300, blank=True, default="", db_default="")
    job_id = models.UUIDField(null=True, blank=True, editable=False, help_text="The delivery that it comes from.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "channel", "address"], name="suppression_once"),
            models.CheckConstraint(condition=Q(channel__in=["email", "sms"]), name="suppression_channel_known"),
            models.CheckConstraint(
                condition=Q(reason__in=["hard_bounce", "complaint", "staff", "unsubscribed"]),
                name="suppression_reason_known",
            ),
            models.CheckConstraint(condition=~Q(address=""), name="suppression_has_address"),
        ]

    def __str__(self) -> str:
        return f"{self.get_channel_display()} {self.address}"


class OptOut(models.Model):
    """A person does not want one category of a channel's messages. It outlives the contact: who comes back is still unsubscribed."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="opt_outs", db_index=False)
    user_id = models.UUIDField()
    channel = models.CharField(max_length=16, choices=[(c.value, c.value) for c in Channel])
    category = models.CharField(max_length=100)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "user_id", "channel", "category"], name="opt_out_once"),
            models.CheckConstraint(condition=~Q(category=""), name="opt_out_has_category"),
        ]

    def __str__(self) -> str:
        return f"{self.channel}: {self.category}"


class Category(models.Model):
    """A kind of messages as the people who get them call it. Jobs and broadcasts name it by its key; one that is not here works as well.

    Which ones nobody may leave is MANDATORY_CATEGORIES, the operator's to say and not staff's.
    """

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="categories", db_index=False)
    key = models.CharField(
        max_length=100,
        help_text="What jobs, broadcasts and holds name it by, such as newsletter.",
    )
    name = models.CharField(max_length=100, help_text="As people read it, such as Newsletter.")
    description = models.CharField(max_length=300, blank=True, default="", help_text="One sentence: what they get.")

    class Meta:
        ordering = ["name", "id"]
        verbose_name_plural = "categories"
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "key"],
                name="category_once",
                violation_error_message="There is a category of this key already.",
            ),
            models.CheckConstraint(condition=~Q(key="") & ~Q(name=""), name="category_has_key_and_name"),
        ]

    def __str__(self) -> str:
        return self.name
