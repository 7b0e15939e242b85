"""Ringing the bell: frames for users, put on the channel layer in batches by whoever stored what they say.

A push is a courtesy: the layer may drop it and the rows remain. So nothing here raises for a layer that is away, and
nothing waits long for it. Who listens is `doorbell.py`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence

import structlog
from channels.layers import get_channel_layer
from redis import RedisError

from deliveries.realtime.protocol import Item

log = structlog.get_logger(__name__)

GROUP = "hubs"
MESSAGE_TYPE = "hub.items"
MAX_BATCH_BYTES = 256 * 1024
TIMEOUT_SECONDS = 1.0
PAUSE_SECONDS = 2.0
LAYER_ERRORS = (RedisError, OSError, TimeoutError)


def batches(items: Sequence[Item]) -> Iterator[list[Item]]:
    """Cut items into layer messages of at most 256 KiB of frames, in order. A larger frame goes alone."""
    batch: list[Item] = []
    size = 0
    for item in items:
        cost = len(item.frame.encode())
        if batch and size + cost > MAX_BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += cost
    if batch:
        yield batch


class Publisher:
    """Puts items on this process's channel layer. May lose them; says so once an outage, and tries again only after a pause."""

    def __init__(self) -> None:
        self._is_away = False
        self._quiet_until = 0.0

    async def __call__(self, items: Sequence[Item]) -> None:
        """Publish in order, within a second. Never raises for a layer that is away: hubs re-read the rows then."""
        if not items or time.monotonic() < self._quiet_until:
            return
        layer = get_channel_layer()
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                for batch in batches(items):
                    await layer.group_send(GROUP, {"type": MESSAGE_TYPE, "items": batch})
        except LAYER_ERRORS as error:
            self._quiet_until = time.monotonic() + PAUSE_SECONDS
            if not self._is_away:
                self._is_away = True
                log.warning(
                    "push lost", error=repr(error), help="check REDIS_URL; inboxes are re-read from the database"
                )
        else:
            if self._is_away:
                self._is_away = False
                log.info("pushes reach the channel layer again")


publish_items = Publisher()
"""This process's publisher."""
