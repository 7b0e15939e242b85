"""How a long-running command learns that it should end: SIGTERM and SIGINT set an event that its loops look at."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType

LOOK_SECONDS = 0.1
# What of SHUTDOWN_GRACE_SECONDS is for the work at hand; the rest is for its outcomes, the last heartbeat and the end of the process.
WORKING_PART_OF_GRACE = 0.8


class StopEvent(threading.Event):
    """An event that a signal handler may set. Waiting looks again and again: a handler that interrupted a thread inside the stock
    `wait` could find the event's own lock held by that very thread."""

    def wait(self, timeout: float | None = None) -> bool:
        """Return whether the event is set, after `timeout` seconds at the latest."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self.is_set():
            left = LOOK_SECONDS if deadline is None else min(LOOK_SECONDS, deadline - time.monotonic())
            if left <= 0:
                break
            time.sleep(left)
        return self.is_set()


def stop_event() -> StopEvent:
    """Return an event that SIGTERM or SIGINT sets from now on. To be called in the main thread."""
    event = StopEvent()

    def stop(signum: int, frame: FrameType | None) -> None:
        event.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    return event
