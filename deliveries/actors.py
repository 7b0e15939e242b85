"""Dramatiq actors: one a channel. A message carries no job and no data; the actor looks for itself.

Those of channels share a queue, because a process asks each queue of its own twenty times a second whether it has a hint.
The broker has no retry middleware: a hint that fails is the sweeper's to repeat.
"""

from __future__ import annotations

import dramatiq

from deliveries import dispatch, hints
from deliveries.channels import Channel

SUSPECTS = "suspects"
TIME_LIMIT_MS = 120_000


def _deliver(channel: str) -> None:
    """Take up the channel's hint, claim, and hint again where more may wait than this process had room for."""
    hints.take_up(channel)
    if dispatch.current().look(channel):
        hints.hint([channel])


@dramatiq.actor(queue_name=hints.QUEUE, time_limit=TIME_LIMIT_MS)
def deliver_email() -> None:
    _deliver(Channel.EMAIL)


@dramatiq.actor(queue_name=hints.QUEUE, time_limit=TIME_LIMIT_MS)
def deliver_push() -> None:
    _deliver(Channel.PUSH)


@dramatiq.actor(queue_name=hints.QUEUE, time_limit=TIME_LIMIT_MS)
def deliver_ws() -> None:
    _deliver(Channel.WS)


@dramatiq.actor(queue_name=hints.QUEUE, time_limit=TIME_LIMIT_MS)
def deliver_sms() -> None:
    _deliver(Channel.SMS)


@dramatiq.actor(queue_name=hints.QUEUE, time_limit=TIME_LIMIT_MS)
def deliver_webhook() -> None:
    _deliver(Channel.WEBHOOK)


@dramatiq.actor(queue_name=SUSPECTS, time_limit=TIME_LIMIT_MS)
def deliver_suspects() -> None:
    """Run rows that lost their process before, apart from all others, until none is due."""
    hints.take_up(SUSPECTS)
    if dispatch.current().look_for_suspects():
        hints.hint([SUSPECTS])


ACTORS = {
    Channel.EMAIL: deliver_email,
    Channel.PUSH: deliver_push,
    Channel.WS: deliver_ws,
    Channel.SMS: deliver_sms,
    Channel.WEBHOOK: deliver_webhook,
    SUSPECTS: deliver_suspects,
}


def enqueue(name: str) -> None:
    """Put one empty message on a channel's queue. Raises: what the broker raises when it is away."""
    ACTORS[name].send()


hints.connect(enqueue, names=ACTORS)
