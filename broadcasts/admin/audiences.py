"""Audiences: the list with its figures, segments by rules with a live count, lists whose people are pasted or uploaded."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from broadcasts.admin.audience_forms import AudienceForm, SegmentForm
from broadcasts.admin.base import broadcast_url
from broadcasts.admin.people_panel import Circle, panel, people_change
from broadcasts.audience import AudienceTooSlowError, condition_count, condition_sample
from broadcasts.audience_use import audience_users, in_use_told
from broadcasts.members import members_add, members_remove
from broadcasts.models import Audience
from broadcasts.recounting import audience_recount
from broadcasts.rule_words import group_words
from broadcasts.rules import RuleError, condition, rules_check
from deliveries.admin.base import chip, many_tenants, post_only, say, staff_name, two_lines, when
from deliveries.admin.filters import TenantFilter
from deliveries.admin.paging import KeysetAdmin
from deliveries.jobs import InvalidJob
from deliveries.jobs.strict_json import decode_object
from deliveries.models import Contact, Tenant

SAMPLE: Final = 10


@admin.register(Audience)
class AudienceAdmin(KeysetAdmin):
    """Saved audiences, newest first."""

    list_display = ("title", "kind_words", "people", "added")
    list_display_links = ("title",)
    list_filter = ("kind", TenantFilter)
    list_select_related = ("tenant",)
    search_fields = ("name__istartswith",)
    search_help_text = "The beginning of its name"
    change_form_outer_after_template = "admin/broadcasts/_people.html"

    def get_urls(self) -> list[URLPattern]:
        """Add the builder's preview and a list's people."""
        view = self.admin_site.admin_view
        return [
            path("preview/", view(self.preview), name="broadcasts_audience_preview"),
            path("<int:pk>/people/", view(self.people_change), name="broadcasts_audience_people"),
            *super().get_urls(),
        ]

    def get_list_display(self, request: HttpRequest) -> Sequence[str]:
        """Show the tenant where there is more than one."""
        return (*self.list_display, "tenant") if many_tenants() else self.list_display

    def get_fields(self, request: HttpRequest, obj: Audience | None = None) -> list[str]:
        """Ask for rules where it is a segment; hide the tenant while there is only one."""
        is_segment = self._kind(request, obj) == Audience.Kind.SEGMENT
        may_edit = self.has_change_permission(request, obj) if obj else True
        rules = ["rules" if may_edit else "meaning"] if is_segment else []
        return [*(["tenant"] if many_tenants() else []), "name", *rules]

    def get_readonly_fields(self, request: HttpRequest, obj: Audience | None = None) -> list[str]:
        """Keep whose it is."""
        return ["tenant", "meaning"] if obj else []

    def get_form(self, request: HttpRequest, obj: Audience | None = None, change: bool = False, **kwargs: Any) -> Any:
        """Use the form of its kind."""
        is_segment = self._kind(request, obj) == Audience.Kind.SEGMENT
        kwargs["form"] = SegmentForm if is_segment else AudienceForm
        return super().get_form(request, obj, change, **kwargs)

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None) -> Any:
        """First let staff choose the kind."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        if request.GET.get("kind") not in Audience.Kind.values:
            return self.page(request, "admin/broadcasts/audience_kinds.html", title="New audience")
        title = "New segment" if request.GET["kind"] == Audience.Kind.SEGMENT else "New list"
        values = {"title": title, "show_save_and_add_another": False, "show_save_and_continue": False}
        return super().add_view(request, form_url, {**values, **(extra_context or {})})

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> Any:
        """Add a list's people."""
        row = self._find(object_id)
        values: dict[str, Any] = {"show_save_and_add_another": False, "title": row.name if row else ""}
        if row is not None and row.kind == Audience.Kind.LIST:
            values |= panel(self, request, _circle(row))
        return super().change_view(request, object_id, form_url, {**values, **(extra_context or {})})

    def save_model(self, request: HttpRequest, obj: Audience, form: Any, change: bool) -> None:
        """Store it under the only tenant where nobody chose one, and count it."""
        if not change:
            obj.kind, obj.created_by = self._kind(request, None), staff_name(request)
            if obj.tenant_id is None:
                obj.tenant = Tenant.objects.get()
        super().save_model(request, obj, form, change)
        audience_recount(obj, timeout_seconds=settings.AUDIENCE_COUNT_TIMEOUT_SECONDS)

    def response_add(self, request: HttpRequest, obj: Audience, post_url_continue: str | None = None) -> HttpResponse:
        """Lead from a new list to its people."""
        if obj.kind == Audience.Kind.LIST:
            say(request, f"“{obj.name}” is there. Now add its people.")
            return self.back(request, "broadcasts_audience_change", obj.pk)
        answer: HttpResponse = super().response_add(request, obj, post_url_continue)
        return answer

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Protect what a broadcast still needs, each is named, and nothing is deleted."""
        to_delete, counts, lacking, protected = super().get_deleted_objects(objs, request)
        for row in objs:
            if users := audience_users(row):
                say(request, in_use_told(row, users), bad=True)
                links = ((broadcast_url(each), each.name) for each in users)
                protected = [*protected, *(format_html('Broadcast <a href="{}">{}</a>', *link) for link in links)]
        return to_delete, counts, lacking, protected

    # What rules.js asks

    @post_only("view_or_change")
    def preview(self, request: HttpRequest) -> HttpResponse:
        """Count whom rules mean and show some of them; or say what is wrong with them. Stores nothing."""
        try:
            rules = decode_object(request.POST.get("rules", "").encode())
            made = condition(rules)
        except InvalidJob as invalid:
            return JsonResponse({"problems": [{"path": "", "message": invalid.message}]})
        except RuleError as error:
            problems = [{"path": problem.path, "message": problem.message} for problem in error.problems]
            return JsonResponse({"problems": problems})
        tenant = self._tenant(request)
        within: dict[str, Any] = {"tenant_id": tenant.pk, "timeout_seconds": settings.AUDIENCE_COUNT_TIMEOUT_SECONDS}
        try:
            count = condition_count(made, **within)
            may_see = request.user.has_perm("deliveries.view_contact")
            sample = condition_sample(made, **within, limit=SAMPLE) if may_see else []
        except AudienceTooSlowError as error:
            return JsonResponse({"problems": [{"path": "", "message": str(error)}]})
        return JsonResponse({"problems": [], "count": count, "sample": [_shown(contact) for contact in sample]})

    def has_view_or_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Let those preview who may make a segment, too."""
        return bool(super().has_view_or_change_permission(request, obj)) or bool(self.has_add_permission(request))

    # A list's people

    @post_only("change")
    def people_change(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Check, add or remove people. Raises: Http404."""
        row = self._find(str(pk))
        if row is None or row.kind != Audience.Kind.LIST:
            raise Http404("There is no such list.")
        return people_change(self, request, _circle(row))

    def _find(self, pk: str) -> Audience | None:
        return Audience.objects.select_related("tenant").filter(pk=pk).first() if pk.isdecimal() else None

    def _kind(self, request: HttpRequest, obj: Audience | None) -> str:
        return obj.kind if obj else request.GET.get("kind", "")

    def _tenant(self, request: HttpRequest) -> Tenant:
        """Return the tenant whose contacts are counted: the one that the form names, or the only one. Raises: Http404."""
        named = request.POST.get("tenant", "")
        tenant = Tenant.objects.filter(pk=named).first() if named.isdecimal() else None
        if tenant is None and many_tenants():
            raise Http404("Choose the tenant first.")
        return tenant or Tenant.objects.get()

    # Columns

    @admin.display(description="Audience")
    def title(self, row: Audience) -> SafeString:
        """Name it, with what is in it."""
        return two_lines(row.name, _about(row))

    @admin.display(description="Who is in it")
    def meaning(self, row: Audience) -> str:
        """Say its rules in words."""
        return _about(row)

    @admin.display(description="Kind")
    def kind_words(self, row: Audience) -> SafeString:
        """Say which kind it is."""
        return chip(row.get_kind_display())

    @admin.display(description="People")
    def people(self, row: Audience) -> SafeString:
        """Say how many are in it, and as of when."""
        if row.contact_count is None:
            return format_html(
                '<span class="ns-muted">{}</span>', "too slow to count" if row.counted_at else "not counted yet"
            )
        return format_html('<span class="ns-two"><b class="ns-num">{}</b><small>{}</small></span>',
                           f"{row.contact_count:,}", when(row.counted_at))  # fmt: skip

    @admin.display(description="Added")
    def added(self, row: Audience) -> SafeString:
        """Say when and by whom it was made."""
        return format_html('<span class="ns-two">{}<small>by {}</small></span>', when(row.created_at), row.created_by)


def _about(row: Audience) -> str:
    """Say in words whom a segment means."""
    if row.kind == Audience.Kind.LIST:
        return "People who were named"
    try:
        return group_words(rules_check(row.rules))
    except RuleError:
        return "Its rules are no longer understood. Open it and correct them."


def _shown(contact: Contact) -> dict[str, str]:
    return {
        "name": str(contact),
        "detail": contact.email or contact.phone or str(contact.user_id),
        "url": reverse("admin:deliveries_contact_change", args=[contact.pk]),
    }


def _circle(row: Audience) -> Circle:
    return Circle(
        name=row.name,
        tenant_id=row.tenant_id,
        url=reverse("admin:broadcasts_audience_change", args=[row.pk]),
        people_url=reverse("admin:broadcasts_audience_people", args=[row.pk]),
        logged=row,
        rows=row.members.all(),
        add=partial(members_add, audience=row),
        remove=partial(members_remove, audience=row),
        changed=partial(audience_recount, row, timeout_seconds=settings.AUDIENCE_COUNT_TIMEOUT_SECONDS),
        add_word="Add",
        added="Added",
        inside="in the list already",
        remove_word="Remove",
        removed="Removed",
        outside="not in the list",
    )
