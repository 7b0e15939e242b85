"""One scenario: servers, a database, topics, a sink, the ledger and the processes between them, all its own.

Here belongs the stage. The faults are in the tests, the judgement is in `checker.py`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
from kafka import KafkaAdminClient

from tests.acceptance import people
from tests.acceptance.checker import Evidence, Verdict, judge
from tests.acceptance.evidence import PARTITIONS, gather
from tests.acceptance.ledger import Ledger, Letter
from tests.acceptance.people import Person
from tests.acceptance.sinks import SmtpSink
from tests.acceptance.system import Process, Role, System
from tests.waiting import GENEROUS_SECONDS, eventually

OPEN = "count(*) FILTER (WHERE status NOT IN ('SENT', 'FAILED', 'EXPIRED', 'SUPPRESSED', 'CANCELLED'))"

SOON = {"RETRY_DELAYS_SECONDS": "0.2,0.5", "SWEEP_INTERVAL_SECONDS": "0.5", "HEARTBEAT_INTERVAL_SECONDS": "1"}
# For faults that wait for leases to end; the order of the three limits is production's. The others keep its limits, because on a
# busy machine a short deadline makes a mail's outcome unknown that was only slow.
SHORT_LEASES = {"SEND_DEADLINE_SECONDS": "3", "SHUTDOWN_GRACE_SECONDS": "6", "LEASE_SECONDS": "8"}
# Tansu makes a new member wait for half the session time-out; Apache Kafka allows no shorter session than six seconds.
SESSION_SECONDS = {"tansu": "3", "apache": "6"}


class Scenario:
    """Everything that one run of the service touches. A context manager."""

    def __init__(self, folder: Path, *, database_url: str, redis_url: str, bootstrap: str, **settings: str) -> None:
        name = f"faults-{uuid4().hex[:10]}"
        self.database_url = database_url
        self.bootstrap = bootstrap
        self.topics = {"KAFKA_OUTBOX_TOPIC": f"{name}-outbox", "KAFKA_DLQ_TOPIC": f"{name}-dlq"}
        self.sink = SmtpSink(folder)
        self.system = System(
            folder,
            {
                **os.environ,
                **SOON,
                **self.topics,
                "DJANGO_SETTINGS_MODULE": "notifyproj.settings",
                "DATABASE_URL": database_url,
                "REDIS_URL": redis_url,
                "REDIS_PREFIX": f"{name}:",
                "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
                "KAFKA_CONSUMER_GROUP": f"{name}-group",
                "KAFKA_SESSION_TIMEOUT_SECONDS": SESSION_SECONDS[os.environ.get("KAFKA_BROKER", "tansu")],
                "EMAIL_HOST": "127.0.0.1",
                **settings,
            },
        )
        self._stack = ExitStack()

    def __enter__(self) -> Scenario:
        with ExitStack() as stack:
            stack.enter_context(self.sink)
            self.system.environment["EMAIL_PORT"] = str(self.sink.server.port)
            self._create_topics()
            self.ledger = Ledger(bootstrap=self.bootstrap, topic=self.topics["KAFKA_OUTBOX_TOPIC"])
            stack.callback(self.ledger.close)
            stack.enter_context(self.system)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def _create_topics(self) -> None:
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        wanted = {topic: {"num_partitions": PARTITIONS, "replication_factor": 1} for topic in self.topics.values()}
        admin.create_topics(wanted)
        admin.close()

    def start(self, *, consumers: int = 1, senders: int = 1, sweepers: int = 1) -> None:
        """Start the service's processes."""
        for role, count in ((Role.CONSUMER, consumers), (Role.SENDER, senders), (Role.SWEEPER, sweepers)):
            self.system.start(role, count)

    def introduce(self, those: Sequence[Person]) -> None:
        """Make people contacts of the service."""
        with psycopg.connect(self.database_url) as database:
            people.store(database, those)

    def hand_in(self, letters: Iterable[Letter]) -> None:
        """Put letters on the outbox topic; returns when Kafka acknowledged them all."""
        self.ledger.put(letters)

    def ask(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one query and return its rows."""
        with psycopg.connect(self.database_url) as database:
            return database.execute(sql, parameters).fetchall()

    def count(self, condition: str = "true") -> int:
        """Count deliveries."""
        return int(self.ask(f"SELECT count(*) FROM notification_delivery WHERE {condition}")[0][0])

    def wait_for(self, condition: str, least: int, *, within_seconds: float = GENEROUS_SECONDS) -> None:
        """Wait until as many deliveries fulfil an SQL condition."""
        eventually(
            lambda: self.count(condition) >= least, within_seconds=within_seconds, what=f"{least} rows with {condition}"
        )

    def await_processes(self) -> None:
        """Wait until every process that runs has told its first heartbeat: from then on it hears SIGTERM."""
        running = [process for process in self.system.processes if process.is_running]
        eventually(
            lambda: all(self.pid_of(process) for process in running),
            what="a heartbeat of each process",
        )

    def pid_of(self, process: Process) -> int | None:
        """Return the id of the process that works, as its heartbeat row tells it: of a sender's group, the child."""
        rows = self.ask("SELECT pid FROM deliveries_workerheartbeat WHERE state = 'running'")
        return next((pid for (pid,) in rows if process.owns(pid)), None)

    def unread(self) -> dict[int, int]:
        """Return how many acknowledged records of each partition have not been stored, where there are any."""
        stored = dict(
            self.ask(
                "SELECT partition, next_offset FROM deliveries_outboxposition WHERE topic = %s", [self.ledger.topic]
            )
        )
        return {
            part: end - stored.get(part, 0) for part, end in self.ledger.ends().items() if stored.get(part, 0) < end
        }

    def pending(self) -> str:
        """Say what is still to be done, or return an empty string: all read, nothing open, every dead letter published."""
        open_rows, dead = self.ask(
            f"SELECT {OPEN}, (SELECT count(*) FROM deliveries_deadletter WHERE published_at IS NULL) FROM notification_delivery"
        )[0]
        unread = sum(self.unread().values())
        left = {"records unread": unread, "deliveries open": open_rows, "dead letters unpublished": dead}
        return ", ".join(f"{count} {what}" for what, count in left.items() if count)

    def verdict(self, *, within_seconds: float = 180) -> Verdict:
        """Wait until things are quiet, end every process politely, and judge what is left. Not quiet in time is a violation."""
        unquiet: list[str] = []
        try:
            eventually(lambda: not self.pending(), within_seconds=within_seconds, what="quiet")
        except AssertionError:
            unquiet = [f"still {self.pending()} after {within_seconds:g} s; logs: {self.system.folder}"]
        self.await_processes()
        codes = self.system.stop()
        verdict = judge(self.evidence())
        verdict.violations[:0] = unquiet + [f"exit code {code} after SIGTERM" for code in codes if code]
        return verdict

    def evidence(self) -> Evidence:
        """Gather what there is to judge."""
        return gather(
            ledger=self.ledger,
            database_url=self.database_url,
            sink=self.sink,
            bootstrap=self.bootstrap,
            dlq_topic=self.topics["KAFKA_DLQ_TOPIC"],
        )
