"""The buttons below a review: ask for approval, approve, send back, take back, send. Each calls one service on exactly what was seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path

from broadcasts import changes
from broadcasts.admin.base import actor_of, broadcast_get, broadcast_url
from broadcasts.admin.words import state_chip
from broadcasts.approval import is_in_band
from broadcasts.approvers import is_alone
from broadcasts.models import Broadcast
from broadcasts.review import Review, review
from broadcasts.states import State
from deliveries.admin.base import StaffAdmin, post_only, say

if TYPE_CHECKING:
    _Base = StaffAdmin
else:
    _Base = object


class NotSeen(Exception):
    """It is no longer what the person looked at. Nothing was done."""


class DecisionPages(_Base):
    """What the model admin of broadcasts does with a reviewed one."""

    def decision_urls(self) -> list[URLPattern]:
        """Return the buttons' addresses."""
        own: dict[str, Callable[..., Any]] = {
            "submit": self.submit, "withdraw": self.withdraw, "approve": self.approve, "reject": self.reject, "send": self.send,
        }  # fmt: skip
        view = self.admin_site.admin_view
        return [
            path(f"<int:pk>/{name}/", view(each), name=f"broadcasts_broadcast_{name}") for name, each in own.items()
        ]

    @post_only("change")
    def submit(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask for approval."""

        def do(broadcast: Broadcast) -> str:
            changes.broadcast_submit(broadcast=broadcast, actor=actor_of(request), review=_seen(request, broadcast))
            return "Asked for approval. Whoever may approve finds it among those that wait."

        return _done(request, pk, do)

    @post_only("change")
    def withdraw(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Take it back to a draft, and the approval or the request for it away."""

        def do(broadcast: Broadcast) -> str:
            changes.broadcast_withdraw(broadcast=broadcast, actor=actor_of(request))
            return "It is a draft again. It needs a new approval before it goes out."

        return _done(request, pk, do)

    @post_only("approve")
    def approve(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Approve exactly what was seen."""

        def do(broadcast: Broadcast) -> str:
            changes.broadcast_approve(broadcast=broadcast, actor=actor_of(request), review=_seen(request, broadcast))
            return "Approved, as it stands. An edit would take the approval away."

        return _done(request, pk, do)

    @post_only("approve")
    def reject(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Send it back to its writer, with a word why."""
        note = request.POST.get("note", "").strip()

        def do(broadcast: Broadcast) -> str:
            if not note:
                raise NotSeen("Say why, so that its writer knows what to change.")
            changes.broadcast_reject(broadcast=broadcast, actor=actor_of(request), note=note)
            return "Sent back. Its writer reads your note on its page."

        return _done(request, pk, do)

    @post_only("send")
    def send(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Let it go out to those who were seen; a second press changes nothing and says so."""
        typed = request.POST.get("typed_count", "").replace(",", "").replace(" ", "")

        def do(broadcast: Broadcast) -> str:
            _sent, is_new = changes.broadcast_send(
                broadcast=broadcast,
                actor=actor_of(request),
                review=_seen(request, broadcast),
                undo_seconds=changes.undo_seconds(),
                typed_count=int(typed) if typed.isascii() and typed.isdecimal() and len(typed) < 12 else None,
                may_approve_alone=is_alone(actor_of(request)),
            )
            if not is_new:
                return f"Nothing changed: it was sent before and is {state_chip(broadcast.state).text.lower()}."
            return "It is planned." if broadcast.scheduled_at else "It goes out. Until it begins you can undo it."

        return _done(request, pk, do)


def _seen(request: HttpRequest, broadcast: Broadcast) -> Review:
    """Review it again; refuse where it is another one, or goes to many others, than the person saw. Raises: NotSeen."""
    if broadcast.state in {State.DRAFT, State.AWAITING_APPROVAL, State.APPROVED}:
        if request.POST.get("revision") != str(broadcast.revision):
            raise NotSeen(f"{broadcast.updated_by} changed it after you looked. Look at it again.")
        reviewed = review(broadcast)
        if not reviewed.blockers:  # what is blocked has no hash, and the service says why it is
            _require_seen(request, reviewed)
        return reviewed
    return review(broadcast)


def _require_seen(request: HttpRequest, reviewed: Review) -> None:
    """Refuse where words or people are others than those on the page, or the page said of none. Raises: NotSeen."""
    people, reached = request.POST.get("people", ""), reviewed.checked.reached
    if not (people.isascii() and people.isdecimal() and len(people) < 12 and request.POST.get("hash")):
        raise NotSeen(
            "The page did not say which words and people you saw. This is what is there now; look at it again."
        )
    if not is_in_band(approved=int(people), now=reached):
        raise NotSeen(f"You saw {int(people):,} people and it would reach {reached:,} now. Look at it again.")
    if request.POST["hash"] != reviewed.hash:
        raise NotSeen(
            "Its template, mail frame or audience was changed after you looked. This is what is there now; look at it again."
        )


def _done(request: HttpRequest, pk: int, do: Callable[[Broadcast], str]) -> HttpResponse:
    """Do it, say what became of it, and return to the page."""
    broadcast = broadcast_get(pk)
    try:
        say(request, do(broadcast))
    except (changes.NotReady, changes.OwnApproval, changes.WrongState, NotSeen) as error:
        say(request, f"Nothing was done. {error}", bad=True)
    return HttpResponseRedirect(broadcast_url(broadcast))
