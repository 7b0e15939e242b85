"""`dry-run/` and `test-send/`: who would get it and who would not, and a message for one's own eyes. Neither changes the broadcast."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from broadcasts.api.calling import BroadcastView, actor_of, may_also, taken
from broadcasts.api.serializers import CHANNELS, StrictSerializer
from broadcasts.audience import at_most
from broadcasts.changes import needs_approval
from broadcasts.check import Checked, Recipient, sample
from broadcasts.models import Broadcast
from broadcasts.review import review
from broadcasts.test_sends import NotTestable, broadcast_test_send
from deliveries.api.callers import caller_of
from deliveries.api.documentation import TENANT_PARAMETER, documented, errors
from deliveries.api.errors import ApiError
from deliveries.api.fields import CanonicalUUIDField, TextField
from deliveries.channels import Status
from deliveries.models import ApiKey, Contact, Delivery
from deliveries.previews import WINDOW_SECONDS, may_preview
from deliveries.test_sends import TO_ANY_ADDRESS, BadTestAddress, Target, target_address, target_contact

#: Of so many reasons a sample is shown, the commonest first.
SAMPLED_REASONS: Final = 8


class WontSerializer(serializers.Serializer[Any]):
    """How many messages do not go out, and why. `channel` "": over none of several."""

    channel = serializers.CharField(allow_blank=True)
    reason = serializers.CharField()
    count = serializers.IntegerField()


class LackingSerializer(serializers.Serializer[Any]):
    """A field that the words name and people lack. `fails`: without a fallback, or skipping them, it is not sent."""

    field = serializers.CharField()
    people = serializers.IntegerField()
    fails = serializers.BooleanField()


class RecipientSerializer(serializers.Serializer[Any]):
    """Somebody, as a sample. `reason` "": gets it."""

    user_id = serializers.UUIDField()
    name = serializers.CharField(allow_blank=True)
    channel = serializers.CharField(allow_blank=True)
    address = serializers.CharField(allow_blank=True)
    reason = serializers.CharField(allow_blank=True)


class CheckSerializer(serializers.Serializer[Any]):
    """Who would get it now. `samples` is null for callers who may not see contacts."""

    at = serializers.DateTimeField()
    message = serializers.CharField(allow_blank=True, help_text="Whose words: a template with its version, or its own.")
    people = serializers.IntegerField(help_text="In the audience.")
    reached = serializers.IntegerField(help_text="Of them get something.")
    messages = serializers.IntegerField()
    will = serializers.DictField(child=serializers.IntegerField(), help_text="Messages by channel.")
    wont = WontSerializer(many=True)
    lacking = LackingSerializer(many=True)
    other_locales = serializers.DictField(child=serializers.IntegerField())
    seconds = serializers.FloatField(allow_null=True, help_text="At its speed; null without one.")
    ends_at = serializers.DateTimeField(allow_null=True)
    too_late = serializers.IntegerField(help_text="Messages that expire before their turn.")
    needs_approval = serializers.BooleanField()
    hash = serializers.CharField(
        allow_blank=True, help_text="Of these words and this audience, for `approve/`; empty while something blocks it."
    )
    blockers = serializers.ListField(child=serializers.CharField())
    warnings = serializers.ListField(child=serializers.CharField())
    samples = RecipientSerializer(many=True, allow_null=True)


class DryRunView(BroadcastView):
    """Check recipients."""

    staff_actions = {"POST": ("view",)}
    changes_it = False

    @documented(
        operation_id="broadcasts_dry_run",
        tags=["broadcasts"],
        summary="Check the recipients: who will get it, who will not, and why",
        description=(
            "Stores and sends nothing. `blockers` keep it from being sent, `warnings` do not. `samples` need the scope `contacts`, or "
            "the permission to view contacts. 503 `too_slow` where looking takes longer than AUDIENCE_COUNT_TIMEOUT_SECONDS."
        ),
        parameters=[TENANT_PARAMETER],
        request=None,
        responses={200: CheckSerializer, **errors(400, 404, 409)},
    )
    def post(self, request: Request, broadcast_id: int) -> Response:
        """Look at everything, as the fan-out would."""
        broadcast = self.find(broadcast_id)
        may_see = may_also(request, scope=ApiKey.Scope.CONTACTS, permission="deliveries.view_contact")
        with self.refusals(), at_most(settings.AUDIENCE_COUNT_TIMEOUT_SECONDS):
            found = review(broadcast)
            samples = _samples(broadcast, found.checked) if may_see else None
        checked = found.checked
        begins = max(broadcast.scheduled_at or checked.at, checked.at)
        answer = {
            "at": checked.at,
            "message": found.label,
            "people": checked.people,
            "reached": checked.reached,
            "messages": checked.messages,
            "will": checked.will,
            "wont": [
                {"channel": channel, "reason": why, "count": count} for (channel, why), count in checked.wont.items()
            ],
            "lacking": checked.lacking,
            "other_locales": checked.other_locales,
            "seconds": checked.seconds,
            "ends_at": None if checked.seconds is None else begins + timedelta(seconds=checked.seconds),
            "too_late": checked.too_late,
            "needs_approval": needs_approval(checked.reached),
            "hash": found.hash,
            "blockers": found.blockers,
            "warnings": found.warnings,
            "samples": samples,
        }
        return Response(CheckSerializer(answer).data)


def _samples(broadcast: Broadcast, checked: Checked) -> list[Recipient]:
    """Return some who get it, then some for each of the commonest reasons not to. None where nobody was counted."""
    if not checked.people:
        return []
    reasons = ["", *checked.left_out][: SAMPLED_REASONS + 1]
    return [recipient for reason in reasons for recipient in sample(broadcast, reason=reason)]


class TestSendSerializer(StrictSerializer):
    """Where a test goes. E-mail and SMS: `to`, any address. Other channels: `user_id`, a contact. With both, it is rendered as the
    contact and goes to the address."""

    channel = serializers.ChoiceField(CHANNELS)
    to = TextField(max_length=320, required=False, help_text="An e-mail address or phone number.")
    user_id = CanonicalUUIDField(required=False, help_text="A contact; a key needs the scope contacts.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Ask for what the channel needs."""
        wanted = "to" if attrs["channel"] in TO_ANY_ADDRESS else "user_id"
        if wanted not in attrs:
            raise serializers.ValidationError({wanted: ["This channel needs it."]})
        return attrs


class TestSentSerializer(serializers.Serializer[Any]):
    """What became of a test. `status` other than PENDING: nothing goes out, and `detail` says why."""

    job_id = serializers.UUIDField()
    status = serializers.ChoiceField([status.value for status in Status])
    detail = serializers.CharField(allow_blank=True)


class TestSendView(BroadcastView):
    """Send a test."""

    changes_it = False
    staff_actions = {"POST": ("change",)}

    @documented(
        operation_id="broadcasts_test_send",
        tags=["broadcasts"],
        summary="Send a test of it, to an address or a contact",
        description=(
            "Really sent, marked [Test], with an unsubscribe link that does nothing; with a test key all but sent. Staff also need "
            "*add delivery*. 409 `not_ready` where it cannot be rendered; 429 when one caller asks too often."
        ),
        parameters=[TENANT_PARAMETER],
        request=TestSendSerializer,
        responses={200: TestSentSerializer, **errors(400, 404, 409, 413, 415, 429)},
    )
    def post(self, request: Request, broadcast_id: int) -> Response:
        """Hand in one test."""
        broadcast, caller = self.find(broadcast_id), caller_of(request)
        if not may_also(request, scope=ApiKey.Scope.BROADCASTS, permission="deliveries.add_delivery"):
            raise ApiError(403, "permission_required", "You need the permission deliveries.add_delivery.")
        if not may_preview(caller.by):
            raise ApiError(429, "too_many_previews", f"Too many tests; wait up to {WINDOW_SECONDS} seconds.")
        asked = taken(TestSendSerializer(data=request.data))
        reader = _reader(request, broadcast, asked["user_id"]) if "user_id" in asked else None
        try:
            with self.refusals():
                verdict = broadcast_test_send(
                    broadcast=broadcast,
                    actor=actor_of(request),
                    channel=asked["channel"],
                    target=_target(broadcast, asked, reader),
                    reader=reader,
                    entrance=f"admin:{caller.by}" if caller.staff_id else f"api:{caller.by.removeprefix('key:')}",
                    is_test_key=caller.is_test,
                )
        except NotTestable as error:
            raise ApiError(409, "not_ready", str(error), problems=[str(error)]) from None
        if verdict.delivery_id is None:
            raise ApiError(409, "not_ready", verdict.message, problems=[verdict.message])
        job_id = Delivery.objects.values_list("job_id", flat=True).get(pk=verdict.delivery_id)
        return Response({"job_id": job_id, "status": verdict.status, "detail": verdict.message})


def _target(broadcast: Broadcast, asked: dict[str, Any], reader: Contact | None) -> Target:
    """Return where the test goes. Raises: ValidationError."""
    if asked["channel"] in TO_ANY_ADDRESS or reader is None:
        try:
            return target_address(tenant_id=broadcast.tenant_id, channel=asked["channel"], to=asked["to"])
        except BadTestAddress as error:
            raise ValidationError({"to": [str(error)]}) from None
    return target_contact(reader)


def _reader(request: Request, broadcast: Broadcast, user_id: UUID) -> Contact:
    """Return the contact. Raises: ApiError 403 for who may not see contacts, 404 for somebody who is none of the tenant's."""
    if not may_also(request, scope=ApiKey.Scope.CONTACTS, permission="deliveries.view_contact"):
        raise ApiError(403, "scope_required", "To send it as a contact gets it you need the right to read contacts.")
    contact = Contact.objects.filter(tenant=broadcast.tenant_id, user_id=user_id).first()
    if contact is None:
        raise ApiError(404, "no_contact", "There is no such contact. Name one of the tenant.", path="user_id")
    return contact
