"""All the runs of one sending process: one for each channel that the settings name a sender for, and one for each tenant that has its own
providers on a channel. A tenant's slow or broken provider so holds up nobody but itself."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping

import psycopg
import structlog
from django.conf import settings

from deliveries.channel_run import ChannelRun
from deliveries.database import AWAY, WORK_TIMEOUT_SECONDS, AsyncPool
from deliveries.lifecycle import Tenants
from deliveries.providers.chain import Chain
from deliveries.providers.roster import Roster
from deliveries.rendering import TemplateBook
from deliveries.senders.base import Sender
from deliveries.workers.heartbeat import Heartbeat

log = structlog.get_logger(__name__)

# The run of the settings' sender, which serves every tenant without providers of its own.
EVERYONE_ELSE = None
Key = tuple[str, int | None]


class ChannelRuns:
    """Makes, replaces and ends runs as the providers' table changes. For one event loop."""

    def __init__(self, senders: Mapping[str, Sender], *, roster: Roster, pool: AsyncPool, heartbeat: Heartbeat) -> None:
        self._senders = senders
        self._roster = roster
        self._pool = pool
        self._heartbeat = heartbeat
        self._book = TemplateBook()
        self._runs: dict[Key, ChannelRun] = {}
        self._tasks: dict[Key, list[asyncio.Task[None]]] = {}
        self._turns: dict[str, asyncio.Lock] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self.is_complete = False

    def __iter__(self) -> Iterator[ChannelRun]:
        return iter(list(self._runs.values()))

    def of(self, channel: str) -> list[ChannelRun]:
        """Return the runs of one channel."""
        return [run for run in self if run.channel == channel]

    def channels(self) -> set[str]:
        """Return the channels that somebody serves here."""
        return {run.channel for run in self}

    async def open(self) -> None:
        """Open the settings' senders and begin every run. Until the providers' table was read once, nothing is claimed: the settings'
        senders would carry what belongs to a tenant's own providers."""
        for channel, sender in self._senders.items():
            await sender.open()
            self._begin((channel, EVERYONE_ELSE), sender)
        await self.refresh()

    async def refresh(self) -> None:
        """Follow the providers' table: begin the runs of new chains, end those of chains that changed or went. Never raises for a
        database that is away; what was, goes on."""
        try:
            async with asyncio.timeout(WORK_TIMEOUT_SECONDS), self._pool.connection() as connection:
                new, gone = await self._roster.read(connection)
        except (psycopg.Error, *AWAY) as error:
            log.warning("providers not read again", error=str(error) or "no answer in time")
            return
        for key, run in list(self._runs.items()):
            if run.sender in gone:
                self._end(key)
        own: dict[str, set[int]] = {}
        for channel, tenant_id in self._roster.entries:
            own.setdefault(channel, set()).add(tenant_id)
        for (channel, tenant), run in self._runs.items():
            if tenant is EVERYONE_ELSE:
                run.tenants = Tenants(without=frozenset(own.get(channel, ())))
        for key, chain in new.items():
            try:
                await chain.open()
            except Exception:
                log.exception(
                    "providers could not be opened; tried again at the next look", channel=key[0], tenant_id=key[1]
                )
                self._roster.forget(key)
            else:
                self._begin(key, chain)
        if not self.is_complete:
            self.is_complete = True
            for run in self:
                run.release()
        await self._roster.refresh_breakers()

    async def drain(self, *, within_seconds: float) -> None:
        """End every run: give back what was not started, let sends finish, record outcomes, close all connections."""
        await asyncio.gather(*(run.drain(within_seconds=within_seconds) for run in self), *self._ending)
        tasks = [task for tasks in self._tasks.values() for task in tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for run in self:
            await run.sender.close()
        await self._roster.close()

    def _begin(self, key: Key, sender: Sender) -> None:
        channel, tenant_id = key
        tenants = Tenants(only=tenant_id)
        turn = self._turns.setdefault(channel, asyncio.Lock())
        run = ChannelRun(
            channel, sender, tenants=tenants, turn=turn, pool=self._pool, book=self._book, heartbeat=self._heartbeat
        )
        self._runs[key] = run
        run.hold()
        self._tasks[key] = run.start()
        if self.is_complete:
            run.release()

    def _end(self, key: Key) -> None:
        """Let a run finish what it has begun, apart from its successor."""
        run, tasks = self._runs.pop(key), self._tasks.pop(key)
        task = asyncio.create_task(self._finish(run, tasks))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _finish(self, run: ChannelRun, tasks: list[asyncio.Task[None]]) -> None:
        await run.drain(within_seconds=settings.SEND_DEADLINE_SECONDS)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if isinstance(run.sender, Chain):
            await run.sender.close()
