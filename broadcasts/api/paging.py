"""Pages of people in the order that an index has: by contact and channel, or by user id. Cursors as in `deliveries/api/paging.py`."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from typing import Any, ClassVar, TypeVar

from django.db.models import Model, Q, QuerySet
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param
from rest_framework.views import APIView

from deliveries.api.errors import ApiError
from deliveries.api.paging import KeysetPagination, read_limit

Row = TypeVar("Row", bound=Model)


class PeoplePagination(KeysetPagination):
    """Pages in the order of `fields`, which are unique together. `pattern`: what a cursor says of them, a group for each."""

    fields: ClassVar[tuple[str, ...]]
    pattern: ClassVar[re.Pattern[str]]

    def paginate_queryset(  # type: ignore[override]  # only query sets can be cut so
        self, queryset: QuerySet[Row], request: Request, view: APIView | None = None
    ) -> list[Any]:
        """Cut the page that the request asks for. Raises: ApiError 400 for the limit, 404 for the cursor."""
        side, at = self._read_cursor(request.query_params.get("cursor"))
        limit = read_limit(request.query_params.get("limit"))
        backwards = side == "n"
        if side:
            queryset = queryset.filter(_beyond(list(zip(self.fields, at, strict=True)), "lt" if backwards else "gt"))
        found = list(queryset.order_by(*(f"-{name}" if backwards else name for name in self.fields))[: limit + 1])
        self.rows: list[Any] = found[:limit][::-1] if backwards else found[:limit]
        self.has_next = backwards or len(found) > limit
        self.has_previous = len(found) > limit if backwards else bool(side)
        self.address = request.build_absolute_uri()
        return self.rows

    def get_paginated_response(self, data: Any) -> Response:
        """Wrap the rows of the page."""
        following = self._at("o", self.rows[-1]) if self.rows and self.has_next else None
        previous = self._at("n", self.rows[0]) if self.rows and self.has_previous else None
        return Response({"next": following, "previous": previous, "results": data})

    def _at(self, side: str, row: Any) -> str:
        plain = side + ".".join(str(getattr(row, name)) for name in self.fields)
        cursor = base64.urlsafe_b64encode(plain.encode()).decode().rstrip("=")
        return replace_query_param(self.address, "cursor", cursor)

    def _read_cursor(self, text: str | None) -> tuple[str, Sequence[str]]:
        if text is None:
            return "", ()
        try:
            plain = base64.b64decode(text + "=" * (-len(text) % 4), altchars="-_", validate=True).decode()
        except (binascii.Error, ValueError):
            plain = ""
        match = self.pattern.fullmatch(plain[1:])
        if match is None or plain[0] not in "on":
            raise ApiError(404, "invalid_cursor", "This cursor is none of ours. Take it from `next` or `previous`.")
        return plain[0], match.groups()


class ByContact(PeoplePagination):
    """People left out: by contact and channel."""

    fields = ("contact_id", "channel")
    pattern = re.compile(r"([0-9]{1,18})\.([a-z]{0,16})")


class ByUserId(PeoplePagination):
    """Named people: by user id."""

    fields = ("user_id",)
    pattern = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")


def _beyond(at: Sequence[tuple[str, str]], side: str) -> Q:
    """Return what lies on one side (`lt`, `gt`) of a key, said so that its index begins there."""
    (name, value), *rest = at
    if not rest:
        return Q(**{f"{name}__{side}": value})
    return Q(**{f"{name}__{side}e": value}) & (~Q(**{name: value}) | _beyond(rest, side))
