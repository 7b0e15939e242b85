"""`/api/templates/{id}/preview/`: what each channel would show of the words that are stored, or of those handed in. Changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from deliveries.api.callers import caller_of
from deliveries.api.documentation import TENANT_PARAMETER, documented, errors
from deliveries.api.errors import ApiError
from deliveries.api.fields import CanonicalUUIDField, LocaleField
from deliveries.api.templates import DraftSerializer, ProblemSerializer, VariableSerializer
from deliveries.models import ApiKey, Contact, Template
from deliveries.previews import SAMPLE_PERSON, WINDOW_SECONDS, Preview, Wanted, may_preview, preview
from deliveries.rendering import Variable, variables_of
from deliveries.templating import Keep, version_sources


class WantedSerializer(serializers.Serializer[Any]):
    """Whose words, for whom. Everything may be left out: then the draft, else what goes out, for a made-up person."""

    words = DraftSerializer(required=False, help_text="In place of the stored words. They are not stored.")
    locale = LocaleField(required=False, help_text="Wanted before the person's own.")
    user_id = CanonicalUUIDField(
        required=False, help_text="A contact to render it for; a key needs the scope contacts."
    )
    data = serializers.DictField(  # type: ignore[assignment]  # DRF takes fields off the class, `data` stays its own
        required=False, help_text="As in a job. Left out: a sample of every field that the words ask for."
    )


class MailSerializer(serializers.Serializer[Any]):
    """A mail, as its reader gets it."""

    subject = serializers.CharField(allow_blank=True)
    preheader = serializers.CharField(allow_blank=True)
    from_address = serializers.CharField(allow_blank=True)
    reply_to = serializers.CharField(allow_blank=True)
    html = serializers.CharField(allow_blank=True)
    text = serializers.CharField(allow_blank=True)
    remote_pictures = serializers.IntegerField(help_text="How many pictures the HTML fetches from elsewhere.")
    problem = serializers.CharField(allow_blank=True)


class PushSerializer(serializers.Serializer[Any]):
    """A push, and how many of the bytes that devices get it takes."""

    title = serializers.CharField(allow_blank=True)
    body = serializers.CharField(allow_blank=True)
    action_url = serializers.CharField(allow_blank=True)
    size = serializers.IntegerField()
    most = serializers.IntegerField()
    problem = serializers.CharField(allow_blank=True)


class TextMessageSerializer(serializers.Serializer[Any]):
    """A text message and its segments."""

    text = serializers.CharField(allow_blank=True)
    encoding = serializers.CharField(help_text="GSM-7 or UCS-2.")
    units = serializers.IntegerField(help_text="Septets, or UTF-16 code units.")
    parts = serializers.IntegerField()
    per_part = serializers.IntegerField()
    costly = serializers.ListField(
        child=serializers.CharField(trim_whitespace=False), help_text="The characters that make it UCS-2."
    )
    problem = serializers.CharField(allow_blank=True)


class CardSerializer(serializers.Serializer[Any]):
    """An inbox card."""

    title = serializers.CharField(allow_blank=True)
    body = serializers.CharField(allow_blank=True)
    action_url = serializers.CharField(allow_blank=True)
    problem = serializers.CharField(allow_blank=True)


class HookSerializer(serializers.Serializer[Any]):
    """A webhook's headers and body, signed with a secret that is nobody's."""

    headers = serializers.DictField(child=serializers.CharField())
    body = serializers.CharField()
    problem = serializers.CharField(allow_blank=True)


class ChannelsSerializer(serializers.Serializer[Any]):
    """What each channel would show."""

    email = MailSerializer()
    push = PushSerializer()
    sms = TextMessageSerializer()
    ws = CardSerializer()
    webhook = HookSerializer()


class PreviewSerializer(serializers.Serializer[Preview]):
    """`channels` is null when the words cannot be rendered; `problems` say why and where."""

    locale = serializers.CharField(allow_blank=True, help_text="Whose words were taken.")
    problems = ProblemSerializer(many=True)
    blockers = ProblemSerializer(many=True, help_text="What keeps words that render from being published.")
    undeclared = VariableSerializer(
        many=True, help_text="What the words ask for and nobody declared, ready to declare."
    )
    data = serializers.DictField(help_text="What it was rendered with.")  # type: ignore[assignment]
    channels = ChannelsSerializer(allow_null=True)


class PreviewView(APIView):
    """Show what would go out."""

    scope = ApiKey.Scope.TEMPLATES
    staff_model = Template
    staff_actions = {"POST": ("view",)}

    @documented(
        operation_id="templates_preview",
        tags=["templates"],
        summary="Preview every channel",
        description="Stores nothing and sends nothing. 429 when one caller asks too often.",
        parameters=[TENANT_PARAMETER],
        request=WantedSerializer,
        responses={200: PreviewSerializer, **errors(400, 404, 409, 413, 415, 429)},
    )
    def post(self, request: Request, template_id: int) -> Response:
        """Render the words for every channel. At most five queries beside those that tell who calls."""
        caller = caller_of(request)
        if not may_preview(caller.by):
            raise ApiError(429, "too_many_previews", f"Too many previews; wait up to {WINDOW_SECONDS} seconds.")
        template = caller.visible(Template.objects.filter(pk=template_id).select_related("tenant")).first()
        if template is None:
            raise NotFound()
        wanted = WantedSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        contact = _contact(request, template, wanted.validated_data.get("user_id"))
        return Response(PreviewSerializer(preview(_wanted(template, wanted, contact))).data)


def _contact(request: Request, template: Template, user_id: UUID | None) -> Contact:
    """Return who reads it. Raises: ApiError 403 for who may not see contacts, 404 for somebody who is none of the tenant's."""
    if user_id is None:
        return SAMPLE_PERSON
    if isinstance(request.auth, ApiKey):
        may_see = ApiKey.Scope.CONTACTS in request.auth.scopes
    else:
        may_see = request.user.has_perm("deliveries.view_contact")
    if not may_see:
        raise ApiError(403, "scope_required", "To preview as a contact you need the right to read contacts.")
    contact = Contact.objects.filter(tenant=template.tenant, user_id=user_id).first()
    if contact is None:
        raise ApiError(404, "no_contact", "There is no such contact. Name one of the tenant.", path="user_id")
    return contact


def _wanted(template: Template, asked: WantedSerializer, contact: Contact) -> Wanted:
    """Return what was asked for. Raises: ApiError 409 where there are no words at all."""
    values = asked.validated_data
    version = template.versions.order_by("-number").prefetch_related("contents").first()
    variables: Sequence[Variable] | None = variables_of(version.variables) if version else None
    if "words" in values:
        draft = DraftSerializer(data=asked.initial_data["words"])
        draft.is_valid(raise_exception=True)
        sources, default_locale = draft.sources, draft.validated_data["default_locale"]
        variables = variables if isinstance(draft.declared, Keep) else draft.declared
    elif version is not None:
        sources, default_locale = version_sources(version), version.default_locale
    else:
        raise ApiError(409, "nothing_to_preview", "There are no words. Write a draft first.")
    return Wanted(
        sources=sources,
        default_locale=default_locale,
        tenant=template.tenant,
        variables=variables,
        locale=values.get("locale", ""),
        contact=contact,
        data=values.get("data"),
    )
