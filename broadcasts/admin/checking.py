"""The live check of the compose page and of the approver's: who gets what is saved, who does not and why; some of them, or all as CSV.

Reads only. What is counted is `compose_review.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect, JsonResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from broadcasts.admin import words
from broadcasts.admin.base import actor_of, broadcast_get, broadcast_url
from broadcasts.admin.compose_review import checked_context, moment_words
from broadcasts.approvers import is_alone, is_author
from broadcasts.audience import AudienceError, AudienceTooSlowError, at_most, audience_check
from broadcasts.check import everybody, sample
from broadcasts.models import Broadcast, LeftOut
from deliveries.admin.base import StaffAdmin, post_only, say, staff_name
from deliveries.admin.words import channel as channel_word
from deliveries.admin.words import moment
from deliveries.csv_text import csv_response

if TYPE_CHECKING:
    _Base = StaffAdmin
else:
    _Base = object

TEMPLATES: Final = "admin/broadcasts/compose"
COLUMNS: Final = ("user_id", "name", "channel", "address", "gets_it", "why_not")


class CheckPages(_Base):
    """What the model admin of broadcasts answers about who gets one."""

    def check_urls(self) -> list[URLPattern]:
        """Return the addresses of the check, of samples and of the download."""
        own: dict[str, tuple[str, Callable[..., Any]]] = {
            "check": ("check/", self.check_recipients), "people": ("people/", self.people), "people_csv": ("people.csv", self.people_csv),
        }  # fmt: skip
        view = self.admin_site.admin_view
        return [
            path(f"<int:pk>/{place}", view(each), name=f"broadcasts_broadcast_{name}")
            for name, (place, each) in own.items()
        ]

    @post_only("view")
    def check_recipients(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Answer who gets what is saved and who does not: two parts of the page, as HTML. Changes nothing."""
        broadcast = broadcast_get(pk)
        actor = actor_of(request)
        mine = {"is_own": is_author(broadcast, actor), "is_alone": is_alone(actor)}
        context = {**self.shared(request, broadcast), **checked_context(broadcast), **mine}
        answer: dict[str, Any] = {"revision": str(broadcast.revision)}
        if broadcast.revision != revision_of(request) and "revision" in request.POST:
            answer["conflict"] = conflict_of(request, broadcast)
        if "too_slow" in context:
            return JsonResponse({**answer, "too_slow": context["too_slow"]})
        who, whole = (render_to_string(f"{TEMPLATES}/_{name}.html", context, request) for name in ("count", "review"))
        return JsonResponse({**answer, "count": who, "review": whole})

    def people(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Answer some of those who get what is saved, or do not for a reason, as a part of the page."""
        self._must_see_people(request)
        broadcast, template = broadcast_get(pk), f"{TEMPLATES}/_people.html"
        try:
            with at_most(settings.AUDIENCE_COUNT_TIMEOUT_SECONDS):
                rows = sample(broadcast, reason=request.GET.get("reason", ""), channel=request.GET.get("channel", ""))
        except AudienceTooSlowError as error:
            return TemplateResponse(request, template, {"problem": str(error)})
        except AudienceError as error:
            return TemplateResponse(request, template, {"problem": f"Audience: {error}"}, status=409)
        return TemplateResponse(request, template, {"rows": rows})

    def people_csv(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        """Answer everybody of the audience as CSV, row by row: who gets it and who does not, and why."""
        self._must_see_people(request)
        broadcast = broadcast_get(pk)
        try:
            audience_check(broadcast.audience, tenant_id=broadcast.tenant_id)
        except AudienceError as error:
            say(request, f"There is nobody to download. Audience: {error}", bad=True)
            return HttpResponseRedirect(broadcast_url(broadcast))
        reasons = dict(LeftOut.Reason.choices)
        rows = (
            (
                each.user_id,
                each.name,
                channel_word(each.channel),
                each.address,
                "no" if each.reason else "yes",
                reasons.get(each.reason, ""),
            )
            for each in everybody(broadcast)
        )
        return csv_response(request, filename=f"broadcast-{broadcast.pk}-recipients.csv", header=COLUMNS, rows=rows)

    def _must_see_people(self, request: HttpRequest) -> None:
        if not (self.has_view_permission(request) and request.user.has_perm("deliveries.view_contact")):
            raise PermissionDenied

    def shared(self, request: HttpRequest, broadcast: Broadcast) -> dict[str, Any]:
        """Return what the page and its parts need to know of the broadcast and of the person."""
        return {
            "broadcast": broadcast,
            "state": words.state_chip(broadcast.state),
            "planned": moment_words(broadcast, "scheduled_at"),
            "may_change": self.has_change_permission(request, broadcast),
            "may_approve": request.user.has_perm("broadcasts.approve_broadcast"),
            "may_send": request.user.has_perm("broadcasts.send_broadcast"),
            "may_copy": self.has_add_permission(request),
            "may_delete": broadcast.pk is not None and self.has_delete_permission(request, broadcast),
            "may_download": request.user.has_perm("deliveries.view_contact"),
        }


def revision_of(request: HttpRequest) -> int:
    """Return the revision that the page began from; -1, which nothing has, for none."""
    text = request.POST.get("revision", "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else -1


def conflict_of(request: HttpRequest, newest: Broadcast) -> dict[str, Any]:
    """Say who changed it under somebody's hands, and when."""
    name = newest.updated_by or newest.created_by
    who = "You, in another window," if name == staff_name(request) else name
    return {"sentence": f"{who} changed this at {moment(newest.updated_at)}.", "revision": str(newest.revision)}
