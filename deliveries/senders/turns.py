"""Turns on something scarce, such as connections. Bounds how many have one at once; knows nothing of what it is."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar


class Waiter:
    """Somebody who takes a turn. `turn` is there while they wait for it."""

    __slots__ = ("turn",)

    def __init__(self) -> None:
        self.turn: asyncio.Future[bool] | None = None

    @property
    def still_waits(self) -> bool:
        """Whether they have neither got a turn nor given up."""
        return self.turn is not None and not self.turn.done()


W = TypeVar("W", bound=Waiter)


class Turns(Generic[W]):
    """A semaphore whose waiters give up at a deadline. For one event loop; first come, first served.

    Who knows that a turn will soon end can `call_up` its next holder and prepare for them: that one gets it by `pass_on`, or returns to
    the head of the row by `send_back`.
    `asyncio.timeout` around `asyncio.Semaphore.acquire` does the same for 23 us a wait; this one's timer costs 3.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: deque[W] = deque()

    @property
    def all_taken(self) -> bool:
        """Whether the next one has to wait."""
        return self._free == 0

    async def take(self, deadline: float, waiter: W) -> bool:
        """Wait for a turn. False: `deadline` (the loop's time) came first, and nothing is to be given back."""
        if self._free:
            self._free -= 1
            return True
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[bool] = loop.create_future()
        waiter.turn = turn
        self._waiting.append(waiter)
        timer = loop.call_at(deadline, self._give_up, turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if not turn.cancelled() and turn.result():  # it was granted, and nobody will use it
                self.give_back()
            raise
        finally:
            timer.cancel()

    def give_back(self) -> None:
        """End a turn: the one who waits longest has it next."""
        waiter = self.call_up()
        if waiter is None or not self.pass_on(waiter):
            self._free += 1

    def call_up(self) -> W | None:
        """Take the one who waits longest out of the row; None where nobody waits."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if waiter.still_waits:
                return waiter
        return None

    def pass_on(self, waiter: W) -> bool:
        """Give one's own turn to somebody who was called up. False: they gave up meanwhile, and it is still to be given back."""
        if waiter.turn is None or waiter.turn.done():
            return False
        waiter.turn.set_result(True)
        return True

    def send_back(self, waiter: W) -> None:
        """Let somebody who was called up wait again, before all others; where a turn is free they get it."""
        if self._free and self.pass_on(waiter):
            self._free -= 1
        else:
            self._waiting.appendleft(waiter)

    @staticmethod
    def _give_up(turn: asyncio.Future[bool]) -> None:
        if not turn.done():
            turn.set_result(False)
