"""Wait for what another thread or process does: poll until a deadline, never sleep and hope. No time here is a claim."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
#: Guards against waiting for ever, on a machine that is shared with others and may be slow.
GENEROUS_SECONDS = 240.0
POLL_SECONDS = 0.05


def eventually(look: Callable[[], T], *, within_seconds: float = GENEROUS_SECONDS, what: str = "") -> T:
    """Return the first true result of `look`. An AssertionError in it counts as not yet; the last one is shown at the
    end."""
    deadline = time.monotonic() + within_seconds
    pause = threading.Event()
    while True:
        problem: AssertionError | None = None
        result: T | None = None
        try:
            result = look()
        except AssertionError as error:
            problem = error
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"still not after {within_seconds:g} s: {what or look}; last: {result!r}") from problem
        pause.wait(POLL_SECONDS)


def wait_until(holds: Callable[[], object], what: str, deadline_seconds: float = GENEROUS_SECONDS) -> None:
    """Return once `holds()` is true. Raises: AssertionError naming `what` when it is still not after a generous time."""
    eventually(holds, within_seconds=deadline_seconds, what=what)
