"""CSV that people open in a spreadsheet: rows → text, as UTF-8, streamed. What the rows say is their callers' business.

A cell that begins like a formula is shown as text, with an apostrophe before it (OWASP, "CSV Injection"): what a person wrote into their
own name must not run on a member of staff's computer.
"""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Final

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse

#: So many rows are one piece of the answer.
PIECE: Final = 500
BOM: Final = "\ufeff"  # without it spreadsheets take UTF-8 for something else
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")


def safe_cell(value: Any) -> str:
    """Return a value as the text of one cell that no spreadsheet runs. Times are RFC 3339; None is empty. Numbers stay numbers."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    text = str(value)
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) and not isinstance(value, int | float) else text


def csv_pieces(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """Yield the text of a table, some hundred rows at a time; nothing is held beyond them."""
    yield BOM + _lines([header])
    coming = iter(rows)
    while piece := list(islice(coming, PIECE)):
        yield _lines(piece)


def csv_response(
    request: HttpRequest, *, filename: str, header: Sequence[str], rows: Iterable[Sequence[Any]]
) -> StreamingHttpResponse:
    """Answer with a table as a download, row by row as they come, under WSGI and ASGI alike. `filename`: plain letters, by the caller."""
    pieces = csv_pieces(header, rows)
    response = StreamingHttpResponse(
        _awaited(pieces) if isinstance(request, ASGIRequest) else pieces, content_type="text/csv; charset=utf-8"
    )
    response["Content-Disposition"] = f'attachment; filename="{filename}"'
    response["X-Content-Type-Options"] = "nosniff"
    return response


def _lines(rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows([safe_cell(value) for value in row] for row in rows)
    return text.getvalue()


async def _awaited(pieces: Iterator[str]) -> AsyncIterator[str]:
    """Take one piece at a time in the request's own thread, so that the loop goes on meanwhile."""
    while (piece := await sync_to_async(lambda: next(pieces, None))()) is not None:
        yield piece
