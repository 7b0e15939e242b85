"""Undeliverable: groups by cause, channel and template; a group's sample, fix, Retry, Dismiss.

The services are in `deliveries/dead_letters.py`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse

from deliveries import dead_letters as services
from deliveries.admin import words
from deliveries.admin.base import audit, post_only, say, staff_name
from deliveries.admin.origins import Origin, origins_of
from deliveries.admin.paging import KeysetAdmin
from deliveries.admin.people import contacts_of
from deliveries.figures import Retries, forget, retries
from deliveries.models import DeadLetter
from deliveries.reasons import Reason, describe

State = DeadLetter.State
Kind = DeadLetter.Kind
#: Tab → title, state, kind.
TABS: Final = {
    "open": ("Open", State.OPEN, Kind.FAILED),
    "retrying": ("Retrying", State.RETRYING, None),
    "dismissed": ("Dismissed", State.DISMISSED, None),
    "unreadable": ("Unreadable", State.OPEN, Kind.REJECTED),
}
FIRST: Final = 10
DEFAULT_PACE: Final = 200
MOST_PACE: Final = 1_000_000
#: One click retries no more than this, so that it is answered in time; the rest stays open for the next click.
MOST_AT_ONCE: Final = 20_000
SAMPLES: Final = 20
BADGE_LIMIT: Final = 1000


@dataclass(frozen=True, slots=True)
class Row:
    """One group as the page shows it."""

    group: services.Group
    reason: Reason
    channel: str
    url: str
    sample: str
    retries: Retries | None
    origin: Origin | None


@admin.register(DeadLetter)
class DeadLetterAdmin(KeysetAdmin):
    """Groups instead of a list; single dead letters are reached from their group."""

    def get_urls(self) -> list[URLPattern]:
        """Add the group's page and its actions."""
        view = self.admin_site.admin_view
        return [
            path("group/", view(self.group), name="deliveries_deadletter_group"),
            path("retry/", view(self.retry), name="deliveries_deadletter_retry"),
            path("dismiss/", view(self.dismiss), name="deliveries_deadletter_dismiss"),
            *super().get_urls(),
        ]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Dead letters are made by ingest and the lifecycle."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Dead letters are dismissed, and end by retention."""
        return False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the groups of one tab. A fixed number of queries."""
        self._must_view(request)
        tab = request.GET.get("tab", "open")
        title, state, kind = TABS.get(tab, TABS["open"])
        found = services.groups(tenant_ids=None, state=state, kind=kind)
        return self.page(
            request,
            "admin/deliveries/deadletter/groups.html",
            title="Undeliverable",
            tabs=[(name, text, name == tab, _bounded(_in_tab(name))) for name, (text, _, _) in TABS.items()],
            tab=tab if tab in TABS else "open",
            tab_title=title,
            rows=self._rows(request, found, tab),
        )

    def group(self, request: HttpRequest) -> HttpResponse:
        """Show one group: its sample, the likely fix, how far its retries are, and what can be done."""
        self._must_view(request)
        key, tab = _key(request.GET), request.GET.get("tab", "open")
        state = TABS.get(tab, TABS["open"])[1]
        letters = _letters(key, state)
        rows = list(letters.select_related("delivery__lane").order_by("-id")[:SAMPLES])
        everything = services.groups(tenant_ids=None, state=state, kind=key.kind)
        group = next((one for one in everything if _same(one.key, key)), None)
        contacts = contacts_of(row.delivery for row in rows if row.delivery is not None)
        is_open = key.can_retry and state == State.OPEN
        too_late = services.too_late(group=key) if is_open else 0
        stopped = services.stopped(group=key) if is_open else services.Stopped()
        return self.page(
            request,
            "admin/deliveries/deadletter/group.html",
            title=describe(key.reason).title,
            key=key,
            tab=tab,
            state=state,
            group=group,
            reason=describe(key.reason),
            channel=words.channel(key.channel),
            letters=[
                (row, row.delivery and contacts.get((row.delivery.tenant_id, row.delivery.user_id))) for row in rows
            ],
            sample=_sample(rows[0]) if rows else "",
            too_late=too_late,
            stopped=stopped,
            can_go=max(0, group.count - too_late - sum(stopped)) if group else 0,
            origin=origins_of(request, [key.template_code]).get(key.template_code),
            retries=retries().get((key.reason, key.channel, key.template_code)) if key.can_retry else None,
            may_change=self.has_change_permission(request) and state == State.OPEN,
            first=FIRST,
            pace=DEFAULT_PACE,
            query=_query(key),
        )

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show one unreadable record; what failed has the page of its delivery."""
        self._must_view(request)
        letter = DeadLetter.objects.filter(pk=object_id).first() if object_id.isdigit() else None
        if letter is None:
            raise Http404("There is no such dead letter.")
        if letter.delivery_id is not None:
            return HttpResponseRedirect(reverse("admin:deliveries_delivery_change", args=[letter.delivery_id]))
        return self.page(
            request,
            "admin/deliveries/deadletter/record.html",
            title="Unreadable record",
            letter=letter,
            reason=describe(letter.reason),
            raw=readable(letter.raw),
            size=len(letter.raw or b""),
        )

    @post_only("change")
    def retry(self, request: HttpRequest) -> HttpResponse:
        """Send the oldest of a group again, or all at a speed. What is too late stays where it is."""
        key = _key(request.POST)
        if request.POST.get("all"):
            pace = request.POST.get("pace", "")
            if not pace.isdigit() or not 1 <= int(pace) <= MOST_PACE:
                say(request, f"The speed must be a number from 1 to {MOST_PACE:,} a minute.", bad=True)
                return HttpResponseRedirect(_group_url(key))
            limit, speed = MOST_AT_ONCE, int(pace)
        else:
            limit, speed = FIRST, None
        sample = _letters(key, State.OPEN).first()
        try:
            done = services.retry(group=key, limit=limit, pace_per_minute=speed, by=staff_name(request))
        except services.CannotRetryError as error:
            say(request, str(error), bad=True)
            return HttpResponseRedirect(_group_url(key))
        if sample is not None and done.moved:
            at = f" at {speed} a minute" if speed else ""
            audit(request, [sample], f"Retried {done.moved} of {_name(key)}{at}.")
        forget()
        say(request, _what_was_retried(done, speed, limit), bad=not done.moved)
        return HttpResponseRedirect(_group_url(key))

    @post_only("change")
    def dismiss(self, request: HttpRequest) -> HttpResponse:
        """Settle a group without sending anything."""
        key, note = _key(request.POST), request.POST.get("note", "").strip()
        if not note:
            say(request, "Say why, for those who ask later.", bad=True)
            return HttpResponseRedirect(_group_url(key))
        sample = _letters(key, State.OPEN).first()
        done = services.dismiss(group=key, note=note, by=staff_name(request))
        if sample is not None and done:
            audit(request, [sample], f"Dismissed {done} of {_name(key)}: {note}")
        forget()
        say(request, f"Dismissed {done:,}." if done else "There was nothing left to dismiss.", bad=not done)
        tab = "open" if key.can_retry else "unreadable"
        return HttpResponseRedirect(f"{reverse('admin:deliveries_deadletter_changelist')}?tab={tab}")

    def _must_view(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied

    def _rows(self, request: HttpRequest, found: Sequence[services.Group], tab: str) -> list[Row]:
        """Add each group's sample, whose messages they are and, where something was retried, how far that is: three queries for all."""
        samples = DeadLetter.objects.in_bulk([group.sample_id for group in found])
        counts = retries() if tab in ("open", "retrying") and found else {}
        origins = origins_of(request, [group.key.template_code for group in found])
        return [
            Row(
                group=group,
                reason=describe(group.key.reason),
                channel=words.channel(group.key.channel),
                url=_group_url(group.key, tab),
                sample=samples[group.sample_id].error_message if group.sample_id in samples else "",
                retries=counts.get((group.key.reason, group.key.channel, group.key.template_code)),
                origin=origins.get(group.key.template_code),
            )
            for group in found
        ]


def open_badge(request: HttpRequest) -> str:
    """Return how many dead letters are open, for the navigation; empty for none. Counts no further than BADGE_LIMIT."""
    if not request.user.has_perm("deliveries.view_deadletter"):
        return ""
    return _bounded(DeadLetter.objects.filter(state=State.OPEN))


def _in_tab(tab: str) -> QuerySet[DeadLetter]:
    _, state, kind = TABS[tab]
    rows = DeadLetter.objects.filter(state=state)
    return rows.filter(kind=kind) if kind else rows


def _bounded(rows: QuerySet[DeadLetter]) -> str:
    count = rows.order_by()[:BADGE_LIMIT].count()
    return f"{BADGE_LIMIT - 1}+" if count >= BADGE_LIMIT else str(count or "")


def readable(raw: bytes | memoryview | None) -> str:
    """Return a record's bytes as text that can be looked at: what is no text, and what a screen would hide, is escaped."""
    text = bytes(raw or b"").decode("utf-8", "backslashreplace")
    return "".join(
        one if one in "\n\t" or unicodedata.category(one)[0] != "C" else one.encode("unicode_escape").decode()
        for one in text
    )


def _key(values: Any) -> services.GroupKey:
    """Read a group's key from a query or a form. Raises Http404 for what names none."""
    kind = values.get("kind", Kind.FAILED)
    if not values.get("reason") or kind not in Kind.values:
        raise Http404("There is no such group.")
    return services.GroupKey(
        reason=values["reason"], channel=values.get("channel", ""), template_code=values.get("template", ""), kind=kind
    )


def _query(key: services.GroupKey) -> dict[str, str]:
    return {"reason": key.reason, "channel": key.channel, "template": key.template_code, "kind": str(key.kind)}


def _group_url(key: services.GroupKey, tab: str = "") -> str:
    tab = tab or ("open" if key.can_retry else "unreadable")
    return f"{reverse('admin:deliveries_deadletter_group')}?{urlencode({'tab': tab, **_query(key)})}"


def _same(one: services.GroupKey, other: services.GroupKey) -> bool:
    return _query(one) == _query(other)


def _name(key: services.GroupKey) -> str:
    return " / ".join(part for part in (key.reason, key.channel, key.template_code) if part)


def _letters(key: services.GroupKey, state: str) -> Any:
    return DeadLetter.objects.filter(
        state=state, reason=key.reason, channel=key.channel, template_code=key.template_code, kind=key.kind
    )


def _sample(letter: DeadLetter) -> str:
    return readable(letter.raw) if letter.raw is not None else letter.error_message


def _what_was_retried(done: services.Retried, pace: int | None, limit: int) -> str:
    late = [f"{done.too_late:,} too late"] if done.too_late else []
    paused = [f"{done.paused:,} of a broadcast that is paused"] if done.paused else []
    cancelled = [f"{done.cancelled:,} of a broadcast that was cancelled"] if done.cancelled else []
    left = [*late, *paused, *cancelled]
    stay = f" Left here: {', '.join(left)}." if left else ""
    if not done.moved:
        return f"Nothing to retry.{stay}"
    speed = f" at {pace:,} a minute" if pace else ""
    more = " Press again for the rest." if pace and done.moved >= limit else ""
    return f"{words.count(done.moved, 'message')} on the way again{speed}.{more}{stay}"
