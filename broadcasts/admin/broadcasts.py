"""Broadcasts: the list with its states and bars, and which page a broadcast has. Decides nothing: actions call one service each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin import SimpleListFilter
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from broadcasts.admin.base import actor_of, broadcast_get, broadcast_url
from broadcasts.admin.compose import ComposePages
from broadcasts.admin.decisions import DecisionPages
from broadcasts.admin.watch import WatchPages
from broadcasts.admin.words import state_chip
from broadcasts.audience import audience_names, audience_words
from broadcasts.counting import kept
from broadcasts.drafts import broadcast_delete, broadcast_duplicate
from broadcasts.models import Broadcast
from broadcasts.states import ACTIVE, EDITABLE, State
from deliveries.admin.base import chip, many_tenants, post_only, say, two_lines, when
from deliveries.admin.filters import TenantFilter
from deliveries.admin.paging import KeysetAdmin
from deliveries.channels import Status


class StateView(SimpleListFilter):
    """The tabs above the list."""

    title = "state"
    parameter_name = "view"
    states: ClassVar[dict[str, tuple[str, Sequence[State]]]] = {
        "drafts": ("Drafts", [State.DRAFT]),
        "approval": ("Waiting for approval", [State.AWAITING_APPROVAL]),
        "approved": ("Approved", [State.APPROVED]),
        "scheduled": ("Scheduled", [State.SCHEDULED]),
        "sending": ("Sending", sorted(ACTIVE)),
        "done": ("Done", [State.COMPLETED]),
        "cancelled": ("Cancelled", [State.CANCELLED]),
        "failed": ("Failed", [State.FAILED]),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer the states in their order; who pauses is still sending."""
        return [(name, title) for name, (title, _) in self.states.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Broadcast]) -> QuerySet[Broadcast]:
        """Narrow the list."""
        chosen = self.states.get(self.value() or "")
        return queryset.filter(state__in=chosen[1]) if chosen else queryset


@admin.register(Broadcast)
class BroadcastAdmin(ComposePages, DecisionPages, WatchPages, KeysetAdmin):
    """The list of broadcasts; a page to compose one, and a page to watch it."""

    list_display = ("title_words", "state_words", "audience_column", "moment", "bar", "copy")
    list_display_links = ("title_words",)
    list_filter = (StateView, TenantFilter)
    list_select_related = ("tenant",)
    list_before_template = "admin/deliveries/_views.html"
    list_after_template = "admin/broadcasts/_list_forms.html"
    empty_template = "admin/broadcasts/_list_empty.html"
    search_fields = ("name",)
    search_help_text = "Name"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Broadcast]:
        """Leave out what only the page of one broadcast shows."""
        rows: QuerySet[Broadcast] = super().get_queryset(request)
        return rows.defer("body", "data", "contact_fallbacks")

    def decorate(self, request: HttpRequest, rows: Sequence[Any]) -> None:
        """Give each row its audience in words and its figures as they were counted last. One query."""
        names = audience_names([row.audience for row in rows], tenant_ids={row.tenant_id for row in rows})
        for row in rows:
            words = audience_words(row.audience, tenant_id=row.tenant_id, names=names)
            row.audience_text = words if row.audience else "Nobody yet"
            row.figures = kept(row)
            row.may_copy = self.has_add_permission(request)

    def get_list_display(self, request: HttpRequest) -> tuple[str, ...]:
        """Show the tenant where there is more than one."""
        return (*self.list_display, "tenant") if many_tenants() else self.list_display

    def get_urls(self) -> list[URLPattern]:
        """Add the actions and the pages' own addresses."""
        view = self.admin_site.admin_view
        copy = path("<int:pk>/duplicate/", view(self.duplicate), name="broadcasts_broadcast_duplicate")
        return [copy, *self.compose_urls(), *self.decision_urls(), *self.watch_urls(), *super().get_urls()]

    def has_delete_permission(self, request: HttpRequest, obj: Broadcast | None = None) -> bool:
        """Delete drafts only: what was sent is a record."""
        is_draft = obj is None or (obj.state == State.DRAFT and obj.started_at is None)
        return is_draft and bool(super().has_delete_permission(request, obj))

    def has_approve_permission(self, request: HttpRequest) -> bool:
        """Approve, or send back."""
        return request.user.has_perm("broadcasts.approve_broadcast")

    def has_send_permission(self, request: HttpRequest) -> bool:
        """Send, and steer what is being sent."""
        return request.user.has_perm("broadcasts.send_broadcast")

    def delete_model(self, request: HttpRequest, obj: Broadcast) -> None:
        """Delete a draft by its service."""
        broadcast_delete(broadcast=obj)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponseBase:
        """Show the page that fits the state: to compose it, or to watch it."""
        broadcast = broadcast_get(object_id)
        if not self.has_view_permission(request, broadcast):
            raise PermissionDenied
        if request.method == "POST":
            return self.compose_save(request, broadcast)
        if broadcast.state in EDITABLE:
            return self.compose_page(request, broadcast)
        return self.watch_page(request, broadcast)

    @post_only("add")
    def duplicate(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Make a draft of the same words and people, and open it."""
        made = broadcast_duplicate(broadcast=broadcast_get(pk), actor=actor_of(request))
        say(request, f"This is a copy: “{made.name}”. It is a draft; its times are not copied.")
        return HttpResponseRedirect(broadcast_url(made))

    # The list.

    @admin.display(description="Broadcast")
    def title_words(self, row: Broadcast) -> SafeString:
        """Name it, and what it says."""
        return two_lines(row.name, row.template_code or row.title or "No message yet")

    @admin.display(description="State")
    def state_words(self, row: Broadcast) -> SafeString:
        """Say its state."""
        word = state_chip(row.state)
        return chip(word.text, word.tone)

    @admin.display(description="Who")
    def audience_column(self, row: Any) -> SafeString:
        """Say whom it means."""
        return format_html('<span class="ns-note">{}</span>', row.audience_text)

    @admin.display(description="When")
    def moment(self, row: Broadcast) -> SafeString:
        """Say when it ended, began, or is due; a draft, when it was changed."""
        if row.finished_at or row.started_at:
            return when(row.finished_at or row.started_at)
        if row.state == State.SCHEDULED:
            return when(row.due_at)
        if row.scheduled_at:
            return format_html('<span class="ns-muted">planned</span> {}', when(row.scheduled_at))
        return format_html('<span class="ns-muted">changed</span> {}', when(row.updated_at))

    @admin.display(description="Messages")
    def bar(self, row: Any) -> SafeString:
        """Show what became of its messages, as they were counted last."""
        counts, total = row.figures, row.figures.total
        if not total:
            return format_html('<span class="ns-muted">{}</span>', "–")  # noqa: RUF001
        parts = [
            ("sent", counts.of(Status.SENT), "ok"),
            ("failed", counts.of(Status.FAILED), "bad"),
            ("waiting", counts.waiting, "none"),
            ("not sent", counts.of(Status.EXPIRED, Status.SUPPRESSED), "quiet"),
            ("cancelled", counts.of(Status.CANCELLED), "quiet"),
        ]
        drawn = [(f"{100 * n / total:.2f}", tone) for _name, n, tone in parts if n]
        told = ", ".join(f"{n:,} {name}" for name, n, _tone in parts if n)
        bars = format_html_join("", '<i style="width:{}%" data-tone="{}"></i>', drawn)
        return format_html(
            '<span class="ns-two"><span class="ns-progress" style="width:9rem">{}</span><small>{}</small></span>',
            bars,
            told,
        )

    @admin.display(description="")
    def copy(self, row: Any) -> SafeString | str:
        """Offer to duplicate it: the button belongs to a form below the list."""
        if not row.may_copy:
            return ""
        return format_html(
            '<button type="submit" form="bc-duplicate" formaction="{}" class="ns-btn ns-btn--small" aria-label="Duplicate {}">'
            "Duplicate</button>",
            broadcast_url(row, "duplicate"),
            row.name,
        )
