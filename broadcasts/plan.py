"""When a broadcast goes out: the planned time, the expiry. Pure; `now` is given."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from broadcasts.models import Broadcast

#: What is planned further ahead is taken for a slip of the pen, as with jobs (`send_after`).
FURTHEST: Final = timedelta(days=366)


def planned_problem(broadcast: Broadcast, now: datetime) -> str:
    """Return what is wrong with its planned time, or ""."""
    at = broadcast.scheduled_at
    if at is None:
        return ""
    if at < now:
        return "The planned time has passed. Choose a later one, or none to send it at once."
    return "The planned time is more than a year ahead. Choose an earlier one." if at > now + FURTHEST else ""


def expiry_problem(broadcast: Broadcast, now: datetime) -> str:
    """Return what is wrong with its expiry, or ""."""
    if broadcast.expires_at is None:
        return ""
    if broadcast.expires_at <= max(now, broadcast.scheduled_at or now):
        return "It would expire before it goes out. Choose a later expiry, or none."
    return ""
