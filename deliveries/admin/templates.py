"""Templates: the list, a template's versions, the editor of a draft with its preview, Publish. Services: `deliveries/templating.py`."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Final

from django import forms
from django.contrib import admin
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet, Subquery
from django.forms import BaseInlineFormSet
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseRedirect,
)
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from unfold.admin import StackedInline
from unfold.forms import PaginationInlineFormSet

from deliveries.admin.base import StaffAdmin, audit, chip, many_tenants, post_only, say, staff, two_lines, when
from deliveries.admin.delivery_page import Preview
from deliveries.admin.filters import TenantFilter
from deliveries.admin.template_preview import preview_with, sample_data
from deliveries.models import Template, TemplateContent, TemplateVersion, Tenant
from deliveries.rendering import PARTS, ContentSource, template_check, variables_of
from deliveries.templating import (
    STORED,
    TemplateRefused,
    frame_of,
    template_publish,
    template_save_draft,
    version_sources,
)

State = TemplateVersion.State
EMPTY: Final = ContentSource("", body_format="markdown")


@admin.register(Template)
class TemplateAdmin(StaffAdmin):
    """What jobs name as template_code."""

    list_display = ("title", "goes_out", "draft", "created")
    list_display_links = ("title",)
    list_filter = (TenantFilter,)
    search_fields = ("code", "name")
    search_help_text = "Code or name"
    change_form_outer_after_template = "admin/deliveries/_template_versions.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Template]:
        """Add each template's newest published version and whether it has a draft: still one query."""
        versions = TemplateVersion.objects.filter(template=OuterRef("pk"))
        published = versions.filter(state=State.PUBLISHED).order_by("-number")
        rows: QuerySet[Template] = super().get_queryset(request).select_related("tenant")
        return rows.annotate(
            published_number=Subquery(published.values("number")[:1]),
            draft_id=Subquery(versions.filter(state=State.DRAFT).order_by("-number").values("pk")[:1]),
            has_draft=Exists(versions.filter(state=State.DRAFT)),
        )

    def get_urls(self) -> list[URLPattern]:
        """Add "New draft"."""
        view = self.admin_site.admin_view(self.new_draft)
        return [path("<int:pk>/new-draft/", view, name="deliveries_template_new_draft"), *super().get_urls()]

    def get_fields(self, request: HttpRequest, obj: Template | None = None) -> list[str]:
        """Hide the tenant while there is only one."""
        return [*(["tenant"] if many_tenants() else []), "name", "code", "hides_personal_data"]

    def get_readonly_fields(self, request: HttpRequest, obj: Template | None = None) -> list[str]:
        """Keep the code: jobs that are on their way name it."""
        return ["tenant", "code"] if obj else []

    def has_delete_permission(self, request: HttpRequest, obj: Template | None = None) -> bool:
        """Delete only what never went out: deliveries point at published versions."""
        published = obj is not None and obj.versions.filter(state=State.PUBLISHED).exists()
        return not published and bool(super().has_delete_permission(request, obj))

    def save_model(self, request: HttpRequest, obj: Template, form: forms.ModelForm[Template], change: bool) -> None:
        """Put a new template under the only tenant where nobody chose one, and give it a first draft."""
        if obj.tenant_id is None:
            obj.tenant = Tenant.objects.get()
        super().save_model(request, obj, form, change)
        if not change:
            locale = obj.tenant.default_locale
            template_save_draft(template=obj, contents={locale: EMPTY}, default_locale=locale, by=staff(request))

    def response_add(self, request: HttpRequest, obj: Template, post_url_continue: str | None = None) -> HttpResponse:
        """Go on to the words."""
        return HttpResponseRedirect(_version_url(obj.versions.order_by("-number")[0]))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> Any:
        """Add the versions."""
        pk = int(object_id) if object_id.isdigit() else None
        versions = TemplateVersion.objects.filter(template=pk).select_related("created_by").order_by("-number")
        rows = list(versions.prefetch_related("contents")[:50]) if pk else []
        newest = next((row.pk for row in rows if row.state == State.PUBLISHED), None)
        values = {"versions": rows, "newest_published": newest, "has_draft": any(r.state == State.DRAFT for r in rows)}
        return super().change_view(request, object_id, form_url, {**values, **(extra_context or {})})

    @post_only("change")
    def new_draft(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Open the template's draft, begun from its newest version if there is none."""
        template = Template.objects.filter(pk=pk).first()
        if template is None:
            raise Http404("There is no such template.")
        newest = template.versions.order_by("-number").first()
        if newest is None or newest.state == State.PUBLISHED:
            locale = newest.default_locale if newest else template.tenant.default_locale
            contents = version_sources(newest) if newest else {locale: EMPTY}
            with transaction.atomic():
                newest = template_save_draft(
                    template=template, contents=contents, default_locale=locale, by=staff(request)
                )
                audit(request, [template], f"Began draft {newest}.")
        return HttpResponseRedirect(_version_url(newest))

    @admin.display(description="Template")
    def title(self, row: Template) -> SafeString:
        """Name it, with its code."""
        return two_lines(row.name, row.code)

    @admin.display(description="Goes out")
    def goes_out(self, row: Any) -> SafeString:
        """Say which version goes out."""
        return chip(f"v{row.published_number}", "ok") if row.published_number else chip("Never published", "warn")

    @admin.display(description="Draft")
    def draft(self, row: Any) -> SafeString | str:
        """Say if there is a draft."""
        return chip("Draft", "busy") if row.has_draft else ""

    @admin.display(description="Created")
    def created(self, row: Template) -> SafeString:
        """Say when it was made."""
        return when(row.created_at)


class ContentForm(forms.ModelForm):  # type: ignore[type-arg]  # the plain class takes no argument when it runs
    """One language's words, each part checked as it will be when it is rendered."""

    class Meta:
        model = TemplateContent
        fields = ("locale", *STORED)
        labels = {
            "locale": "Language",
            "html": "HTML",
            "action_url": "Link",
            "body_format": "Written in",
            "from_address": "From",
            "reply_to": "Reply to",
        }

    def clean(self) -> dict[str, Any]:
        """Put what is wrong beside its part, with its line. Nothing else is checked: an unfinished draft may be saved."""
        values = super().clean() or {}
        for part in PARTS:
            for problem in template_check(values.get(part) or "", html=part in ("html", "markdown")):
                self.add_error(part, f"Line {problem.line}: {problem.message}")
        return values


class ContentInline(StackedInline):  # type: ignore[misc]  # Unfold has no types
    """The languages of a version."""

    model = TemplateContent
    form = ContentForm
    formset = PaginationInlineFormSet
    extra = 0
    verbose_name = "language"
    verbose_name_plural = "languages"


@admin.register(TemplateVersion)
class VersionAdmin(StaffAdmin):
    """One version: the editor while it is a draft, the record once it is published. Reached from its template only."""

    fields = ("default_locale",)
    inlines = (ContentInline,)
    change_form_outer_before_template = "admin/deliveries/_version_actions.html"
    change_form_outer_after_template = "admin/deliveries/_version_preview.html"
    warn_unsaved_form = True

    def get_urls(self) -> list[URLPattern]:
        """Add Publish and the preview."""
        view = self.admin_site.admin_view
        return [
            path("<int:pk>/publish/", view(self.publish), name="deliveries_templateversion_publish"),
            path("<int:pk>/preview/", view(self.preview), name="deliveries_templateversion_preview"),
            *super().get_urls(),
        ]

    def get_model_perms(self, request: HttpRequest) -> dict[str, bool]:
        """Stay out of the list of models."""
        return {}

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Versions begin at their template."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Versions stay: deliveries and numbers refer to them."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: TemplateVersion | None = None) -> bool:
        """Only a draft may change."""
        may = request.user.has_perm("deliveries.change_template")
        return may and (obj is None or obj.state == State.DRAFT)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who may see templates may see their versions."""
        return any(request.user.has_perm(f"deliveries.{verb}_template") for verb in ("view", "change"))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Lead to the templates: versions have no list of their own."""
        return HttpResponseRedirect(reverse("admin:deliveries_template_changelist"))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> Any:
        """Add the preview with sample data."""
        version = self._get(object_id)
        may_edit = self.has_change_permission(request, version)
        values = {
            "title": f"{version.template} {version}",
            "version": version,
            "may_publish": may_edit,
            "show_save_and_continue": False,
            "sample": json.dumps(sample_data(version), indent=2, ensure_ascii=False),
            "locales": [content.locale for content in version.contents.all()],
        }
        return super().change_view(request, object_id, form_url, {**values, **(extra_context or {})})

    def save_model(self, request: HttpRequest, obj: Any, form: forms.ModelForm[Any], change: bool) -> None:
        """Leave saving to `save_formset`: words and default language are one draft."""

    def save_formset(
        self, request: HttpRequest, form: forms.ModelForm[Any], formset: BaseInlineFormSet[Any, Any, Any], change: bool
    ) -> None:
        """Save the draft by its service. Was it published meanwhile, this becomes the next draft."""
        formset.save(commit=False)
        saved = template_save_draft(
            template=form.instance.template,
            contents=_words(formset),
            default_locale=form.cleaned_data["default_locale"],
            by=staff(request),
        )
        form.instance.saved_as = saved

    def response_change(self, request: HttpRequest, obj: Any) -> HttpResponse:
        """Stay on the draft."""
        say(request, f"Draft {obj.saved_as} is saved. It does not go out until it is published.")
        return HttpResponseRedirect(_version_url(obj.saved_as))

    @post_only("change")
    def publish(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Let the draft go out from now on."""
        version = self._get(pk)
        try:
            with transaction.atomic():
                done = template_publish(version=version)
                if done:
                    audit(request, [version.template], f"Published {version}.")
        except TemplateRefused as refused:
            for problem in refused.problems:
                say(request, f"Not published. {problem}", bad=True)
        else:
            say(
                request,
                f"{version} goes out from now on." if done else f"{version} was published before.",
                bad=not done,
            )
        return HttpResponseRedirect(_version_url(version))

    def preview(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        """Render what stands in the editor, saved or not, with the data beside it; of a published version what is saved.

        Answers with the part of the page that shows it. Stores nothing, sends nothing.
        """
        version = self._get(pk)
        if not self.has_view_permission(request, version):
            raise Http404("There is no such version.")
        if request.method != "POST":
            return HttpResponseRedirect(_version_url(version))
        return TemplateResponse(request, "admin/deliveries/_message.html", {"preview": self._preview(request, version)})

    def _preview(self, request: HttpRequest, version: TemplateVersion) -> Preview:
        posted = request.POST
        frame = frame_of(version.template.tenant)
        sources, default_locale = version_sources(version, frame), version.default_locale
        if "default_locale" in posted and self.has_change_permission(request, version):
            [formset], _ = self._create_formsets(request, version, change=True)
            if not formset.is_valid():
                return Preview("What stands in the editor", problem=" ".join(_problems(formset)))
            sources = {
                locale: replace(source, frame=frame, variables=variables_of(version.variables))
                for locale, source in _words(formset).items()
            }
            default_locale = posted["default_locale"]
        return preview_with(
            sources,
            locale=posted.get("locale", ""),
            default_locale=default_locale,
            data=posted.get("data", ""),
            tenant=version.template.tenant,
        )

    def _get(self, pk: Any) -> TemplateVersion:
        rows = TemplateVersion.objects.select_related("template__tenant").prefetch_related("contents")
        version = rows.filter(pk=pk).first() if str(pk).isdigit() else None
        if version is None:
            raise Http404("There is no such version.")
        return version


def _words(formset: BaseInlineFormSet[Any, Any, Any]) -> dict[str, ContentSource]:
    """Return what stands in a sound form, by locale."""
    kept = [one.cleaned_data for one in formset.forms if one.cleaned_data and not one.cleaned_data.get("DELETE")]
    return {values["locale"]: _source(values) for values in kept}


def _source(values: dict[str, Any]) -> ContentSource:
    words: dict[str, Any] = {part: values.get(part) or "" for part in (*STORED, "locale")}
    return ContentSource(**words)


def _problems(formset: BaseInlineFormSet[Any, Any, Any]) -> list[str]:
    """Say what is wrong with each language's words."""
    return [
        f"{form.data.get(form.add_prefix('locale'), '')} {form.fields[part].label if part in form.fields else ''}: {error}"
        for form in formset.forms
        for part, errors in form.errors.items()
        for error in errors
    ] + [str(error) for error in formset.non_form_errors()]


def _version_url(version: TemplateVersion) -> str:
    return reverse("admin:deliveries_templateversion_change", args=[version.pk])
