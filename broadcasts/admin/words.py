"""The words staff read about broadcasts: states, fields, what was done. Pure: a value in, text out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from broadcasts.audience import audience_words
from broadcasts.states import Change, State
from deliveries.admin import words
from deliveries.admin.words import Chip

STATES: Final = {
    State.DRAFT: Chip("Draft", "quiet"),
    State.AWAITING_APPROVAL: Chip("Waiting for approval", "warn"),
    State.APPROVED: Chip("Approved", "ok"),
    State.SCHEDULED: Chip("Scheduled", "busy"),
    State.SENDING: Chip("Sending", "busy"),
    State.PAUSED: Chip("Paused", "warn"),
    State.COMPLETED: Chip("Done", "ok"),
    State.CANCELLED: Chip("Cancelled", "quiet"),
    State.FAILED: Chip("Failed", "bad"),
}
FIELDS: Final = {
    "name": "Name",
    "template_code": "Template",
    "title": "Title",
    "body": "Body",
    "action_url": "Link",
    "data": "Values",
    "contact_fallbacks": "Where a field is missing",
    "skip_missing": "Left out where missing",
    "channels": "Channels",
    "reach": "Over",
    "category": "Category",
    "audience": "Who",
    "priority": "Priority",
    "scheduled_at": "When",
    "time_zone": "Time zone",
    "expires_at": "Expires",
    "pace_per_minute": "Speed",
    "group_size": "Small group (people)",
    "group_percent": "Small group (%)",
    "group_minutes": "Small group: wait (minutes)",
    "group_failure_percent": "Small group: stop above (% failed)",
    "state": "State",
    "approved_hash": "Mark of what was approved",
    "approved_size": "People when it was approved",
}
REACHES: Final = {"all": "Every channel that is chosen", "first": "The first channel that reaches the person"}
DONE: Final = {
    "create": "Made it",
    "edit": "Changed it",
    Change.SUBMIT: "Asked for approval",
    Change.WITHDRAW: "Took it back to a draft",
    Change.APPROVE: "Approved it",
    Change.REJECT: "Sent it back",
    Change.SCHEDULE: "Sent it",
    Change.UNDO: "Undid the sending",
    Change.START: "Began",
    Change.PAUSE: "Paused it",
    Change.RESUME: "Resumed it",
    Change.CANCEL: "Cancelled the rest",
    Change.FAIL: "Stopped it",
    Change.COMPLETE: "Finished it",
    Change.REOPEN: "Went on with it",
    Change.EDIT_AGAIN: "Made a draft of it again",
    "speed": "Changed the speed",
    "retry_failed": "Retried what failed",
    "recall": "Removed it from inboxes",
    "recalled": "Took it out of inboxes",
    "group_passed": "Let the rest go after the small group",
    "test": "Sent a test",
}


def state_chip(state: str) -> Chip:
    """Return a state as a chip."""
    return STATES[State(state)]


def done(action: str) -> str:
    """Say what was done; what has no words of its own reads as it is called."""
    return DONE.get(action) or action.replace("_", " ").capitalize()


def field_name(field: str) -> str:
    """Name a field; a figure of an event reads as it is called."""
    return FIELDS.get(field) or field.replace("_", " ").capitalize()


def value_text(field: str, value: Any, names: Mapping[int, str]) -> str:
    """Show a field's value, as events keep it, in one or more lines. "" for nothing. `names`: of saved audiences."""
    match field, value:
        case _, None | "" | [] | {}:
            return ""
        case "state", str():
            return STATES[State(value)].text if value in STATES else value
        case "audience", dict():
            return audience_words(value, tenant_id=0, names=names)
        case "reach", str():
            return REACHES.get(value, value)
        case "priority", int():
            return words.PRIORITIES.get(value, str(value))
        case "pace_per_minute", int():
            return f"{value:,} a minute"
        case "channels", list():
            return ", ".join(words.channel(each) for each in value)
        case "approved_hash", str():
            return value[:12]  # enough to compare by eye; REST has the whole of it
        case (("scheduled_at" | "expires_at"), str()):
            return words.moment(datetime.fromisoformat(value))
        case _, list():
            return ", ".join(map(str, value))
        case _, dict():
            return "\n".join(f"{name}: {each}" for name, each in value.items())
    return f"{value:,}" if type(value) is int else str(value)
