"""The page of a broadcast that was sent: what became of it, live, and everything that steers it. Each action calls one service."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, fields
from typing import TYPE_CHECKING, Any, Final

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from broadcasts import changes, control
from broadcasts.admin import live
from broadcasts.admin.base import actor_of, broadcast_get, broadcast_url
from broadcasts.admin.history import history_of
from broadcasts.admin.left_out import left_out_page
from broadcasts.admin.watch_view import Rights, live_context
from broadcasts.admin.words import state_chip
from broadcasts.audience import AudienceError, audience_words
from broadcasts.changes import NotReady, WrongState
from broadcasts.models import Broadcast
from broadcasts.progress import read
from broadcasts.results import Result, results
from deliveries.admin.base import StaffAdmin, post_only, say
from deliveries.admin.words import count
from deliveries.channels import Channel
from deliveries.csv_text import csv_response
from deliveries.dead_letters import CannotRetryError

if TYPE_CHECKING:
    _Base = StaffAdmin
else:
    _Base = object

#: Where events do not get through, the page asks so often.
POLL_SECONDS: Final = 5
MOST_DIGITS: Final = 9


class WatchPages(_Base):
    """What the model admin of broadcasts shows of one that was sent, and does to it."""

    def watch_urls(self) -> list[URLPattern]:
        """Return the addresses of what can be done on the page."""
        view = self.admin_site.admin_view
        done: dict[str, Callable[..., Any]] = {
            "undo": self.undo,
            "pause": self.pause,
            "resume": self.resume,
            "cancel": self.cancel,
            "speed": self.speed,
            "retry": self.retry,
            "recall": self.recall,
            "go_on": self.go_on,
            "edit_again": self.edit_again,
            "look_for_missing": self.look_for_missing,
            "send_missing": self.send_missing,
            "left_out": self.left_out,
            "results": self.results,
        }
        return [
            *(
                path(f"<int:pk>/{name.replace('_', '-')}/", view(action), name=f"broadcasts_broadcast_{name}")
                for name, action in done.items()
            ),
            path("<int:pk>/live/", self.live, name="broadcasts_broadcast_live"),
            path("<int:pk>/events/", self.events, name="broadcasts_broadcast_events"),
        ]

    def watch_page(self, request: HttpRequest, broadcast: Broadcast) -> TemplateResponse:
        """Show it. A fixed number of queries, and none counts rows."""
        missing = request.GET.get("missing", "")
        return self.page(
            request,
            "admin/broadcasts/watch.html",
            title=broadcast.name,
            audience=audience_words(broadcast.audience, tenant_id=broadcast.tenant_id),
            history=history_of(broadcast),
            poll_seconds=POLL_SECONDS,
            missing=int(missing) if missing.isascii() and missing.isdigit() and len(missing) <= MOST_DIGITS else None,
            **live_context(read(broadcast), Rights.of(request)),
        )

    # What renews the page. A signed-out page gets 403, not the login form, which it would show inside itself.

    def live(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Answer with the parts of the page, for who has no events."""
        broadcast = self._watched(request, pk)
        if broadcast is None:
            return HttpResponse(status=403)
        return render(request, live.FIGURES, live_context(read(broadcast), Rights.of(request)))

    def events(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        """Answer with server-sent events: the parts of the page whenever they change."""
        broadcast = self._watched(request, pk)
        return HttpResponse(status=403) if broadcast is None else live.events(request, broadcast, Rights.of(request))

    def _watched(self, request: HttpRequest, pk: int) -> Broadcast | None:
        if not self.admin_site.has_permission(request):
            return None
        broadcast = broadcast_get(pk)
        return broadcast if self.has_view_permission(request, broadcast) else None

    # What is done to it.

    @post_only("send")
    def undo(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Take it back before it began."""

        def do(broadcast: Broadcast) -> str:
            back = changes.broadcast_undo(broadcast=broadcast, actor=actor_of(request))
            return f"Undone: nobody got anything. It is {state_chip(back.state).text.lower()} again."

        return self._do(request, pk, do)

    @post_only("send")
    def pause(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Stop at the next claim."""

        def do(broadcast: Broadcast) -> str:
            changes.broadcast_pause(broadcast=broadcast, actor=actor_of(request))
            return "Paused. What is with a provider at this moment still arrives; nothing else goes out."

        return self._do(request, pk, do)

    @post_only("send")
    def resume(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Go on."""

        def do(broadcast: Broadcast) -> str:
            left = read(broadcast).left
            changes.broadcast_resume(broadcast=broadcast, actor=actor_of(request))
            return f"Resumed: {left:,} left; people already sent to are skipped."

        return self._do(request, pk, do)

    @post_only("send")
    def cancel(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Send nothing more."""

        def do(broadcast: Broadcast) -> str:
            changes.broadcast_cancel(broadcast=broadcast, actor=actor_of(request))
            return "Cancelled: nothing more goes out. What was sent stays sent."

        return self._do(request, pk, do)

    @post_only("send")
    def speed(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Set the speed; an empty field takes the limit away."""
        typed = request.POST.get("pace", "").strip().replace(",", "")

        def do(broadcast: Broadcast) -> str:
            if typed and not (typed.isascii() and typed.isdigit() and len(typed) <= MOST_DIGITS):
                raise ValueError("The speed is a number of messages a minute, such as 600; empty for no limit.")
            pace = int(typed) if typed else None
            control.broadcast_set_speed(broadcast=broadcast, actor=actor_of(request), pace_per_minute=pace)
            return f"The speed is {pace:,} a minute now." if pace else "It goes as fast as its channels go now."

        return self._do(request, pk, do)

    @post_only("send")
    def retry(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Send again what failed for one reason on one channel."""
        reason, _, channel = request.POST.get("cause", "").partition("|")

        def do(broadcast: Broadcast) -> str:
            done = control.broadcast_retry_failed(
                broadcast=broadcast, actor=actor_of(request), reason=reason, channel=channel
            )
            late = f" {count(done.too_late, 'is', 'are')} too late now." if done.too_late else ""
            late += f" {count(done.stopped, 'waits', 'wait')} for a lane that is paused." if done.stopped else ""
            if not done.moved:
                return f"Nothing was retried: an earlier click did it, or nothing is left.{late}"
            return f"{count(done.moved, 'message goes', 'messages go')} out again.{late}"

        return self._do(request, pk, do)

    @post_only("send")
    def recall(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Remove it from inboxes."""

        def do(broadcast: Broadcast) -> str:
            if Channel.WS not in broadcast.channels:
                return "It went to no inbox: nothing was changed."
            done = control.broadcast_recall(broadcast=broadcast, actor=actor_of(request))
            return f"Removed from {count(done.removed, 'inbox', 'inboxes')}. Nothing more of it gets there."

        return self._do(request, pk, do)

    @post_only("send")
    def go_on(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Send it to the rest before the small group's time is over."""

        def do(broadcast: Broadcast) -> str:
            control.broadcast_go_on(broadcast=broadcast, actor=actor_of(request))
            return "The rest gets it now."

        return self._do(request, pk, do)

    @post_only("change")
    def edit_again(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Make a draft of one that failed before anything of it went out."""

        def do(broadcast: Broadcast) -> str:
            changes.broadcast_edit_again(broadcast=broadcast, actor=actor_of(request))
            return "It is a draft again."

        return self._do(request, pk, do)

    @post_only("send")
    def look_for_missing(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Count who of the audience has neither a message nor a reason. Changes nothing; a POST, since it costs something."""
        broadcast = broadcast_get(pk)
        try:
            found = control.broadcast_missing(broadcast=broadcast)
        except AudienceError as error:
            say(request, f"Nobody was looked for. Audience: {error}", bad=True)
            return HttpResponseRedirect(broadcast_url(broadcast))
        if not found:
            say(request, "Nobody is missing: everybody of the audience has a message, or a reason for none.")
        return HttpResponseRedirect(f"{broadcast_url(broadcast)}?missing={found}#missing")

    @post_only("send")
    def send_missing(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Send it to who is missing."""

        def do(broadcast: Broadcast) -> str:
            found = control.broadcast_send_missing(broadcast=broadcast, actor=actor_of(request))
            if not found:
                return "Nobody is missing any more: nothing was changed."
            return f"{count(found, 'message goes', 'messages go')} to who was missing. Nobody gets it twice."

        return self._do(request, pk, do)

    def left_out(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        """Show who gets nothing, and why."""
        broadcast = broadcast_get(pk)
        if not self.has_view_permission(request, broadcast):
            raise PermissionDenied
        return left_out_page(self, request, broadcast)

    def results(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        """Download what became of everybody, those left out included. The table holds addresses, so it is for who may see deliveries."""
        broadcast = broadcast_get(pk)
        if not (self.has_view_permission(request, broadcast) and Rights.of(request).may_see_rows):
            raise PermissionDenied
        return csv_response(
            request,
            filename=f"broadcast-{broadcast.pk}.csv",
            header=[field.name for field in fields(Result)],
            rows=map(astuple, results(broadcast)),
        )

    def _do(self, request: HttpRequest, pk: int, do: Callable[[Broadcast], str]) -> HttpResponse:
        """Do it and say what came of it; where the state does not allow it, say so: nothing was changed."""
        broadcast = broadcast_get(pk)
        try:
            say(request, do(broadcast))
        except (WrongState, NotReady, CannotRetryError, ValueError, TimeoutError) as error:
            say(request, f"Nothing was changed: {error}", bad=True)
        return HttpResponseRedirect(broadcast_url(broadcast))
