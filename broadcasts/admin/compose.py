"""The page where a broadcast is composed, and read by who approves it: saving, the live check, fixes, what somebody else changed.

Thin: the page's form is read in `compose_forms.py`, drafts are saved by `broadcasts/drafts.py`, reviewed by `broadcasts/review.py`.
A request of compose.js (`Accept: application/json`) is answered in JSON, the plain form by pages; both do the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect, JsonResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from broadcasts.admin import compose_forms as forms
from broadcasts.admin import compose_preview, words
from broadcasts.admin.base import actor_of, broadcast_get, broadcast_url
from broadcasts.admin.checking import TEMPLATES, CheckPages, conflict_of, revision_of
from broadcasts.admin.compose_options import CHANNELS, options, people
from broadcasts.admin.compose_review import facts
from broadcasts.admin.history import history_of, sent_back
from broadcasts.audience import audience_names
from broadcasts.changes import WrongState
from broadcasts.drafts import FIELDS, DraftChanged, DraftRefused, broadcast_create, broadcast_edit, plain_values
from broadcasts.models import Broadcast
from broadcasts.states import State
from deliveries.admin.base import many_tenants, post_only, say, staff
from deliveries.admin.template_editor import TESTS_A_MINUTE
from deliveries.admin.words import moment
from deliveries.drafts import compared
from deliveries.models import Tenant
from deliveries.previews import WINDOW_SECONDS, is_within, may_preview

STEPS: Final = (("message", "Message"), ("who", "Who"), ("when", "When"), ("review", "Review"))
PARTS: Final = ("values", "gaps")


@dataclass(frozen=True, slots=True)
class Saved:
    """What became of a save: `broadcast` unless something stood in its way."""

    told: str
    broadcast: Broadcast | None = None
    problems: Mapping[str, list[str]] = field(default_factory=dict)
    conflict: Mapping[str, Any] | None = None


class ComposePages(CheckPages):
    """What the model admin of broadcasts shows of one that was not sent yet."""

    def compose_urls(self) -> list[URLPattern]:
        """Return the addresses of what the page calls."""
        view = self.admin_site.admin_view
        own = {"preview": self.preview, "changes": self.changes, "fix": self.fix, "test": self.test}
        paths = [
            path(f"<int:pk>/{name}/", view(each), name=f"broadcasts_broadcast_{name}") for name, each in own.items()
        ]
        return [*paths, *self.check_urls()]

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponseBase:
        """Show an empty page; make a draft of the first thing that it saves. Looking makes nothing."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        tenant = _tenant(request)
        if request.method == "POST":
            return self._after(request, None, self._create(request, tenant))
        return self.compose_page(request, Broadcast(tenant=tenant, time_zone=_own_zone()))

    def compose_page(
        self, request: HttpRequest, broadcast: Broadcast, *, done: Saved | None = None
    ) -> HttpResponseBase:
        """Show the page: to write while it is a draft and the person may, else to read and decide."""
        may_edit = self._may_edit(request, broadcast)
        may_see_contacts = request.user.has_perm("deliveries.view_contact")
        is_new = broadcast.pk is None
        history = [] if is_new else history_of(broadcast)
        context = {
            **self.shared(request, broadcast),
            "may_edit": may_edit,
            "may_test": self.has_test_permission(request),
            "may_see_contacts": may_see_contacts,
            "people": people(broadcast.tenant) if may_see_contacts else [],
            "preview_channels": [each.value for each in CHANNELS],
            "test_channels": sorted((each.value for each in CHANNELS), key=lambda each: each not in broadcast.channels),
            "my_address": getattr(request.user, "email", ""),
            "is_new": is_new,
            "saved": "" if is_new else _saved(broadcast),
            "urls": _urls(broadcast),
            "done": done,
            "tenants": Tenant.objects.order_by("name") if is_new and many_tenants() else [],
            "history": history,
            "sent_back": sent_back(history),
            "steps": STEPS,
        }
        if may_edit:
            begun = {"source": request.GET.get("from", "")} if is_new else {}
            source = "template" if broadcast.template_code else "own"
            context |= {"source": source, **options(broadcast.tenant, broadcast), **forms.shown(broadcast), **begun}
            return self.page(request, f"{TEMPLATES}/page.html", title=broadcast.name or "New broadcast", **context)
        context |= {"facts": facts(broadcast)}
        return self.page(request, f"{TEMPLATES}/read.html", title=broadcast.name, **context)

    def compose_save(self, request: HttpRequest, broadcast: Broadcast) -> HttpResponseBase:
        """Save what the page posted, unless somebody else saved meanwhile."""
        if not self.has_change_permission(request, broadcast):
            raise PermissionDenied
        return self._after(request, broadcast, self._edit(request, broadcast, forms.read(request.POST)))

    def has_test_permission(self, request: HttpRequest) -> bool:
        """Who may hand in deliveries may send tests."""
        return bool(self.has_view_permission(request)) and request.user.has_perm("deliveries.add_delivery")

    @post_only("view")
    def preview(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Answer what each channel would show of what stands in the page. Stores nothing. 429 for a session that asks too often."""
        broadcast = broadcast_get(pk)
        if not may_preview(f"session:{request.session.session_key}"):
            return JsonResponse({"detail": "Too many previews."}, status=429, headers={"Retry-After": WINDOW_SECONDS})
        return JsonResponse(compose_preview.shown(request, broadcast, self._typed(request, broadcast)))

    @post_only("view")
    def changes(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Answer the part of the page that shows what is saved beside what stands in the page. Changes nothing."""
        broadcast = broadcast_get(pk)
        saved, mine = plain_values(broadcast), plain_values(_typed_over(broadcast, forms.read(request.POST).values))
        names = audience_names([saved["audience"], mine["audience"]], tenant_ids=[broadcast.tenant_id])
        pairs = [
            (
                words.field_name(name),
                words.value_text(name, saved[name], names),
                words.value_text(name, mine[name], names),
            )
            for name in FIELDS
        ]
        return TemplateResponse(request, "admin/deliveries/editor/_changes.html", {"changes": compared(pairs)})

    @post_only("change")
    def fix(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        """Decide what becomes of people who lack a field: a fallback, or they are left out."""
        broadcast = broadcast_get(pk)
        name, text = request.POST.get("field", ""), request.POST.get("text", "").strip()
        fallbacks = {key: value for key, value in broadcast.contact_fallbacks.items() if key != name}
        skipped = [each for each in broadcast.skip_missing if each != name]
        posted = forms.Posted()
        if "skip" in request.POST:
            skipped.append(name)
        elif text:
            fallbacks[name] = text
        else:
            posted.refuse("contact_fallbacks", f"Write what stands in where somebody has no {name}.")
        posted.values = {"contact_fallbacks": fallbacks, "skip_missing": skipped}
        return self._after(request, broadcast, self._edit(request, broadcast, posted))

    @post_only("test")
    def test(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Send what stands in the page to one address or contact. Answers what became of it. 429 when it is too often."""
        broadcast = broadcast_get(pk)
        if not is_within(f"tests:{staff(request).pk}", most=TESTS_A_MINUTE, seconds=60):
            return JsonResponse({"told": f"More than {TESTS_A_MINUTE} tests a minute. Wait a little."}, status=429)
        return JsonResponse(compose_preview.send_test(request, broadcast, self._typed(request, broadcast)))

    def _may_edit(self, request: HttpRequest, broadcast: Broadcast) -> bool:
        if broadcast.pk is None:
            return bool(self.has_add_permission(request))
        return broadcast.state == State.DRAFT and bool(self.has_change_permission(request, broadcast))

    def _typed(self, request: HttpRequest, broadcast: Broadcast) -> forms.Posted | None:
        """Return what was typed into the page; None from a page that could only be read."""
        is_form = "revision" in request.POST and self._may_edit(request, broadcast)
        return forms.read(request.POST) if is_form else None

    def _create(self, request: HttpRequest, tenant: Tenant) -> Saved:
        posted = forms.read(request.POST)
        if posted.problems:
            return Saved(_not_saved(posted.problems), problems=posted.problems)
        try:
            made = broadcast_create(tenant=tenant, actor=actor_of(request), values=posted.values)
        except DraftRefused as refused:
            return Saved(_not_saved(refused.problems), problems=refused.problems)
        return Saved(_saved(made), made)

    def _edit(self, request: HttpRequest, broadcast: Broadcast, posted: forms.Posted) -> Saved:
        if posted.problems:
            return Saved(_not_saved(posted.problems), problems=posted.problems)
        if broadcast.state != State.DRAFT:
            state = words.state_chip(broadcast.state).text.lower()
            return Saved(f"Not saved: it is {state} by now. Reload the page to see it.")
        try:
            saved = broadcast_edit(
                broadcast=broadcast, actor=actor_of(request), values=posted.values, revision=revision_of(request)
            )
        except DraftRefused as refused:
            return Saved(_not_saved(refused.problems), problems=refused.problems)
        except DraftChanged as changed:
            return Saved("Not saved.", conflict=conflict_of(request, changed.newest))
        except WrongState as error:
            return Saved(f"Not saved. {error} Reload the page to see it.")
        return Saved(_saved(saved), saved)

    def _after(self, request: HttpRequest, broadcast: Broadcast | None, done: Saved) -> HttpResponseBase:
        if not request.accepts("text/html"):
            return JsonResponse(self._as_json(request, done))
        if done.broadcast is None and broadcast is not None and done.conflict is None and not done.problems:
            say(request, done.told, bad=True)
            return HttpResponseRedirect(broadcast_url(broadcast))
        if done.broadcast is None:
            base = broadcast or Broadcast(tenant=_tenant(request), time_zone=_own_zone())
            return self.compose_page(request, _typed_over(base, forms.read(request.POST).values), done=done)
        return HttpResponseRedirect(f"{broadcast_url(done.broadcast)}{request.POST.get('_goto', '')[:20]}")

    def _as_json(self, request: HttpRequest, done: Saved) -> dict[str, Any]:
        answer: dict[str, Any] = {"told": done.told, "problems": done.problems}
        if done.conflict:
            answer["conflict"] = done.conflict
        if done.broadcast is not None:
            shown = {**forms.parts(done.broadcast), "may_edit": True}
            answer |= {
                "revision": str(done.broadcast.revision),
                "urls": _urls(done.broadcast),
                "title": done.broadcast.name,
                "parts": {name: render_to_string(f"{TEMPLATES}/_{name}.html", shown, request) for name in PARTS},
            }
        return answer


def _tenant(request: HttpRequest) -> Tenant:
    """Return the tenant that a new broadcast is for: the only one, or the chosen one. Raises: Http404."""
    chosen = request.POST.get("tenant") or request.GET.get("tenant") or ""
    rows = Tenant.objects.order_by("pk")
    if chosen:
        rows = (
            rows.filter(pk=int(chosen)) if chosen.isascii() and chosen.isdecimal() and len(chosen) < 19 else rows.none()
        )
    tenant = rows.first()
    if tenant is None:
        raise Http404("There is no such tenant.")
    return tenant


def _own_zone() -> str:
    return str(settings.TIME_ZONE)


def _typed_over(broadcast: Broadcast, values: Mapping[str, Any]) -> Broadcast:
    """Return a copy that holds what was typed, sound or not, only to be shown again."""
    made = Broadcast(**{each.attname: getattr(broadcast, each.attname) for each in Broadcast._meta.concrete_fields})
    made.tenant = broadcast.tenant
    for name, value in values.items():
        setattr(made, name, value)
    return made


def _saved(broadcast: Broadcast) -> str:
    local = timezone.localtime(broadcast.updated_at)
    is_today = local.date() == timezone.localdate()
    return f"Saved {local:%H:%M}" if is_today else f"Saved {moment(broadcast.updated_at)}"


def _not_saved(problems: Mapping[str, list[str]]) -> str:
    first = next(iter(problems.values()))[0]
    more = sum(map(len, problems.values())) - 1
    return f"Not saved: {first}" + (f" And {more} more." if more else "")


def _urls(broadcast: Broadcast) -> dict[str, str]:
    if broadcast.pk is None:
        return {"change": reverse("admin:broadcasts_broadcast_add")}
    names = ("change", "preview", "check", "changes", "fix", "test", "people", "people_csv")
    return {name: broadcast_url(broadcast, name) for name in names}
