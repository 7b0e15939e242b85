"""`/api/broadcasts/`: list, create, read, edit, delete, duplicate. The rules are in `broadcasts/drafts.py`."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from broadcasts.api.calling import BroadcastView, actor_of, taken
from broadcasts.api.sending import schedule_as_001
from broadcasts.api.serializers import (
    UNLISTED,
    BroadcastSerializer,
    EditSerializer,
    ListedSerializer,
    NewBroadcastSerializer,
)
from broadcasts.drafts import broadcast_create, broadcast_delete, broadcast_duplicate, broadcast_edit
from broadcasts.models import Broadcast
from broadcasts.states import State
from deliveries.api.callers import caller_of
from deliveries.api.documentation import TENANT_PARAMETER, documented, errors
from deliveries.api.fields import TextField
from deliveries.api.paging import KeysetPagination, read_query


class BroadcastQuery(serializers.Serializer[Any]):
    """What to look for. Every condition given must hold; `status` may be repeated."""

    status = serializers.ListField(
        child=serializers.ChoiceField([state.value for state in State]), required=False, min_length=1
    )
    created_by = TextField(required=False, max_length=150, help_text="A login, or key: and an API key's prefix.")
    q = TextField(required=False, max_length=200, help_text="Part of the name or title.")


class BroadcastListView(BroadcastView, GenericAPIView[Broadcast]):
    """A tenant's broadcasts."""

    serializer_class = ListedSerializer
    pagination_class = KeysetPagination

    @documented(
        operation_id="broadcasts_list",
        tags=["broadcasts"],
        summary="List broadcasts, newest first",
        parameters=[BroadcastQuery, TENANT_PARAMETER],
        responses={200: ListedSerializer(many=True), **errors(400, 404)},
    )
    def get(self, request: Request) -> Response:
        """Answer one page. Two queries with a key, whatever is on it; no row of a broadcast is read."""
        query = BroadcastQuery(data=read_query(request, BroadcastQuery))
        query.is_valid(raise_exception=True)
        asked = query.validated_data
        rows = caller_of(request).visible(Broadcast.objects.select_related("tenant").defer(*UNLISTED))
        if states := asked.get("status"):
            rows = rows.filter(state__in=states)
        if "created_by" in asked:
            rows = rows.filter(created_by=asked["created_by"])
        if "q" in asked:
            rows = rows.filter(name__icontains=asked["q"]) | rows.filter(title__icontains=asked["q"])
        page = self.paginate_queryset(rows)
        context = {**self.get_serializer_context(), "is_001": self.is_001}
        return self.get_paginated_response(ListedSerializer(page, many=True, context=context).data)

    @documented(
        operation_id="broadcasts_create",
        tags=["broadcasts"],
        summary="Make a draft",
        description=(
            "Sends nothing: see `send-now/` and `schedule/`. Not safe to repeat. What a test key makes is a test: it goes all "
            "the way but for providers and inboxes."
        ),
        parameters=[TENANT_PARAMETER],
        request=NewBroadcastSerializer,
        responses={201: BroadcastSerializer, **errors(400, 404, 413, 415)},
    )
    def post(self, request: Request) -> Response:
        """Store a draft; under 001's address, one with a time is also scheduled where nothing keeps it from being sent."""
        values = taken(NewBroadcastSerializer(data=request.data))
        said = values.pop("created_by", "")
        caller = caller_of(request)
        with self.refusals():
            broadcast = broadcast_create(
                tenant=caller.home(),
                actor=actor_of(request),
                values=values,
                is_test=caller.is_test,
                note=f"created_by: {said}" if said else "",
            )
        more = {}
        if self.is_001 and broadcast.scheduled_at is not None:
            broadcast, problems = schedule_as_001(request, broadcast)
            more["problems"] = problems
        return self.word(broadcast, status=201, **more)


class BroadcastDetailView(BroadcastView):
    """One broadcast."""

    @documented(
        operation_id="broadcasts_retrieve",
        tags=["broadcasts"],
        summary="Read one broadcast with its figures",
        parameters=[TENANT_PARAMETER],
        responses={200: BroadcastSerializer, **errors(400, 404)},
    )
    def get(self, request: Request, broadcast_id: int) -> Response:
        """Answer it. As many queries however many people it goes to."""
        return self.word(self.find(broadcast_id))

    @documented(
        operation_id="broadcasts_edit",
        tags=["broadcasts"],
        summary="Change some fields of a draft",
        description="An edit takes an approval away. Saying again what is there changes nothing. 409 once it is scheduled.",
        parameters=[TENANT_PARAMETER],
        request=EditSerializer,
        responses={200: BroadcastSerializer, **errors(400, 404, 409, 413, 415)},
    )
    def patch(self, request: Request, broadcast_id: int) -> Response:
        """Save what is given; 409 `changed_meanwhile` where `revision` is not the newest."""
        broadcast = self.find(broadcast_id)
        values = taken(EditSerializer(data=request.data, partial=True))
        revision = values.pop("revision", None)
        with self.refusals():
            saved = broadcast_edit(broadcast=broadcast, actor=actor_of(request), values=values, revision=revision)
        return self.word(saved)

    @documented(
        operation_id="broadcasts_delete",
        tags=["broadcasts"],
        summary="Delete a draft",
        description="409 for anything that is more than a draft, or was.",
        parameters=[TENANT_PARAMETER],
        responses={204: None, **errors(400, 404, 409)},
    )
    def delete(self, request: Request, broadcast_id: int) -> Response:
        """Delete it with its history; staff are noted in the admin's log."""
        broadcast = self.find(broadcast_id)
        with self.refusals(), transaction.atomic():
            caller_of(request).note(broadcast, f"Deleted the draft “{broadcast.name}”.")
            broadcast_delete(broadcast=broadcast)
        return Response(status=204)


class DuplicateView(BroadcastView):
    """A copy."""

    staff_actions = {"POST": ("add",)}
    changes_it = False

    @documented(
        operation_id="broadcasts_duplicate",
        tags=["broadcasts"],
        summary="Make a new draft of a broadcast's words, audience and speed",
        description="In any state. Without its times.",
        parameters=[TENANT_PARAMETER],
        request=None,
        responses={201: BroadcastSerializer, **errors(400, 404)},
    )
    def post(self, request: Request, broadcast_id: int) -> Response:
        """Store the copy."""
        copy = broadcast_duplicate(
            broadcast=self.find(broadcast_id), actor=actor_of(request), is_test=caller_of(request).is_test
        )
        return self.word(copy, status=201)
