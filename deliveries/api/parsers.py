"""Request bytes → data, as strict as the Kafka side: what PostgreSQL or another reader would trip over is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

from rest_framework.parsers import BaseParser

from deliveries.api.errors import ApiError
from deliveries.jobs import MAX_BATCH_BYTES, InvalidJob
from deliveries.jobs.strict_json import decode_object


class RawJsonParser(BaseParser):
    """Hand over the bytes as they came, for `deliveries.jobs`; at most MAX_BATCH_BYTES are read."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return the body. Raises: ApiError 413."""
        body: bytes = stream.read(MAX_BATCH_BYTES + 1)
        if len(body) > MAX_BATCH_BYTES:
            raise ApiError(413, "too_big", f"The body is too big; send at most {MAX_BATCH_BYTES:,} bytes.")
        return body


class StrictJsonParser(RawJsonParser):
    """Decode one JSON object: no duplicate keys, no U+0000, no lone surrogates, nothing nested too deeply."""

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Return the object. Raises: ApiError 400 or 413."""
        body = super().parse(stream, media_type, parser_context)
        try:
            return decode_object(body, most_bytes=MAX_BATCH_BYTES)
        except InvalidJob as invalid:
            where = {"path": invalid.path} if invalid.path else {}
            raise ApiError(400, invalid.reason, invalid.message, **where) from None
