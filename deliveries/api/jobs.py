"""`POST /api/jobs/` and `jobs/validate/`: the same path that Kafka's records take. Only words and status codes are decided here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from django.conf import settings
from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from deliveries.api import intake
from deliveries.api.authentication import ApiKeyAuthentication
from deliveries.api.documentation import JOB_REFERENCE, WRONG_REQUEST, documented, errors
from deliveries.api.errors import ApiError
from deliveries.api.forecast import forecast
from deliveries.api.intake import Result
from deliveries.api.parsers import RawJsonParser
from deliveries.channels import Status
from deliveries.jobs import MAX_BATCH_JOBS, InvalidJob, NotificationJob, parse_jobs
from deliveries.models import ApiKey

TOO_LARGE: Final = frozenset({"too_big", "too_many_jobs"})
BODY: Final = {
    "application/json": {
        "oneOf": [
            JOB_REFERENCE,
            {"type": "array", "items": JOB_REFERENCE, "minItems": 1, "maxItems": MAX_BATCH_JOBS},
        ]
    }
}


class ResultSerializer(serializers.Serializer[Result]):
    """What became of one job."""

    job_id = serializers.CharField(allow_null=True, help_text="As it was sent; null where none could be read.")
    status = serializers.ChoiceField(["accepted", "duplicate", "rejected"])
    delivery_status = serializers.ChoiceField(
        [status.value for status in Status], allow_blank=True, help_text="Empty for a rejected job."
    )
    reason = serializers.CharField(allow_blank=True, help_text="A code, where there is something to explain.")
    path = serializers.CharField(allow_blank=True, help_text="Where in the body, such as [3].meta.priority.")
    message = serializers.CharField(allow_blank=True)


class ReceiptSerializer(serializers.Serializer[Any]):
    """The results in the order of the jobs, and how many there are of each status."""

    accepted = serializers.IntegerField()
    duplicate = serializers.IntegerField()
    rejected = serializers.IntegerField()
    results = ResultSerializer(many=True)


NOTHING_ACCEPTED: Final = {
    **WRONG_REQUEST,
    "description": "A single bad job: what and where. A list without a good job: also `results`, as in a success.",
    "properties": {**WRONG_REQUEST["properties"], "results": {"type": "array", "items": {"type": "object"}}},
}


class JobsView(APIView):
    """Hand in jobs."""

    authentication_classes = [ApiKeyAuthentication]
    parser_classes = [RawJsonParser]
    scope = ApiKey.Scope.JOBS

    @documented(
        operation_id="jobs_create",
        tags=["jobs"],
        summary="Hand in one job or a list",
        description=(
            "The same rules as on Kafka. Each job becomes one delivery before the answer is given. Safe to repeat: the "
            "same job again is a `duplicate`; its id with another body is rejected as `job_id_conflict` (409 for a "
            "single job). Of a list the good jobs are accepted and the others rejected one by one; `tenant_id` may "
            "only be the key's own. With a test key everything happens but the sending."
        ),
        request=BODY,
        responses={
            202: ReceiptSerializer,
            **errors(409, 413, 415),
            400: OpenApiResponse(NOTHING_ACCEPTED, description="No job was accepted."),
        },
    )
    def post(self, request: Request) -> Response:
        """Store jobs and answer for each."""
        parsed, is_list = _parse(request)
        results = intake.take(parsed, key=_key(request))
        if all(result.status == "rejected" for result in results):
            raise _nothing_accepted(results, is_list=is_list)
        return Response(_receipt(results), status=202)


class ValidateJobsView(APIView):
    """Try jobs out."""

    authentication_classes = [ApiKeyAuthentication]
    parser_classes = [RawJsonParser]
    scope = ApiKey.Scope.JOBS

    @documented(
        operation_id="jobs_validate",
        tags=["jobs"],
        summary="Say what would happen to jobs",
        description=(
            "Stores and sends nothing. Beyond the rules for jobs it looks at the contact, its address and opt-outs, and "
            "renders the template. `delivery_status` is what the delivery would come to (PENDING: staff hold it); of a "
            "duplicate, what it has."
        ),
        request=BODY,
        responses={200: ReceiptSerializer, **errors(400, 413, 415)},
    )
    def post(self, request: Request) -> Response:
        """Judge jobs without storing them."""
        parsed, _is_list = _parse(request)
        return Response(_receipt(forecast(parsed, key=_key(request))))


def _parse(request: Request) -> tuple[list[NotificationJob | InvalidJob], bool]:
    body = request.data if isinstance(request.data, bytes) else b""  # DRF parses no empty body
    try:
        parsed = parse_jobs(body, now=timezone.now(), most=settings.API_MAX_JOBS)
    except InvalidJob as invalid:
        raise _unreadable(invalid) from None
    is_list = body.lstrip().startswith(b"[")
    return parsed, is_list


def _unreadable(invalid: InvalidJob) -> ApiError:
    status = 413 if invalid.reason in TOO_LARGE else 400
    return ApiError(status, invalid.reason, invalid.message, path=invalid.path)


def _nothing_accepted(results: Sequence[Result], *, is_list: bool) -> ApiError:
    if is_list:
        detail = "None of the jobs was accepted; `results` says why, one by one."
        return ApiError(400, "no_job_accepted", detail, **_receipt(results))
    only = results[0]
    return ApiError(409 if only.reason == "job_id_conflict" else 400, only.reason, only.message, path=only.path)


def _receipt(results: Sequence[Result]) -> dict[str, Any]:
    return {**intake.totals(results), "results": [asdict(result) for result in results]}


def _key(request: Request) -> ApiKey:
    key = request.auth
    if not isinstance(key, ApiKey):
        raise TypeError("these views authenticate by API key only")
    return key
