"""The history of a broadcast: who did what, when, from where, and what changed by it. Written here, never changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from broadcasts.actor import Actor
from broadcasts.models import Broadcast, BroadcastEvent


def event_record(
    *,
    broadcast: Broadcast,
    actor: Actor,
    action: str,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    note: str = "",
) -> BroadcastEvent:
    """Write one event. Call it in the transaction of what it tells, so that both are there or neither."""
    return BroadcastEvent.objects.create(
        broadcast=broadcast,
        action=action,
        actor=actor.name[:150],
        staff_id=actor.staff_id,
        address=actor.address[:64],
        before=dict(before or {}),
        after=dict(after or {}),
        note=note[:500],
    )
