"""The dashboard's panel of broadcasts that are on their way: name, bar, rate, end, by the figures that the worker counted last."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import Any, Final

from django.utils import timezone

from broadcasts.admin.base import broadcast_url
from broadcasts.admin.words import state_chip
from broadcasts.models import Broadcast, BroadcastPoint
from broadcasts.progress import progress
from broadcasts.states import ACTIVE
from deliveries.admin.panels import Panel, panel_register

MOST: Final = 10
#: Points this old are enough for the rate.
RECENT: Final = timedelta(minutes=10)


def running() -> dict[str, Any]:
    """Return those that are being sent or paused, the newest first, at most MOST. Two queries; one when there are none."""
    now = timezone.now()
    found = list(Broadcast.objects.filter(state__in=ACTIVE).order_by("-id").defer("body", "data")[: MOST + 1])
    if not found:
        return {}
    points: defaultdict[int, list[BroadcastPoint]] = defaultdict(list)
    recent = BroadcastPoint.objects.filter(broadcast__in=[each.pk for each in found], minute__gt=now - RECENT)
    for point in recent.order_by("minute"):
        points[point.broadcast_id].append(point)
    return {
        "has_more": len(found) > MOST,
        "running": [
            {
                "broadcast": each,
                "now": progress(each, points[each.pk], made=0, now=now),
                "state": state_chip(each.state),
                "url": broadcast_url(each),
            }
            for each in found[:MOST]
        ],
    }


panel_register(
    Panel("broadcasts", "admin/broadcasts/_running.html", permission="broadcasts.view_broadcast", read=running)
)
