"""The runs of a process while the providers' table changes: what cannot be opened."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from deliveries.channel_runs import ChannelRuns
from deliveries.channels import Channel
from deliveries.providers.chain import Chain
from deliveries.providers.roster import Entry, Key


class Stubborn(Chain):
    """Opens at the second try."""

    def __init__(self, failures: list[Exception]) -> None:
        shared: Any = None
        super().__init__(Channel.EMAIL, [], shared=shared, wait_seconds=0.0)
        self._failures = failures

    async def open(self) -> None:
        if self._failures:
            raise self._failures.pop()


class OneChain:
    """A roster whose table has one tenant's chain of e-mail, made anew as long as it is not among the entries."""

    def __init__(self) -> None:
        self.entries: dict[Key, Entry] = {}
        self._failures: list[Exception] = [RuntimeError("nobody foresaw this")]

    async def read(self, connection: object) -> tuple[dict[Key, Chain], list[Chain]]:
        key: Key = ("email", 7)
        if key in self.entries:
            return {}, []
        self.entries[key] = Entry(Stubborn(self._failures), b"")
        return {key: self.entries[key].chain}, []

    def forget(self, key: Key) -> None:
        del self.entries[key]

    async def refresh_breakers(self) -> None:
        """There are none."""

    async def close(self) -> None:
        """Nothing is open."""


class Idle:
    """A pool whose connections are never used."""

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[None]:
        yield None


async def test_what_cannot_be_opened_is_tried_again_and_costs_nobody_else() -> None:
    roster: Any = OneChain()
    pool: Any = Idle()
    nobody: Any = None
    runs = ChannelRuns({}, roster=roster, pool=pool, heartbeat=nobody)
    await runs.open()
    assert (runs.is_complete, runs.of("email")) == (True, [])
    await runs.refresh()
    assert [run.tenants.only for run in runs.of("email")] == [7]
    for tasks in runs._tasks.values():
        for task in tasks:
            task.cancel()
