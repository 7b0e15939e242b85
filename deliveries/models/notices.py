"""Notices to staff: what went wrong with the service itself, once for each incident, and who was told outside. No I/O."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from deliveries.models.tenants import Tenant


class Notice(models.Model):
    """One incident, from when it was seen first until it was over. One that comes back soon is the same incident."""

    tenant = models.ForeignKey(
        Tenant, on_delete=models.CASCADE, null=True, blank=True, help_text="Empty: the whole service."
    )
    kind = models.CharField(max_length=32, help_text="What it is about: one of deliveries.notices.Kind.")
    subject = models.CharField(max_length=200, help_text="What exactly, such as provider:12.")
    sentence = models.CharField(max_length=300)
    anchor = models.CharField(max_length=100, help_text="The runbook's heading.")
    page = models.CharField(
        max_length=100, blank=True, default="", help_text="The admin page that shows it, by its URL's name."
    )
    page_pk = models.BigIntegerField(null=True, blank=True)
    opened_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    count = models.PositiveIntegerField(default=1, help_text="How many times it came back, the first time included.")
    read_at = models.DateTimeField(null=True, blank=True)
    read_by = models.CharField(max_length=150, blank=True, default="")

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "kind", "subject"],
                condition=Q(ended_at=None),
                nulls_distinct=False,
                name="notice_open_once",
            ),
            models.CheckConstraint(condition=~Q(anchor=""), name="notice_has_runbook_heading"),
            models.CheckConstraint(condition=Q(read_at=None) | ~Q(read_by=""), name="notice_read_by_somebody"),
        ]
        indexes = [
            models.Index(fields=["kind", "subject"], name="notice_by_subject"),
            models.Index(fields=["opened_at"], condition=Q(ended_at=None, read_at=None), name="notice_unread"),
        ]

    def __str__(self) -> str:
        return self.sentence


class NoticeTelling(models.Model):
    """One notice on one way out of here: when it was told, and what came of trying."""

    notice = models.ForeignKey(Notice, on_delete=models.CASCADE, related_name="tellings")
    way = models.CharField(max_length=330, help_text="webhook, or email: and the address.")
    told_at = models.DateTimeField(null=True, blank=True)
    over_told_at = models.DateTimeField(null=True, blank=True)
    next_at = models.DateTimeField(help_text="Not tried before: a pause after a failure, or somebody is at it.")
    tries = models.PositiveIntegerField(default=0, help_text="Since it was last told.")
    problem = models.CharField(max_length=300, blank=True, default="")

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["notice", "way"], name="notice_told_once_each_way")]

    def __str__(self) -> str:
        return f"{self.way}: {self.notice_id}"
