"""Templates: the list, a template with its versions, "New draft". The words are edited in `template_editor.py`."""

from __future__ import annotations

from typing import Any, Final

from django import forms
from django.contrib import admin
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet, Subquery
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils.safestring import SafeString

from deliveries.admin.base import StaffAdmin, audit, chip, many_tenants, post_only, staff, two_lines, when
from deliveries.admin.filters import TenantFilter
from deliveries.admin.template_editor import version_url
from deliveries.models import Template, TemplateVersion, Tenant
from deliveries.rendering import ContentSource
from deliveries.templating import template_save_draft, version_sources

State = TemplateVersion.State
#: A new language begins in Markdown, inside the tenant's frame.
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
        return [*(["tenant"] if many_tenants() else []), "name", "code"]

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
        return HttpResponseRedirect(version_url(obj.versions.order_by("-number")[0]))

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
        return HttpResponseRedirect(version_url(newest))

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
