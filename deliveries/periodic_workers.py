"""The periodic workers of this app: names and intervals. What they do is in the modules that they call."""

from __future__ import annotations

import dataclasses
from collections import Counter

from django.conf import settings

from deliveries import hints, lifecycle
from deliveries.actors import SUSPECTS
from deliveries.dead_letter_relay import Relay
from deliveries.endpoints import endpoints_disable_failing
from deliveries.notice_looks import Watcher
from deliveries.notice_ways import tell_outside
from deliveries.workers.registry import Report, WorkerContext, register_worker

RELAY_INTERVAL_SECONDS = 1.0
DISABLE_INTERVAL_SECONDS = 60.0
NOTICE_INTERVAL_SECONDS = 3.0
_relay = Relay()
_watcher = Watcher()


@register_worker("deliveries.sweep", interval_seconds="SWEEP_INTERVAL_SECONDS")
def sweep(context: WorkerContext) -> Report:
    """Settle what expired or lost its process, chunk after chunk, and hint the channels that have due rows."""
    settled: Counter[str] = Counter()
    while True:
        swept = lifecycle.sweep()
        settled.update({name: count for name, count in dataclasses.asdict(swept).items() if type(count) is int})
        hints.hint([*swept.due_channels, *([SUSPECTS] if swept.has_suspects else [])])
        context.watch.moved()
        if not swept.is_full or context.stopping:
            return settled


@register_worker("webhooks.disable", interval_seconds=DISABLE_INTERVAL_SECONDS)
def disable_failing_endpoints(context: WorkerContext) -> Report:
    """Disable webhook endpoints that took nothing for WEBHOOK_DISABLE_AFTER_DAYS."""
    return {"disabled": endpoints_disable_failing(days=settings.WEBHOOK_DISABLE_AFTER_DAYS)}


@register_worker("deadletters.relay", interval_seconds=RELAY_INTERVAL_SECONDS)
def relay(context: WorkerContext) -> Report:
    """Publish dead letters that the DLQ topic has not acknowledged yet."""
    return {"published": _relay.run(stopping=lambda: context.stopping, moved=context.watch.moved)}


@register_worker("notices.watch", interval_seconds=NOTICE_INTERVAL_SECONDS)
def watch(context: WorkerContext) -> Report:
    """Look for what staff should know, and open and end notices."""
    return _watcher.run()._asdict()


@register_worker("notices.tell", interval_seconds=NOTICE_INTERVAL_SECONDS)
def tell(context: WorkerContext) -> Report:
    """Tell the webhook and the mail addresses of the settings about notices that are new or over."""
    return tell_outside()._asdict()
