"""Reading holds: what is on hold now, and which hold a delivery waits for. They are made and ended by `lifecycle`. Reads only."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import Q

from deliveries.models import Delivery, Hold, Lane

#: All that waits, as the predicates of the two indexes that hold it: what can be claimed, and what was put aside.
WAITS = Q(next_attempt_at__isnull=False, lease_expires_at=None, hold=None) | Q(hold__isnull=False)


def holds_in_force() -> list[Hold]:
    """Return what is on hold now, the oldest first, each with its tenant. One query."""
    return list(Hold.objects.filter(let_go_at=None, ended_at=None).select_related("tenant").order_by("id"))


def hold_of(row: Delivery, holds: Sequence[Hold]) -> Hold | None:
    """Return the hold that a delivery waits for, the oldest where several mean it; None where it does not wait or none does."""
    return next((hold for hold in holds if _is_meant(row, hold)), None) if row.is_waiting else None


def hold_of_lane(lane: Lane, holds: Sequence[Hold]) -> Hold | None:
    """Return the hold that keeps a whole lane waiting."""
    whole = (hold for hold in holds if hold.is_of_lanes)
    return next(
        (h for h in whole if h.covers(tenant_id=lane.tenant_id, channel=lane.channel, template_code="", category="")),
        None,
    )


def waiting_for(holds: Sequence[Hold]) -> Q:
    """Return the condition that a delivery waits for one of `holds`. None of them: no delivery."""
    meant = Q(pk__in=[])
    for hold in holds:
        asked = {
            "tenant_id": hold.tenant_id,
            "channel": hold.channel,
            "template_code": hold.template_code,
            "category": hold.category,
        }
        meant |= Q(**{name: value for name, value in asked.items() if value})
    return WAITS & meant


def _is_meant(row: Delivery, hold: Hold) -> bool:
    return hold.covers(
        tenant_id=row.tenant_id, channel=row.channel, template_code=row.template_code, category=row.category
    )
