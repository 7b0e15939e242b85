"""What the compose page says of a review: who gets it, who does not and why, what blocks it, how long it takes, what may be pressed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from broadcasts.admin import words
from broadcasts.admin.compose_forms import zone_of
from broadcasts.approvers import NOBODY_LEFT, has_approver
from broadcasts.audience import AudienceTooSlowError, at_most, audience_words
from broadcasts.changes import needs_approval, undo_seconds
from broadcasts.check import Checked, Lacking
from broadcasts.models import Broadcast, LeftOut
from broadcasts.review import Review, lacking_told, review
from deliveries.admin.words import channel, count, duration
from deliveries.channels import Priority
from deliveries.models import Contact

SHOWN_UNKNOWN: Final = 10
#: What stands where a broadcast has one of these; their defaults go without saying.
FACTS: Final = (
    "template_code", "title", "body", "action_url", "data", "contact_fallbacks", "skip_missing", "channels", "reach", "category",
    "pace_per_minute", "group_size", "group_percent", "priority",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Blocker:
    """A sentence; `lacking` where two buttons can mend it; `step`: where else it is mended."""

    text: str
    step: str
    lacking: Lacking | None = None


@dataclass(frozen=True, slots=True)
class Wont:
    """Messages that do not go out: over which channel, for which reason, how many."""

    channel: str
    channel_word: str
    reason: str
    reason_word: str
    count: int


def checked_context(broadcast: Broadcast) -> dict[str, Any]:
    """Return what the page shows of who gets a broadcast, or `too_slow` with the sentence that says so."""
    try:
        with at_most(settings.AUDIENCE_COUNT_TIMEOUT_SECONDS):
            reviewed = review(broadcast)
    except AudienceTooSlowError as error:
        return {"too_slow": str(error)}
    checked = reviewed.checked
    return {
        "review": reviewed,
        "checked": checked,
        "blockers": _blockers(reviewed),
        "will": [(channel(name), number) for name, number in checked.will.items()],
        "wont": _wont(checked),
        "unknown": unknown_people(broadcast),
        "takes": _takes(checked),
        "ends": _ends(broadcast, checked),
        "approval_from": settings.BROADCAST_APPROVAL_FROM,
        "needs_approval": needs_approval(checked.reached),
        "has_approver": has_approver(broadcast),
        "nobody_left": NOBODY_LEFT,
        "undo_seconds": round(undo_seconds()),
        "reached": count(checked.reached, "person", "people"),
    }


def facts(broadcast: Broadcast) -> list[tuple[str, str]]:
    """Return everything that a broadcast says, to whom and when, in words: (what, words). One query at most."""
    goes_without_saying = {"reach"} if len(broadcast.channels) < 2 else set()
    goes_without_saying |= {"priority"} if broadcast.priority == Priority.LOW else set()
    named = [name for name in FACTS if name not in goes_without_saying]
    told = [(words.field_name(name), words.value_text(name, getattr(broadcast, name), {})) for name in named]
    who = audience_words(broadcast.audience, tenant_id=broadcast.tenant_id) if broadcast.audience else "Nobody yet"
    planned = moment_words(broadcast, "scheduled_at") or "At once"
    expires = moment_words(broadcast, "expires_at")
    return [each for each in (*told, ("Who", who), ("When", planned), ("Expires", expires)) if each[1]]


def moment_words(broadcast: Broadcast, name: str) -> str:
    """Say a broadcast's own moment in its own time zone: `3 Dec 2026 09:00 (Europe/Berlin)`. "" for none."""
    at = getattr(broadcast, name)
    return f"{at.astimezone(zone_of(broadcast)):%-d %b %Y %H:%M} ({broadcast.time_zone})" if at else ""


def unknown_people(broadcast: Broadcast) -> list[tuple[int, str]]:
    """Return the pasted user ids that are no contact, each with its place among them. One query, none where nobody was pasted."""
    pasted = broadcast.audience.get("user_ids", []) if broadcast.audience.get("type") == "users" else []
    if not pasted:
        return []
    known = set(
        Contact.objects.filter(tenant=broadcast.tenant_id, user_id__in=pasted).values_list("user_id", flat=True)
    )
    return [(place, each) for place, each in enumerate(pasted, 1) if UUID(each) not in known]


def _blockers(reviewed: Review) -> list[Blocker]:
    mendable = {lacking_told(each): each for each in reviewed.checked.lacking if each.fails}
    return [Blocker(text, _step(text), mendable.get(text)) for text in reviewed.blockers]


def _step(text: str) -> str:
    """Return the step of the page where a blocker is mended."""
    if any(word in text for word in ("planned time", "expire")):
        return "when"
    return "who" if any(word in text for word in ("udience", "Nobody")) else "message"


def _wont(checked: Checked) -> list[Wont]:
    labels = dict(LeftOut.Reason.choices)
    rows = [
        Wont(name, channel(name) if name else "Any channel", reason, str(labels.get(reason, reason)), number)
        for (name, reason), number in checked.wont.items()
    ]
    return sorted(rows, key=lambda row: -row.count)


def _takes(checked: Checked) -> str:
    return "" if checked.seconds is None else duration(timedelta(seconds=checked.seconds))


def _ends(broadcast: Broadcast, checked: Checked) -> Any:
    if checked.seconds is None:
        return None
    return max(broadcast.scheduled_at or timezone.now(), timezone.now()) + timedelta(seconds=checked.seconds)
