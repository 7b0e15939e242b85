"""`/api/audiences/{id}/members/` and `/api/topics/{topic}/subscribers/`: people in and out, up to ten thousand at once."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from django.db import transaction
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from broadcasts.api.audiences import find_audience
from broadcasts.members import members_add, members_remove, subscribers_add, subscribers_remove
from broadcasts.models import Audience, TopicSubscription
from broadcasts.models.audiences import MAX_TOPIC
from deliveries.api.callers import Caller, caller_of
from deliveries.api.documentation import TENANT_PARAMETER, documented, errors
from deliveries.api.errors import ApiError
from deliveries.api.fields import CanonicalUUIDField
from deliveries.models import ApiKey

MAX_PEOPLE: Final = 10_000


class UserIdsSerializer(serializers.Serializer[Any]):
    """Whom it is about. They need not be contacts yet; the same id twice counts once."""

    user_ids = serializers.ListField(child=CanonicalUUIDField(), min_length=1, max_length=MAX_PEOPLE)


class ChangedSerializer(serializers.Serializer[Any]):
    """What a call did."""

    changed = serializers.IntegerField(help_text="Of how many this changed anything.")


class MembersView(APIView):
    """The people of a list."""

    scope = ApiKey.Scope.BROADCASTS
    staff_model = Audience
    staff_actions = {"PUT": ("change",), "DELETE": ("change",)}

    @documented(
        operation_id="audience_members_add",
        tags=["audiences"],
        summary="Add people to a list",
        description="Safe to repeat. 409 for a segment, whose people its rules find.",
        parameters=[TENANT_PARAMETER],
        request=UserIdsSerializer,
        responses={200: ChangedSerializer, **errors(400, 404, 409, 413, 415)},
    )
    def put(self, request: Request, audience_id: int) -> Response:
        """Add them."""
        return self._change(request, audience_id, is_added=True)

    @documented(
        operation_id="audience_members_remove",
        tags=["audiences"],
        summary="Take people out of a list",
        description='Safe to repeat. The body is `{"user_ids": […]}`, as for adding.',
        parameters=[TENANT_PARAMETER],
        responses={200: ChangedSerializer, **errors(400, 404, 409, 413, 415)},
    )
    def delete(self, request: Request, audience_id: int) -> Response:
        """Take them out."""
        return self._change(request, audience_id, is_added=False)

    def _change(self, request: Request, audience_id: int, *, is_added: bool) -> Response:
        caller = caller_of(request)
        row = find_audience(caller, audience_id)
        if row.kind != Audience.Kind.LIST:
            raise ApiError(409, "not_a_list", "This is a segment: its rules find its people. Change the rules.")
        user_ids = _user_ids(request)
        with transaction.atomic():
            changed = (members_add if is_added else members_remove)(audience=row, user_ids=user_ids)
            if changed:
                # The oldest figures are counted first.
                Audience.objects.filter(pk=row.pk).update(counted_at=None)
                caller.note(row, f"{'Added' if is_added else 'Removed'} {changed:,} people by REST.")
        return Response({"changed": changed})


class SubscribersView(APIView):
    """Who gets what is sent to a topic."""

    scope = ApiKey.Scope.BROADCASTS
    staff_model = TopicSubscription

    @documented(
        operation_id="topic_subscribers_add",
        tags=["audiences"],
        summary="Subscribe people to a topic",
        description="Safe to repeat. A topic is there as soon as somebody subscribed to it.",
        parameters=[TENANT_PARAMETER],
        request=UserIdsSerializer,
        responses={200: ChangedSerializer, **errors(400, 404, 413, 415)},
    )
    def put(self, request: Request, topic: str) -> Response:
        """Subscribe them."""
        return self._change(request, topic, is_added=True)

    @documented(
        operation_id="topic_subscribers_remove",
        tags=["audiences"],
        summary="Unsubscribe people from a topic",
        description='Safe to repeat. The body is `{"user_ids": […]}`, as for subscribing.',
        parameters=[TENANT_PARAMETER],
        responses={200: ChangedSerializer, **errors(400, 404, 413, 415)},
    )
    def delete(self, request: Request, topic: str) -> Response:
        """Unsubscribe them."""
        return self._change(request, topic, is_added=False)

    def _change(self, request: Request, topic: str, *, is_added: bool) -> Response:
        if len(topic) > MAX_TOPIC or not topic.isprintable():
            raise ApiError(400, "invalid_topic", f"Name a topic in 1 to {MAX_TOPIC} visible characters, like news.")
        caller: Caller = caller_of(request)
        tenant, user_ids = caller.home(), _user_ids(request)
        change = subscribers_add if is_added else subscribers_remove
        with transaction.atomic():
            changed = change(tenant_id=tenant.pk, topic=topic, user_ids=user_ids)
            if changed:
                done = ("Subscribed", "to") if is_added else ("Unsubscribed", "from")
                caller.note(tenant, f"{done[0]} {changed:,} people {done[1]} “{topic}” by REST.")
        return Response({"changed": changed})


def _user_ids(request: Request) -> set[UUID]:
    serializer = UserIdsSerializer(data=request.data)
    serializer.is_valid(raise_exception=True)
    return set(serializer.validated_data["user_ids"])
