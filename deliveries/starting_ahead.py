"""How many rows a channel starts before its sender has room for them, so that a fast far end never waits for the commit of a start.

Pure: others read the clocks.
"""

from __future__ import annotations

from typing import Final

#: What a far end takes in this time is started ahead: half of it waits while the other half is being started.
LEAST_SECONDS: Final = 0.25
#: A slow commit must not make a fast far end slow, and so few rows be started, and so the far end slower still.
STARTS: Final = 4
MOST_SECONDS: Final = 1.0
NEWEST_SHARE: Final = 0.2


class StartingAhead:
    """How far ahead to start, from how long starts take and how many rows a second the sender gets through."""

    def __init__(self, *, capacity: int, most: int) -> None:
        self._capacity = capacity
        self._most = most
        self._start_seconds = 0.0

    def took(self, seconds: float) -> None:
        """Learn how long one start took, its commit included."""
        self._start_seconds += NEWEST_SHARE * (seconds - self._start_seconds)

    def slots(self, rows_per_second: float) -> int:
        """Return how many rows may be started and not finished: those the sender takes, or what it gets through in a while."""
        seconds = min(MOST_SECONDS, max(LEAST_SECONDS, STARTS * self._start_seconds))
        return max(self._capacity, int(min(self._most, rows_per_second * seconds)))

    def is_ample(self, started: int, rows_per_second: float) -> bool:
        """Say whether the sender has enough to do for now, so that the next start may wait until it is worth a statement."""
        return started > max(self._capacity, self.slots(rows_per_second) // 2)
