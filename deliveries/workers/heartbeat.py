"""One process shows that it lives and that its work moves: a row (which decides) and a Redis key (for monitors),
every few seconds.

Here: counters, watches and the thread that writes them. Not here: who is well (overview.py), and what the work is.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from dataclasses import dataclass
from typing import Any, Self
from uuid import uuid4

import psycopg
import redis
import structlog
from django.conf import settings

from deliveries.models import WorkerHeartbeat
from deliveries.workers.impatient import ImpatientConnection

log = structlog.get_logger(__name__)

PATIENCE_SECONDS = 3.0
State = WorkerHeartbeat.State

WRITE = """
INSERT INTO deliveries_workerheartbeat AS row (service_type, instance_id, pid, host, state, started_at, beat_at, progress_at,
    messages_consumed, messages_sent, messages_failed, messages_retried, avg_processing_time_ms, detail)
VALUES (%(service_type)s, %(instance_id)s, %(pid)s, %(host)s, %(state)s,
    statement_timestamp() - %(uptime_seconds)s * interval '1 second', statement_timestamp(),
    statement_timestamp() - %(unmoved_seconds)s * interval '1 second',
    %(messages_consumed)s, %(messages_sent)s, %(messages_failed)s, %(messages_retried)s, %(avg_processing_time_ms)s, %(detail)s)
ON CONFLICT (service_type, instance_id) DO UPDATE SET pid = excluded.pid, host = excluded.host, state = excluded.state,
    beat_at = excluded.beat_at, progress_at = excluded.progress_at, messages_consumed = excluded.messages_consumed,
    messages_sent = excluded.messages_sent, messages_failed = excluded.messages_failed,
    messages_retried = excluded.messages_retried, avg_processing_time_ms = excluded.avg_processing_time_ms, detail = excluded.detail
"""

# Whoever starts tidies up for those of its own host that died without a word, so that their rows are not taken for
# silent processes.
NEIGHBOURS = """
SELECT id, pid FROM deliveries_workerheartbeat
WHERE host = %s AND service_type = %s AND state <> 'stopped'
    AND beat_at < statement_timestamp() - %s * interval '1 second'
"""
BURY = """
UPDATE deliveries_workerheartbeat SET state = 'stopped', detail = detail || '{"ended": "its process is gone"}'
WHERE id = ANY (%s)
"""

FORGET = "DELETE FROM deliveries_workerheartbeat WHERE beat_at < statement_timestamp() - interval '1 day'"


class Watch:
    """One thing that must move while it has work. Idle at first. Every method is cheap and may be called from any
    thread.

    `busy()`: there is work now; does not count as a movement, so calling it again and again hides nothing. `moved()`:
    it is busy and just got something done. `idle()`: there is nothing to do, so nothing needs to move. A loop that
    must come round calls `moved()` each turn.
    """

    def __init__(self, name: str, thread: threading.Thread | None = None) -> None:
        self.name = name
        self._thread = thread
        self._moved_at: float | None = None

    def busy(self) -> None:
        """Say that there is work now."""
        if self._moved_at is None:
            self._moved_at = time.monotonic()

    def moved(self) -> None:
        """Say that the work just moved."""
        self._moved_at = time.monotonic()

    def idle(self) -> None:
        """Say that there is nothing to do."""
        self._moved_at = None

    @property
    def unmoved_seconds(self) -> float:
        """Return for how long the work has not moved; 0 while idle."""
        moved_at = self._moved_at
        return 0.0 if moved_at is None else time.monotonic() - moved_at

    def complaint(self) -> str:
        """Say why this is stuck, or return an empty string."""
        if self._thread is not None and not self._thread.is_alive():
            return f"{self.name}: its thread died"
        if self.unmoved_seconds > settings.STUCK_AFTER_SECONDS:
            return f"{self.name}: has not moved for {self.unmoved_seconds:.0f} s"
        return ""


@dataclass(slots=True)
class Counters:
    """What the process has done since its start (contracts, section 6)."""

    consumed: int = 0
    sent: int = 0
    failed: int = 0
    retried: int = 0
    processing_ms: float = 0.0
    processed: int = 0


class Heartbeat:
    """The heartbeat of this process: start it after a fork, stop it last. Also a context manager.

    Neither a stalled PostgreSQL nor a Redis that is away can hang it: each call gives up after a few seconds, and the
    next beat tries again. `start` and `count` never wait for a server; `stop` waits a few seconds at most.
    """

    def __init__(self, service_type: str, instance_id: str | None = None, *, topic: str = "") -> None:
        self.service_type = service_type
        self.topic = topic
        self.host = socket.gethostname()
        self.instance_id = instance_id or f"{self.host}-{os.getpid()}-{uuid4().hex[:6]}"
        self._counters = Counters()
        self._watches: list[Watch] = []
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._state: str | None = None
        self._database = ImpatientConnection(name=f"heartbeat {service_type}", patience_seconds=PATIENCE_SECONDS)
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._redis: redis.Redis | None = None
        self._started_at = time.monotonic()
        self._away: set[str] = set()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    @property
    def redis_key(self) -> str:
        """Return the key that monitors read (contracts, section 5): the same for every installation, so without
        REDIS_PREFIX."""
        return f"heartbeat:{self.service_type}:{self.instance_id}"

    def start(self) -> None:
        """Begin to beat, the first time at once, on a thread of its own."""
        self._started_at = time.monotonic()
        self._thread.start()

    def stop(self) -> None:
        """Say that this process has stopped, delete its Redis key, and end the thread."""
        self._stopping.set()
        self._thread.join(4 * PATIENCE_SECONDS)

    def draining(self) -> None:
        """Say from the next beat on that this process takes no more work and is about to stop."""
        self._state = State.STOPPING

    def watch(self, name: str, *, thread: threading.Thread | None = None) -> Watch:
        """Return a new watch. While it is busy and unmoved for STUCK_AFTER_SECONDS, or its thread is dead, the
        process is stuck."""
        watch = Watch(name, thread)
        with self._lock:
            self._watches.append(watch)
        return watch

    def forget(self, watch: Watch) -> None:
        """Stop looking at a watch, whose work ended as it should."""
        with self._lock:
            self._watches.remove(watch)

    def count(
        self,
        *,
        consumed: int = 0,
        sent: int = 0,
        failed: int = 0,
        retried: int = 0,
        processing_ms: float = 0.0,
        processed: int = 0,
    ) -> None:
        """Add to the counters. `processing_ms` is the time that `processed` messages took together. Callable from any
        thread."""
        with self._lock:
            counters = self._counters
            counters.consumed += consumed
            counters.sent += sent
            counters.failed += failed
            counters.retried += retried
            counters.processing_ms += processing_ms
            counters.processed += processed

    def complaints(self) -> list[str]:
        """Return why this process is stuck; empty when it is well."""
        with self._lock:
            watches = list(self._watches)
        return [complaint for watch in watches if (complaint := watch.complaint())]

    def _run(self) -> None:
        # Once more after a while: one that died just before this start was not silent for long enough at first.
        burials = [2 * settings.HEARTBEAT_INTERVAL_SECONDS, 0.0]
        while True:
            if burials and time.monotonic() - self._started_at >= burials[-1]:
                burials.pop()
                self._attempt("database", psycopg.Error, self._bury_neighbours)
            stopping = self._stopping.is_set()
            values = self._values(State.STOPPED if stopping else None)
            self._attempt("redis", redis.RedisError, lambda values=values: self._write_key(values))
            self._attempt("database", psycopg.Error, lambda values=values: self._write_row(values))
            if stopping:
                break
            self._stopping.wait(settings.HEARTBEAT_INTERVAL_SECONDS)
        self._database.close()

    def _values(self, state: str | None) -> dict[str, Any]:
        complaints = self.complaints()
        with self._lock:
            counters = Counters(**{name: getattr(self._counters, name) for name in Counters.__slots__})
            unmoved = max((watch.unmoved_seconds for watch in self._watches), default=0.0)
        state = state or self._state or (State.STUCK if complaints else State.RUNNING)
        return {
            "service_type": self.service_type,
            "instance_id": self.instance_id,
            "pid": os.getpid(),
            "host": self.host,
            "state": str(state),
            "uptime_seconds": round(time.monotonic() - self._started_at, 3),
            "unmoved_seconds": round(unmoved, 3),
            "messages_consumed": counters.consumed,
            "messages_sent": counters.sent,
            "messages_failed": counters.failed,
            "messages_retried": counters.retried,
            "avg_processing_time_ms": round(counters.processing_ms / max(counters.processed, 1), 3),
            "stuck": complaints,
        }

    def _write_row(self, values: dict[str, Any]) -> None:
        detail = {"topic": self.topic, "stuck": values["stuck"]}
        told = json.dumps({name: value for name, value in detail.items() if value})
        self._database.execute(WRITE, {**values, "detail": told})

    def _write_key(self, values: dict[str, Any]) -> None:
        if self._redis is None:
            self._redis = redis.Redis.from_url(settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=2)
        if values["state"] == State.STOPPED:
            self._redis.delete(self.redis_key)
            self._redis.close()
        else:
            self._redis.set(self.redis_key, json.dumps(values), ex=settings.HEARTBEAT_TTL_SECONDS)

    def _bury_neighbours(self) -> None:
        self._database.execute(FORGET)
        # Who was last heard of before this process started: it may have taken their place. Who dies later is missed.
        silence = max(2 * settings.HEARTBEAT_INTERVAL_SECONDS, time.monotonic() - self._started_at)
        silent = self._database.execute(NEIGHBOURS, [self.host, self.service_type, silence])
        gone = [row_id for row_id, pid in silent if not _is_alive(pid)]
        if gone:
            self._database.execute(BURY, [gone])

    def _attempt(self, server: str, errors: type[Exception], write: Any) -> None:
        """Write once. A server that is away costs this beat and is told once, not at every beat."""
        try:
            write()
        except errors as error:
            if server not in self._away:
                self._away.add(server)
                log.warning(
                    "heartbeat not written",
                    server=server,
                    error=str(error).strip(),
                    help=f"tried again every {settings.HEARTBEAT_INTERVAL_SECONDS:g} s",
                )
        else:
            self._away.discard(server)


def _is_alive(pid: int) -> bool:
    """Say whether a process of this host is there. One of another user is."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
