"""The sending process's event loop: claim → start → render → send → finish. Knows capacity and deadlines, no provider and no SQL.

One loop a process owns the kept connections of all senders. Actors call `look`, which takes as many rows as there is room for and
returns; outcomes are recorded in batches. The loop outlives every hint: while a claim comes back full it goes on by itself.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import structlog
import uvloop
from django.conf import settings
from redis.asyncio import Redis

from deliveries import database
from deliveries.channel_run import ChannelRun
from deliveries.channel_runs import ChannelRuns
from deliveries.providers.roster import Roster
from deliveries.providers.shared import Shared
from deliveries.senders.base import Sender
from deliveries.workers.heartbeat import Heartbeat, Watch
from deliveries.workers.stopping import WORKING_PART_OF_GRACE

log = structlog.get_logger(__name__)

POOL_SIZE = 6
LOOK_EVERY_SECONDS = 5
PROVIDERS_EVERY_SECONDS = 2
SUSPECTS_AT_ONCE = 8
LOOK_TIMEOUT_SECONDS = 15.0
SUSPECTS_TIMEOUT_SECONDS = 90.0
REDIS_TIMEOUT_SECONDS = 2.0


class Dispatcher:
    """All channels of one process on one event loop in a thread of its own."""

    def __init__(self, senders: Mapping[str, Sender], *, heartbeat: Heartbeat) -> None:
        self.heartbeat = heartbeat
        self._senders = senders
        self._stopping = False
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._run_loop, name="dispatch", daemon=True)
        self._exclusive = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self._looks: list[asyncio.Task[bool]] = []
        self._watches: dict[str, Watch] = {}
        self._pool: database.AsyncPool | None = None

    def start(self) -> None:
        """Start the loop's thread, open the senders and the connection pool. Returns when the loop is ready to take rows."""
        self._thread.start()
        self._submit(self._open()).result()

    def look(self, channel: str) -> bool:
        """Claim as many due rows of a channel as there is room for and hand them to the loop. Callable from any thread.

        Returns whether more may be waiting, so that another process should look too. A look that takes longer than
        LOOK_TIMEOUT_SECONDS (the database is away) goes on without the caller.
        """
        if self._stopping:
            return False
        looking = self._submit(self._look(channel))
        try:
            return bool(looking.result(LOOK_TIMEOUT_SECONDS))
        except TimeoutError:
            return False

    def look_for_suspects(self) -> int:
        """Run rows that lost their process before, apart from everything else, and return how many. Waits until they are finished."""
        if self._stopping:
            return 0
        running = self._submit(self._run_suspects())
        try:
            return int(running.result(SUSPECTS_TIMEOUT_SECONDS))
        except TimeoutError:
            return 0

    def stop(self) -> None:
        """Take no more rows, let what is being sent finish within SHUTDOWN_GRACE_SECONDS, record it, and give the rest back."""
        self._stopping = True
        self._submit(self._close()).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run_loop(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _submit(self, coroutine: Any) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    async def _open(self) -> None:
        self._pool = await database.open_pool(name="sender", size=POOL_SIZE, plans_once=True)
        redis = Redis.from_url(
            settings.REDIS_URL, socket_timeout=REDIS_TIMEOUT_SECONDS, socket_connect_timeout=REDIS_TIMEOUT_SECONDS
        )
        shared = Shared(redis, prefix=settings.REDIS_PREFIX)
        roster = Roster(shared)
        self.runs = ChannelRuns(self._senders, roster=roster, pool=self._pool, heartbeat=self.heartbeat)
        await self.runs.open()
        self._tasks.append(asyncio.create_task(self._keep_looking()))

    async def _look(self, channel: str) -> bool:
        """Let every run of a channel look."""
        return any(await asyncio.gather(*(run.look() for run in self.runs.of(channel))))

    async def _keep_looking(self) -> None:
        """Show every second that the loop turns and its rows move; and look by itself now and then, so that a Redis that is away
        costs time and nothing else."""
        self._watches[""] = loop_watch = self.heartbeat.watch("event loop", thread=self._thread)
        seen: dict[str, int] = {}
        for second in itertools.count():
            loop_watch.moved()
            for channel in sorted({*self.runs.channels(), *self._watches} - {""}):
                if channel not in self._watches:
                    self._watches[channel] = self.heartbeat.watch(f"{channel} rows in hand")
                seen[channel] = _show_progress(self._watches[channel], self.runs.of(channel), seen.get(channel, -1))
            if second % PROVIDERS_EVERY_SECONDS == 0:
                await self._refresh()
            if second % LOOK_EVERY_SECONDS == 0:
                self._looks = [asyncio.create_task(run.look()) for run in self.runs if not run.is_looking()]
            await asyncio.sleep(1.0)

    async def _refresh(self) -> None:
        """Follow the providers' table, but not while suspects run: they hold every run still and go through them one by one. What nobody
        foresaw is logged whole and ends neither the looking nor the watch that this process shows its life by."""
        if not self._exclusive.locked():
            async with self._exclusive:
                try:
                    await self.runs.refresh()
                except Exception:
                    log.exception("providers not followed; tried again at the next look")

    async def _run_suspects(self) -> int:
        """Hold every channel still, run the suspects with nobody beside them, and let the channels go on."""
        async with self._exclusive:
            if self._stopping or not self.runs.is_complete:
                return 0
            for run in self.runs:
                run.hold()
            try:
                for run in self.runs:
                    await run.settled()
                return sum([await run.run_suspects(limit=SUSPECTS_AT_ONCE) for run in self.runs])
            finally:
                for run in self.runs if not self._stopping else ():
                    run.release()

    async def _close(self) -> None:
        for run in self.runs:
            run.hold()
        deadline = self._loop.time() + settings.SHUTDOWN_GRACE_SECONDS * WORKING_PART_OF_GRACE
        try:
            async with asyncio.timeout_at(deadline):
                await self._exclusive.acquire()  # suspects that are being sent end first; none begins after this
        except TimeoutError:
            log.warning("suspects did not end in time")
        # The looking goes on meanwhile: by it this process shows that it is not stuck.
        await self.runs.drain(within_seconds=max(0.0, deadline - self._loop.time()))
        for task in (*self._tasks, *self._looks):
            task.cancel()
        await asyncio.gather(*self._tasks, *self._looks, return_exceptions=True)
        for watch in self._watches.values():
            self.heartbeat.forget(watch)
        if self._pool is not None:
            await self._pool.close()


def _show_progress(watch: Watch, runs: Sequence[ChannelRun], seen: int) -> int:
    """Tell a channel's watch whether its rows moved since `seen`. Returns what to compare with next."""
    progress = sum(run.progress for run in runs)
    if not any(run.rows_in_hand() for run in runs):
        watch.idle()
    elif progress != seen:
        watch.moved()
    else:
        watch.busy()
    return progress


_current: Dispatcher | None = None


def boot(*, senders: Mapping[str, Sender], heartbeat: Heartbeat) -> Dispatcher:
    """Start this process's dispatcher. Called once, in a sending process, after the fork."""
    global _current
    _current = Dispatcher(senders, heartbeat=heartbeat)
    _current.start()
    return _current


def current() -> Dispatcher:
    """Return this process's dispatcher. Raises: RuntimeError outside a sending process."""
    if _current is None:
        raise RuntimeError("No dispatcher here: actors run in the processes that `dramatiq notifyproj.broker` starts")
    return _current
