"""`events/`, `left-out/`, `recipients.csv`: what was done, who got nothing and why, what became of everybody."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import astuple, fields
from typing import Any, Final

from django.db.models import Q, QuerySet
from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param
from rest_framework.views import APIView

from broadcasts.api.calling import BroadcastView, may_also
from broadcasts.api.serializers import CHANNELS, EventSerializer, LeftOutSerializer
from broadcasts.models import BroadcastEvent, LeftOut
from broadcasts.results import Result, results
from deliveries.api.documentation import TENANT_PARAMETER, documented, errors
from deliveries.api.errors import ApiError
from deliveries.api.paging import KeysetPagination, read_limit, read_query
from deliveries.api.renderers import AnyAccept
from deliveries.csv_text import csv_response
from deliveries.models import ApiKey

_CURSOR: Final = re.compile(r"(?P<side>[on])(?P<contact>[0-9]{1,18})\.(?P<channel>[a-z]{0,16})")


class LeftOutQuery(serializers.Serializer[Any]):
    """Which of those who were left out."""

    reason = serializers.ChoiceField(LeftOut.Reason.values, required=False)
    channel = serializers.ChoiceField(CHANNELS, required=False)


class PeoplePagination(KeysetPagination):
    """Pages in the order of contacts, as their index has it: by contact and channel."""

    def paginate_queryset(  # type: ignore[override]  # only people left out can be cut so
        self, queryset: QuerySet[LeftOut], request: Request, view: APIView | None = None
    ) -> list[LeftOut]:
        """Cut the page that the request asks for. Raises: ApiError 400 for the limit, 404 for the cursor."""
        side, contact, channel = _read_cursor(request.query_params.get("cursor"))
        limit = read_limit(request.query_params.get("limit"))
        backwards = side == "n"
        if side:
            at = {"contact_id__lte": contact} if backwards else {"contact_id__gte": contact}
            passed = {"channel__lt" if backwards else "channel__gt": channel}
            queryset = queryset.filter(~Q(contact_id=contact) | Q(**passed), **at)
        order = ("-contact_id", "-channel") if backwards else ("contact_id", "channel")
        found = list(queryset.order_by(*order)[: limit + 1])
        self.rows = found[:limit][::-1] if backwards else found[:limit]
        self.has_next = backwards or len(found) > limit
        self.has_previous = len(found) > limit if backwards else bool(side)
        self.address = request.build_absolute_uri()
        return self.rows

    def get_paginated_response(self, data: Any) -> Response:
        """Wrap the rows of the page."""
        following = self._at("o", self.rows[-1]) if self.rows and self.has_next else None
        previous = self._at("n", self.rows[0]) if self.rows and self.has_previous else None
        return Response({"next": following, "previous": previous, "results": data})

    def _at(self, side: str, row: LeftOut) -> str:
        cursor = base64.urlsafe_b64encode(f"{side}{row.contact_id}.{row.channel}".encode()).decode().rstrip("=")
        return replace_query_param(self.address, "cursor", cursor)


def _read_cursor(text: str | None) -> tuple[str, int, str]:
    if text is None:
        return "", 0, ""
    try:
        plain = base64.b64decode(text + "=" * (-len(text) % 4), altchars="-_", validate=True).decode()
    except (binascii.Error, ValueError):
        plain = ""
    match = _CURSOR.fullmatch(plain)
    if match is None:
        raise ApiError(404, "invalid_cursor", "This cursor is none of ours. Take it from `next` or `previous`.")
    return match["side"], int(match["contact"]), match["channel"]


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
    pagination_class = PeoplePagination

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
