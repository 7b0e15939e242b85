"""`POST /api/callbacks/{provider_id}/`: where providers tell what became of messages. The signature is the authentication.

Whoever has none gets one and the same answer, whether there is such a provider or not. Who signs how: `deliveries/provider_reports.py`.
"""

from __future__ import annotations

from typing import Final

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from deliveries.api.documentation import ErrorSerializer, documented
from deliveries.api.errors import RETRY_AFTER_SECONDS, ApiError
from deliveries.api.renderers import AnyAccept
from deliveries.callbacks.base import BadCallback
from deliveries.provider_reports import Callback, NotSignedError, take

MAX_BYTES: Final = 1024 * 1024
BODY: Final = {"application/x-www-form-urlencoded": OpenApiTypes.OBJECT, "application/json": OpenApiTypes.ANY}
ANSWERS: Final = {
    status: OpenApiResponse(ErrorSerializer, description=why)
    for status, why in {
        400: "The provider signed it, but it cannot be read.",
        404: "No provider of that number signed it.",
        413: "The body is too big.",
        503: "Its message may be known in a moment, or the database is away: send it again after `Retry-After` seconds.",
    }.items()
}


class TooEarlyError(ApiError):
    """A report that overtook the receipt of its message."""

    wait = RETRY_AFTER_SECONDS

    def __init__(self) -> None:
        super().__init__(
            503, "not_known_yet", f"Send it again in {self.wait} seconds: its message may be known by then."
        )


class CallbackView(APIView):
    """Take a provider's status callback."""

    authentication_classes = []
    permission_classes = []
    content_negotiation_class = AnyAccept

    @documented(
        operation_id="callbacks_create",
        tags=["callbacks"],
        summary="Tell what became of messages",
        description=(
            "For SMS and mail providers, in their own formats, with their own signatures or logins. "
            f"At most {MAX_BYTES // 1024} KiB. Safe to repeat, in any order."
        ),
        auth=[],
        request=BODY,
        responses={204: None, **ANSWERS},
    )
    def post(self, request: Request, provider_id: int) -> Response:
        """Verify, read, record."""
        body: bytes = request.read(MAX_BYTES + 1)
        if len(body) > MAX_BYTES:
            raise ApiError(413, "too_big", f"The body is too big; send at most {MAX_BYTES:,} bytes.")
        callback = Callback(request.build_absolute_uri(), request.headers, body)
        try:
            recorded = take(callback, provider_id=provider_id)
        except NotSignedError:
            raise NotFound("No provider of that number signed it.") from None
        except BadCallback as error:
            raise ApiError(400, "bad_callback", str(error)) from None
        if recorded.may_come:
            raise TooEarlyError
        return Response(status=204)
