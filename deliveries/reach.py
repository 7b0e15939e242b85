"""How far a channel reaches ahead of its sender: how many rows it holds, and how many of them it starts before there is room.

A claim or a start costs much the same for one row as for hundreds, so both wait until they are worth a statement; and both reach far
enough that a fast far end never waits for them. Pure: others read the clocks.
"""

from __future__ import annotations

from typing import Final

from deliveries.channels import Priority

#: What a far end takes in this time is claimed ahead, half of it at a time.
CLAIM_SECONDS: Final = 1.0
#: No more than so many claims.
MOST_CLAIMS: Final = 8
#: What a far end takes in this time is started ahead: while a third of it is left, the next are being started.
LEAST_START_SECONDS: Final = 0.25
#: A slow commit must not make a fast far end slow, and so few rows be started, and so the far end slower still.
STARTS: Final = 4
#: No more than so many batches.
MOST_STARTS: Final = 2
MOST_START_SECONDS: Final = 1.0
NEWEST_SHARE: Final = 0.2


class Reach:
    """How far one channel reaches, by how many rows a second its sender gets through, and how long starts take.

    `capacity` is what the sender takes at once, `batch` the most rows of a claim or start, `urgent_share` the part of what may be held
    or started that is kept for high priority. Where `starts_ahead` is false only what the sender has room for is started.
    """

    def __init__(self, *, capacity: int, batch: int, urgent_share: float, starts_ahead: bool = True) -> None:
        self._capacity = capacity
        self._batch = batch
        self._ordinary_share = 1 - urgent_share
        self._most_started = MOST_STARTS * batch if starts_ahead else capacity
        self._start_seconds = 0.0

    def rows(self, rows_per_second: float) -> int:
        """Return how many rows to hold in all, started or not."""
        return max(2 * self._capacity, min(MOST_CLAIMS * self._batch, int(rows_per_second * CLAIM_SECONDS)))

    def room(self, held: int, rows_per_second: float) -> tuple[int, Priority]:
        """Return how many rows to claim beside those `held`, and the lowest priority to claim."""
        most = self.rows(rows_per_second)
        ordinary = min(self._batch, self._ordinary(most) - held)
        return (ordinary, Priority.LOW) if ordinary > 0 else (min(self._batch, most - held), Priority.HIGH)

    def is_worth_a_claim(self, held: int, rows_per_second: float) -> bool:
        """Say whether half of the ordinary rows that may be held are gone, or a whole batch."""
        ordinary = self._ordinary(self.rows(rows_per_second))
        return ordinary - held >= min(self._batch, (ordinary + 1) // 2)

    def start_took(self, seconds: float) -> None:
        """Learn how long one start took, its commit included."""
        self._start_seconds += NEWEST_SHARE * (seconds - self._start_seconds)

    def _ordinary(self, rows: int) -> int:
        return max(1, int(rows * self._ordinary_share))

    def slots(self, rows_per_second: float) -> int:
        """Return how many rows may be started and not finished: those the sender takes, or what it gets through in a while."""
        seconds = min(MOST_START_SECONDS, max(LEAST_START_SECONDS, STARTS * self._start_seconds))
        return max(self._capacity, int(min(self._most_started, rows_per_second * seconds)))

    def ordinary_slots(self, rows_per_second: float) -> int:
        """Return how many of the slots are for rows below high priority."""
        return self._ordinary(self.slots(rows_per_second))

    def is_ample(self, started: int, rows_per_second: float) -> bool:
        """Say whether the sender has enough to do for now, so that the next start may wait until it is worth a statement."""
        return started > max(self._capacity, self.slots(rows_per_second) // 3)
