"""`/api/templates/`: list, create, read, write the draft, publish it. The rules are in `deliveries/templating.py`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.contrib.auth.models import AbstractBaseUser
from django.db import IntegrityError, transaction
from django.db.models import Prefetch, QuerySet
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from deliveries.api.callers import Caller, caller_of
from deliveries.api.documentation import TENANT_PARAMETER, documented, errors, shown_as
from deliveries.api.errors import ApiError
from deliveries.api.fields import LocaleField, SlugField, TextField
from deliveries.api.paging import KeysetPagination, read_query
from deliveries.models import ApiKey, Template, TemplateContent, TemplateVersion
from deliveries.rendering import TYPES, ContentSource, Variable, variables_of
from deliveries.templating import STORED, Keep, TemplateRefused, template_publish, template_save_draft

MAX_TEXT: Final = 200_000
MAX_LOCALES: Final = 100


class WordsSerializer(serializers.ModelSerializer[TemplateContent]):
    """One locale's words."""

    locale = LocaleField()
    subject = TextField(max_length=500, allow_blank=True, help_text="The title where a channel has no subject line.")
    preheader = TextField(
        max_length=500, required=False, allow_blank=True, help_text="What an inbox shows beside the subject."
    )
    body_format = serializers.ChoiceField(
        choices=TemplateContent.BodyFormat.choices,
        required=False,
        help_text="Which body is rendered. Where it is not said: html where there is html and no markdown, else markdown.",
    )
    markdown = TextField(
        max_length=MAX_TEXT,
        required=False,
        allow_blank=True,
        help_text="The body; the tenant's frame is put around it.",
    )
    text = TextField(
        max_length=MAX_TEXT,
        required=False,
        allow_blank=True,
        help_text="Plain text: mail, inbox card. Empty: made from the body.",
    )
    html = TextField(
        max_length=MAX_TEXT, required=False, allow_blank=True, help_text="The e-mail's HTML part, as it is."
    )
    action_url = TextField(max_length=2000, required=False, allow_blank=True)
    from_address = TextField(
        max_length=320, required=False, allow_blank=True, help_text="Of an e-mail. Empty: the tenant's own."
    )
    reply_to = TextField(
        max_length=320, required=False, allow_blank=True, help_text="Of an e-mail. Empty: the tenant's own."
    )

    class Meta:
        model = TemplateContent
        fields = ["locale", *STORED]


class VariableSerializer(serializers.Serializer[Any]):
    """One thing that a job hands in for a template."""

    name = TextField(max_length=63, help_text="As the words name it.")
    type = serializers.ChoiceField(choices=TYPES, default="text")
    required = serializers.BooleanField(  # type: ignore[assignment]  # a field of that name, not the base's option
        default=True, help_text="False: `fallback` stands in where it is missing or null."
    )
    fallback = serializers.JSONField(required=False, allow_null=True)
    sample = serializers.JSONField(
        required=False, allow_null=True, help_text="For previews and for the check at publishing."
    )
    help = TextField(max_length=300, required=False, allow_blank=True)


class DraftSerializer(serializers.Serializer[Any]):
    """The words of a draft, whole: what was there before is replaced."""

    default_locale = LocaleField(help_text="Used where none of a person's languages has a text.")
    contents = serializers.ListField(child=WordsSerializer(), min_length=1, max_length=MAX_LOCALES)
    variables = serializers.ListField(
        child=VariableSerializer(),
        required=False,
        allow_null=True,
        help_text="What jobs hand in. Left out: stays as it was. null: nothing is declared, and nothing is checked.",
    )

    def validate_contents(self, contents: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Refuse a locale that is written twice."""
        locales = [words["locale"].replace("_", "-").lower() for words in contents]
        if len(set(locales)) < len(locales):
            raise serializers.ValidationError("A locale is written twice.", "written_twice")
        return contents

    @property
    def sources(self) -> dict[str, ContentSource]:
        """The words as the services take them."""
        return {words["locale"]: _source(words) for words in self.validated_data["contents"]}

    @property
    def declared(self) -> list[Variable] | Keep | None:
        """The declarations as the services take them."""
        stated = self.validated_data.get("variables", Keep.KEEP)
        return stated if stated is None or isinstance(stated, Keep) else [Variable(**each) for each in stated]


def _source(words: Mapping[str, Any]) -> ContentSource:
    is_html = bool(words.get("html")) and not words.get("markdown")
    return ContentSource(**{"body_format": "html" if is_html else "markdown", **words})


class NewTemplateSerializer(DraftSerializer):
    """A template and its first draft."""

    code = SlugField(help_text="Jobs name it as template_code.")
    name = TextField(max_length=200, trim_whitespace=True)
    hides_personal_data = serializers.BooleanField(
        default=False, help_text="Remove data and words once a delivery is over: for one-time codes."
    )


class VersionSerializer(serializers.ModelSerializer[TemplateVersion]):
    """One numbered state of a template."""

    contents = WordsSerializer(many=True)
    variables = serializers.SerializerMethodField()

    class Meta:
        model = TemplateVersion
        fields = ["number", "state", "default_locale", "created_at", "published_at", "variables", "contents"]

    @shown_as(VariableSerializer(many=True, allow_null=True))
    def get_variables(self, version: TemplateVersion) -> list[dict[str, Any]] | None:
        """Return what was declared. null: nothing was."""
        declared = variables_of(version.variables)
        return None if declared is None else [each.as_json() for each in declared]


class TemplateSerializer(serializers.ModelSerializer[Template]):
    """A template with what goes out now (`published`) and what is being written (`draft`)."""

    tenant = serializers.CharField(source="tenant.slug", read_only=True)
    published = serializers.SerializerMethodField()
    draft = serializers.SerializerMethodField()

    class Meta:
        model = Template
        fields = ["id", "tenant", "code", "name", "hides_personal_data", "created_at", "published", "draft"]

    @shown_as(VersionSerializer(allow_null=True))
    def get_published(self, template: Template) -> Mapping[str, Any] | None:
        """Return the newest published version."""
        return _newest(template, TemplateVersion.State.PUBLISHED)

    @shown_as(VersionSerializer(allow_null=True))
    def get_draft(self, template: Template) -> Mapping[str, Any] | None:
        """Return the newest draft."""
        return _newest(template, TemplateVersion.State.DRAFT)


class ProblemSerializer(serializers.Serializer[Any]):
    """One thing to mend in a template's source."""

    locale = serializers.CharField(allow_blank=True)
    part = serializers.CharField(allow_blank=True)
    line = serializers.IntegerField()
    column = serializers.IntegerField()
    message = serializers.CharField()


class TemplateListView(GenericAPIView[Template]):
    """A tenant's templates."""

    scope = ApiKey.Scope.TEMPLATES
    staff_model = Template
    serializer_class = TemplateSerializer
    pagination_class = KeysetPagination

    @documented(
        operation_id="templates_list",
        tags=["templates"],
        summary="List templates, newest first",
        parameters=[TENANT_PARAMETER],
        responses={200: TemplateSerializer(many=True), **errors(400, 404)},
    )
    def get(self, request: Request) -> Response:
        """Answer one page. Three queries with a key, whatever is on it."""
        read_query(request)
        page = self.paginate_queryset(caller_of(request).visible(_whole(Template.objects.all())))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    @documented(
        operation_id="templates_create",
        tags=["templates"],
        summary="Create a template with a first draft",
        parameters=[TENANT_PARAMETER],
        request=NewTemplateSerializer,
        responses={201: TemplateSerializer, **errors(400, 404, 409, 413, 415)},
    )
    def post(self, request: Request) -> Response:
        """Store a template and version 1 as a draft."""
        new = NewTemplateSerializer(data=request.data)
        new.is_valid(raise_exception=True)
        caller = caller_of(request)
        code, columns = new.validated_data["code"], ("code", "name", "hides_personal_data")
        try:
            with transaction.atomic():
                template = Template.objects.create(
                    tenant=caller.home(), **{column: new.validated_data[column] for column in columns}
                )
                _save_draft(template, new, request)
        except IntegrityError:
            raise ApiError(409, "code_taken", f"There is a template {code!r} already; write its draft.") from None
        return Response(TemplateSerializer(_find(caller, template.pk)).data, status=201)


class TemplateView(APIView):
    """One template."""

    scope = ApiKey.Scope.TEMPLATES
    staff_model = Template
    staff_actions = {"GET": ("view",), "HEAD": ("view",), "PUT": ("change",)}

    @documented(
        operation_id="templates_retrieve",
        tags=["templates"],
        summary="Read one template",
        parameters=[TENANT_PARAMETER],
        responses={200: TemplateSerializer, **errors(400, 404)},
    )
    def get(self, request: Request, template_id: int) -> Response:
        """Answer the template with its words."""
        return Response(TemplateSerializer(_find(caller_of(request), template_id)).data)

    @documented(
        operation_id="templates_write_draft",
        tags=["templates"],
        summary="Write the draft",
        description="What is published stays as it is until the draft is published. Safe to repeat.",
        parameters=[TENANT_PARAMETER],
        request=DraftSerializer,
        responses={200: TemplateSerializer, **errors(400, 404, 413, 415)},
    )
    def put(self, request: Request, template_id: int) -> Response:
        """Replace the words of the draft, or begin one."""
        caller = caller_of(request)
        template = _find(caller, template_id)
        draft = DraftSerializer(data=request.data)
        draft.is_valid(raise_exception=True)
        _save_draft(template, draft, request)
        return Response(TemplateSerializer(_find(caller, template_id)).data)


class PublishView(APIView):
    """Let the draft go out from now on."""

    scope = ApiKey.Scope.TEMPLATES
    staff_model = Template
    staff_actions = {"POST": ("change",)}

    @documented(
        operation_id="templates_publish",
        tags=["templates"],
        summary="Publish the draft",
        description="409 where there is no draft. A published version never changes again.",
        parameters=[TENANT_PARAMETER],
        request=None,
        responses={200: TemplateSerializer, **errors(400, 404, 409)},
    )
    def post(self, request: Request, template_id: int) -> Response:
        """Publish the newest draft."""
        caller = caller_of(request)
        template = _find(caller, template_id)
        draft = template.versions.filter(state=TemplateVersion.State.DRAFT).order_by("-number").first()
        try:
            if draft is None or not template_publish(version=draft):
                raise ApiError(409, "nothing_to_publish", "There is no draft. Write one first.")
        except TemplateRefused as refused:
            raise _refusal(refused) from None
        return Response(TemplateSerializer(_find(caller, template_id)).data)


def _save_draft(template: Template, draft: DraftSerializer, request: Request) -> None:
    """Store the draft for whoever asks. Raises: ApiError 400 with every problem of the sources."""
    author = request.user if isinstance(request.user, AbstractBaseUser) else None
    default_locale = draft.validated_data["default_locale"]
    try:
        template_save_draft(
            template=template,
            contents=draft.sources,
            default_locale=default_locale,
            variables=draft.declared,
            by=author,
        )
    except TemplateRefused as refused:
        raise _refusal(refused) from None


def _refusal(refused: TemplateRefused) -> ApiError:
    problems = ProblemSerializer(refused.problems, many=True).data
    return ApiError(400, "template_refused", str(refused), problems=problems)


def _whole(templates: QuerySet[Template]) -> QuerySet[Template]:
    """Bring along tenant, versions and words in a constant number of queries."""
    versions = TemplateVersion.objects.order_by("-number").prefetch_related("contents")
    return templates.select_related("tenant").prefetch_related(Prefetch("versions", versions))


def _newest(template: Template, state: str) -> Mapping[str, Any] | None:
    version = next((version for version in template.versions.all() if version.state == state), None)
    return VersionSerializer(version).data if version else None


def _find(caller: Caller, template_id: int) -> Template:
    """Return the caller's template. Raises: NotFound."""
    template = caller.visible(_whole(Template.objects.filter(pk=template_id))).first()
    if template is None:
        raise NotFound()
    return template
