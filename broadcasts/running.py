"""One round of the worker `notifications.broadcast`: start what is due, fan out, watch what is on its way. Any number may run."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Final

import structlog
from django.db import InterfaceError, OperationalError
from django.db.models.functions import Now

from broadcasts.actor import WORKER
from broadcasts.audience import AudienceError
from broadcasts.changes import WrongState, broadcast_pause, broadcast_start
from broadcasts.fan_out import fan_out_step
from broadcasts.models import Broadcast
from broadcasts.states import State
from broadcasts.watching import Watcher, tell_stopped
from deliveries.workers.registry import Report

log = structlog.get_logger(__name__)
#: So long rows are made before what is due and what is active is looked at again.
TURN_SECONDS: Final = 1.0


class Runner:
    """What one process remembers between its rounds."""

    def __init__(self) -> None:
        self._watcher = Watcher()

    def run(self, *, limit: int, stopping: Callable[[], bool], moved: Callable[[], None]) -> Report:
        """Do one round: start at most `limit` that are due, make rows of all that were started, look at all that are active.

        May end at any moment; the next round, here or elsewhere, goes on. `moved` is called after each piece of work. However long rows
        are made, what comes due is started and what is active is looked at meanwhile. Raises: django.db.OperationalError, InterfaceError.
        """
        did: Counter[str] = Counter()
        done: set[int] = set()
        while not stopping():
            did["started"] += _start_due(limit)
            # In turns, so that a small one does not wait for a large one.
            waiting = [broadcast_id for broadcast_id in _unfinished() if broadcast_id not in done]
            began = time.monotonic()
            while waiting and time.monotonic() - began < TURN_SECONDS and not stopping():
                more = [broadcast_id for broadcast_id in waiting if _step(broadcast_id, did)]
                done.update(set(waiting) - set(more))
                waiting = more
                moved()
            did["settled"] += self._watcher.look()
            moved()
            if not waiting:
                break
        tell_stopped()
        return did


def _unfinished() -> list[int]:
    active = Broadcast.objects.filter(state=State.SENDING, fanned_out_at=None, group_ends_at=None)
    return list(active.order_by("id").values_list("id", flat=True))


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
    """Do one step; say whether there is more to do here. One that cannot go on is paused and harms no other."""
    try:
        step = fan_out_step(broadcast_id)
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        log.exception("broadcast cannot go on", broadcast=broadcast_id)
        _pause(broadcast_id, error)
        return False
    did["accepted"] += step.accepted
    did["left_out"] += step.left_out
    return step.is_ours and not step.is_done


def _pause(broadcast_id: int, error: Exception) -> None:
    why = (
        f"{error}"
        if isinstance(error, AudienceError)
        else f"{type(error).__name__}, which the log of the scheduled tasks tells of"
    )
    try:
        broadcast_pause(
            broadcast=Broadcast.objects.get(pk=broadcast_id),
            actor=WORKER,
            reason=f"It could not go on: {why}. Mend that and resume it, or cancel it.",
        )
    except WrongState:  # somebody paused or cancelled it meanwhile
        return
