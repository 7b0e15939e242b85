"""One round of the worker `notifications.broadcast`: start what is due, fan out, watch what is on its way. Any number may run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from django.db.models.functions import Now

from broadcasts.changes import WrongState, broadcast_start
from broadcasts.fan_out import fan_out_step
from broadcasts.models import Broadcast
from broadcasts.states import State
from broadcasts.watching import Watcher, tell_stopped
from deliveries.workers.registry import Report


class Runner:
    """What one process remembers between its rounds."""

    def __init__(self) -> None:
        self._watcher = Watcher()

    def run(self, *, limit: int, stopping: Callable[[], bool], moved: Callable[[], None]) -> Report:
        """Do one round: start at most `limit` that are due, make rows of all that were started, look at all that are active.

        May end at any moment; the next round, here or elsewhere, goes on. `moved` is called after each piece of work.
        """
        did: Counter[str] = Counter(started=_start_due(limit))
        unfinished = Broadcast.objects.filter(state=State.SENDING, fanned_out_at=None, group_ends_at=None).order_by(
            "id"
        )
        waiting = list(unfinished.values_list("id", flat=True))
        while waiting and not stopping():
            # In turns, so that a small one does not wait for a large one.
            waiting = [broadcast_id for broadcast_id in waiting if _step(broadcast_id, did)]
            moved()
        if not stopping():
            did["settled"] = self._watcher.look()
            tell_stopped()
        return did


def _start_due(limit: int) -> int:
    """Start what is due, the longest waiting first; return how many this process started."""
    due = Broadcast.objects.filter(state=State.SCHEDULED, due_at__lte=Now()).order_by("due_at", "id")
    started = 0
    for broadcast in due[:limit]:
        try:
            broadcast_start(broadcast=broadcast)
        except WrongState:  # another process was first, or somebody undid it
            continue
        started += 1
    return started


def _step(broadcast_id: int, did: Counter[str]) -> bool:
    """Do one step; say whether there is more to do here."""
    step = fan_out_step(broadcast_id)
    did["accepted"] += step.accepted
    did["left_out"] += step.left_out
    return step.is_ours and not step.is_done
