"""Who may approve a broadcast: active staff with the permission who wrote nothing of it and did not ask. And whether somebody is alone.

Authors are all who ever wrote on it, as its history has them: the last to save is not the only one.
"""

from __future__ import annotations

from typing import Any, Final

from django.contrib.auth import get_user_model
from django.db.models import Q, QuerySet

from broadcasts.actor import Actor
from broadcasts.models import Broadcast, BroadcastEvent

NOBODY_LEFT: Final = "Everybody who may approve wrote on it; ask an administrator for another approver."
_WRITING: Final = ("create", "edit")


def is_author(broadcast: Broadcast, actor: Actor) -> bool:
    """Say whether somebody wrote on it, or asked for its approval: they never approve it. One query."""
    names, ids = _authors(broadcast)
    return actor.name[:150] in names or actor.staff_id in ids


def has_approver(broadcast: Broadcast) -> bool:
    """Say whether anybody is there who could approve it. Two queries."""
    names, ids = _authors(broadcast)
    return _with_permission().exclude(Q(username__in=names) | Q(pk__in=ids)).exists()


def is_alone(actor: Actor) -> bool:
    """Say whether nobody else may approve anything: then one types the number of people instead. One query."""
    return not _with_permission().exclude(Q(username=actor.name) | Q(pk=actor.staff_id or 0)).exists()


def _authors(broadcast: Broadcast) -> tuple[set[str], set[int]]:
    """Return them by name, as keys and renamed staff are found, and by the id of the member of staff."""
    written = BroadcastEvent.objects.filter(broadcast=broadcast.pk, action__in=_WRITING)
    found = set(written.order_by().values_list("actor", "staff_id").distinct())
    names = {name for name, _id in found} | {broadcast.created_by, broadcast.updated_by, broadcast.submitted_by}
    return names - {""}, {staff_id for _name, staff_id in found if staff_id is not None}


def _with_permission() -> QuerySet[Any]:
    users = get_user_model()._default_manager.with_perm(
        "broadcasts.approve_broadcast", backend="django.contrib.auth.backends.ModelBackend"
    )
    return users.filter(is_staff=True, is_active=True)
