"""What every staff page shares: the base of the model admins, audit, actions by POST, small pieces of HTML. No model's own page."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from django.contrib import messages
from django.contrib.admin.options import ShowFacets
from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin

from deliveries.admin import words
from deliveries.audit import record
from deliveries.models import Tenant

#: The names of pages that show a model's rows.
PAGE_OF_MODEL = re.compile(r"admin:([a-z]+)_([a-z]+)_(?:changelist|change)")
P = ParamSpec("P")
A = TypeVar("A", bound="StaffAdmin")
R = TypeVar("R", bound=HttpResponseBase)


class StaffAdmin(ModelAdmin):  # type: ignore[misc]  # Unfold has no types
    """A model admin of ours: fifty rows a page, no bulk delete, and its own pages beside the stock ones."""

    list_per_page = 50
    show_facets = ShowFacets.NEVER
    sortable_by: Sequence[str] = ()
    actions = None
    list_filter_sheet = True

    def page(self, request: HttpRequest, template: str, *, title: str, **context: Any) -> TemplateResponse:
        """Answer with a page of ours inside the admin's frame."""
        request.current_app = self.admin_site.name
        values = {**self.admin_site.each_context(request), "title": title, "model_admin": self}
        return TemplateResponse(request, template, {**values, **context})

    def back(self, request: HttpRequest, fallback: str, *args: Any) -> HttpResponse:
        """Return to the page that the form names in `next`, if it is one of ours, else to the named one."""
        wanted = request.POST.get("next", "")
        is_ours = url_has_allowed_host_and_scheme(
            wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure()
        )
        return HttpResponseRedirect(wanted if is_ours else reverse(f"admin:{fallback}", args=args))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Title the list by its name: nobody is asked to select anything."""
        return super().changelist_view(
            request, {"title": str(self.opts.verbose_name_plural).capitalize(), **(extra_context or {})}
        )


def post_only(permission: str) -> Callable[[Callable[Concatenate[A, HttpRequest, P], R]], Callable[..., Any]]:
    """Let a view of a model admin run for POST and for holders of `permission` (`change`, `hold`, …) only.

    CSRF is checked by the middleware. Raises: PermissionDenied.
    """

    def decorate(view: Callable[Concatenate[A, HttpRequest, P], R]) -> Callable[..., Any]:
        @wraps(view)
        def guarded(self: A, request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            if request.method != "POST":
                return HttpResponseNotAllowed(["POST"])
            if not getattr(self, f"has_{permission}_permission")(request):
                raise PermissionDenied
            return view(self, request, *args, **kwargs)

        return guarded

    return decorate


def audit(request: HttpRequest, rows: Sequence[Model], message: str) -> None:
    """Write into the admin's log who did what to which rows. One row a log entry; call it in the action's transaction."""
    record(staff_id=staff(request).pk, rows=rows, message=message)


def staff(request: HttpRequest) -> AbstractBaseUser:
    """Return the signed-in person. Raises PermissionDenied when there is none."""
    if not isinstance(request.user, AbstractBaseUser):
        raise PermissionDenied
    return request.user


def staff_name(request: HttpRequest) -> str:
    """Name the signed-in person as the services and rows record it."""
    return staff(request).get_username()


def say(request: HttpRequest, text: str, *, bad: bool = False) -> None:
    """Tell the person what their action did."""
    messages.add_message(request, messages.ERROR if bad else messages.SUCCESS, text)


def may_see_page(request: HttpRequest, page: str) -> bool:
    """Say whether the signed-in person may open a page of ours, by its URL's name: a link to a refusal helps nobody."""
    found = PAGE_OF_MODEL.fullmatch(page)
    return found is None or request.user.has_perm(f"{found[1]}.view_{found[2]}")


def many_tenants() -> bool:
    """Say whether there is more than one tenant: with one, everything about tenants is hidden."""
    return Tenant.objects.order_by()[:2].count() > 1


def chip(text: str, tone: str = "quiet") -> SafeString:
    """Show a word with a tone."""
    return format_html('<span class="ns-chip" data-tone="{}">{}</span>', tone, text)


def when(at: datetime | None, *, empty: str = "-") -> SafeString:
    """Show how long ago, or in how long, with the exact moment beside the pointer."""
    if at is None:
        return format_html('<span class="ns-muted">{}</span>', empty)
    now = timezone.now()
    text = f"{words.duration(now - at)} ago" if at <= now else f"in {words.duration(at - now)}"
    local = timezone.localtime(at)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>', at.isoformat(), f"{local:%Y-%m-%d %H:%M:%S %Z}", text
    )


def two_lines(first: str, second: str) -> SafeString:
    """Show a line and a quieter one below it."""
    return format_html('<span class="ns-two">{}<small>{}</small></span>', first, second)
