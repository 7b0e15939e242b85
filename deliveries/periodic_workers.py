"""The periodic workers of this app: names and intervals. What they do is in the modules that they call."""

from __future__ import annotations

import dataclasses

from deliveries import hints, lifecycle
from deliveries.actors import SUSPECTS
from deliveries.dead_letter_relay import Relay
from deliveries.workers.registry import Report, WorkerContext, register_worker

RELAY_INTERVAL_SECONDS = 1.0
_relay = Relay()


@register_worker("deliveries.sweep", interval_seconds="SWEEP_INTERVAL_SECONDS")
def sweep(context: WorkerContext) -> Report:
    """Settle what expired or lost its process, and hint the channels that have due rows."""
    swept = lifecycle.sweep()
    hints.hint([*swept.due_channels, *([SUSPECTS] if swept.has_suspects else [])])
    return {name: count for name, count in dataclasses.asdict(swept).items() if type(count) is int}


@register_worker("deadletters.relay", interval_seconds=RELAY_INTERVAL_SECONDS)
def relay(context: WorkerContext) -> Report:
    """Publish dead letters that the DLQ topic has not acknowledged yet."""
    return {"published": _relay.run(stopping=lambda: context.stopping, moved=context.watch.moved)}
