"""The rows that a channel holds but has not started: in which order they go, and who waits behind whom. No I/O, no clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from uuid import UUID

from deliveries.channels import Priority
from deliveries.lifecycle import ClaimedRow

PersonKey = tuple[int, UUID, int]


class RowQueues:
    """One queue a priority. Of each person's rows of one priority only one is out at a time; the others stand behind it."""

    def __init__(self) -> None:
        self._queues: dict[int, deque[ClaimedRow]] = {priority: deque() for priority in Priority}
        self._behind: dict[PersonKey, deque[ClaimedRow]] = {}
        self._was_urgent = False
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def has_urgent(self) -> bool:
        """Whether a row of high priority could go next."""
        return bool(self._queues[Priority.HIGH])

    @property
    def has_next(self) -> bool:
        """Whether a row stands in a queue, behind nobody that is known to be out."""
        return any(self._queues.values())

    def add(self, rows: Iterable[ClaimedRow]) -> None:
        """Put rows at the end of their queues, in the order given."""
        for row in rows:
            self._queues[row.priority].append(row)
            self._count += 1

    def take(self, *, slots: int, ordinary_slots: int) -> list[ClaimedRow]:
        """Take up to `slots` rows, the most urgent first, of which at most `ordinary_slots` below high priority.

        Those of high priority go by themselves, so that they wait for no large statement; but never twice in a row while others wait.
        """
        batch = self._take_of(Priority.HIGH, slots)
        self._was_urgent = bool(batch) and not self._was_urgent
        if self._was_urgent:
            return batch
        slots = min(slots - len(batch), ordinary_slots)
        for priority in (Priority.NORMAL, Priority.LOW):
            taken = self._take_of(priority, slots)
            slots -= len(taken)
            batch += taken
        return batch

    def _take_of(self, priority: Priority, most: int) -> list[ClaimedRow]:
        """Take up to `most` rows of one priority, passing by whoever has one out: their row goes behind it."""
        queue = self._queues[priority]
        taken: list[ClaimedRow] = []
        while queue and len(taken) < most:
            row = queue.popleft()
            behind = self._behind.get(_person(row))
            if behind is not None:
                behind.append(row)
                continue
            self._behind[_person(row)] = deque()
            taken.append(row)
        self._count -= len(taken)
        return taken

    def let_next_of(self, row: ClaimedRow) -> bool:
        """Put the rows behind a finished one back in front, in their order, and say whether there were any."""
        behind = self._behind.pop(_person(row), None)
        if not behind:
            return False
        self._queues[row.priority].extendleft(reversed(behind))
        return True

    def empty(self) -> list[ClaimedRow]:
        """Take out every row that was not started."""
        queues = [*self._queues.values(), *self._behind.values()]
        rows = [row for queue in queues for row in queue]
        for queue in queues:
            queue.clear()
        self._count = 0
        return rows


def _person(row: ClaimedRow) -> PersonKey:
    return row.tenant_id, row.user_id, row.priority
