"""The process's one subscription on the channel layer: what is published reaches `on_items`, and gaps are noticed.

Here: subscribing, noticing that messages may have been lost, subscribing again. Not here: what the messages mean.

The layer says nothing when it reconnects, and a dead network says nothing at all. So the doorbell rings itself: a probe
through the layer must come back to its own channel. A probe that does not is an outage; the first that does after any
new connection to Redis proves that the subscription stands again, and only then is it worth re-reading what was missed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from channels_redis.pubsub import RedisPubSubChannelLayer
from channels_redis.utils import decode_hosts
from django.conf import settings

from deliveries.realtime.publish import GROUP, LAYER_ERRORS, MESSAGE_TYPE

log = structlog.get_logger(__name__)

PROBE_TYPE = "hub.probe"
PROBE_SECONDS = 1.0
PROBE_TIMEOUT_SECONDS = 5.0
RETRY_SECONDS = 1.0


class Doorbell:
    """Listens on the layer until stopped, through any outage of Redis."""

    def __init__(self, *, on_items: Callable[[list[Any]], None], on_gap: Callable[[], Awaitable[None]]) -> None:
        """`on_items` gets each batch and must not wait. `on_gap` is awaited once the layer delivers again after it may have lost something,
        and once at the start."""
        self._on_items = on_items
        self._on_gap = on_gap
        self._connects = 0
        self._probed = asyncio.Event()
        self.is_listening = False

    async def run(self) -> None:
        """Listen until cancelled."""
        layer = self._make_layer()
        told = False
        try:
            while True:
                try:
                    await self._listen(layer)
                except LAYER_ERRORS as error:
                    if self.is_listening or not told:
                        log.warning(
                            "no live pushes", error=repr(error), help="check REDIS_URL; inboxes are re-read meanwhile"
                        )
                    told, self.is_listening = True, False
                await self._let_go(layer)
                await asyncio.sleep(RETRY_SECONDS)
        finally:
            self.is_listening = False
            await self._let_go(layer)

    async def _listen(self, layer: RedisPubSubChannelLayer) -> None:
        async with asyncio.timeout(PROBE_TIMEOUT_SECONDS):
            channel = await layer.new_channel()
            await layer.group_add(GROUP, channel)
        receiver = asyncio.create_task(self._receive(layer, channel), name="doorbell receiver")
        try:
            caught_up_with = 0
            while True:
                connects = self._connects
                await self._probe(layer, channel, receiver)
                if connects != caught_up_with:
                    caught_up_with = connects
                    if not self.is_listening:
                        log.info("listening for live pushes")
                    self.is_listening = True
                    await self._on_gap()
                await asyncio.sleep(PROBE_SECONDS)
        finally:
            # First the layer: cancelled alone, its receive() would unsubscribe over a connection that may be dead.
            await self._let_go(layer)
            receiver.cancel()
            await asyncio.wait([receiver])

    async def _probe(self, layer: RedisPubSubChannelLayer, channel: str, receiver: asyncio.Task[None]) -> None:
        self._probed.clear()
        async with asyncio.timeout(PROBE_TIMEOUT_SECONDS):
            await layer.send(channel, {"type": PROBE_TYPE})
            await self._probed.wait()
        if receiver.done():
            receiver.result()

    async def _receive(self, layer: RedisPubSubChannelLayer, channel: str) -> None:
        while True:
            message = await layer.receive(channel)
            if message["type"] == PROBE_TYPE:
                self._probed.set()
            elif message["type"] == MESSAGE_TYPE:
                self._on_items(message["items"])

    async def _let_go(self, layer: RedisPubSubChannelLayer) -> None:
        with contextlib.suppress(*LAYER_ERRORS):  # closing what may be dead already
            async with asyncio.timeout(PROBE_TIMEOUT_SECONDS):
                await layer.flush()

    def _make_layer(self) -> RedisPubSubChannelLayer:
        """Make a layer of the hub's own, so that the publisher of this process does not wait behind its subscription."""
        layers: dict[str, Any] = settings.CHANNEL_LAYERS
        config = dict(layers["default"]["CONFIG"])
        config["hosts"] = [{**host, "redis_connect_func": self._on_connect} for host in decode_hosts(config["hosts"])]
        return RedisPubSubChannelLayer(**config)

    async def _on_connect(self, connection: Any) -> None:
        await connection.on_connect()
        self._connects += 1
