"""DRF's renderer over `json_text`. One format; what the data says is decided elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from deliveries.json_text import json_bytes


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
        return json_bytes(data)


class AnyAccept(DefaultContentNegotiation):
    """Answer whatever the caller says it accepts: a provider reads the status alone, and a download is no JSON."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """Choose the only one."""
        (renderer,) = renderers
        return renderer, renderer.media_type
