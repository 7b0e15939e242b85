"""`speed/`, `retry-failed/`, `send-missing/`, `go-on/`, `recall/`: steering what is on its way or out. The rules are in `control.py`."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from broadcasts.api.approving import action
from broadcasts.api.calling import BroadcastView, actor_of, taken
from broadcasts.api.sending import SENDS
from broadcasts.api.serializers import StrictSerializer
from broadcasts.control import (
    broadcast_go_on,
    broadcast_recall,
    broadcast_retry_failed,
    broadcast_send_missing,
    broadcast_set_speed,
)
from deliveries.api.documentation import TENANT_PARAMETER, documented, errors
from deliveries.api.errors import ApiError
from deliveries.api.fields import TextField
from deliveries.dead_letters import Retried


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


class RetriedSerializer(serializers.Serializer[Retried]):
    """How many go out again, how many could not any more, and how many wait for what is paused or was cancelled."""

    moved = serializers.IntegerField()
    too_late = serializers.IntegerField()
    stopped = serializers.IntegerField()


class RecalledSerializer(serializers.Serializer[Any]):
    """`removed`: how many were taken out of inboxes. `stopped`: how many were on their way and will not appear."""

    removed = serializers.IntegerField()
    stopped = serializers.IntegerField()


class MissingSerializer(serializers.Serializer[Any]):
    """How many get it now. 0: nobody was missing, and nothing changed."""

    missing = serializers.IntegerField()


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
        description="Nobody got those. A completed one is being sent again until they are over. A repeat finds nothing to move."
        " 409 `cannot_retry` where the channel has no provider now.",
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
