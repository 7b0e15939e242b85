"""What OpenAPI says of many operations alike: the error answers, and the job's own schema. No views.

The document is checked against the live server by tests/integration/test_schemathesis.py: what it says must be so.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, TypeVar

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.utils import (
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
    extend_schema_field,
    extend_schema_serializer,
)
from rest_framework import serializers

from deliveries.api.authentication import HEADER
from deliveries.job_schema import NOTIFICATION_JOB_SCHEMA
from deliveries.models.tenants import TENANT_NAME

JOB_COMPONENT: Final = "NotificationJob"

Handler = TypeVar("Handler", bound=Callable[..., Any])

TENANT_PARAMETER: Final = OpenApiParameter(
    "tenant",
    {"type": "string", "pattern": re.compile(TENANT_NAME.regex).pattern},
    description="Staff: only this tenant's rows (its short name). With a key: may only be the key's own.",
)

_WHY: Final = {
    400: "The request is wrong; nothing was changed.",
    401: "No API key or token, or one that is wrong, revoked or expired.",
    403: "The key lacks the scope, or the member of staff the permission or CSRF token.",
    404: "There is no such thing, or it belongs to another tenant.",
    409: "Its present state forbids it.",
    413: "The body is too big.",
    415: "The body is not application/json.",
    429: "Too many of these for now; wait a little.",
    503: "The database is away. Nothing is known to be stored; send the same again after `Retry-After` seconds.",
}


@extend_schema_serializer(component_name="Error")
class ErrorSerializer(serializers.Serializer[Any]):
    """An answer other than success."""

    detail = serializers.CharField(help_text="What is wrong and what to do, for a person.")
    code = serializers.CharField(help_text="The same for a program.")


WRONG_REQUEST: Final[dict[str, Any]] = {
    "type": "object",
    "description": "`detail`, or a list of problems under the name of each wrong field.",
    "required": ["code"],
    "properties": {
        "code": {"type": "string"},
        "detail": {"type": "string"},
        "path": {"type": "string", "description": "Where in the body."},
    },
}
COMPONENTS: Final = {
    JOB_COMPONENT: {key: value for key, value in NOTIFICATION_JOB_SCHEMA.items() if key != "$schema"},
    "WrongRequest": WRONG_REQUEST,
}


def documented(**words: Any) -> Callable[[Handler], Handler]:
    """Describe an operation to OpenAPI (drf-spectacular's `extend_schema`, with the type that it has)."""
    decorate: Callable[[Handler], Handler] = extend_schema(**words)
    return decorate


def shown_as(field: Any) -> Callable[[Handler], Handler]:
    """Tell OpenAPI what a serializer's method returns (`extend_schema_field`, with the type that it has)."""
    decorate: Callable[[Handler], Handler] = extend_schema_field(field)
    return decorate


def _reference(component: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{component}"}


JOB_REFERENCE: Final = _reference(JOB_COMPONENT)


def errors(*statuses: int) -> dict[int, OpenApiResponse]:
    """Return the error answers of an operation; 401, 403 and 503 are everyone's."""
    return {
        status: OpenApiResponse(
            _reference("WrongRequest") if status == 400 else ErrorSerializer, description=_WHY[status]
        )
        for status in sorted({401, 403, 503, *statuses})
    }


def add_components(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Put what is written here among the components (a drf-spectacular hook); a job's schema is the one producers get."""
    result["components"].setdefault("schemas", {}).update(COMPONENTS)
    return result


class EndUserScheme(OpenApiAuthenticationExtension):  # type: ignore[misc]  # drf-spectacular has no types
    """How OpenAPI describes a person's token."""

    target_class = "deliveries.api.end_user.EndUserAuthentication"
    name = "endUser"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """Return the security scheme."""
        return {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "The token that opens the person's inbox.",
        }


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[misc]  # drf-spectacular has no types
    """How OpenAPI describes the header."""

    target_class = "deliveries.api.authentication.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """Return the security scheme."""
        return {"type": "apiKey", "in": "header", "name": HEADER, "description": "Shown once, when the key is made."}
