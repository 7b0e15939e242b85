"""Deliveries, their attempts and their lanes. Only `deliveries/lifecycle/` writes `status`; the constraints here refuse impossible rows.

The indexes are the claim's and the screens' (docs/architecture.md, "Indexes"). Two rules hold them together:
no index predicate mentions `status`, so that a start is a HOT update; and no two partial indexes share a predicate, because the
planner then picks wrongly beside an open snapshot.
"""

from __future__ import annotations

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import F, Q

from deliveries.channels import OPEN, TERMINAL, WAITING, Channel, Outcome, Priority, Status
from deliveries.models.holds import Hold
from deliveries.models.templates import TemplateVersion
from deliveries.models.tenants import Tenant

UNLEASED = Q(lease_expires_at=None, next_attempt_at__isnull=False)
CLAIMABLE = UNLEASED & Q(hold=None)


class Lane(models.Model):
    """What waits together and is steered together: pause, cancel, not before, pace. One UPDATE here rules however many rows wait."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, db_index=False)
    channel = models.CharField(max_length=32)
    priority = models.SmallIntegerField(choices=[(p.value, p.name.lower()) for p in Priority], default=Priority.NORMAL)
    source = models.CharField(
        max_length=100, blank=True, default="", help_text="Empty, or what made these rows, such as replay:17."
    )
    paused_at = models.DateTimeField(null=True, blank=True)
    paused_by = models.CharField(max_length=150, blank=True, default="", db_default="")
    pause_reason = models.CharField(max_length=300, blank=True, default="", db_default="")
    cancelled_at = models.DateTimeField(null=True, blank=True)
    not_before = models.DateTimeField(null=True, blank=True)
    pace_per_minute = models.PositiveIntegerField(
        null=True, blank=True, help_text="Empty: as fast as the channel goes."
    )
    tokens = models.FloatField(default=0, db_default=0)
    tokens_at = models.DateTimeField(null=True, blank=True)
    bucket = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        db_index=False,
        related_name="+",
        help_text="The lane whose tokens and pace are this one's too. Empty: it has its own.",
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "channel", "priority", "source"], name="lane_once"),
            models.CheckConstraint(condition=Q(priority__in=[0, 1, 2]), name="lane_priority_known"),
            models.CheckConstraint(
                condition=Q(pace_per_minute=None) | Q(pace_per_minute__gt=0), name="lane_pace_positive"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.channel} {self.get_priority_display()} {self.source}".strip()


class Delivery(models.Model):
    """One job's row: one person, one channel. See docs/state-machine.md."""

    # No foreign-key triggers on the hot path: ingest resolves tenant and lane once a batch, and neither is ever deleted while rows name it.
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, db_index=False, db_constraint=False)
    job_id = models.UUIDField()
    user_id = models.UUIDField()
    channel = models.CharField(max_length=32)
    priority = models.SmallIntegerField(choices=[(p.value, p.name.lower()) for p in Priority])
    lane = models.ForeignKey(Lane, null=True, on_delete=models.PROTECT, db_index=False, db_constraint=False)
    template_code = models.CharField(max_length=100, blank=True, default="", db_default="")
    locale = models.CharField(max_length=35, blank=True, default="", db_default="")
    category = models.CharField(max_length=100, blank=True, default="", db_default="")
    content = models.JSONField(
        null=True, blank=True, help_text="Title and body that came with the job in place of a template."
    )
    data = models.JSONField(default=dict)
    meta = models.JSONField(default=dict, help_text="event_type, event_id, campaign_id")
    body_hash = models.BinaryField(max_length=33)
    is_test = models.BooleanField(
        default=False, db_default=False, help_text="Came with a test key: goes all the way but for the provider."
    )
    entrance = models.CharField(
        max_length=300, help_text="Where it came in: kafka:topic/partition@offset, or api:key prefix."
    )
    replay_of = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, db_index=False)
    created_at = models.DateTimeField(help_text="By the producer's clock.")
    accepted_at = models.DateTimeField()
    send_after = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)

    status = models.CharField(max_length=10, choices=[(s.value, s.value) for s in Status])
    attempts = models.SmallIntegerField(default=0, db_default=0)
    claims = models.SmallIntegerField(default=0, db_default=0, help_text="Claims since its last recorded outcome.")
    lost_leases = models.SmallIntegerField(default=0, db_default=0, help_text="How often a process died with it.")
    next_attempt_at = models.DateTimeField(null=True, blank=True)
    lease_token = models.UUIDField(null=True, blank=True)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    hold = models.ForeignKey(
        Hold,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        db_index=False,
        db_constraint=False,
        help_text="What it was put aside for. Rows of a lane that is on hold need none.",
    )
    started_at = models.DateTimeField(null=True, blank=True, help_text="When the last attempt began.")
    finished_at = models.DateTimeField(null=True, blank=True)
    blanked_at = models.DateTimeField(
        null=True, blank=True, help_text="When its data and words were removed, as its template asks."
    )

    reason = models.CharField(
        max_length=64, blank=True, default="", db_default="", help_text="Why it was not sent, or not yet."
    )
    error_message = models.TextField(blank=True, default="", db_default="")
    address = models.CharField(
        max_length=320, blank=True, default="", db_default="", help_text="Where the last attempt went."
    )
    template_version = models.ForeignKey(
        TemplateVersion, null=True, blank=True, on_delete=models.PROTECT, db_index=False, db_constraint=False
    )
    rendered = models.JSONField(
        null=True, blank=True, help_text="What the inbox shows. E-mail is rendered again on demand."
    )
    details = models.JSONField(
        null=True, blank=True, help_text="What the channel adds: a push's result for each device, a text's segments."
    )
    provider = models.CharField(max_length=255, blank=True, default="", db_default="")
    provider_message_id = models.CharField(max_length=255, blank=True, default="", db_default="")
    duration_ms = models.IntegerField(null=True, blank=True)
    outcome = models.CharField(
        max_length=12, choices=[(o.value, o.value) for o in Outcome], blank=True, default="", db_default=""
    )
    read_at = models.DateTimeField(null=True, blank=True)
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    recalled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "notification_delivery"
        ordering = ["-id"]
        verbose_name_plural = "deliveries"
        constraints = [
            models.UniqueConstraint(fields=["tenant", "job_id"], name="delivery_once_per_job"),
            models.CheckConstraint(condition=Q(status__in=sorted(Status)), name="delivery_status_known"),
            models.CheckConstraint(condition=Q(priority__in=[0, 1, 2]), name="delivery_priority_known"),
            models.CheckConstraint(
                condition=~Q(status__in=sorted(OPEN))
                | Q(next_attempt_at__isnull=False, lane__isnull=False, finished_at=None),
                name="delivery_open_has_a_due_time",
            ),
            models.CheckConstraint(
                condition=~Q(status__in=sorted(TERMINAL))
                | Q(finished_at__isnull=False, next_attempt_at=None, lease_expires_at=None, lease_token=None),
                name="delivery_terminal_is_over",
            ),
            models.CheckConstraint(
                condition=~Q(status="SENDING")
                | Q(
                    lease_token__isnull=False, lease_expires_at__isnull=False, started_at__isnull=False, attempts__gte=1
                ),
                name="delivery_sending_has_a_lease_and_an_attempt",
            ),
            models.CheckConstraint(
                condition=~Q(status="RETRYING") | Q(attempts__gte=1), name="delivery_retrying_was_tried"
            ),
            models.CheckConstraint(condition=~Q(status="SENT") | Q(attempts__gte=1), name="delivery_sent_was_tried"),
            models.CheckConstraint(
                condition=Q(lease_token=None, lease_expires_at=None)
                | Q(lease_token__isnull=False, lease_expires_at__isnull=False),
                name="delivery_lease_is_whole",
            ),
            models.CheckConstraint(
                condition=Q(attempts__gte=0, claims__gte=0, lost_leases__gte=0), name="delivery_counts_not_negative"
            ),
            models.CheckConstraint(
                condition=~Q(status__in=["FAILED", "SUPPRESSED"]) | ~Q(reason=""), name="delivery_says_why"
            ),
            models.CheckConstraint(
                condition=Q(send_after=None) | Q(expires_at=None) | Q(expires_at__gt=F("send_after")),
                name="delivery_expires_after_due",
            ),
            models.CheckConstraint(condition=Q(hold=None) | UNLEASED, name="delivery_on_hold_waits"),
        ]
        indexes = [
            models.Index(
                fields=["channel", "lane", "next_attempt_at", "id"], condition=CLAIMABLE, name="delivery_waiting"
            ),
            models.Index(
                fields=["hold", "lane", "next_attempt_at", "id"],
                condition=Q(hold__isnull=False),
                name="delivery_on_hold",
            ),
            models.Index(
                fields=["user_id", "channel", "priority", "tenant"],
                condition=Q(lease_expires_at__isnull=False),
                name="delivery_in_flight",
            ),
            models.Index(
                fields=["expires_at"],
                condition=Q(next_attempt_at__isnull=False, expires_at__isnull=False),
                name="delivery_expiring",
            ),
            models.Index(
                fields=["channel", "next_attempt_at"],
                condition=Q(lost_leases__gt=0, next_attempt_at__isnull=False),
                name="delivery_suspect",
            ),
            models.Index(fields=["tenant", "user_id", "id"], name="delivery_by_person"),
            models.Index(fields=["tenant", "id"], condition=~Q(reason=""), name="delivery_with_reason"),
            models.Index(
                fields=["tenant", "user_id", "finished_at"],
                condition=Q(rendered__isnull=False, acknowledged_at=None, recalled_at=None),
                name="delivery_inbox",
            ),
            models.Index(
                fields=["tenant", "provider_message_id"],
                # Not the Message-IDs of SMTP: they begin with <, and nobody reports by them.
                condition=Q(channel__in=[Channel.EMAIL.value, Channel.SMS.value])
                & ~Q(provider_message_id="")
                & ~Q(provider_message_id__startswith="<"),
                name="delivery_by_message_id",
            ),
            BrinIndex(fields=["accepted_at"], name="delivery_by_time", pages_per_range=32),
        ]

    def __str__(self) -> str:
        return str(self.job_id)

    @property
    def is_waiting(self) -> bool:
        return self.status in WAITING

    @property
    def is_terminal(self) -> bool:
        return self.status in TERMINAL


class DeliveryAttempt(models.Model):
    """One try that did not end in SENT: a success needs no row beyond the delivery's own columns."""

    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="failed_attempts", db_index=False)
    number = models.SmallIntegerField()
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField()
    provider = models.CharField(max_length=255, blank=True, default="", db_default="")
    code = models.CharField(max_length=64)
    message = models.TextField()
    is_ambiguous = models.BooleanField(default=False, db_default=False, help_text="The provider may have taken it.")
    duration_ms = models.IntegerField(null=True, blank=True)

    class Meta:
        ordering = ["delivery", "number"]
        constraints = [models.UniqueConstraint(fields=["delivery", "number"], name="attempt_once_per_number")]

    def __str__(self) -> str:
        return f"{self.number}: {self.code}"
