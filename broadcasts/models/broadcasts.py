"""Broadcasts, who was left out of them, and what was done to them. Fields and constraints; no I/O.

Who writes what: `drafts.py` the words and the audience, `changes.py` the state and the approval, `fan_out.py` the cursor and who was
left out, `counting.py` the counts. The rows that go out are deliveries; they are found by a range of job ids (`job_ids.py`).
"""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from broadcasts.states import State
from deliveries.channels import Channel, Priority
from deliveries.models import Tenant

#: What stands before a broadcast's number where its own words, lanes and rows are named.
SOURCE_PREFIX = "broadcast:"
CHANNEL_CHOICES = [(channel.value, channel.value) for channel in Channel]


class Broadcast(models.Model):
    """One message, to many people, from its draft to its last row."""

    class Reach(models.TextChoices):
        ALL = "all", "Every channel that is chosen"
        FIRST = "first", "The first channel that reaches the person"

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="broadcasts")
    name = models.CharField(max_length=200, help_text="What staff call it. Nobody else sees it.")

    # The message: a template's code, or words of its own in Markdown, which may name fields as templates do.
    template_code = models.CharField(max_length=100, blank=True, default="")
    title = models.CharField(max_length=500, blank=True, default="")
    body = models.TextField(blank=True, default="")
    action_url = models.CharField("link", max_length=2000, blank=True, default="")
    data = models.JSONField(
        default=dict, blank=True, help_text="Values that the words may use, the same for everybody."
    )
    contact_fallbacks = models.JSONField(
        default=dict, blank=True, help_text="What stands in for a field that a person lacks, such as attributes.city."
    )
    skip_missing = ArrayField(
        models.CharField(max_length=200),
        default=list,
        blank=True,
        help_text="Fields whose lack leaves a person out.",
    )

    channels = ArrayField(models.CharField(max_length=16, choices=CHANNEL_CHOICES), default=list, blank=True)
    reach = models.CharField(max_length=5, choices=Reach.choices, default=Reach.ALL)
    category = models.CharField(max_length=100, blank=True, default="", help_text="What people may unsubscribe from.")
    audience = models.JSONField(default=dict, blank=True)
    priority = models.SmallIntegerField(choices=[(p.value, p.name.lower()) for p in Priority], default=Priority.LOW)

    scheduled_at = models.DateTimeField(null=True, blank=True)
    time_zone = models.CharField(max_length=64, default="UTC")
    expires_at = models.DateTimeField(null=True, blank=True)
    pace_per_minute = models.PositiveIntegerField("speed", null=True, blank=True, help_text="Messages a minute.")
    group_size = models.PositiveIntegerField("small group first", null=True, blank=True)
    group_percent = models.FloatField(null=True, blank=True)
    group_minutes = models.PositiveIntegerField(default=30, help_text="How long to wait and look before the rest goes.")
    group_failure_percent = models.FloatField(default=5.0, help_text="More failures than this stop it.")

    is_test = models.BooleanField(
        default=False, db_default=False, help_text="Made by a test key: goes all the way but for providers and inboxes."
    )
    state = models.CharField(max_length=17, choices=[(s.value, s.value) for s in State], default=State.DRAFT)
    state_at = models.DateTimeField(default=Now)
    state_by = models.CharField(max_length=150, blank=True, default="")
    stop_reason = models.TextField(blank=True, default="", help_text="Why it paused or failed, and what to do.")
    revision = models.PositiveIntegerField(default=1, help_text="Counts edits, so that the second of two is told.")
    created_by = models.CharField(max_length=150)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_by = models.CharField(max_length=150, blank=True, default="")
    updated_at = models.DateTimeField(auto_now=True)

    submitted_by = models.CharField(max_length=150, blank=True, default="")
    approved_by = models.CharField(max_length=150, blank=True, default="")
    approved_at = models.DateTimeField(null=True, blank=True)
    approved_hash = models.CharField(max_length=64, blank=True, default="")
    approved_size = models.PositiveIntegerField(null=True, blank=True)

    due_at = models.DateTimeField(null=True, blank=True, help_text="When the worker takes it, once it is scheduled.")
    sent_from = models.CharField(max_length=17, blank=True, default="", help_text="The state that Undo leads back to.")
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    stamp_ms = models.BigIntegerField(null=True, blank=True, help_text="Its moment in all its job ids.")
    last_contact_id = models.BigIntegerField(null=True, blank=True, help_text="Contacts made later get nothing.")
    cursor = models.BigIntegerField(default=0, help_text="Contacts up to this id are done.")
    is_group_pass = models.BooleanField(default=False, help_text="The small group is being prepared, or looked at.")
    group_draw = models.BigIntegerField(null=True, blank=True, help_text="Whose draw is at most this is in the group.")
    group_ends_at = models.DateTimeField(null=True, blank=True)
    passes = models.PositiveIntegerField(default=0, help_text="How often it walked through the whole audience.")
    pinned_audience = models.JSONField(
        null=True, blank=True, help_text="The rules of saved segments as they were when it began, by the segment's id."
    )
    prepared_at = models.DateTimeField(null=True, blank=True)
    fanned_out_at = models.DateTimeField(null=True, blank=True)

    counts = models.JSONField(default=dict, help_text="Counted from the rows at counted_at; never incremented.")
    counted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "notification_broadcasts"
        ordering = ["-id"]
        permissions = [
            ("approve_broadcast", "Can approve broadcasts"),
            ("send_broadcast", "Can send and steer broadcasts"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "stamp_ms", "id"], name="broadcast_moment"),
            models.CheckConstraint(condition=Q(state__in=sorted(State)), name="broadcast_state_known"),
            models.CheckConstraint(condition=Q(reach__in=["all", "first"]), name="broadcast_reach_known"),
            models.CheckConstraint(condition=Q(priority__in=[0, 1, 2]), name="broadcast_priority_known"),
            models.CheckConstraint(
                condition=Q(pace_per_minute=None) | Q(pace_per_minute__gt=0), name="broadcast_pace_positive"
            ),
            models.CheckConstraint(
                condition=~Q(state=State.SCHEDULED) | Q(due_at__isnull=False), name="broadcast_scheduled_has_time"
            ),
            models.CheckConstraint(
                condition=~Q(state__in=[State.APPROVED]) | ~Q(approved_hash=""), name="broadcast_approved_is_bound"
            ),
            models.CheckConstraint(
                condition=~Q(state__in=[State.SENDING, State.PAUSED, State.COMPLETED])
                | Q(started_at__isnull=False, stamp_ms__isnull=False),
                name="broadcast_started_has_moment",
            ),
            models.CheckConstraint(
                condition=~Q(state=State.COMPLETED) | Q(fanned_out_at__isnull=False),
                name="broadcast_completed_is_fanned_out",
            ),
        ]
        indexes = [
            models.Index(fields=["tenant", "-id"], name="broadcast_by_tenant"),
            models.Index(fields=["due_at"], condition=Q(state=State.SCHEDULED), name="broadcast_due"),
            models.Index(fields=["id"], condition=Q(state__in=[State.SENDING, State.PAUSED]), name="broadcast_active"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def source(self) -> str:
        """What its lanes, its rows' entrance and its pinned words are called."""
        return f"{SOURCE_PREFIX}{self.pk}"


class BroadcastPoint(models.Model):
    """How far a broadcast was in one minute: the last count of that minute, summed up from its beginning."""

    broadcast = models.ForeignKey(Broadcast, on_delete=models.CASCADE, related_name="points", db_index=False)
    minute = models.DateTimeField()
    counted_at = models.DateTimeField()
    sent = models.JSONField(default=dict, help_text="By channel.")
    failed = models.PositiveIntegerField()
    over = models.PositiveIntegerField(help_text="Sent, failed and not sent.")

    class Meta:
        ordering = ["broadcast", "minute"]
        constraints = [models.UniqueConstraint(fields=["broadcast", "minute"], name="broadcast_point_once")]

    def __str__(self) -> str:
        return f"{self.broadcast_id} at {self.minute:%H:%M}"


class LeftOut(models.Model):
    """Somebody of the audience who gets nothing, over one channel (or `""`, when no channel of several would do), and why."""

    class Reason(models.TextChoices):
        NO_ADDRESS = "no_address", "No address"
        OPTED_OUT = "opted_out", "Opted out of the channel"
        UNSUBSCRIBED = "unsubscribed", "Unsubscribed from the category"
        SUPPRESSED = "suppressed_address", "Address on the suppression list"
        SAME_ADDRESS = "same_address", "Same address as somebody before"
        MISSING_FIELD = "missing_field", "A field is missing"
        UNAVAILABLE = "channel_unavailable", "The channel has no provider"

    broadcast = models.ForeignKey(Broadcast, on_delete=models.CASCADE, related_name="left_out", db_index=False)
    contact_id = models.BigIntegerField()
    user_id = models.UUIDField()
    channel = models.CharField(max_length=16, blank=True, default="")
    reason = models.CharField(max_length=20, choices=Reason.choices)

    class Meta:
        ordering = ["broadcast", "contact_id", "channel"]
        verbose_name = "person left out"
        verbose_name_plural = "people left out"
        constraints = [
            models.UniqueConstraint(fields=["broadcast", "contact_id", "channel"], name="left_out_once"),
            models.CheckConstraint(
                condition=Q(
                    reason__in=[
                        "no_address",
                        "opted_out",
                        "unsubscribed",
                        "suppressed_address",
                        "same_address",
                        "missing_field",
                        "channel_unavailable",
                    ]
                ),
                name="left_out_reason_known",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user_id}: {self.reason}"


class BroadcastEvent(models.Model):
    """What somebody, or the worker, did to a broadcast. A trigger keeps it from being changed (migration 0002)."""

    broadcast = models.ForeignKey(Broadcast, on_delete=models.CASCADE, related_name="events")
    at = models.DateTimeField(default=Now)
    action = models.CharField(max_length=32)
    actor = models.CharField(max_length=150, help_text="A member of staff, an API key, or the worker.")
    staff = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL)
    address = models.CharField(max_length=64, blank=True, default="", help_text="Where the request came from.")
    before = models.JSONField(default=dict)
    after = models.JSONField(default=dict)
    note = models.CharField(max_length=500, blank=True, default="")

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.action} by {self.actor}"
