"""Keyset pages for lists: `?limit=` and an opaque `?cursor=`; `next` and `previous` are whole addresses. Never a count.

A cursor says only "older than" or "newer than" an id. It needs no signature: the filters of the caller apply to every
page.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any, Final, TypeVar

from django.db.models import Model, QuerySet
from rest_framework import serializers
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param
from rest_framework.views import APIView

from deliveries.api.errors import ApiError
from deliveries.queries import Page, keyset_page

DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 200
MAX_ID: Final = 2**63 - 1

Row = TypeVar("Row", bound=Model)
_CURSOR: Final = re.compile(r"(?P<side>[on])(?P<id>[1-9][0-9]{0,18})")


class KeysetPagination(BasePagination):
    """Newest first. The answer is `{"next": url|null, "previous": url|null, "results": […]}`."""

    def paginate_queryset(  # type: ignore[override]  # only query sets can be cut by key
        self, queryset: QuerySet[Row], request: Request, view: APIView | None = None
    ) -> list[Row]:
        """Cut the page that the request asks for. Raises: ApiError 400 for the limit, 404 for the cursor."""
        older_than, newer_than = _read_cursor(request.query_params.get("cursor"))
        limit = read_limit(request.query_params.get("limit"))
        page: Page[Row] = keyset_page(queryset, limit=limit, older_than=older_than, newer_than=newer_than)
        self.address = request.build_absolute_uri()
        self.page = page
        return list(page.rows)

    def get_paginated_response(self, data: Any) -> Response:
        """Wrap the rows of the page."""
        rows, page = self.page.rows, self.page
        following = self._beside("o", rows[-1]) if page.has_older and rows else None
        previous = self._beside("n", rows[0]) if page.has_newer and rows else None
        return Response({"next": following, "previous": previous, "results": data})

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Describe the answer for OpenAPI."""
        address = {"type": ["string", "null"], "format": "uri"}
        return {
            "type": "object",
            "required": ["next", "previous", "results"],
            "properties": {
                "next": {**address, "description": "The next page."},
                "previous": {**address, "description": "The page before."},
                "results": schema,
            },
        }

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        """Describe the parameters for OpenAPI."""
        return [
            {
                "name": "cursor",
                "in": "query",
                "description": "Taken from `next` or `previous`; opaque.",
                "schema": {"type": "string"},
            },
            {
                "name": "limit",
                "in": "query",
                "description": "Rows a page.",
                "schema": {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
            },
        ]

    def _beside(self, side: str, row: Model) -> str:
        return replace_query_param(self.address, "cursor", write_cursor(side, row.pk))


def read_query(request: Request, query: type[serializers.Serializer[Any]] | None = None) -> dict[str, Any]:
    """Return the parameters that `query` describes, as plain values and lists, to be validated by it.

    A mistyped filter must not answer with everything, and of two values of one parameter none is guessed to be meant.
    Raises: ApiError 400.
    """
    described = query().fields if query else {}
    known = {"cursor", "limit", "tenant", *described}
    if unknown := sorted(set(request.query_params) - known):
        detail = f"There is no parameter {unknown[0]!r}. There are: {', '.join(sorted(known))}."
        raise ApiError(400, "unknown_parameter", detail)
    values = {}
    for name, given in request.query_params.lists():
        is_list = isinstance(described.get(name), serializers.ListField)
        if len(given) > 1 and not is_list:
            raise ApiError(400, "given_twice", f"The parameter {name!r} may be given only once.")
        values[name] = given if is_list else given[0]
    return values


def write_cursor(side: str, row_id: int) -> str:
    """Make a cursor: `o` for older than the id, `n` for newer."""
    return base64.urlsafe_b64encode(f"{side}{row_id}".encode()).decode().rstrip("=")


def _read_cursor(text: str | None) -> tuple[int | None, int | None]:
    if text is None:
        return None, None
    try:
        plain = base64.b64decode(text + "=" * (-len(text) % 4), altchars="-_", validate=True).decode()
    except (binascii.Error, ValueError):
        plain = ""
    match = _CURSOR.fullmatch(plain)
    if match is None or int(match["id"]) > MAX_ID:
        raise ApiError(404, "invalid_cursor", "This cursor is none of ours. Take it from `next` or `previous`.")
    row_id = int(match["id"])
    return (row_id, None) if match["side"] == "o" else (None, row_id)


def read_limit(text: str | None) -> int:
    """Return how many rows a page may have. Raises: ApiError 400."""
    if text is None:
        return DEFAULT_LIMIT
    if re.fullmatch(r"[0-9]{1,4}", text) and 1 <= int(text) <= MAX_LIMIT:
        return int(text)
    raise ApiError(400, "invalid_limit", f"`limit` is a number from 1 to {MAX_LIMIT}.")
