"""`submit/`, `withdraw/`, `approve/`, `reject/`, `edit-again/`: from a draft to something that may be sent, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from rest_framework.request import Request
from rest_framework.response import Response

from broadcasts.api.calling import BroadcastView, actor_of, taken
from broadcasts.api.serializers import BroadcastSerializer, StrictSerializer
from broadcasts.changes import (
    WrongState,
    broadcast_approve,
    broadcast_edit_again,
    broadcast_reject,
    broadcast_submit,
    broadcast_withdraw,
)
from broadcasts.review import review
from broadcasts.states import State
from deliveries.api.callers import caller_of
from deliveries.api.documentation import TENANT_PARAMETER, Handler, documented, errors
from deliveries.api.errors import ApiError
from deliveries.api.fields import TextField

WRITES = {"POST": ("change",)}
APPROVES = {"POST": ("approve",)}


_LOOK: Final = "Give the `hash` that `dry-run/` answered: it says which words and people you looked at."


class ApproveSerializer(StrictSerializer):
    """What was looked at."""

    hash = TextField(
        max_length=64,
        help_text="As `dry-run/` gave it.",
        error_messages=dict.fromkeys(("required", "blank", "null"), _LOOK),
    )


class NoteSerializer(StrictSerializer):
    """A word why."""

    note = TextField(max_length=500, required=False, allow_blank=True, default="")


def action(name: str, summary: str, description: str = "", request: Any = None) -> Callable[[Handler], Handler]:
    """Describe an action that answers with the broadcast."""
    return documented(
        operation_id=f"broadcasts_{name}",
        tags=["broadcasts"],
        summary=summary,
        description=description,
        parameters=[TENANT_PARAMETER],
        request=request,
        responses={200: BroadcastSerializer, **errors(400, 404, 409, *((413, 415) if request else ()))},
    )


class SubmitView(BroadcastView):
    """Ask for approval."""

    staff_actions = WRITES

    @action("submit", "Ask for the approval of a draft", "409 `not_ready` with `problems` while something blocks it.")
    def post(self, request: Request, broadcast_id: int) -> Response:
        """Submit what is there now."""
        broadcast = self.find(broadcast_id)
        with self.refusals():
            found = review(broadcast)
            return self.word(broadcast_submit(broadcast=broadcast, actor=actor_of(request), review=found))


class WithdrawView(BroadcastView):
    """Take it back."""

    staff_actions = WRITES

    @action("withdraw", "Take it back from approval, to a draft")
    def post(self, request: Request, broadcast_id: int) -> Response:
        """Withdraw it."""
        return self.act(broadcast_withdraw, broadcast_id)


def require_person(request: Request) -> None:
    """Refuse keys: one has no owner, so that a second of them would be no second person. Raises: ApiError 403 `staff_only`."""
    if caller_of(request).staff_id is None:
        raise ApiError(403, "staff_only", "Only people approve or send back: sign in as staff. A key may do the rest.")


class ApproveView(BroadcastView):
    """Approve."""

    staff_actions = APPROVES

    @action(
        "approve",
        "Approve exactly what was looked at",
        (
            "For staff: a key gets 403 `staff_only`. 403 `own_approval` for who wrote it or asked. `hash` is what `dry-run/` answered; 409 "
            "`changed_meanwhile` where the words or the audience are others by now: look again."
        ),
        request=ApproveSerializer,
    )
    def post(self, request: Request, broadcast_id: int) -> Response:
        """Approve it, if it is what the caller saw."""
        broadcast = self.find(broadcast_id)
        require_person(request)
        seen = taken(ApproveSerializer(data=request.data))["hash"]
        with self.refusals():
            if broadcast.state != State.AWAITING_APPROVAL:
                raise WrongState(broadcast, "approve")
            found = review(broadcast)
            if not found.blockers and seen != found.hash:
                raise ApiError(
                    409, "changed_meanwhile", "Words or audience were changed since that dry run. Do another."
                )
            return self.word(broadcast_approve(broadcast=broadcast, actor=actor_of(request), review=found))


class RejectView(BroadcastView):
    """Send it back."""

    staff_actions = APPROVES

    @action("reject", "Send it back to its writer", "For staff: a key gets 403 `staff_only`.", request=NoteSerializer)
    def post(self, request: Request, broadcast_id: int) -> Response:
        """Reject it with a word why."""
        self.find(broadcast_id)
        require_person(request)
        return self.act(broadcast_reject, broadcast_id, NoteSerializer)


class EditAgainView(BroadcastView):
    """Begin again."""

    staff_actions = WRITES

    @action("edit_again", "Make a draft of one that failed before anything was made of it")
    def post(self, request: Request, broadcast_id: int) -> Response:
        """Make it a draft."""
        return self.act(broadcast_edit_again, broadcast_id)
