"""What OpenAPI says of many operations alike: the error answers, and the job's own schema. No views.

The document is checked against the live server by tests/integration/test_schemathesis.py: what it says must be so.
"""

from __future__ import annotations

from typing import Any, Final

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema_serializer
from rest_framework import serializers

from deliveries.api.authentication import HEADER
from deliveries.job_schema import NOTIFICATION_JOB_SCHEMA

JOB_COMPONENT: Final = "NotificationJob"
JOB_REFERENCE: Final = {"$ref": f"#/components/schemas/{JOB_COMPONENT}"}

TENANT_PARAMETER: Final = OpenApiParameter(
    "tenant",
    str,
    description="Staff: only this tenant's rows (its short name). With a key: may only be the key's own.",
)

_WHY: Final = {
    400: "The request is wrong; nothing was changed.",
    401: "No API key, or one that is wrong or revoked.",
    403: "The key lacks the scope, or the member of staff the permission or CSRF token.",
    404: "There is no such thing, or it belongs to another tenant.",
    409: "Its present state forbids it.",
    413: "The body is too big.",
    415: "The body is not application/json.",
    503: "The database is away. Nothing is known to be stored; send the same again after `Retry-After` seconds.",
}


@extend_schema_serializer(component_name="Error")
class ErrorSerializer(serializers.Serializer[Any]):
    """An answer other than success."""

    detail = serializers.CharField(help_text="What is wrong and what to do, for a person.")
    code = serializers.CharField(help_text="The same for a program.")


WRONG_REQUEST: Final = {
    "type": "object",
    "description": "`detail`, or a list of problems under the name of each wrong field.",
    "required": ["code"],
    "properties": {
        "code": {"type": "string"},
        "detail": {"type": "string"},
        "path": {"type": "string", "description": "Where in the body."},
    },
}


def errors(*statuses: int) -> dict[int, OpenApiResponse]:
    """Return the error answers of an operation; 401, 403 and 503 are everyone's."""
    return {
        status: OpenApiResponse(WRONG_REQUEST if status == 400 else ErrorSerializer, description=_WHY[status])
        for status in sorted({401, 403, 503, *statuses})
    }


def add_job_schema(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Put the schema of a job among the components (a drf-spectacular hook): the very one that producers are given."""
    schema = {key: value for key, value in NOTIFICATION_JOB_SCHEMA.items() if key != "$schema"}
    result["components"].setdefault("schemas", {})[JOB_COMPONENT] = schema
    return result


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[misc]  # drf-spectacular has no types
    """How OpenAPI describes the header."""

    target_class = "deliveries.api.authentication.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """Return the security scheme."""
        return {"type": "apiKey", "in": "header", "name": HEADER, "description": "Shown once, when the key is made."}
