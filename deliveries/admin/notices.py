"""Notices in the admin: the bell in every page's header, and the page behind it. Raised in `deliveries/notice_looks.py`."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import admin
from django.contrib.admin import SimpleListFilter
from django.db import transaction
from django.db.models import F, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from deliveries.admin import words
from deliveries.admin.base import StaffAdmin, audit, chip, many_tenants, may_see_page, post_only, say, staff_name, when
from deliveries.admin.filters import TenantFilter
from deliveries.figures import forget
from deliveries.models import Notice, NoticeTelling
from deliveries.notice_ways import trouble, way_name, ways
from deliveries.notices import KINDS, notice_help_path, notice_path, notices_read

BELL_LIMIT: Final = 100
_KEPT: Final = "_notices_bell"
READ: Final = (
    '<button type="submit" form="ns-notice" formaction="{}" aria-label="Mark as read: {}" class="ns-btn ns-btn--small">'
    "Mark as read</button>"
)
TITLES: Final = {kind.value: about.title for kind, about in KINDS.items()}


def bell(request: HttpRequest) -> dict[str, Any]:
    """Return what the bell shows. One query for each request, and none for who may not see notices."""
    kept: dict[str, Any] | None = getattr(request, _KEPT, None)
    if kept is None:
        may_see = request.user.has_perm("deliveries.view_notice")
        count = _unread()[:BELL_LIMIT].count() if may_see else 0
        kept = {"may_see": may_see, "unread": f"{BELL_LIMIT - 1}+" if count >= BELL_LIMIT else count or ""}
        setattr(request, _KEPT, kept)
    return kept


def _unread() -> QuerySet[Notice]:
    return Notice.objects.filter(ended_at=None, read_at=None).order_by()


class StateFilter(SimpleListFilter):
    """Open or over."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer both."""
        return [("open", "Open"), ("over", "Over")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Notice]) -> QuerySet[Notice]:
        """Narrow the list."""
        return queryset.filter(ended_at__isnull=self.value() == "open") if self.value() else queryset


class KindFilter(SimpleListFilter):
    """By what it is about."""

    title = "kind"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer the kinds."""
        return sorted(TITLES.items(), key=lambda pair: pair[1])

    def queryset(self, request: HttpRequest, queryset: QuerySet[Notice]) -> QuerySet[Notice]:
        """Narrow the list."""
        return queryset.filter(kind=self.value()) if self.value() else queryset


@admin.register(Notice)
class NoticeAdmin(StaffAdmin):
    """Notices: what is open first, then what was over last."""

    list_display = ("what", "state", "since", "told", "buttons")
    list_display_links = None
    list_filter = (StateFilter, KindFilter, TenantFilter)
    list_select_related = ("tenant",)
    list_before_template = "admin/deliveries/_notice_list.html"
    fields = ("title", "sentence", "opened_at", "ended_at", "count", "read_by", "told")
    readonly_fields = fields

    def get_urls(self) -> list[URLPattern]:
        """Add the two ways of marking as read."""
        view = self.admin_site.admin_view
        return [
            path("read/", view(self.read_all), name="deliveries_notice_read_all"),
            path("<int:pk>/read/", view(self.read), name="deliveries_notice_read"),
            *super().get_urls(),
        ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Notice]:
        """Add who was told: one query for the page."""
        rows: QuerySet[Notice] = super().get_queryset(request).prefetch_related("tellings")
        return rows

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Add to the page's rows whose they are, where there is more than one tenant, and what this person may do."""
        changelist = super().get_changelist_instance(request)
        may_read, has_tenants = self.has_read_permission(request), many_tenants()
        for row in changelist.result_list:
            row.may_read = may_read and row.ended_at is None and row.read_at is None
            row.place = notice_path(row) if may_see_page(request, row.page) else ""
            row.whose = row.tenant.name if has_tenants and row.tenant is not None else ""
        return changelist

    def get_ordering(self, request: HttpRequest) -> Any:
        """Put what is open first."""
        return [F("ended_at").desc(nulls_first=True), "-opened_at"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """The service raises them."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """They end by themselves."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Let nothing be typed in."""
        return False

    def has_read_permission(self, request: HttpRequest) -> bool:
        """Who may change notices may mark them as read."""
        return request.user.has_perm("deliveries.change_notice")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Add who is told outside, and what came of that."""
        values = {
            "ways": [way_name(way) for way in ways()],
            "trouble": trouble(),
            "may_read": self.has_read_permission(request),
            "unread": bell(request)["unread"],
        }
        return super().changelist_view(request, {**values, **(extra_context or {})})

    @post_only("read")
    def read(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Mark one as read, for everybody."""
        done = self._read(request, pk)
        say(request, "Marked as read." if done else "It is over, or somebody has read it already.", bad=not done)
        return self.back(request, "deliveries_notice_changelist")

    @post_only("read")
    def read_all(self, request: HttpRequest) -> HttpResponse:
        """Mark all open ones as read, for everybody."""
        done = self._read(request, None)
        say(
            request,
            f"{words.count(done, 'notice')} marked as read." if done else "There is nothing unread.",
            bad=not done,
        )
        return self.back(request, "deliveries_notice_changelist")

    def _read(self, request: HttpRequest, pk: int | None) -> int:
        with transaction.atomic():
            rows = notices_read(by=staff_name(request), notice_id=pk)
            audit(request, rows, "Marked as read.")
        forget()
        return len(rows)

    @admin.display(description="Kind")
    def title(self, row: Notice) -> str:
        """Name the kind; one that this version does not know keeps its own name."""
        return TITLES.get(row.kind, row.kind)

    @admin.display(description="Notice")
    def what(self, row: Any) -> SafeString:
        """Say it, with the way to where it shows."""
        link = '<a class="ns-link" href="{}">{}</a>'
        said = format_html(link, row.place, row.sentence) if row.place else row.sentence
        about = " · ".join(filter(None, [self.title(row), row.whose]))
        return format_html('<span class="ns-two ns-two--wide">{}<small>{}</small></span>', said, about)

    @admin.display(description="State")
    def state(self, row: Notice) -> SafeString:
        """Say whether it lasts, and who has read it."""
        if row.ended_at is not None:
            return chip(f"Over after {words.duration(row.ended_at - row.opened_at)}", "ok")
        return chip(f"Open, read by {row.read_by}", "warn") if row.read_at is not None else chip("Open", "bad")

    @admin.display(description="Since")
    def since(self, row: Notice) -> SafeString:
        """Say since when, and how often it came back."""
        again = f"came back {words.count(row.count - 1, 'time')}" if row.count > 1 else ""
        return format_html('<span class="ns-two ns-nowrap">{}<small>{}</small></span>', when(row.opened_at), again)

    @admin.display(description="Told outside")
    def told(self, row: Any) -> SafeString:
        """Say who was told, and who could not be."""
        chips = [(chip(way_name(one.way), _tone(one)),) for one in row.tellings.all()]
        return format_html('<span class="ns-row">{}</span>', format_html_join("", "{}", chips) or "-")

    @admin.display(description="")
    def buttons(self, row: Any) -> SafeString:
        """Lead to the runbook, and offer to mark it as read. The button posts the form above the list."""
        help_link = format_html('<a class="ns-btn ns-btn--small" href="{}">What to do</a>', notice_help_path(row))
        if not row.may_read:
            return help_link
        address = reverse("admin:deliveries_notice_read", args=[row.pk])
        return format_html(
            '<span class="ns-row ns-row--one">{}{}</span>', help_link, format_html(READ, address, row.sentence)
        )


def _tone(telling: NoticeTelling) -> str:
    if telling.problem:
        return "warn"
    return "quiet" if telling.told_at is None else "ok"
