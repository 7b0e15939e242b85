"""`send-now/`, `schedule/`, `undo/`, and steering what is on its way. The rules are in `changes.py` and `control.py`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from broadcasts.api.approving import action
from broadcasts.api.calling import BroadcastView, actor_of, may_also, taken
from broadcasts.api.serializers import BroadcastSerializer, StrictSerializer
from broadcasts.approvers import has_approver
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
from broadcasts.control import (
    broadcast_go_on,
    broadcast_recall,
    broadcast_retry_failed,
    broadcast_send_missing,
    broadcast_set_speed,
)
from broadcasts.models import Broadcast
from broadcasts.review import review
from broadcasts.states import SENT, State
from deliveries.api.documentation import TENANT_PARAMETER, documented, errors
from deliveries.api.errors import ApiError
from deliveries.api.fields import TextField, TimestampField
from deliveries.dead_letters import Retried
from deliveries.models import ApiKey

SENDS = {"POST": ("send",)}


class SendSerializer(StrictSerializer):
    """How it is sent."""

    typed_count = serializers.IntegerField(
        required=False, min_value=1, help_text="The number of people, where nobody is there who could approve it."
    )


class ScheduleSerializer(SendSerializer):
    """When it is sent."""

    scheduled_at = TimestampField(required=False, help_text="Left out: the draft's own.")


class ReasonSerializer(StrictSerializer):
    """Why it is paused."""

    reason = TextField(max_length=500, required=False, allow_blank=True, default="")


class SpeedSerializer(StrictSerializer):
    """How fast."""

    pace_per_minute = serializers.IntegerField(
        allow_null=True, min_value=1, max_value=10_000_000, help_text="null: as fast as the channels go."
    )


class RetrySerializer(StrictSerializer):
    """Which failures, as `causes` names them."""

    reason = TextField(max_length=64)
    channel = TextField(max_length=32)
    pace_per_minute = serializers.IntegerField(required=False, allow_null=True, min_value=1, max_value=10_000_000)


class SentSerializer(BroadcastSerializer):
    """The broadcast; `already`: it was sent before, and this call changed nothing."""

    already = serializers.BooleanField(read_only=True)

    class Meta(BroadcastSerializer.Meta):
        fields = [*BroadcastSerializer.Meta.fields, "already"]


class RetriedSerializer(serializers.Serializer[Retried]):
    """How many go out again, and how many could not any more."""

    moved = serializers.IntegerField()
    too_late = serializers.IntegerField()


class RecalledSerializer(serializers.Serializer[Any]):
    """`removed`: how many were taken out of inboxes. `stopped`: how many were on their way and will not appear."""

    removed = serializers.IntegerField()
    stopped = serializers.IntegerField()


class MissingSerializer(serializers.Serializer[Any]):
    """How many get it now. 0: nobody was missing, and nothing changed."""

    missing = serializers.IntegerField()


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
        may_approve_alone=not has_approver(broadcast),
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


class SpeedView(BroadcastView):
    """Faster or slower."""

    staff_actions = SENDS

    @action("speed", "Set how many messages a minute go out, from the next claim on", request=SpeedSerializer)
    def post(self, request: Request, broadcast_id: int) -> Response:
        """Set the speed."""
        return self.act(broadcast_set_speed, broadcast_id, SpeedSerializer)


class RetryFailedView(BroadcastView):
    """Try again what failed."""

    staff_actions = SENDS

    @documented(
        operation_id="broadcasts_retry_failed",
        tags=["broadcasts"],
        summary="Send again what failed for one reason on one channel",
        description="Nobody got those. A repeat finds nothing to move. 409 `cannot_retry` where the channel has no provider now.",
        parameters=[TENANT_PARAMETER],
        request=RetrySerializer,
        responses={200: RetriedSerializer, **errors(400, 404, 409, 413, 415)},
    )
    def post(self, request: Request, broadcast_id: int) -> Response:
        """Retry one cause."""
        broadcast = self.find(broadcast_id)
        asked = taken(RetrySerializer(data=request.data))
        with self.refusals():
            retried = broadcast_retry_failed(broadcast=broadcast, actor=actor_of(request), **asked)
        return Response(RetriedSerializer(retried).data)


class SendMissingView(BroadcastView):
    """Send to who is missing."""

    staff_actions = SENDS

    @documented(
        operation_id="broadcasts_send_missing",
        tags=["broadcasts"],
        summary="Send a completed one to those of its audience who have neither a row nor a reason",
        description="Nobody gets it twice. It is sending again until they have it.",
        parameters=[TENANT_PARAMETER],
        request=None,
        responses={200: MissingSerializer, **errors(400, 404, 409)},
    )
    def post(self, request: Request, broadcast_id: int) -> Response:
        """Let the missing get it."""
        broadcast = self.find(broadcast_id)
        with self.refusals():
            count = broadcast_send_missing(broadcast=broadcast, actor=actor_of(request))
        return Response({"missing": count})


class GoOnView(BroadcastView):
    """On to the rest."""

    staff_actions = SENDS

    @action("go_on", "Send it to the rest before the small group's time is over")
    def post(self, request: Request, broadcast_id: int) -> Response:
        """Let the rest get it."""
        broadcast = self.find(broadcast_id)
        with self.refusals():
            broadcast_go_on(broadcast=broadcast, actor=actor_of(request))
        return self.word(self.find(broadcast_id))


class RecallView(BroadcastView):
    """Remove from inboxes."""

    staff_actions = SENDS

    @documented(
        operation_id="broadcasts_recall",
        tags=["broadcasts"],
        summary="Take it out of people's inboxes, in open tabs too",
        description="Nothing more of it gets there. What went out over other channels stays out. Safe to repeat.",
        parameters=[TENANT_PARAMETER],
        request=None,
        responses={200: RecalledSerializer, **errors(400, 404, 409)},
    )
    def post(self, request: Request, broadcast_id: int) -> Response:
        """Remove it."""
        broadcast = self.find(broadcast_id)
        try:
            with self.refusals():
                recalled = broadcast_recall(broadcast=broadcast, actor=actor_of(request))
        except TimeoutError as error:
            raise ApiError(503, "busy", str(error)) from None
        return Response(recalled._asdict())
