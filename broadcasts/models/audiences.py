"""Saved audiences, the members of those that are lists, and who subscribed to which topic. Who is in one is `broadcasts/audience.py`'s."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from deliveries.models import Tenant

MAX_TOPIC = 100


class Audience(models.Model):
    """A choice of contacts that staff gave a name: a segment finds them by rules whenever it is asked, a list names them.

    `contact_count`: how many contacts were in it at `counted_at`; null before the first count and where counting took
    too long.
    """

    class Kind(models.TextChoices):
        SEGMENT = "segment", "Segment"
        LIST = "list", "List"

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="audiences", db_index=False)
    name = models.CharField(max_length=200)
    kind = models.CharField(max_length=7, choices=Kind.choices)
    rules = models.JSONField(null=True, blank=True)
    contact_count = models.BigIntegerField(null=True, blank=True, editable=False)
    counted_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_by = models.CharField(max_length=150, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "name"],
                name="audience_once_by_name",
                violation_error_message="There is an audience of this name. Choose another name.",
            ),
            models.CheckConstraint(
                condition=Q(kind="segment", rules__isnull=False) | Q(kind="list", rules__isnull=True),
                name="audience_has_rules_or_members",
            ),
            models.CheckConstraint(condition=~Q(name=""), name="audience_has_a_name"),
        ]

    def __str__(self) -> str:
        return self.name


class AudienceMember(models.Model):
    """A person whom a list names. They need not be a contact (any more); who is none is reached by nothing."""

    audience = models.ForeignKey(Audience, on_delete=models.CASCADE, related_name="members", db_index=False)
    user_id = models.UUIDField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["audience", "user_id"], name="audience_member_once")]

    def __str__(self) -> str:
        return str(self.user_id)


class TopicSubscription(models.Model):
    """A person who gets what is sent to a topic."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="topic_subscriptions", db_index=False)
    topic = models.CharField(max_length=MAX_TOPIC)
    user_id = models.UUIDField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name_plural = "topics"  # the admin shows the topics, not their rows
        constraints = [models.UniqueConstraint(fields=["tenant", "topic", "user_id"], name="topic_subscription_once")]

    def __str__(self) -> str:
        return f"{self.user_id} in {self.topic}"
