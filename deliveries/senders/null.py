"""The sender of benchmarks: takes every message and sends nothing. Named by a setting, never a default."""

from __future__ import annotations

from deliveries.channels import Channel
from deliveries.senders.base import Message, Receipt, Sender

CAPACITY = 1000
"""Enough that the sender never is what a benchmark measures."""


class NullSender(Sender):
    """Answers for any one channel, at once."""

    capacity = CAPACITY

    def __init__(self, channel: Channel) -> None:
        # The contract says a class variable, as a class is one channel's; this one class stands in for all of them.
        self.channel = channel  # type: ignore[misc]

    async def send(self, message: Message) -> Receipt:
        """Take the message."""
        return Receipt("null")

    async def close(self) -> None:
        """Have nothing to let go of."""
