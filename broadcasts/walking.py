"""What a walk through a broadcast's audience is made of: the SELECT of its people, their judgement, and keeping how far it is.

For preparing it (`preparing.py`) and for each chunk (`fan_out.py`).
"""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings

from broadcasts import job_ids
from broadcasts.audience import audience_condition
from broadcasts.conditions import Params
from broadcasts.judging import COLUMNS, judged, shared_params
from broadcasts.models import Broadcast
from broadcasts.states import State
from deliveries.lifecycle import unserved

#: The small group is drawn by a hash of the contact's and the broadcast's id, so that it is no special kind of people, and another
#: one each time.
DRAWN: Final = "hashint8extended({contact}, %(broadcast)s)"


class Stopped(Exception):
    """It was paused or cancelled while a step was made of it."""


def keep(broadcast: Broadcast, **values: Any) -> None:
    """Store how far it is. Raises: Stopped when it is not being sent any more."""
    if not Broadcast.objects.filter(pk=broadcast.pk, state=State.SENDING).update(**values):
        raise Stopped


def people_of(broadcast: Broadcast, *, limit: bool) -> tuple[str, dict[str, Any]]:
    """Return the SELECT of the contacts that come next, and its parameters."""
    condition = audience_condition(broadcast.audience, tenant_id=broadcast.tenant_id, pinned=broadcast.pinned_audience)
    is_drawn = broadcast.is_group_pass and limit
    drawn = f"AND {DRAWN.format(contact='c.id')} <= %(draw)s" if is_drawn else ""
    sql = f"""SELECT {COLUMNS} FROM deliveries_contact c
        WHERE c.tenant_id = %(tenant)s AND c.id > %(cursor)s AND c.id <= %(last)s AND ({condition.sql}) {drawn}
        {"ORDER BY c.id LIMIT %(chunk)s" if limit else ""}"""
    values = {
        **condition.params,
        **shared_params(broadcast, mandatory=settings.MANDATORY_CATEGORIES),
        "tenant": broadcast.tenant_id,
        "cursor": broadcast.cursor if limit else 0,
        "last": broadcast.last_contact_id,
        "chunk": settings.BROADCAST_CHUNK_SIZE,
        "draw": broadcast.group_draw,
        "broadcast": broadcast.pk,
    }
    return sql, values


def judged_of(broadcast: Broadcast, params: Params) -> str:
    """Return the judgement of the relation `people`, as `judging.judged` has it. At most one query."""
    missing = unserved([(broadcast.tenant_id, channel) for channel in broadcast.channels])
    return judged(broadcast, "people", unserved={channel for _tenant, channel in missing}, params=params)


def prefix_of(broadcast: Broadcast) -> str:
    """Return the parameter `prefix` of `job_ids.sql`."""
    return job_ids.prefix(stamp_ms=broadcast.stamp_ms or 0, broadcast_id=broadcast.pk)
