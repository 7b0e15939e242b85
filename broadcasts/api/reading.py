"""`events/`, `left-out/`, `recipients.csv`: what was done, who got nothing and why, what became of everybody."""

from __future__ import annotations

from dataclasses import astuple, fields
from typing import Any

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from broadcasts.api.calling import BroadcastView, may_also
from broadcasts.api.paging import ByContact
from broadcasts.api.serializers import CHANNELS, EventSerializer, LeftOutSerializer
from broadcasts.models import BroadcastEvent, LeftOut
from broadcasts.results import Result, results
from deliveries.api.documentation import TENANT_PARAMETER, documented, errors
from deliveries.api.errors import ApiError
from deliveries.api.paging import KeysetPagination, read_query
from deliveries.api.renderers import AnyAccept
from deliveries.csv_text import csv_response
from deliveries.models import ApiKey


class LeftOutQuery(serializers.Serializer[Any]):
    """Which of those who were left out."""

    reason = serializers.ChoiceField(LeftOut.Reason.values, required=False)
    channel = serializers.ChoiceField(CHANNELS, required=False)


class EventListView(BroadcastView, GenericAPIView[BroadcastEvent]):
    """Its history."""

    serializer_class = EventSerializer
    pagination_class = KeysetPagination

    @documented(
        operation_id="broadcasts_events",
        tags=["broadcasts"],
        summary="Who did what to it, when and from where, newest first",
        parameters=[TENANT_PARAMETER],
        responses={200: EventSerializer(many=True), **errors(400, 404)},
    )
    def get(self, request: Request, broadcast_id: int) -> Response:
        """Answer one page."""
        read_query(request)
        rows = BroadcastEvent.objects.filter(broadcast=self.find(broadcast_id))
        return self.get_paginated_response(self.get_serializer(self.paginate_queryset(rows), many=True).data)


class LeftOutListView(BroadcastView, GenericAPIView[LeftOut]):
    """Who was left out."""

    serializer_class = LeftOutSerializer
    pagination_class = ByContact

    @documented(
        operation_id="broadcasts_left_out",
        tags=["broadcasts"],
        summary="Who of the audience gets nothing, and why",
        parameters=[LeftOutQuery, TENANT_PARAMETER],
        responses={200: LeftOutSerializer(many=True), **errors(400, 404)},
    )
    def get(self, request: Request, broadcast_id: int) -> Response:
        """Answer one page, in the order of contacts."""
        query = LeftOutQuery(data=read_query(request, LeftOutQuery))
        query.is_valid(raise_exception=True)
        rows = LeftOut.objects.filter(broadcast=self.find(broadcast_id), **query.validated_data)
        return self.get_paginated_response(self.get_serializer(self.paginate_queryset(rows), many=True).data)


class RecipientsView(BroadcastView):
    """Everybody, as a table."""

    content_negotiation_class = AnyAccept

    @documented(
        operation_id="broadcasts_recipients",
        tags=["broadcasts"],
        summary="Download what became of everybody, as CSV",
        description=(
            "Streamed, however many they are. Cells that begin like a formula begin with an apostrophe. Who was left out has the status "
            "LEFT_OUT. Holds addresses: a key also needs the scope `deliveries`, staff the permission to view deliveries."
        ),
        parameters=[TENANT_PARAMETER],
        responses={(200, "text/csv"): OpenApiTypes.STR, **errors(400, 404)},
    )
    def get(self, request: Request, broadcast_id: int) -> StreamingHttpResponse:
        """Answer the table as it is read."""
        broadcast = self.find(broadcast_id)
        if not may_also(request, scope=ApiKey.Scope.DELIVERIES, permission="deliveries.view_delivery"):
            raise ApiError(403, "scope_required", "The table holds addresses: you need the right to read deliveries.")
        return csv_response(
            request._request,
            filename=f"broadcast-{broadcast.pk}.csv",
            header=[field.name for field in fields(Result)],
            rows=map(astuple, results(broadcast)),
        )
