"""`/api/schemas/`: what producers validate their jobs against before they send them."""

from __future__ import annotations

from drf_spectacular.types import OpenApiTypes
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from deliveries.api.authentication import ApiKeyAuthentication
from deliveries.api.documentation import documented, errors
from deliveries.api.permissions import ANY_SCOPE
from deliveries.job_schema import NOTIFICATION_JOB_SCHEMA


class NotificationJobSchemaView(APIView):
    """The JSON Schema of a job."""

    authentication_classes = [ApiKeyAuthentication]
    scope = ANY_SCOPE

    @documented(
        operation_id="schemas_notification_job",
        tags=["jobs"],
        summary="The JSON Schema of a NotificationJob",
        responses={200: OpenApiTypes.OBJECT, **errors()},
    )
    def get(self, request: Request) -> Response:
        """Answer the schema (JSON Schema 2020-12)."""
        return Response(NOTIFICATION_JOB_SCHEMA)
