"""Fetching one channel's rows in a sending process: when to look, for how many, when to ask again. Runs on the dispatch loop only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from django.conf import settings

from deliveries import lifecycle
from deliveries.channels import Priority
from deliveries.database import AsyncPool, until_done
from deliveries.lifecycle import ClaimedRow, Tenants
from deliveries.reach import Reach
from deliveries.recording import Recording
from deliveries.senders.base import Sender

ASK_AGAIN_SECONDS = 0.25


class Claiming:
    """The claims of one run. `in_hand` says how many rows it holds, `bring` takes what a claim fetched.

    `turn`: claims of one channel in this process wait for each other in the database, and would do so on a connection each.
    """

    def __init__(
        self,
        channel: str,
        sender: Sender,
        *,
        tenants: Tenants,
        turn: AbstractAsyncContextManager[None],
        pool: AsyncPool,
        reach: Reach,
        records: Recording,
        in_hand: Callable[[], int],
        bring: Callable[[list[ClaimedRow]], None],
    ) -> None:
        self.held = False
        self._channel = channel
        self._sender = sender
        self.tenants = tenants
        """Whose rows are claimed. Set anew while it runs, as providers come and go."""
        self._turn = turn
        self._pool = pool
        self._reach = reach
        self._records = records
        self._in_hand = in_hand
        self._bring = bring
        self._more = False
        self._asked_again = False
        self._asking: asyncio.TimerHandle | None = None
        self._claiming = asyncio.Lock()
        self._hungry = asyncio.Event()

    def is_looking(self) -> bool:
        """Say whether a claim is under way already, so that another would only queue behind it."""
        return self._claiming.locked()

    async def run(self) -> None:
        """Go on claiming while claims bring something and there is room for a good part of another."""
        while True:
            await self._hungry.wait()
            self._hungry.clear()
            while self._more and not self.held and self._is_worth_a_claim():
                await self._look()

    async def look(self) -> bool:
        """Claim what there is room for. Returns whether more may be waiting than was taken (so that others should look too).

        While a claim is under way this only notes that another is wanted: that one began before what is asked for now was there.
        """
        if self._claiming.locked():
            self._asked_again = True
            return False
        return await self._look()

    def hold(self) -> None:
        """Claim nothing more until `release`."""
        self.held = True

    def release(self) -> None:
        """Go on after `hold`, and look whether something came meanwhile."""
        self.held = False
        self._wake()

    def go_on(self) -> None:
        """Let `run` look whether a claim is worth it now: there is more room."""
        self._hungry.set()

    def search(self) -> None:
        """Look again, whatever the last claim found: whom it passed over may be free now."""
        self._more = True
        self._asked_again = self._claiming.locked()  # a claim under way may have passed them over
        self._hungry.set()

    def ask_again(self) -> None:
        """Look again in a moment: nothing more may go out now, by the sender's rate, a lane's speed, or because the provider rests."""
        self._more = False
        if self._asking is None:
            self._asking = asyncio.get_running_loop().call_later(ASK_AGAIN_SECONDS, self._ask)

    async def over(self) -> None:
        """Wait until no claim is under way."""
        async with self._claiming:
            pass

    def _ask(self) -> None:
        self._asking = None
        self._wake()

    def _wake(self) -> None:
        self._more = True
        self._hungry.set()

    async def _look(self) -> bool:
        async with self._claiming:
            there_is_more = await self._claim_room()
            while self._asked_again:
                self._asked_again = False
                there_is_more = await self._claim_room() or there_is_more
            return there_is_more

    async def _claim_room(self) -> bool:
        room, lowest_priority = self._reach.room(self._in_hand(), self._records.rows_per_second)
        if self.held or room <= 0:
            self._more = True
            return False
        limit = await self._sender.admit(room)
        if limit <= 0:
            self.ask_again()
            return False
        async with self._turn:
            rows = await self._claim(limit, lowest_priority)
        self._sender.unused(limit - len(rows))
        # A claim that is not full may have passed over rows whose person was busy, so only an empty one ends the search; and
        # one of urgent rows alone knows nothing of the others.
        self._more = bool(rows) or lowest_priority == Priority.HIGH
        if not self._more and await self._is_paced():
            self.ask_again()
        self._bring(rows)
        return len(rows) >= limit

    def _is_worth_a_claim(self) -> bool:
        return self._reach.is_worth_a_claim(self._in_hand(), self._records.rows_per_second)

    async def _claim(self, limit: int, lowest_priority: int) -> list[ClaimedRow]:
        return await until_done(
            self._pool,
            lambda connection: lifecycle.claim(
                connection,
                channel=self._channel,
                limit=limit,
                lease_seconds=settings.LEASE_SECONDS,
                lowest_priority=lowest_priority,
                tenants=self.tenants,
            ),
            channel=self._channel,
        )

    async def _is_paced(self) -> bool:
        return await until_done(
            self._pool,
            lambda connection: lifecycle.is_paced(connection, channel=self._channel, tenants=self.tenants),
            channel=self._channel,
        )
