"""`/api/audiences/`: saved audiences, what they mean, and who is in one now."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from broadcasts.audience import (
    AudienceError,
    AudienceTooSlowError,
    audience_condition,
    condition_count,
    condition_sample,
)
from broadcasts.audience_use import audience_users, in_use_told
from broadcasts.models import Audience
from broadcasts.rules import RuleError, rules_check
from deliveries.api.callers import Caller, caller_of
from deliveries.api.documentation import TENANT_PARAMETER, documented, errors
from deliveries.api.errors import ApiError
from deliveries.api.fields import TextField
from deliveries.api.paging import MAX_ID, KeysetPagination, read_query
from deliveries.models import ApiKey

SAMPLE = 10


class RulesField(serializers.DictField):
    """A segment's rules. Refused with one sentence for each problem, its place in front."""

    def to_internal_value(self, data: Any) -> Any:
        """Return the rules as they came, once they are known to be right. Raises: ValidationError."""
        try:
            rules_check(data)
        except RuleError as error:
            raise serializers.ValidationError([str(problem) for problem in error.problems], "invalid_rules") from None
        return data


class AudienceSerializer(serializers.ModelSerializer[Audience]):
    """A saved audience. `contact_count`: how many contacts were in it at `counted_at`; null before the first count."""

    tenant = serializers.CharField(source="tenant.slug", read_only=True)
    rules = serializers.DictField(read_only=True, allow_null=True, help_text="Of a segment; null for a list.")

    class Meta:
        model = Audience
        fields = [
            "id", "tenant", "name", "kind", "rules", "contact_count", "counted_at", "created_by", "created_at", "updated_at",
        ]  # fmt: skip
        read_only_fields = fields


class ChangedAudienceSerializer(serializers.Serializer[Any]):
    """What may be changed of an audience."""

    name = TextField(max_length=200, required=False, help_text="Each name once in a tenant.")
    rules = RulesField(required=False, help_text="Of a segment: see docs/audiences.md.")

    def validate_name(self, name: str) -> str:
        """Refuse a name of blanks; what stands around it falls away."""
        if not name.strip():
            raise serializers.ValidationError("Give it a name.", "blank")
        return name.strip()


class NewAudienceSerializer(ChangedAudienceSerializer):
    """A new audience."""

    name = TextField(max_length=200, help_text="Each name once in a tenant.")
    kind = serializers.ChoiceField(Audience.Kind.choices)

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        """Ask for rules where it is a segment, and refuse them where it is a list."""
        _check_rules(values["kind"], "rules" in values, is_new=True)
        return values


class AudiencePreviewSerializer(serializers.Serializer[Any]):
    """Who is in an audience now."""

    count = serializers.IntegerField()
    sample = serializers.ListField(child=serializers.UUIDField(), help_text="The user ids of some of them.")


class AudienceListView(GenericAPIView[Audience]):
    """All of a tenant's saved audiences."""

    scope = ApiKey.Scope.BROADCASTS
    staff_model = Audience
    serializer_class = AudienceSerializer
    pagination_class = KeysetPagination

    @documented(
        operation_id="audiences_list",
        tags=["audiences"],
        summary="List saved audiences, newest first",
        parameters=[TENANT_PARAMETER],
        responses={200: AudienceSerializer(many=True), **errors(400, 404)},
    )
    def get(self, request: Request) -> Response:
        """Answer one page."""
        read_query(request)
        rows = caller_of(request).visible(Audience.objects.select_related("tenant"))
        return self.get_paginated_response(self.get_serializer(self.paginate_queryset(rows), many=True).data)

    @documented(
        operation_id="audiences_create",
        tags=["audiences"],
        summary="Create a segment or an empty list",
        description="409 where the tenant has an audience of this name.",
        parameters=[TENANT_PARAMETER],
        request=NewAudienceSerializer,
        responses={201: AudienceSerializer, **errors(400, 404, 409, 413, 415)},
    )
    def post(self, request: Request) -> Response:
        """Store it. Its first count is `audiences.refresh`'s."""
        caller = caller_of(request)
        values = _checked(NewAudienceSerializer(data=request.data))
        row = Audience(tenant=caller.home(), created_by=caller.by[:150], **values)
        _store(caller, row, "Made by REST.")
        return Response(AudienceSerializer(row).data, status=201)


class AudienceView(APIView):
    """One saved audience."""

    scope = ApiKey.Scope.BROADCASTS
    staff_model = Audience

    @documented(
        operation_id="audiences_retrieve",
        tags=["audiences"],
        summary="Read a saved audience",
        parameters=[TENANT_PARAMETER],
        responses={200: AudienceSerializer, **errors(404)},
    )
    def get(self, request: Request, audience_id: int) -> Response:
        """Answer it."""
        return Response(AudienceSerializer(find_audience(caller_of(request), audience_id)).data)

    @documented(
        operation_id="audiences_change",
        tags=["audiences"],
        summary="Change the name or the rules",
        description="What is left out stays. A broadcast that was approved for other people has to be approved again.",
        parameters=[TENANT_PARAMETER],
        request=ChangedAudienceSerializer(partial=True),
        responses={200: AudienceSerializer, **errors(400, 404, 409, 413, 415)},
    )
    def patch(self, request: Request, audience_id: int) -> Response:
        """Change what the body names."""
        caller = caller_of(request)
        row = find_audience(caller, audience_id)
        values = _checked(ChangedAudienceSerializer(data=request.data))
        _check_rules(row.kind, "rules" in values, is_new=False)
        for name, value in values.items():
            setattr(row, name, value)
        if "rules" in values:
            row.contact_count = row.counted_at = None
        if values:
            _store(caller, row, f"Changed {' and '.join(sorted(values))} by REST.")
        return Response(AudienceSerializer(row).data)

    @documented(
        operation_id="audiences_delete",
        tags=["audiences"],
        summary="Delete a saved audience",
        parameters=[TENANT_PARAMETER],
        description="409 `in_use`, with `broadcasts`, while one that is no draft and has not ended goes to it.",
        responses={204: None, **errors(404, 409)},
    )
    def delete(self, request: Request, audience_id: int) -> Response:
        """Delete it, and a list's members with it."""
        caller = caller_of(request)
        row = find_audience(caller, audience_id)
        if users := audience_users(row):
            named = [{"id": each.pk, "name": each.name, "status": each.state} for each in users]
            raise ApiError(409, "in_use", in_use_told(row, users), broadcasts=named)
        with transaction.atomic():
            caller.note(row, "Deleted by REST.")
            row.delete()
        return Response(status=204)


class PreviewView(APIView):
    """Who is in an audience now."""

    scope = ApiKey.Scope.BROADCASTS
    staff_model = Audience

    @documented(
        operation_id="audiences_preview",
        tags=["audiences"],
        summary="Count an audience and name some of its people",
        description="503 with the code `too_slow` where counting takes longer than AUDIENCE_COUNT_TIMEOUT_SECONDS.",
        parameters=[TENANT_PARAMETER],
        responses={200: AudiencePreviewSerializer, **errors(404, 409)},
    )
    def get(self, request: Request, audience_id: int) -> Response:
        """Count now, whatever the stored figure says."""
        row = find_audience(caller_of(request), audience_id)
        within: dict[str, Any] = {
            "tenant_id": row.tenant_id, "timeout_seconds": settings.AUDIENCE_COUNT_TIMEOUT_SECONDS,
        }  # fmt: skip
        try:
            asked = audience_condition({"type": "audience", "id": row.pk}, tenant_id=row.tenant_id)
            count = condition_count(asked, **within)
            sample = condition_sample(asked, **within, limit=SAMPLE)
        except AudienceError as error:
            raise ApiError(409, "rules_not_understood", str(error)) from None
        except AudienceTooSlowError as error:
            raise ApiError(503, "too_slow", str(error)) from None
        return Response({"count": count, "sample": [contact.user_id for contact in sample]})


def find_audience(caller: Caller, audience_id: int) -> Audience:
    """Return the caller's audience. Raises: NotFound."""
    rows = caller.visible(Audience.objects.select_related("tenant"))
    row = rows.filter(pk=audience_id).first() if audience_id <= MAX_ID else None
    if row is None:
        raise NotFound()
    return row


def _store(caller: Caller, row: Audience, note: str) -> None:
    """Save a row and what staff did to it. Raises: ApiError 409 for a name that is taken."""
    try:
        with transaction.atomic():
            row.save()
            caller.note(row, note)
    except IntegrityError as error:
        if "audience_once_by_name" not in str(error):
            raise
        raise ApiError(409, "name_taken", f"There is an audience “{row.name}” already. Choose another name.") from None


def _check_rules(kind: str, has_rules: bool, *, is_new: bool) -> None:
    if kind == Audience.Kind.LIST and has_rules:
        message = "A list has no rules. Leave them out, or make a segment."
        raise serializers.ValidationError({"rules": [message]}, "list_has_rules")
    if kind == Audience.Kind.SEGMENT and is_new and not has_rules:
        raise serializers.ValidationError({"rules": ["A segment needs rules."]}, "required")


def _checked(serializer: serializers.Serializer[Any]) -> dict[str, Any]:
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)
