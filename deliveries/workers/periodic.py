"""Run periodic workers: a thread each, round after round, until told to stop. Knows no worker's work.

A server that is away costs a worker time and one line in the log; any other failure is logged whole. Neither ends the
process, and a round that hangs shows in the heartbeat.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence

import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError, close_old_connections, connections
from kafka.errors import KafkaError
from redis.exceptions import RedisError

from deliveries.workers.heartbeat import Heartbeat
from deliveries.workers.registry import Worker, WorkerContext
from deliveries.workers.stopping import WORKING_PART_OF_GRACE

log = structlog.get_logger(__name__)

AWAY = (OperationalError, InterfaceError, KafkaError, RedisError)
FIRST_WAIT_SECONDS = 1.0
LOOK_SECONDS = 0.1
LONGEST_WAIT_SECONDS = 30.0


class PeriodicRunner:
    """The threads of one process. They end when `stop` is set."""

    def __init__(self, workers: Sequence[Worker], *, heartbeat: Heartbeat, stop: threading.Event) -> None:
        self._heartbeat = heartbeat
        self._stop = stop
        self._threads = [
            threading.Thread(target=self._loop, args=[worker], name=worker.name, daemon=True) for worker in workers
        ]

    def run(self) -> bool:
        """Run until `stop` is set, then let the rounds at hand finish within SHUTDOWN_GRACE_SECONDS. False: one did
        not, and is cut."""
        for thread in self._threads:
            thread.start()
        # Not `wait`: a signal handler that sets an event must not find this thread holding the event's lock.
        while not self._stop.is_set():
            time.sleep(LOOK_SECONDS)
        self._heartbeat.draining()
        deadline = time.monotonic() + settings.SHUTDOWN_GRACE_SECONDS * WORKING_PART_OF_GRACE
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _loop(self, worker: Worker) -> None:
        watch = self._heartbeat.watch(worker.name, thread=threading.current_thread())
        context = WorkerContext(worker.name, self._heartbeat, watch, self._stop)
        failures = 0
        if not worker.is_immediate:
            watch.idle()
            self._stop.wait(_pause_seconds(worker, failures))
        while not self._stop.is_set():
            watch.busy()
            failures = 0 if self._round(worker, context, failures) else failures + 1
            watch.idle()
            self._stop.wait(_pause_seconds(worker, failures))
        connections.close_all()
        self._heartbeat.forget(watch)

    def _round(self, worker: Worker, context: WorkerContext, failures: int) -> bool:
        """Do one round; say whether it went well. `failures`: how many before it did not."""
        close_old_connections()
        began = time.monotonic()
        try:
            report = worker.run(context)
        except AWAY as error:
            if failures == 0:
                log.warning(
                    "worker waits for a server", worker=worker.name, error=str(error).strip(), help="tried again"
                )
            return False
        except Exception:
            log.exception("worker failed", worker=worker.name, help="the next round tries again")
            return False
        finally:
            close_old_connections()
        self._heartbeat.count(processing_ms=(time.monotonic() - began) * 1000, processed=1)
        if failures:
            log.info("worker goes on", worker=worker.name)
        if any(report.values()):
            log.info("worker did", worker=worker.name, **report)
        return True


def _pause_seconds(worker: Worker, failures: int) -> float:
    """Return how long to wait before the next round: the worker's interval, or longer with each failure."""
    interval = worker.interval_seconds
    if failures:
        interval = max(interval, min(FIRST_WAIT_SECONDS * 2.0 ** (failures - 1), LONGEST_WAIT_SECONDS))
    return interval + random.uniform(0, worker.jitter_seconds)
