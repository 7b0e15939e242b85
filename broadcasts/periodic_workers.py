"""The periodic workers of this app: names and intervals. What they do is in the modules that they call."""

from __future__ import annotations

from django.conf import settings

from broadcasts.recounting import audiences_recount
from broadcasts.running import Runner
from deliveries.workers.registry import Report, WorkerContext, register_worker

_runner = Runner()


@register_worker(
    "notifications.broadcast",
    interval_seconds="NOTIFICATIONS_BROADCAST_INTERVAL",
    jitter="NOTIFICATIONS_BROADCAST_JITTER",
    immediate="NOTIFICATIONS_BROADCAST_IMMEDIATE",
)
def broadcast(context: WorkerContext) -> Report:
    """Start broadcasts that are due, make their rows, and see which are over."""
    return _runner.run(
        limit=settings.NOTIFICATIONS_BROADCAST_BATCH_LIMIT,
        stopping=lambda: context.stopping,
        moved=context.watch.moved,
    )


@register_worker("audiences.refresh", interval_seconds="AUDIENCES_REFRESH_INTERVAL_SECONDS")
def refresh_audiences(context: WorkerContext) -> Report:
    """Count saved audiences anew, those with the oldest figures first."""
    return audiences_recount(stopping=lambda: context.stopping, moved=context.watch.moved)._asdict()
