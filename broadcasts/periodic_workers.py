"""The periodic workers of this app: names and intervals. What they do is in the modules that they call."""

from __future__ import annotations

from broadcasts.recounting import audiences_recount
from deliveries.workers.registry import Report, WorkerContext, register_worker


@register_worker("audiences.refresh", interval_seconds="AUDIENCES_REFRESH_INTERVAL_SECONDS")
def refresh_audiences(context: WorkerContext) -> Report:
    """Count saved audiences anew, those with the oldest figures first."""
    return audiences_recount(stopping=lambda: context.stopping, moved=context.watch.moved)._asdict()
