"""The periodic workers by name: `@register_worker` puts a function here, `manage.py run_worker` takes it from here.
Runs nothing.

Each app registers its own in `periodic_workers.py`, which the command imports (contracts, section 5).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from django.conf import settings

from deliveries.workers.heartbeat import Heartbeat, Watch

Report = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """What a worker's function is given: whether it should end, and how it shows that its work moves."""

    name: str
    heartbeat: Heartbeat
    watch: Watch
    stop: threading.Event

    @property
    def stopping(self) -> bool:
        """Say whether the process is about to end: return after the piece of work at hand."""
        return self.stop.is_set()


Run = Callable[[WorkerContext], Report]


@dataclass(frozen=True, slots=True)
class Worker:
    """A registered worker. What is given as text is the name of the setting that holds it."""

    name: str
    run: Run
    interval: float | str
    jitter: str | None = None
    immediate: str | None = None

    @property
    def interval_seconds(self) -> float:
        """Return how long to wait between two runs, as the settings have it now."""
        return float(getattr(settings, self.interval)) if isinstance(self.interval, str) else self.interval

    @property
    def jitter_seconds(self) -> float:
        """Return up to how much is added to that: by default a tenth of it."""
        return float(getattr(settings, self.jitter)) if self.jitter else self.interval_seconds / 10

    @property
    def is_immediate(self) -> bool:
        """Say whether the first run comes at once, and not after the first wait."""
        return bool(getattr(settings, self.immediate)) if self.immediate else True


_workers: dict[str, Worker] = {}


class UnknownWorkerError(Exception):
    """There is no worker of this name. The message lists those that there are."""


def register_worker(
    name: str, *, interval_seconds: float | str, jitter: str | None = None, immediate: str | None = None
) -> Callable[[Run], Run]:
    """Register a function that does one round of a periodic worker's work and reports what it did as counts.

    It must be safe to run in several processes at once and to end at any moment. `interval_seconds`: the wait after a
    round, or the name of a setting. `jitter` names the setting of the seconds that are added at random, so that many
    processes do not move in step; without it a tenth of the interval. `immediate` names the setting that says whether
    the first round comes at once; without it, it does. Raises: ValueError for a name taken.
    """

    def register(run: Run) -> Run:
        if name in _workers:
            raise ValueError(f"There are two workers named {name}")
        _workers[name] = Worker(name, run, interval_seconds, jitter, immediate)
        return run

    return register


def find_workers(names: list[str] | None = None) -> list[Worker]:
    """Return the workers of these names, or all of them. Raises: UnknownWorkerError."""
    unknown = sorted(set(names or ()) - _workers.keys())
    if unknown:
        raise UnknownWorkerError(f"There is no worker {', '.join(unknown)}. There are: {', '.join(sorted(_workers))}.")
    return [worker for name, worker in sorted(_workers.items()) if not names or name in names]
