"""Long lists without counting: keyset paging by id, newest first. A page costs the same however many rows there are.

Here: the change list and its paginator, and the model admin that uses them. Nothing about any particular model.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, Final
from uuid import UUID

from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from unfold.views import ChangeList

from deliveries.admin.base import StaffAdmin
from deliveries.queries import keyset_page

OLDER_THAN: Final = "older_than"
NEWER_THAN: Final = "newer_than"


class KeysetChangeList(ChangeList):  # type: ignore[misc]  # Unfold has no types
    """A change list whose pages are cut by `id < cursor`, or by another unique field where the model admin says so."""

    cut_by = "pk"
    older_url: str | None = None
    newer_url: str | None = None
    newest_url: str | None = None

    def get_filters_params(self, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the filters without the cursor. Forgets the cursor for links too: a new filter starts on the newest page."""
        for name in (OLDER_THAN, NEWER_THAN):
            self.filter_params.pop(name, None)
            self.params.pop(name, None)
        found: dict[str, Any] = super().get_filters_params(params)
        return found

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[str]:
        """Order by id alone: the cursor depends on it."""
        self.cut_by = self.model_admin.cut_by(request)
        return [f"-{self.cut_by}"]

    def get_results(self, request: HttpRequest) -> None:
        """Read one page. Raises IncorrectLookupParameters for a cursor that is no id."""
        read = _cursor if self.cut_by == "pk" else _uuid_cursor
        older, newer = (read(request, name) for name in (OLDER_THAN, NEWER_THAN))
        page = keyset_page(self.queryset, limit=self.list_per_page, older_than=older, newer_than=newer, by=self.cut_by)
        rows = list(page.rows)
        self._link(rows, has_older=page.has_older, has_newer=page.has_newer)
        self.model_admin.decorate(request, rows)
        self.result_list = rows
        self.result_count = self.full_result_count = len(rows)
        self.show_full_result_count = self.show_admin_actions = False
        self.can_show_all, self.multi_page = True, False
        self.paginator = SimpleNamespace(template_name="admin/deliveries/_keyset_pages.html", count=len(rows))

    @property
    def saved_views(self) -> list[dict[str, Any]]:
        """Return the choices of the filter named `view`, which the list shows as tabs."""
        return [
            {"title": choice["display"], "url": choice["query_string"], "is_chosen": choice["selected"]}
            for spec in self.filter_specs
            if getattr(spec, "parameter_name", "") == "view"
            for choice in spec.choices(self)
        ]

    def _link(self, rows: Sequence[Model], *, has_older: bool, has_newer: bool) -> None:
        if has_newer:
            self.newest_url = self.get_query_string()
        if rows and has_older:
            self.older_url = self.get_query_string({OLDER_THAN: getattr(rows[-1], self.cut_by)})
        if rows and has_newer:
            self.newer_url = self.get_query_string({NEWER_THAN: getattr(rows[0], self.cut_by)})


class KeysetAdmin(StaffAdmin):
    """A model admin whose list is paged by id and never counted."""

    show_full_result_count = False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[KeysetChangeList]:
        """Use the keyset change list."""
        return KeysetChangeList

    def cut_by(self, request: HttpRequest) -> str:
        """Return the field that pages are cut by: `pk`, or one whose values are UUIDs."""
        return "pk"

    def decorate(self, request: HttpRequest, rows: Sequence[Any]) -> None:
        """Add to the page's rows what their columns need, by a fixed number of queries."""


def _uuid_cursor(request: HttpRequest, name: str) -> UUID | None:
    text = request.GET.get(name)
    if text is None:
        return None
    try:
        return UUID(text)
    except ValueError:
        raise IncorrectLookupParameters(f"{name} is no id") from None


def _cursor(request: HttpRequest, name: str) -> int | None:
    text = request.GET.get(name)
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise IncorrectLookupParameters(f"{name} is no id")
    return int(text)
