"""One open socket: a bounded queue that anybody may fill without waiting, and the one writer that empties it.

Here: what one socket still has to be told. Not here: who is connected (`hub.py`), the handshake and what the client says
(`consumers.py`), SQL (`inbox.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, KeysView
from enum import StrEnum
from typing import Any, NamedTuple

from deliveries.realtime.protocol import Close, Code

User = tuple[int, str]
"""The tenant's row id, and the user's id as text."""

Send = Callable[[dict[str, Any]], Awaitable[None]]

MAX_JOINED = 64


class Entry(NamedTuple):
    """One frame on its way out. `notification_id` is empty for frames that have no row behind them. `removes`: the notification
    that must not be written any more."""

    notification_id: str
    frame: str
    removes: str = ""


class Behind(StrEnum):
    """Why a socket must be caught up from the rows before anything else is written to it."""

    NEW = "new"
    SLOW = "slow"
    MORE = "more"


class Closing(NamedTuple):
    """How a socket is to be closed: the close code, and the `error` frame before it."""

    close: Close
    code: Code
    message: str


class Connection:
    """A socket of one user. All methods belong to its event loop.

    Nothing is lost in silence: when the queue is full it is emptied and the socket is `behind`; its writer then says
    `resync` and catches up from the rows. A notification is written once, however often it is offered, as far back as
    the last `memory` of them; one that was removed is not written after that.
    """

    __slots__ = (
        "_acknowledged",
        "_deadline",
        "_queue",
        "_queue_size",
        "_wake",
        "_written",
        "behind",
        "closing",
        "has_more",
        "id",
        "joins_lines",
        "memory",
        "stuck_since",
        "user",
    )

    def __init__(self, *, id: str, user: User, queue_size: int, memory: int, joins_lines: bool = False) -> None:
        self.id = id
        self.user = user
        self.memory = memory
        self.joins_lines = joins_lines
        self.behind: Behind | None = Behind.NEW
        self.has_more = False
        self.closing: Closing | None = None
        self.stuck_since: float | None = None
        self._queue_size = queue_size
        self._queue: deque[Entry] = deque()
        self._written: dict[str, None] = {}
        self._acknowledged = 0
        self._wake = asyncio.Event()
        self._deadline: asyncio.Timeout | None = None

    @property
    def queued(self) -> int:
        """How many frames wait. Never more than the queue's size."""
        return len(self._queue)

    @property
    def written(self) -> KeysView[str]:
        """The notifications that went out on this socket, within its memory."""
        return self._written.keys()

    def offer(self, entry: Entry) -> None:
        """Queue a frame, at once and whatever the socket's state. A full queue is emptied and the socket falls behind."""
        if len(self._queue) >= self._queue_size:
            self._queue.clear()
            self.behind = self.behind or Behind.SLOW
        if entry.removes:
            self._is_first(entry.removes)
        # What has a row is read with all the others when the socket catches up.
        if not (self.behind and entry.notification_id):
            self._queue.append(entry)
        self._wake.set()

    def fall_behind(self, why: Behind) -> None:
        """Have the writer catch up from the rows."""
        self.behind = self.behind or why
        self._wake.set()

    def note_acknowledged(self, count: int, *, page: int) -> None:
        """Count what the client acknowledged. After half a page it gets what an earlier replay had no room for."""
        self._acknowledged += count
        if self.has_more and self._acknowledged >= page // 2:
            self._acknowledged = 0
            self.fall_behind(Behind.MORE)

    def close(self, closing: Closing) -> None:
        """End the connection's `life`. The first reason counts."""
        if self.closing is None:
            self.closing = closing
            if self._deadline is not None:
                self._deadline.reschedule(0)

    @contextlib.asynccontextmanager
    async def life(self, *, seconds: float, then: Closing) -> AsyncIterator[None]:
        """Run a block until somebody calls `close`, which this does itself after `seconds`, with `then` as the reason."""
        end = asyncio.get_running_loop().call_later(seconds, self.close, then)
        try:
            async with asyncio.timeout(None) as self._deadline:
                if self.closing is not None:
                    self._deadline.reschedule(0)
                yield
        except TimeoutError:
            if self.closing is None:
                raise  # somebody else's
        finally:
            end.cancel()
            self._deadline = None

    async def write(self, send: Send, catch_up: Callable[[Connection, Behind], Awaitable[Iterable[Entry]]]) -> None:
        """Write what is offered until cancelled or until the socket is gone. The socket's only writer.

        `catch_up` returns what the socket has to be told first, after all that its rows say.
        """
        while True:
            if self.behind:
                # Cleared before the rows are read: whatever commits from now on is queued, and what is read twice is written once.
                why, self.behind = self.behind, None
                for entry in await catch_up(self, why):
                    await self._write(send, [entry])
            elif self._queue:
                count = min(len(self._queue), MAX_JOINED) if self.joins_lines else 1
                await self._write(send, [self._queue.popleft() for _ in range(count)])
            else:
                self._wake.clear()
                await self._wake.wait()

    async def _write(self, send: Send, entries: list[Entry]) -> None:
        frames = [entry.frame for entry in entries if self._is_first(entry.notification_id)]
        if frames:
            self.stuck_since = asyncio.get_running_loop().time()
            await send({"type": "websocket.send", "text": "\n".join(frames)})
            self.stuck_since = None

    def _is_first(self, notification_id: str) -> bool:
        if not notification_id:
            return True
        if notification_id in self._written:
            return False
        self._written[notification_id] = None
        if len(self._written) > self.memory:
            del self._written[next(iter(self._written))]
        return True
