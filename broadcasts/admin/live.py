"""The watch page's server-sent events: its parts, whenever they change, to any number of open tabs.

A broadcast is read once a second in each process, however many tabs look at it, on a thread that lets go of its connection at once; a tab
costs a coroutine and no connection. A stream ends with the broadcast, or after STREAM_SECONDS: the browser comes back by itself, and is
then asked again who it is; so a server that stops waits for no tab, and who signed out sees nothing new for long.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Final
from weakref import WeakKeyDictionary

from asgiref.sync import sync_to_async
from django.db import connections
from django.http import HttpRequest, StreamingHttpResponse
from django.template.loader import render_to_string

from broadcasts.admin.watch_view import Rights, live_context
from broadcasts.models import Broadcast
from broadcasts.progress import Progress, read

FIGURES: Final = "admin/broadcasts/_watch_figures.html"
READ_SECONDS: Final = 1.0
KEEPALIVE_SECONDS: Final = 10.0
STREAM_SECONDS: Final = 20.0
RETRY_MS: Final = 1_000


class Readings:
    """The newest reading of each broadcast that somebody watches, on one event loop, and its parts as HTML for each kind of onlooker."""

    def __init__(self) -> None:
        self._read: dict[int, tuple[float, Progress, dict[Rights, str]]] = {}
        self._locks: dict[int, asyncio.Lock] = {}

    async def parts(self, broadcast_id: int, rights: Rights) -> tuple[str, bool]:
        """Return the page's parts, a second old at most, and whether the broadcast is over.

        Raises: Broadcast.DoesNotExist; django.db.OperationalError.
        """
        async with self._locks.setdefault(broadcast_id, asyncio.Lock()):
            at, now, rendered = self._read.get(broadcast_id, (0.0, None, {}))
            if now is None or time.monotonic() - at >= READ_SECONDS:
                now, rendered = await sync_to_async(_read, thread_sensitive=False)(broadcast_id), {}
                self._read[broadcast_id] = time.monotonic(), now, rendered
            if rights not in rendered:
                rendered[rights] = render_to_string(FIGURES, live_context(now, rights))
        return rendered[rights], now.is_over

    def forget(self, broadcast_id: int) -> None:
        """Let go of one that nobody watches any more; another tab reads it anew."""
        self._read.pop(broadcast_id, None)


_readings: WeakKeyDictionary[asyncio.AbstractEventLoop, Readings] = WeakKeyDictionary()


def events(request: HttpRequest, broadcast: Broadcast, rights: Rights) -> StreamingHttpResponse:
    """Answer with the stream for somebody who may see the broadcast. The request's own connection is let go of first."""
    connections.close_all()
    response = StreamingHttpResponse(stream(broadcast.pk, rights), content_type="text/event-stream")
    response["Cache-Control"] = "no-store"
    response["X-Accel-Buffering"] = "no"  # nginx would hold it back
    return response


async def stream(broadcast_id: int, rights: Rights) -> AsyncIterator[str]:
    """Yield `figures` events with HTML, and `over` as the last one of a broadcast that has ended."""
    readings = _readings.setdefault(asyncio.get_running_loop(), Readings())
    told, ends_at, told_at = "", time.monotonic() + STREAM_SECONDS, time.monotonic()
    yield f"retry: {RETRY_MS}\n\n"
    try:
        while time.monotonic() < ends_at:
            html, is_over = await readings.parts(broadcast_id, rights)
            if html != told:
                told, told_at = html, time.monotonic()
                yield event("figures", html)
            elif time.monotonic() - told_at >= KEEPALIVE_SECONDS:
                told_at = time.monotonic()
                yield ": still here\n\n"
            if is_over:
                yield event("over", "")
                return
            await asyncio.sleep(READ_SECONDS)
    finally:
        readings.forget(broadcast_id)


def event(name: str, data: str) -> str:
    """Return an event as the stream has it (WHATWG, server-sent events): each line of its data on a line of its own."""
    lines = "".join(f"data: {line}\n" for line in data.split("\n"))
    return f"event: {name}\n{lines}\n"


def _read(broadcast_id: int) -> Progress:
    try:
        return read(Broadcast.objects.select_related("tenant").get(pk=broadcast_id))
    finally:
        connections.close_all()
