"""What `OPTIONS` answers: what an address is and takes. Its fields are described by OpenAPI, and asking for them would need a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rest_framework.metadata import SimpleMetadata
from rest_framework.request import Request

if TYPE_CHECKING:  # DRF's views load this module by name while they are being imported
    from rest_framework.views import APIView


class PlainMetadata(SimpleMetadata):
    """Name, description and media types."""

    def determine_actions(self, request: Request, view: APIView) -> dict[str, Any]:
        """Return no fields."""
        return {}
