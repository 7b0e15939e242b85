"""Broadcasts for tests: the smallest draft, sending it, and rounds of the worker."""

from __future__ import annotations

from typing import Any

from broadcasts.actor import Actor
from broadcasts.changes import broadcast_send
from broadcasts.drafts import broadcast_create
from broadcasts.models import Broadcast
from broadcasts.review import review
from broadcasts.running import Runner
from deliveries.models import Tenant

ANA = Actor("ana")
BEN = Actor("ben")


def draft(tenant: Tenant, **values: Any) -> Broadcast:
    """Make a draft by Ana: words of its own, to everybody's inbox."""
    given = {"title": "News", "body": "Hello {{ contact.name }}", "channels": ["ws"], "audience": {"type": "all_users"}}
    return broadcast_create(tenant=tenant, actor=ANA, values={**given, **values})


def send(broadcast: Broadcast) -> Broadcast:
    """Send it at once, without an undo window."""
    sent, is_new = broadcast_send(broadcast=broadcast, actor=ANA, review=review(broadcast), undo_seconds=0)
    assert is_new
    return sent


def run_worker(runner: Runner | None = None) -> dict[str, int]:
    """Do one round of `notifications.broadcast`; return what it did."""
    return dict((runner or Runner()).run(limit=100, stopping=lambda: False, moved=lambda: None))


def fan_out(tenant: Tenant, **values: Any) -> Broadcast:
    """Make a draft, send it and do a round of the worker; return it as it is then."""
    broadcast = send(draft(tenant, **values))
    run_worker()
    broadcast.refresh_from_db()
    return broadcast
