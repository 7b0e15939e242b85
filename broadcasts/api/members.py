"""`/api/audiences/{id}/members/` and `/api/topics/{topic}/subscribers/`: who is in them; people in and out, up to ten thousand at once."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from django.db import transaction
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from broadcasts.api.audiences import find_audience
from broadcasts.api.paging import ByUserId
from broadcasts.members import members_add, members_remove, subscribers_add, subscribers_remove, topic_problem
from broadcasts.models import Audience, AudienceMember, TopicSubscription
from deliveries.api.callers import Caller, caller_of
from deliveries.api.documentation import TENANT_PARAMETER, documented, errors
from deliveries.api.errors import ApiError
from deliveries.api.fields import CanonicalUUIDField
from deliveries.api.paging import read_query
from deliveries.models import ApiKey

MAX_PEOPLE: Final = 10_000


class UserIdsSerializer(serializers.Serializer[Any]):
    """Whom it is about. They need not be contacts yet; the same id twice counts once."""

    user_ids = serializers.ListField(child=CanonicalUUIDField(), min_length=1, max_length=MAX_PEOPLE)


class ChangedSerializer(serializers.Serializer[Any]):
    """What a call did."""

    changed = serializers.IntegerField(help_text="Of how many this changed anything.")


class MemberSerializer(serializers.Serializer[Any]):
    """One of them, who need not be a contact."""

    user_id = serializers.UUIDField()


class MembersView(GenericAPIView[AudienceMember]):
    """The people of a list."""

    scope = ApiKey.Scope.BROADCASTS
    staff_model = Audience
    staff_actions = {"GET": ("view",), "HEAD": ("view",), "PUT": ("change",), "DELETE": ("change",)}
    serializer_class = MemberSerializer
    pagination_class = ByUserId

    @documented(
        operation_id="audience_members_list",
        tags=["audiences"],
        summary="List the people of a list, by user id",
        description="409 for a segment: its people are found by `preview/`.",
        parameters=[TENANT_PARAMETER],
        responses={200: MemberSerializer(many=True), **errors(400, 404, 409)},
    )
    def get(self, request: Request, audience_id: int) -> Response:
        """Answer one page."""
        read_query(request)
        rows = _list(caller_of(request), audience_id).members.all()
        return self.get_paginated_response(self.get_serializer(self.paginate_queryset(rows), many=True).data)

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
        row = _list(caller, audience_id)
        user_ids = _user_ids(request)
        with transaction.atomic():
            changed = (members_add if is_added else members_remove)(audience=row, user_ids=user_ids)
            if changed:
                # The oldest figures are counted first.
                Audience.objects.filter(pk=row.pk).update(counted_at=None)
                caller.note(row, f"{'Added' if is_added else 'Removed'} {changed:,} people by REST.")
        return Response({"changed": changed})


class SubscribersView(GenericAPIView[TopicSubscription]):
    """Who gets what is sent to a topic."""

    scope = ApiKey.Scope.BROADCASTS
    staff_model = TopicSubscription
    staff_actions = MembersView.staff_actions
    serializer_class = MemberSerializer
    pagination_class = ByUserId

    @documented(
        operation_id="topic_subscribers_list",
        tags=["audiences"],
        summary="List who is subscribed to a topic, by user id",
        description="A topic that nobody subscribed to has nobody.",
        parameters=[TENANT_PARAMETER],
        responses={200: MemberSerializer(many=True), **errors(400, 404)},
    )
    def get(self, request: Request, topic: str) -> Response:
        """Answer one page."""
        read_query(request)
        rows = TopicSubscription.objects.filter(tenant=caller_of(request).home(), topic=_topic(topic))
        return self.get_paginated_response(self.get_serializer(self.paginate_queryset(rows), many=True).data)

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
        _topic(topic)
        caller: Caller = caller_of(request)
        tenant, user_ids = caller.home(), _user_ids(request)
        change = subscribers_add if is_added else subscribers_remove
        with transaction.atomic():
            changed = change(tenant_id=tenant.pk, topic=topic, user_ids=user_ids)
            if changed:
                done = ("Subscribed", "to") if is_added else ("Unsubscribed", "from")
                caller.note(tenant, f"{done[0]} {changed:,} people {done[1]} “{topic}” by REST.")
        return Response({"changed": changed})


def _list(caller: Caller, audience_id: int) -> Audience:
    row = find_audience(caller, audience_id)
    if row.kind != Audience.Kind.LIST:
        raise ApiError(409, "not_a_list", "This is a segment: its rules find its people. Change the rules.")
    return row


def _topic(name: str) -> str:
    """Return the name. Raises: ApiError 404 for one that no topic can have."""
    if problem := topic_problem(name):
        raise ApiError(404, "invalid_topic", problem)
    return name


def _user_ids(request: Request) -> set[UUID]:
    serializer = UserIdsSerializer(data=request.data)
    serializer.is_valid(raise_exception=True)
    return set(serializer.validated_data["user_ids"])
