"""What goes in and what comes out. Forms and words only; what may be in a broadcast is `drafts.py`'s to say."""

from __future__ import annotations

from typing import Any, Final

from rest_framework import serializers

from broadcasts.counting import Counts, kept
from broadcasts.models import Broadcast, BroadcastEvent, LeftOut
from broadcasts.states import State, status_of_001
from deliveries.api.documentation import shown_as
from deliveries.api.fields import TextField, TimestampField, TimeZoneField
from deliveries.channels import Channel, Priority, Status

CHANNELS: Final = [channel.value for channel in Channel]
PRIORITIES: Final = {priority.name.lower(): int(priority) for priority in Priority}
#: As 001 delivered: into the inbox.
DEFAULT_CHANNELS: Final = [Channel.WS.value]
#: What only a single broadcast shows, since it may be large.
UNLISTED: Final = ("body", "data", "contact_fallbacks", "skip_missing", "audience")


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses what it does not know: a mistyped speed must not mean none."""

    def to_internal_value(self, data: Any) -> Any:
        """Return the checked values. Raises: ValidationError."""
        if isinstance(data, dict) and (unknown := sorted(set(data) - set(self.fields))):
            known = ", ".join(sorted(self.fields))
            raise serializers.ValidationError({unknown[0]: [f"There is no such field. There are: {known}."]})
        return super().to_internal_value(data)


class PriorityField(serializers.ChoiceField):
    """A priority by its name, as jobs write it; a number within."""

    def __init__(self, **options: Any) -> None:
        super().__init__(list(PRIORITIES), **options)

    def to_internal_value(self, data: Any) -> Any:
        """Return the number. Raises: ValidationError."""
        return PRIORITIES[str(super().to_internal_value(data))]

    def to_representation(self, value: Any) -> str:
        """Return the name."""
        return Priority(value).name.lower()


class WritingSerializer(StrictSerializer):
    """What a person writes. A template, or a title and a body in Markdown."""

    name = TextField(max_length=200, required=False, allow_blank=True, help_text="For staff. Left out: the title.")
    template_code = TextField(max_length=100, required=False, allow_blank=True, help_text="A published template.")
    title = TextField(max_length=500, required=False, allow_blank=True)
    body = TextField(max_length=100_000, required=False, allow_blank=True, help_text="Markdown; may name fields.")
    action_url = TextField(max_length=2000, required=False, allow_blank=True)
    data = serializers.DictField(  # type: ignore[assignment]  # DRF takes fields off the class, `data` stays its own
        required=False, help_text="Values that the words may use, the same for everybody."
    )
    contact_fallbacks = serializers.DictField(
        required=False, help_text="What stands in for a field that a person lacks, by its name: attributes.city."
    )
    skip_missing = serializers.ListField(
        child=TextField(max_length=200), required=False, max_length=100, help_text="Leave out who lacks one of these."
    )
    channels = serializers.ListField(child=serializers.ChoiceField(CHANNELS), required=False, max_length=len(Channel))
    reach = serializers.ChoiceField(
        Broadcast.Reach.choices, required=False, help_text="all channels, or the first that reaches the person"
    )
    category = TextField(max_length=100, required=False, allow_blank=True, help_text="What people may switch off.")
    audience = serializers.DictField(
        required=False,
        help_text='{"type": "all_users"}, {"type": "users", "user_ids": […]}, {"type": "audience", "id": 17} or '
        '{"type": "channel", "channel": "news"}; each may have "exclude": a list of the same.',
    )
    priority = PriorityField(required=False)
    scheduled_at = TimestampField(required=False, allow_null=True, help_text="null: when it is sent.")
    time_zone = TimeZoneField(max_length=64, required=False, help_text="In which staff read its times.")
    expires_at = TimestampField(required=False, allow_null=True)
    pace_per_minute = serializers.IntegerField(
        required=False, allow_null=True, min_value=1, max_value=10_000_000, help_text="null: as fast as channels go."
    )
    group_size = serializers.IntegerField(
        required=False, allow_null=True, min_value=1, max_value=1_000_000, help_text="Small group first: so many."
    )
    group_percent = serializers.FloatField(
        required=False, allow_null=True, min_value=0.01, max_value=100, help_text="Or such a share."
    )
    group_minutes = serializers.IntegerField(required=False, min_value=0, max_value=7 * 24 * 60)
    group_failure_percent = serializers.FloatField(required=False, min_value=0, max_value=100)


class NewBroadcastSerializer(WritingSerializer):
    """A new draft, by document 001's body and our further fields."""

    channels = serializers.ListField(
        child=serializers.ChoiceField(CHANNELS), default=DEFAULT_CHANNELS, max_length=len(Channel)
    )
    created_by = TextField(
        max_length=150, required=False, allow_blank=True, help_text="Noted in its history. Who made it is who calls."
    )


class EditSerializer(WritingSerializer):
    """Some fields of a draft."""

    revision = serializers.IntegerField(
        required=False, min_value=1, help_text="The one you began from: 409 where somebody saved since."
    )


class ApprovalSerializer(serializers.Serializer[Broadcast]):
    """Who asked for an approval, and who gave it."""

    submitted_by = serializers.CharField(allow_blank=True)
    approved_by = serializers.CharField(allow_blank=True)
    approved_at = serializers.DateTimeField(allow_null=True)
    approved_size = serializers.IntegerField(allow_null=True, help_text="For how many people.")
    approved_hash = serializers.CharField(allow_blank=True, help_text="Of what was approved, as `dry-run/` gives it.")


class ListedSerializer(serializers.ModelSerializer[Broadcast]):
    """A broadcast as a list shows it. The counts are those of `counted_at`, counted from its rows by the worker."""

    tenant = serializers.CharField(source="tenant.slug", read_only=True)
    status = serializers.SerializerMethodField()
    priority = PriorityField(read_only=True)
    approval = serializers.SerializerMethodField()
    left_out = serializers.SerializerMethodField()

    class Meta:
        model = Broadcast
        fields = [
            "id", "tenant", "name", "status", "is_test", "revision", "template_code", "title", "action_url", "channels", "reach",
            "category", "priority", "scheduled_at", "time_zone", "expires_at", "pace_per_minute", "group_size", "group_percent",
            "group_minutes", "group_failure_percent", "stop_reason", "due_at", "created_by", "created_at", "updated_by", "updated_at",
            "started_at", "finished_at", "approval", "counted_at", "left_out",
        ]  # fmt: skip
        read_only_fields = fields

    def get_fields(self) -> dict[str, Any]:
        """Add a counter for each status."""
        counters = {name: serializers.IntegerField(read_only=True) for name in COUNTERS}
        return {**super().get_fields(), **counters}

    def to_representation(self, broadcast: Broadcast) -> dict[str, Any]:
        """Return it with its counters."""
        counts = kept(broadcast)
        for name, statuses in COUNTERS.items():
            setattr(broadcast, name, counts.of(*statuses))
        return super().to_representation(broadcast)

    @shown_as(serializers.ChoiceField([state.value for state in State]))
    def get_status(self, broadcast: Broadcast) -> str:
        """Return its state; under 001's addresses in 001's words."""
        return status_of_001(broadcast.state) if self.context.get("is_001") else broadcast.state

    @shown_as(ApprovalSerializer(allow_null=True))
    def get_approval(self, broadcast: Broadcast) -> dict[str, Any] | None:
        """Return who asked for it and gave it; null where nobody asked."""
        if not (broadcast.submitted_by or broadcast.approved_by):
            return None
        return ApprovalSerializer(broadcast).data

    @shown_as(serializers.DictField(child=serializers.IntegerField()))
    def get_left_out(self, broadcast: Broadcast) -> dict[str, int]:
        """Return how many were left out, by reason."""
        return kept(broadcast).left_out


#: Each counter and the statuses that it counts; `total` counts all.
COUNTERS: Final[dict[str, tuple[str, ...]]] = {
    "total": (),
    **{status.value.lower(): (status.value,) for status in Status},
}


class CauseSerializer(serializers.Serializer[Any]):
    """Why some failed."""

    reason = serializers.CharField()
    channel = serializers.CharField()
    count = serializers.IntegerField()


class BroadcastSerializer(ListedSerializer):
    """A broadcast whole."""

    audience = serializers.DictField(read_only=True)
    data = serializers.DictField(read_only=True)  # type: ignore[assignment]
    contact_fallbacks = serializers.DictField(read_only=True)
    by_channel = serializers.SerializerMethodField()
    outcomes = serializers.SerializerMethodField()
    causes = serializers.SerializerMethodField()

    class Meta(ListedSerializer.Meta):
        fields = [*ListedSerializer.Meta.fields, *UNLISTED, "by_channel", "outcomes", "causes"]
        read_only_fields = fields

    @shown_as(serializers.DictField(child=serializers.DictField(child=serializers.IntegerField())))
    def get_by_channel(self, broadcast: Broadcast) -> dict[str, dict[str, int]]:
        """Return the counts by channel and status."""
        return {
            channel: {status.lower(): count for status, count in found.items()}
            for channel, found in kept(broadcast).by_channel.items()
        }

    @shown_as(serializers.DictField(child=serializers.IntegerField()))
    def get_outcomes(self, broadcast: Broadcast) -> dict[str, int]:
        """Return what was told of those that were sent: delivered, bounced, seen …"""
        return kept(broadcast).outcomes

    @shown_as(CauseSerializer(many=True))
    def get_causes(self, broadcast: Broadcast) -> list[dict[str, Any]]:
        """Return why rows failed, the commonest first; `retry-failed/` takes one of these."""
        counts: Counts = kept(broadcast)
        return [{"reason": reason, "channel": channel, "count": n} for reason, channel, n in counts.causes]


class EventSerializer(serializers.ModelSerializer[BroadcastEvent]):
    """Something that was done to a broadcast."""

    before = serializers.DictField(read_only=True)
    after = serializers.DictField(read_only=True)

    class Meta:
        model = BroadcastEvent
        fields = ["id", "at", "action", "actor", "address", "before", "after", "note"]
        read_only_fields = fields


class LeftOutSerializer(serializers.ModelSerializer[LeftOut]):
    """Somebody who gets nothing. `channel` "": over none of several."""

    class Meta:
        model = LeftOut
        fields = ["user_id", "channel", "reason"]
        read_only_fields = fields
