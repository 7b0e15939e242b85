"""One shape for all that goes wrong under /api/: `{"detail": …, "code": …}`, or `{field: […], "code": "invalid"}`.

Here too: what Django itself answers when no view does (unknown address, broken request, internal error). Not here: the
reasons of jobs, which are `deliveries.jobs.REASONS`.
"""

from __future__ import annotations

from typing import Any, Final

import structlog
from django.core.exceptions import PermissionDenied
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.template.loader import render_to_string
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt
from rest_framework import exceptions
from rest_framework.response import Response

RETRY_AFTER_SECONDS: Final = 5
#: The second holds the addresses of document 001 (`broadcasts/api/urls.py`).
API_PREFIXES: Final = ("/api/", "/v1/")

logger = structlog.get_logger(__name__)


class ApiError(exceptions.APIException):
    """An answer other than success. `extra` adds fields beside `detail` and `code`, such as `path` or `status`."""

    def __init__(self, status: int, code: str, detail: str, /, **extra: Any) -> None:
        super().__init__(detail, code)
        self.status_code = status
        self.code = code
        self.extra = extra


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """Word an exception of a view (DRF's EXCEPTION_HANDLER).

    None hands it to Django, which logs it and answers through `server_error`. A database that is away is not an
    internal error: the answer says that nothing is known to be stored and when to come back.
    """
    if isinstance(error, OperationalError | InterfaceError):
        logger.warning("database_away", error=str(error))
        return _database_away()
    if isinstance(error, Http404):
        error = exceptions.NotFound()
    elif isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied()
    if not isinstance(error, exceptions.APIException):
        return None
    return Response(_words(error), status=error.status_code, headers=_headers(error))


def _words(error: exceptions.APIException) -> dict[str, Any]:
    if isinstance(error, ApiError):
        return {"detail": str(error.detail), "code": error.code, **error.extra}
    if isinstance(error.detail, dict):
        return {**error.detail, "code": "invalid"}
    if isinstance(error.detail, list):
        return {"detail": " ".join(str(each) for each in error.detail), "code": "invalid"}
    return {"detail": str(error.detail), "code": error.detail.code}


def _headers(error: exceptions.APIException) -> dict[str, str]:
    headers = {}
    if scheme := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = scheme
    if wait := getattr(error, "wait", None):
        headers["Retry-After"] = str(int(wait))
    return headers


def _database_away() -> Response:
    detail = (
        f"The database is away. Send the same request again in {RETRY_AFTER_SECONDS} seconds; a job that was stored "
        "after all is then answered as a duplicate."
    )
    body = {"detail": detail, "code": "database_away"}
    return Response(body, status=503, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Answer what Django refused before a view saw it (`handler400`)."""
    if not _is_api(request):
        return defaults.bad_request(request, exception)
    return _json(400, "bad_request", "The request is malformed.")


@csrf_exempt  # it changes nothing, and Django's own answer to a missing token is a page
def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponseBase:
    """Answer an unknown address (`handler404`, and the last line of api/urls.py)."""
    if not _is_api(request):
        return defaults.page_not_found(request, exception or Http404())
    slash = (
        "" if request.path.endswith("/") or not request.path.startswith("/api/") else " Addresses here end in a slash."
    )
    return _json(404, "not_found", f"There is no such address.{slash} See /api/docs/.")


def server_error(request: HttpRequest) -> HttpResponseBase:
    """Answer an internal error (`handler500`): no word on its cause, but the request id under which it was logged."""
    request_id = str(structlog.contextvars.get_contextvars().get("request_id", ""))
    if _is_api(request):
        return _json(500, "internal_error", "Internal server error", request_id=request_id)
    return HttpResponse(render_to_string("500.html", {"request_id": request_id}), status=500)


def _is_api(request: HttpRequest) -> bool:
    return request.path.startswith(API_PREFIXES)


def _json(status: int, code: str, detail: str, **extra: Any) -> JsonResponse:
    return JsonResponse({"detail": detail, "code": code, **extra}, status=status)
