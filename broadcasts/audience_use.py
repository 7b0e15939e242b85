"""Which broadcasts still need a saved audience: it stays until they are over. Its rules may change meanwhile: each pass asks again."""

from __future__ import annotations

from django.db.models import Q

from broadcasts.models import Audience, Broadcast
from broadcasts.states import ENDED, State


def audience_users(audience: Audience) -> list[Broadcast]:
    """Return the broadcasts, no drafts and none that ended, that go to a saved audience or to others than it. One query."""
    shape = {"type": "audience", "id": audience.pk}
    named = Q(audience__contains=shape) | Q(audience__contains={"exclude": [shape]})
    unfinished = Broadcast.objects.filter(named, tenant=audience.tenant_id).exclude(state__in=[State.DRAFT, *ENDED])
    return list(unfinished.only("id", "name", "state").order_by("id"))


def in_use_told(audience: Audience, users: list[Broadcast]) -> str:
    """Say which broadcasts keep an audience from being deleted, and what to do."""
    named = ", ".join(f"“{each.name}” ({each.state.replace('_', ' ')})" for each in users)
    return f"“{audience.name}” is the audience of {named}. Delete it once they are over, drafts again, or cancelled."
