"""The hub: the open sockets of this process, by connection and by user, and everything that reaches them.

One hub a process, on one event loop. It is fed by one subscription (`doorbell.py`) with frames that are text already, and
hands each to the queues of the sockets it is for: it never waits for a socket. What the layer lost it finds in the rows,
after every gap and at a steady interval. Indexes by topic and by tenant belong here, once there are frames for them.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings

from deliveries.database import AsyncPool, open_pool
from deliveries.realtime import protocol
from deliveries.realtime.connection import Behind, Closing, Connection, Entry, User
from deliveries.realtime.doorbell import Doorbell
from deliveries.realtime.inbox import Inbox, InboxAwayError, InboxItem
from deliveries.realtime.protocol import Close, Code, Item, Resync
from deliveries.realtime.publish import publish_items

log = structlog.get_logger(__name__)

POOL_SIZE = 4
# A row says when its finish was stated; it may be seen this much later, when the commit was slow.
OVERLAP_SECONDS = 60.0
# Counts follow a burst, not each of its frames.
UNREAD_DELAY_SECONDS = 0.1
TICK_SECONDS = 1.0

SERVER_FULL = Closing(Close.TRY_AGAIN_LATER, Code.TOO_MANY_CONNECTIONS, "This server is full. Try again later.")
USER_FULL = Closing(Close.TOO_MANY, Code.TOO_MANY_CONNECTIONS, "This user has too many open connections.")
SHUTTING_DOWN = Closing(Close.GOING_AWAY, Code.UNAVAILABLE, "The server is restarting. Connect again.")
STUCK = Closing(Close.TOO_SLOW, Code.UNAVAILABLE, "Nothing could be written for too long.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a hub allows. Counts are of one process; durations are in seconds."""

    connections: int
    connections_per_user: int
    queue_size: int
    replay: int
    reread_seconds: float
    stuck_seconds: float


class Hub:
    """Opens with `start`, closes with `stop`; admits nobody outside of that."""

    def __init__(self, limits: Limits, *, publish: Callable[[Sequence[Item]], Awaitable[None]] = publish_items) -> None:
        self.limits = limits
        self._publish = publish
        self._connections: dict[str, Connection] = {}
        self._users: defaultdict[User, set[Connection]] = defaultdict(set)
        self._to_count: set[User] = set()
        self._count_wanted = asyncio.Event()
        self._reread_lock = asyncio.Lock()
        self._read_at = time.monotonic()
        self._tasks: list[asyncio.Task[None]] = []
        self._pool: AsyncPool | None = None
        self._inbox: Inbox | None = None
        self.doorbell = Doorbell(on_items=self.deliver, on_gap=self.reread)

    @property
    def connection_count(self) -> int:
        """How many sockets are open in this process."""
        return len(self._connections)

    @property
    def inbox(self) -> Inbox:
        """The rows. Raises: InboxAwayError while the hub is not running."""
        if self._inbox is None:
            raise InboxAwayError("the hub is not running")
        return self._inbox

    async def start(self) -> None:
        """Open for connections. Needs neither Postgres nor Redis to be there yet."""
        self._pool = await open_pool(name="hub", size=POOL_SIZE)
        self._inbox = Inbox(self._pool)
        work = {"listen": self.doorbell.run, "count unread": self._count_unread, "tend": self._tend}
        self._tasks = [asyncio.create_task(_keep_alive(name, run), name=f"hub: {name}") for name, run in work.items()]

    async def stop(self) -> None:
        """Close every connection and let go of the servers."""
        for connection in self._connections.values():
            connection.close(SHUTTING_DOWN)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        self._inbox = None
        if self._pool is not None:
            await self._pool.close()

    def admit(self, connection: Connection) -> Closing | None:
        """Take the socket in, or return why not. What is published from now on is offered to it."""
        if len(self._connections) >= self.limits.connections:
            return SERVER_FULL
        if len(self._users.get(connection.user, ())) >= self.limits.connections_per_user:
            return USER_FULL
        self._connections[connection.id] = connection
        self._users[connection.user].add(connection)
        return None

    def forget(self, connection: Connection) -> None:
        """Let the socket go. Harmless for one that was not admitted."""
        if self._connections.pop(connection.id, None) is None:
            return
        sockets = self._users[connection.user]
        sockets.discard(connection)
        if not sockets:
            del self._users[connection.user]

    def deliver(self, items: Sequence[Sequence[Any]]) -> None:
        """Offer published frames to the sockets of their users. Waits for nobody.

        Takes `Item`s as the layer brings them, as lists; a newer release may have put more fields at their end.
        """
        for tenant_id, user_id, notification_id, frame, origin, *newer in items:
            user = (tenant_id, user_id)
            sockets = self._users.get(user)
            if not sockets:
                continue
            entry = Entry(notification_id, frame, newer[0] if newer else "")
            for connection in sockets:
                if connection.id != origin:
                    connection.offer(entry)
            self._count_soon(user)

    async def catch_up(self, connection: Connection, why: Behind) -> list[Entry]:
        """Return what a socket that is new or fell behind has to be told first. Raises: InboxAwayError."""
        limit = self.limits.replay
        items = await self.inbox.unacknowledged(connection.user, but=connection.written, limit=limit + 1)
        counts = (await self.inbox.counts([connection.user]))[connection.user]
        connection.has_more = len(items) > limit
        said: list[str] = []
        if why is Behind.NEW:
            said = [protocol.connected(connection_id=connection.id, unacknowledged=counts.unacknowledged)]
        elif why is Behind.SLOW:
            said = [protocol.resync(Resync.SLOW)]
        after = [protocol.resync(Resync.MORE)] if connection.has_more else []
        return [
            *(Entry("", frame) for frame in said),
            *(_entry(item) for item in items[:limit]),
            *(Entry("", frame) for frame in [*after, protocol.unread(counts.unread)]),
        ]

    async def acknowledge(self, connection: Connection, ids: Sequence[UUID]) -> None:
        """Acknowledge for the person of this socket, answer it, and tell the person's other sockets. Raises: InboxAwayError."""
        done = await self.inbox.acknowledge(connection.user, ids)
        if found := [one for one in ids if one in done]:
            frame = protocol.acked(found)
            connection.offer(Entry("", frame))
            connection.note_acknowledged(len(found), page=self.limits.replay)
            self._count_soon(connection.user)
            await self._publish([Item(*connection.user, "", frame, origin=connection.id)])
        if missing := [one for one in ids if one not in done]:
            connection.offer(Entry("", protocol.not_found(missing)))

    async def reread(self) -> None:
        """Offer what got into connected people's inboxes lately and was not written to their sockets, by one query for all.

        Looks back to the last reread that worked, and a minute more. A database that is away is tried again at the next interval.
        """
        async with self._reread_lock:
            began = time.monotonic()
            try:
                await self._reread_since(began - self._read_at + OVERLAP_SECONDS)
            except InboxAwayError as error:
                log.warning("inboxes not re-read", error=str(error), help="check DATABASE_URL; it is tried again")
            else:
                self._read_at = began

    async def _reread_since(self, seconds: float) -> None:
        if not self._users:
            return
        limit = self.limits.replay
        recent = await self.inbox.recent(list(self._users), seconds=seconds, limit=limit)
        unseen: dict[User, set[str]] = {}
        for user, ids in recent.items():
            for connection in self._users.get(user, ()):
                if len(ids) >= limit and not connection.written >= set(ids):
                    connection.fall_behind(Behind.SLOW)  # there may be more than was asked for: say so
                elif missing := set(ids) - connection.written:
                    unseen.setdefault(user, set()).update(missing)
        if not unseen:
            return
        for user, item in await self.inbox.items(unseen):
            entry = _entry(item)
            for connection in self._users.get(user, ()):
                if entry.notification_id not in connection.written:
                    connection.offer(entry)
            self._count_soon(user)

    def _count_soon(self, user: User) -> None:
        self._to_count.add(user)
        self._count_wanted.set()

    async def _count_unread(self) -> None:
        while True:
            await self._count_wanted.wait()
            await asyncio.sleep(UNREAD_DELAY_SECONDS)
            self._count_wanted.clear()
            users = {user for user in self._to_count if user in self._users}
            self._to_count.clear()
            try:
                counts = await self.inbox.counts(users)
            except InboxAwayError:
                self._to_count |= users  # the next reread that works counts them
                continue
            for user, count in counts.items():
                entry = Entry("", protocol.unread(count.unread))
                for connection in self._users.get(user, ()):
                    connection.offer(entry)

    async def _tend(self) -> None:
        """Re-read at a steady interval and close what is stuck."""
        while True:
            await asyncio.sleep(min(TICK_SECONDS, self.limits.reread_seconds))
            now = asyncio.get_running_loop().time()
            for connection in self._connections.values():
                if connection.stuck_since is not None and now - connection.stuck_since > self.limits.stuck_seconds:
                    connection.close(STUCK)
            if time.monotonic() - self._read_at >= self.limits.reread_seconds:
                await self.reread()
                if self._to_count:
                    self._count_wanted.set()


def hub_from_settings() -> Hub:
    """Build the process's hub as the WS_* settings describe it."""
    return Hub(
        Limits(
            connections=settings.WS_MAX_CONNECTIONS,
            connections_per_user=settings.WS_MAX_CONNECTIONS_PER_USER,
            queue_size=settings.WS_QUEUE_SIZE,
            replay=settings.WS_REPLAY_LIMIT,
            reread_seconds=settings.WS_REREAD_SECONDS,
            stuck_seconds=settings.WS_IDLE_SECONDS,
        )
    )


def _entry(item: InboxItem) -> Entry:
    frame = protocol.notification(
        job_id=item.job_id,
        rendered=item.rendered,
        data=item.data,
        priority=item.priority,
        created_at=item.accepted_at,
        read_at=item.read_at,
    )
    return Entry(str(item.job_id), frame)


async def _keep_alive(name: str, run: Callable[[], Awaitable[None]]) -> None:
    """Run one of the hub's loops for ever. A mistake of ours in it is logged and costs a second, not the hub."""
    while True:
        try:
            await run()
        except Exception:
            log.exception("hub loop failed", loop=name)
            await asyncio.sleep(TICK_SECONDS)
