"""The states of a broadcast and which change leads from where to where. Pure; `changes.py` is the only one that writes them."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class State(StrEnum):
    """What a broadcast is in (docs/broadcasts.md draws it)."""

    DRAFT = "draft"
    AWAITING_APPROVAL = "awaiting_approval"
    APPROVED = "approved"
    SCHEDULED = "scheduled"
    SENDING = "sending"
    PAUSED = "paused"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    FAILED = "failed"


class Change(StrEnum):
    """What somebody does to a broadcast, or what the worker does by itself."""

    SUBMIT = "submit"
    WITHDRAW = "withdraw"
    APPROVE = "approve"
    REJECT = "reject"
    SCHEDULE = "schedule"
    UNDO = "undo"
    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    FAIL = "fail"
    COMPLETE = "complete"
    REOPEN = "reopen"
    EDIT_AGAIN = "edit_again"


#: From which states a change leads where. UNDO leads back to where it was sent from (`changes.py`).
PATHS: Final[dict[Change, tuple[frozenset[State], State]]] = {
    Change.SUBMIT: (frozenset({State.DRAFT}), State.AWAITING_APPROVAL),
    Change.WITHDRAW: (frozenset({State.AWAITING_APPROVAL, State.APPROVED}), State.DRAFT),
    Change.APPROVE: (frozenset({State.AWAITING_APPROVAL}), State.APPROVED),
    Change.REJECT: (frozenset({State.AWAITING_APPROVAL}), State.DRAFT),
    Change.SCHEDULE: (frozenset({State.DRAFT, State.APPROVED}), State.SCHEDULED),
    Change.UNDO: (frozenset({State.SCHEDULED}), State.DRAFT),
    Change.START: (frozenset({State.SCHEDULED}), State.SENDING),
    Change.PAUSE: (frozenset({State.SENDING}), State.PAUSED),
    Change.RESUME: (frozenset({State.PAUSED}), State.SENDING),
    Change.CANCEL: (
        frozenset({State.AWAITING_APPROVAL, State.APPROVED, State.SCHEDULED, State.SENDING, State.PAUSED}),
        State.CANCELLED,
    ),
    Change.FAIL: (frozenset({State.SCHEDULED, State.SENDING}), State.FAILED),
    Change.COMPLETE: (frozenset({State.SENDING}), State.COMPLETED),
    Change.REOPEN: (frozenset({State.COMPLETED}), State.SENDING),
    Change.EDIT_AGAIN: (frozenset({State.FAILED}), State.DRAFT),
}

#: Words may change in these; in the last two an edit takes the approval away.
EDITABLE: Final = frozenset({State.DRAFT, State.AWAITING_APPROVAL, State.APPROVED})
#: Rows may be waiting or on their way.
ACTIVE: Final = frozenset({State.SENDING, State.PAUSED})
#: Send was pressed, and nobody took it back: pressing it again changes nothing.
SENT: Final = frozenset({State.SCHEDULED, *ACTIVE, State.COMPLETED})
ENDED: Final = frozenset({State.COMPLETED, State.CANCELLED, State.FAILED})
#: The states as 001 names them, in its log line and under its paths. What is not here is called as it is.
OF_001: Final = {State.PAUSED: "sending", State.COMPLETED: "sent"}


def status_of_001(state: str) -> str:
    """Return a state as document 001 names it."""
    return OF_001.get(State(state), state)
