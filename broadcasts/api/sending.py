"""`send-now/`, `schedule/`, `undo/`, `pause/`, `resume/`, `cancel/`: whether it goes out. The rules are in `changes.py`."""

from __future__ import annotations

from datetime import datetime

from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from broadcasts.api.approving import action
from broadcasts.api.calling import BroadcastView, actor_of, may_also, taken
from broadcasts.api.serializers import BroadcastSerializer, StrictSerializer
from broadcasts.approvers import is_alone
from broadcasts.changes import (
    NotReady,
    WrongState,
    broadcast_cancel,
    broadcast_hasten,
    broadcast_pause,
    broadcast_resume,
    broadcast_send,
    broadcast_undo,
    undo_seconds,
)
from broadcasts.models import Broadcast
from broadcasts.review import review
from broadcasts.states import SENT, State
from deliveries.api.documentation import TENANT_PARAMETER, documented, errors
from deliveries.api.fields import TextField, TimestampField
from deliveries.models import ApiKey

SENDS = {"POST": ("send",)}


class SendSerializer(StrictSerializer):
    """How it is sent."""

    typed_count = serializers.IntegerField(
        required=False,
        min_value=1,
        help_text="The number of people, where nobody but the sender may approve broadcasts.",
    )


class ScheduleSerializer(SendSerializer):
    """When it is sent."""

    scheduled_at = TimestampField(required=False, help_text="Left out: the draft's own.")


class ReasonSerializer(StrictSerializer):
    """Why it is paused."""

    reason = TextField(max_length=500, required=False, allow_blank=True, default="")


class SentSerializer(BroadcastSerializer):
    """The broadcast; `already`: it was sent before, and this call changed nothing."""

    already = serializers.BooleanField(read_only=True)

    class Meta(BroadcastSerializer.Meta):
        fields = [*BroadcastSerializer.Meta.fields, "already"]


def _send(request: Request, broadcast: Broadcast, at: datetime | None, typed: int | None) -> tuple[Broadcast, bool]:
    """Send it at a time (None: now). Raises: NotReady, WrongState."""
    if broadcast.state in SENT:
        return broadcast, False
    broadcast.scheduled_at = at
    return broadcast_send(
        broadcast=broadcast,
        actor=actor_of(request),
        review=review(broadcast),
        undo_seconds=undo_seconds(by_api=True),
        typed_count=typed,
        may_approve_alone=is_alone(actor_of(request)),
    )


def schedule_as_001(request: Request, broadcast: Broadcast) -> tuple[Broadcast, list[str]]:
    """Schedule a new draft, as 001 does; return it and what keeps it a draft."""
    if not may_also(request, scope=ApiKey.Scope.BROADCASTS, permission="broadcasts.send_broadcast"):
        return broadcast, ["You may write it and not send it: ask somebody with the permission to."]
    try:
        return _send(request, broadcast, broadcast.scheduled_at, None)[0], []
    except NotReady as error:
        return broadcast, error.problems


class SendNowView(BroadcastView):
    """Send."""

    staff_actions = SENDS

    @documented(
        operation_id="broadcasts_send_now",
        tags=["broadcasts"],
        summary="Send it now",
        description=(
            "Idempotent: a repeat changes nothing and says so (`already`). What is scheduled for later goes out now. Where an approval "
            "is needed and missing, or something blocks it: 409 `not_ready` with `problems`. In another state: 409 `wrong_state`."
        ),
        parameters=[TENANT_PARAMETER],
        request=SendSerializer,
        responses={200: SentSerializer, **errors(400, 404, 409, 413, 415)},
    )
    def post(self, request: Request, broadcast_id: int) -> Response:
        """Send it once, however often this is called."""
        broadcast = self.find(broadcast_id)
        asked = taken(SendSerializer(data=request.data))
        with self.refusals():
            if broadcast.state in SENT:
                seconds = undo_seconds(by_api=True)
                sent, is_new = broadcast_hasten(broadcast=broadcast, actor=actor_of(request), undo_seconds=seconds)
            else:
                sent, is_new = _send(request, broadcast, None, asked.get("typed_count"))
        return self.word(sent, already=not is_new)


class ScheduleView(BroadcastView):
    """Send later."""

    staff_actions = SENDS

    @documented(
        operation_id="broadcasts_schedule",
        tags=["broadcasts"],
        summary="Send it at a time",
        description="As `send-now/`. To move what is scheduled already, undo it first: 409 `wrong_state`.",
        parameters=[TENANT_PARAMETER],
        request=ScheduleSerializer,
        responses={200: SentSerializer, **errors(400, 404, 409, 413, 415)},
    )
    def post(self, request: Request, broadcast_id: int) -> Response:
        """Schedule it once."""
        broadcast = self.find(broadcast_id)
        asked = taken(ScheduleSerializer(data=request.data))
        at = asked.get("scheduled_at", broadcast.scheduled_at)
        if at is None:
            raise ValidationError({"scheduled_at": ["Say when, or use send-now."]})
        with self.refusals():
            sent, is_new = _send(request, broadcast, at, asked.get("typed_count"))
            if not is_new and (sent.state != State.SCHEDULED or sent.due_at != at):
                raise WrongState(sent, "schedule")
        return self.word(sent, already=not is_new)


class UndoView(BroadcastView):
    """Take back."""

    staff_actions = SENDS

    @action("undo", "Take back what was sent or scheduled and has not begun", "Nobody got anything.")
    def post(self, request: Request, broadcast_id: int) -> Response:
        """Undo it."""
        return self.act(broadcast_undo, broadcast_id)


class PauseView(BroadcastView):
    """Pause."""

    staff_actions = SENDS

    @action("pause", "Stop at the next claim", "What waits stays waiting.", request=ReasonSerializer)
    def post(self, request: Request, broadcast_id: int) -> Response:
        """Pause it, with a word why."""
        return self.act(broadcast_pause, broadcast_id, ReasonSerializer)


class ResumeView(BroadcastView):
    """Go on."""

    staff_actions = SENDS

    @action("resume", "Go on where it stopped", "Nobody gets it twice, and nothing bursts.")
    def post(self, request: Request, broadcast_id: int) -> Response:
        """Resume it."""
        return self.act(broadcast_resume, broadcast_id)


class CancelView(BroadcastView):
    """Cancel the rest."""

    staff_actions = SENDS

    @action("cancel", "Send nothing more", "What went out stays out. For good: duplicate it to begin again.")
    def post(self, request: Request, broadcast_id: int) -> Response:
        """Cancel the rest of it."""
        return self.act(broadcast_cancel, broadcast_id)
