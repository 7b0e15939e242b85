"""Data → JSON, by orjson. One format; what the data says is decided elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import orjson
from django.utils.functional import Promise
from rest_framework.renderers import BaseRenderer
from rest_framework.utils import encoders


class OrjsonRenderer(BaseRenderer):
    """Write JSON in UTF-8; times in UTC end in Z."""

    media_type = "application/json"
    format = "json"
    charset = None  # JSON is UTF-8 (RFC 8259), and its media type has no charset parameter

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        """Return the body; empty when there is nothing to say (204)."""
        if data is None:
            return b""
        try:
            return orjson.dumps(data, default=_plain, option=orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS)
        except orjson.JSONEncodeError:
            # 1e30 is a float on its way in; jsonb gives it back as an integer, and orjson knows 64 bits only.
            return json.dumps(data, cls=encoders.JSONEncoder, ensure_ascii=False, allow_nan=False).encode()


def _plain(value: object) -> Any:
    """Turn what orjson does not know into what it does. Raises: TypeError, as orjson asks."""
    if isinstance(value, Promise):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, str):  # DRF's ErrorDetail
        return str(value)
    if isinstance(value, list | tuple | set | frozenset):
        return list(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
