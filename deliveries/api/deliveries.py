"""`/api/deliveries/`: find deliveries, read one with its timeline, send it again, cancel it. The rules are `lifecycle`'s."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F, QuerySet
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from deliveries import hints, lifecycle
from deliveries.api.callers import Caller, caller_of
from deliveries.api.documentation import TENANT_PARAMETER, documented, errors, shown_as
from deliveries.api.errors import ApiError
from deliveries.api.fields import CanonicalUUIDField, TextField, TimestampField
from deliveries.api.paging import KeysetPagination, read_query
from deliveries.channels import OPEN, Priority, Status
from deliveries.ingest import refusal_of
from deliveries.models import ApiKey, Delivery
from deliveries.queries import DeliveryFilter, deliveries_matching
from deliveries.timeline import Kind, TimelineEvent, timeline

STATUSES = [status.value for status in Status]
UNLISTED = ("data", "meta", "content", "rendered", "body_hash")


class DeliveryQuery(serializers.Serializer[Any]):
    """What to look for. Every condition given must hold; `status` and `channel` may be repeated."""

    status = serializers.ListField(child=serializers.ChoiceField(STATUSES), required=False, min_length=1)
    channel = serializers.ListField(child=TextField(max_length=32), required=False, min_length=1)
    user_id = CanonicalUUIDField(required=False)
    job_id = CanonicalUUIDField(required=False)
    address = TextField(
        required=False, max_length=320, help_text="E-mail address or phone number that the person has now."
    )
    template_code = TextField(required=False, max_length=100)
    reason = TextField(required=False, max_length=64)
    accepted_after = TimestampField(required=False, help_text="From this time on.")
    accepted_before = TimestampField(required=False, help_text="Before this time.")
    has_problem = serializers.ChoiceField(["true", "false"], required=False)

    def wanted(self, caller: Caller) -> DeliveryFilter:
        """Return what was asked, for this caller."""
        asked = dict(self.validated_data)
        has_problem = asked.pop("has_problem", None)
        return DeliveryFilter(
            tenant_id=caller.tenant.pk if caller.tenant else None,
            statuses=asked.pop("status", ()),
            channels=asked.pop("channel", ()),
            has_problem=None if has_problem is None else has_problem == "true",
            **asked,
        )


class DeliverySerializer(serializers.ModelSerializer[Delivery]):
    """One delivery as a list shows it."""

    tenant = serializers.CharField(source="tenant.slug", read_only=True)
    priority = serializers.SerializerMethodField()
    replay_of = serializers.UUIDField(source="original_job_id", read_only=True, allow_null=True)

    class Meta:
        model = Delivery
        fields = [
            "job_id", "tenant", "user_id", "channel", "priority", "status", "reason", "error_message", "outcome",
            "template_code", "locale", "category", "attempts", "address", "provider", "provider_message_id",
            "duration_ms", "is_test", "entrance", "replay_of", "created_at", "accepted_at", "send_after", "expires_at",
            "next_attempt_at", "finished_at", "blanked_at", "read_at", "acknowledged_at", "recalled_at",
        ]  # fmt: skip
        read_only_fields = fields

    @shown_as(serializers.ChoiceField([priority.name.lower() for priority in Priority]))
    def get_priority(self, row: Delivery) -> str:
        """Return the priority's name, as jobs write it."""
        return Priority(row.priority).name.lower()


class TimelineEventSerializer(serializers.Serializer[TimelineEvent]):
    """One event; `at` lies in the future only for what the delivery waits for."""

    at = serializers.DateTimeField()
    kind = serializers.ChoiceField([kind.value for kind in Kind])
    title = serializers.CharField()
    detail = serializers.CharField(allow_blank=True)
    facts = serializers.DictField(help_text="The same for programs: provider, code, duration_ms, job_id …")


class DeliveryDetailSerializer(DeliverySerializer):
    """One delivery with what it carries and what happened to it."""

    template_version = serializers.IntegerField(source="template_version.number", default=None, allow_null=True)
    content = serializers.DictField(allow_null=True, help_text="Title and body that came in place of a template.")
    rendered = serializers.SerializerMethodField()
    data = serializers.DictField(help_text="Empty once `blanked_at` is set: removed, as the template asks.")  # type: ignore[assignment]  # DRF takes fields off the class, `data` stays its own
    meta = serializers.DictField(help_text="event_type, event_id, campaign_id.")
    timeline = serializers.SerializerMethodField()

    class Meta(DeliverySerializer.Meta):
        fields = [
            *DeliverySerializer.Meta.fields,
            "template_version",
            "content",
            "rendered",
            "data",
            "meta",
            "timeline",
        ]
        read_only_fields = fields

    @shown_as(serializers.DictField(allow_null=True, help_text="What the inbox shows; of other channels null."))
    def get_rendered(self, row: Delivery) -> dict[str, Any] | None:
        """Return what the inbox shows, unless the template keeps it between the person and their inbox."""
        return None if row.blanked_at else row.rendered

    @shown_as(TimelineEventSerializer(many=True))
    def get_timeline(self, row: Delivery) -> list[dict[str, Any]]:
        """Return the events, oldest first."""
        return [TimelineEventSerializer(event).data for event in timeline(row)]


class ReplayedSerializer(serializers.Serializer[Any]):
    """The new delivery that stands for the old one."""

    job_id = serializers.UUIDField(help_text="Of the new delivery.")
    replay_of = serializers.UUIDField(help_text="Of the old one, which stays as it is.")


class CancelledSerializer(serializers.Serializer[Any]):
    """The delivery's state after a cancel. `changed` is false when it was cancelled before."""

    job_id = serializers.UUIDField()
    status = serializers.ChoiceField([Status.CANCELLED.value])
    changed = serializers.BooleanField()


class DeliveryListView(GenericAPIView[Delivery]):
    """Find deliveries."""

    scope = ApiKey.Scope.DELIVERIES
    staff_model = Delivery
    serializer_class = DeliverySerializer
    pagination_class = KeysetPagination

    @documented(
        operation_id="deliveries_list",
        tags=["deliveries"],
        summary="Find deliveries, newest first",
        parameters=[DeliveryQuery, TENANT_PARAMETER],
        responses={200: DeliverySerializer(many=True), **errors(400, 404)},
    )
    def get(self, request: Request) -> Response:
        """Answer one page. Two queries with a key, whatever is asked."""
        query = DeliveryQuery(data=read_query(request, DeliveryQuery))
        query.is_valid(raise_exception=True)
        rows = _with_names(deliveries_matching(query.wanted(caller_of(request)))).defer(*UNLISTED)
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(self.get_serializer(page, many=True).data)


class DeliveryView(APIView):
    """One delivery."""

    scope = ApiKey.Scope.DELIVERIES
    staff_model = Delivery

    @documented(
        operation_id="deliveries_retrieve",
        tags=["deliveries"],
        summary="Read one delivery with its timeline",
        parameters=[TENANT_PARAMETER],
        responses={200: DeliveryDetailSerializer, **errors(400, 404, 409)},
    )
    def get(self, request: Request, job_id: UUID) -> Response:
        """Answer the delivery and its story."""
        row = _find(caller_of(request), job_id, Delivery.objects.select_related("template_version"))
        return Response(DeliveryDetailSerializer(row).data)


class ReplayView(APIView):
    """Send again."""

    scope = ApiKey.Scope.JOBS
    staff_model = Delivery
    staff_actions = {"POST": ("change",)}

    @documented(
        operation_id="deliveries_replay",
        tags=["deliveries"],
        summary="Send a finished delivery again",
        description=(
            "Makes a new delivery with a job_id of its own. The person may get a second copy; with a test key nobody gets "
            "one. A key needs the scope `jobs`."
        ),
        request=None,
        parameters=[TENANT_PARAMETER],
        responses={201: ReplayedSerializer, **errors(400, 404, 409)},
    )
    def post(self, request: Request, job_id: UUID) -> Response:
        """Replay one delivery, unless it or a replay of it is still under way."""
        caller = caller_of(request)
        with transaction.atomic():
            row = _find(caller, job_id, Delivery.objects.select_for_update(of=("self",)))
            _refuse_replay(row)
            made = lifecycle.replay(delivery_ids=[row.pk], by=caller.by, is_test=caller.is_test)
            if made:
                caller.note(row, f"Sent again as job {made[row.pk]}.")
        if row.pk not in made:
            raise ApiError(409, "too_late", "Its expires_at has passed; hand in a new job.", status=row.status)
        hints.hint([row.channel])
        return Response({"job_id": str(made[row.pk]), "replay_of": str(row.job_id)}, status=201)


class CancelView(APIView):
    """Cancel what waits."""

    scope = ApiKey.Scope.JOBS
    staff_model = Delivery
    staff_actions = {"POST": ("change",)}

    @documented(
        operation_id="deliveries_cancel",
        tags=["deliveries"],
        summary="Cancel a delivery that waits",
        description=(
            "Safe to repeat. What a sender holds at this moment cannot be taken back. A key needs the scope `jobs`; a test "
            "key cancels tests only (403 `test_key`)."
        ),
        request=None,
        parameters=[TENANT_PARAMETER],
        responses={200: CancelledSerializer, **errors(400, 404, 409)},
    )
    def post(self, request: Request, job_id: UUID) -> Response:
        """Cancel one delivery, or say what it is instead."""
        caller = caller_of(request)
        row = _find(caller, job_id, Delivery.objects.all())
        if caller.is_test and not row.is_test:
            raise ApiError(403, "test_key", "A test key cancels tests only; use a live one.", status=row.status)
        with transaction.atomic():
            changed = lifecycle.cancel(tenant_id=row.tenant_id, delivery_ids=[row.pk], by=caller.by)
            if changed:
                caller.note(row, "Cancelled.")
        if not changed:
            row.refresh_from_db(fields=["status"])
            if row.status != Status.CANCELLED:
                why = "A sender holds it." if row.status in OPEN else "It is over."
                raise ApiError(409, "not_waiting", f"Only what waits can be cancelled. {why}", status=row.status)
        return Response({"job_id": str(row.job_id), "status": Status.CANCELLED.value, "changed": bool(changed)})


def _with_names(rows: QuerySet[Delivery]) -> QuerySet[Delivery]:
    """Bring along what the serializers name of other rows, in the same query."""
    return rows.select_related("tenant").annotate(original_job_id=F("replay_of__job_id"))


def _find(caller: Caller, job_id: UUID, rows: QuerySet[Delivery]) -> Delivery:
    """Return the caller's delivery. Raises: NotFound; ApiError 409 when two tenants have the id and staff named neither."""
    wanted = DeliveryFilter(tenant_id=caller.tenant.pk if caller.tenant else None, job_id=job_id)
    found = list(_with_names(rows & deliveries_matching(wanted))[:2])
    if not found:
        raise NotFound()
    if len(found) > 1:
        raise ApiError(409, "ambiguous", "Several tenants have a delivery with this job_id; name one with ?tenant=.")
    return found[0]


def _refuse_replay(row: Delivery) -> None:
    """Raise ApiError 409 when the delivery is not over, or somebody is sending it again already."""
    if not row.is_terminal:
        raise ApiError(409, "not_finished", "Only what is over can be sent again.", status=row.status)
    if row.blanked_at:
        detail = "Its data was removed when it was over, as its template asks; hand in a new job."
        raise ApiError(409, "data_removed", detail, status=row.status)
    reason, message = refusal_of(row.tenant_id, row.channel)
    if reason:
        raise ApiError(409, reason, message, status=row.status)
    # By person, because that is indexed: a replay goes to the same one, and is younger.
    later = Delivery.objects.filter(tenant=row.tenant_id, user_id=row.user_id, pk__gt=row.pk)
    under_way = later.filter(replay_of=row, status__in=OPEN).first()
    if under_way is not None:
        detail = f"It is being sent again already, as job {under_way.job_id}."
        raise ApiError(409, "replay_under_way", detail, status=row.status)
