"""Heartbeats tell the truth about progress; periodic workers go on whatever happens in a round."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
import redis
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.db.models.functions import Now

from deliveries.models import WorkerHeartbeat
from deliveries.workers import registry
from deliveries.workers.heartbeat import Heartbeat, Watch
from deliveries.workers.impatient import ImpatientConnection
from deliveries.workers.overview import read_workers
from deliveries.workers.periodic import PeriodicRunner
from deliveries.workers.registry import UnknownWorkerError, Worker, WorkerContext, find_workers, register_worker
from notifyproj.embedded.process import free_port
from tests.waiting import eventually


@pytest.fixture(autouse=True)
def quick(settings: Any) -> None:
    settings.HEARTBEAT_INTERVAL_SECONDS = 0.05


@pytest.fixture
def service(unique_prefix: str) -> str:
    return f"test-{unique_prefix}"


def row_of(heartbeat: Heartbeat) -> WorkerHeartbeat | None:
    return WorkerHeartbeat.objects.filter(instance_id=heartbeat.instance_id).first()


def wait_for_state(heartbeat: Heartbeat, state: str) -> WorkerHeartbeat:
    def look() -> WorkerHeartbeat | None:
        row = row_of(heartbeat)
        return row if row is not None and row.state == state else None

    return eventually(look, what=state)


# --- Watches ---


def test_a_busy_watch_that_does_not_move_complains_and_one_that_moves_or_idles_does_not(settings: Any) -> None:
    settings.STUCK_AFTER_SECONDS = 3600
    moving, idle, unmoved = Watch("moving"), Watch("idle"), Watch("poll loop")
    for watch in (moving, unmoved):
        watch.busy()
    settings.STUCK_AFTER_SECONDS = 0
    assert idle.complaint() == ""
    assert "poll loop: has not moved" in unmoved.complaint()
    unmoved.idle()
    assert unmoved.complaint() == ""


def test_saying_busy_again_is_no_movement() -> None:
    watch = Watch("loop")
    watch.busy()
    before = eventually(lambda: watch.unmoved_seconds)
    watch.busy()
    assert watch.unmoved_seconds >= before
    watch.moved()
    moved_at = watch._moved_at
    watch.busy()
    assert watch._moved_at == moved_at


def test_a_dead_thread_makes_its_process_stuck() -> None:
    heartbeat = Heartbeat("test")
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()
    watch = heartbeat.watch("dispatch", thread=thread)
    assert heartbeat.complaints() == ["dispatch: its thread died"]
    heartbeat.forget(watch)
    assert heartbeat.complaints() == []


# --- Heartbeats ---


def test_a_heartbeat_writes_its_row_and_its_key(transactional_db: None, service: str, redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client, Heartbeat(service) as heartbeat:
        heartbeat.count(consumed=5, sent=2, failed=1, retried=1, processing_ms=30.0, processed=4)
        heartbeat.count(processing_ms=10.0, processed=1)
        row = eventually(lambda: (row := row_of(heartbeat)) and row.messages_consumed and row)
        assert (row.state, row.messages_sent, row.messages_failed, row.messages_retried) == ("running", 2, 1, 1)
        assert row.avg_processing_time_ms == 8.0
        key = f"heartbeat:{service}:{heartbeat.instance_id}"
        value = json.loads(eventually(lambda: client.get(key)))
        assert value["state"] == "running"
        assert {"pid", "uptime_seconds", "messages_consumed", "messages_sent", "messages_failed"} <= value.keys()
        assert 0 < client.ttl(key) <= 30
    assert wait_for_state(heartbeat, "stopped")
    with redis.Redis.from_url(redis_url) as client:
        assert client.get(key) is None


def test_a_stuck_process_says_so_though_it_breathes(transactional_db: None, service: str, settings: Any) -> None:
    settings.STUCK_AFTER_SECONDS = 0.1
    with Heartbeat(service) as heartbeat:
        watch = heartbeat.watch("event loop")
        watch.busy()
        row = wait_for_state(heartbeat, "stuck")
        assert row.progress_at < row.beat_at
        assert "event loop: has not moved" in row.detail["stuck"][0]
        watch.idle()
        assert wait_for_state(heartbeat, "running").detail == {}


def test_a_process_that_drains_says_so(transactional_db: None, service: str) -> None:
    with Heartbeat(service) as heartbeat:
        heartbeat.draining()
        assert wait_for_state(heartbeat, "stopping")


def test_redis_being_away_does_not_stop_the_row(transactional_db: None, service: str, settings: Any) -> None:
    settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"
    with Heartbeat(service) as heartbeat:
        first = eventually(lambda: row_of(heartbeat))
        eventually(lambda: (row := row_of(heartbeat)) and row.beat_at > first.beat_at)


def test_a_database_that_is_away_costs_neither_start_nor_stop(
    service: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = {"host": "127.0.0.1", "port": free_port(), "dbname": "x"}
    monkeypatch.setattr("deliveries.workers.impatient.connection_parameters", lambda: nowhere)
    with redis.Redis.from_url(redis_url) as client, Heartbeat(service) as heartbeat:
        assert eventually(lambda: client.get(heartbeat.redis_key))
    assert not heartbeat._thread.is_alive()


def test_who_starts_buries_the_dead_of_its_host_and_not_the_living(transactional_db: None, service: str) -> None:
    first = Heartbeat(service, "first")
    with first:
        eventually(lambda: row_of(first))
    ghost = row_of(first)
    assert ghost is not None
    alive = WorkerHeartbeat.objects.create(
        service_type=service, instance_id="alive", pid=1, host=first.host, started_at=ghost.started_at,
        beat_at=ghost.beat_at, progress_at=ghost.beat_at,
    )  # fmt: skip
    WorkerHeartbeat.objects.filter(pk=ghost.pk).update(pid=2**22 + 1)
    WorkerHeartbeat.objects.update(state="running", beat_at=Now() - timedelta(seconds=20))
    with Heartbeat(service, "second") as second:
        eventually(lambda: row_of(second))
        ghost.refresh_from_db()
        alive.refresh_from_db()
    assert (ghost.state, ghost.detail["ended"]) == ("stopped", "its process is gone")
    assert alive.state == "running"


def test_a_statement_that_takes_too_long_is_given_up_and_the_next_call_connects_anew(db: None) -> None:
    with ImpatientConnection(name="test", patience_seconds=2) as database:
        with pytest.raises(psycopg.OperationalError):
            database.execute("SELECT pg_sleep(600)")
        assert database.execute("SELECT 1 WHERE %s = 2", [2]) == [(1,)]


def test_silent_is_told_from_stopped_and_by_the_databases_clock(transactional_db: None, service: str) -> None:
    for state, silent_seconds in (("running", 0), ("running", 40), ("stopped", 40), ("stuck", 0), ("running", 90_000)):
        row = WorkerHeartbeat.objects.create(
            service_type=service, instance_id=f"{state}-{silent_seconds}", pid=1, host="h", state=state,
            started_at="2025-01-01T00:00Z", beat_at="2025-01-01T00:00Z", progress_at="2025-01-01T00:00Z",
        )  # fmt: skip
        beat_at = Now() - timedelta(seconds=silent_seconds)
        WorkerHeartbeat.objects.filter(pk=row.pk).update(beat_at=beat_at)
    with ImpatientConnection(name="test", patience_seconds=5) as database:
        found = {worker.instance_id: worker for worker in read_workers(database) if worker.service_type == service}
    assert {name: worker.status for name, worker in found.items()} == {
        "running-0": "running",
        "running-40": "silent",
        "stopped-40": "stopped",
        "stuck-0": "stuck",
    }
    assert [name for name, worker in found.items() if not worker.is_healthy] == ["running-40", "stuck-0"]


# --- The registry and the runner ---


@pytest.fixture
def empty_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_workers", {})


def test_workers_are_found_by_name_and_an_unknown_one_lists_what_there_is(empty_registry: None, settings: Any) -> None:
    settings.SWEEP_INTERVAL_SECONDS = 7
    for name in ("b.two", "a.one"):
        register_worker(name, interval_seconds="SWEEP_INTERVAL_SECONDS")(lambda context: {})
    assert [worker.name for worker in find_workers()] == ["a.one", "b.two"]
    assert [worker.interval_seconds for worker in find_workers(["b.two"])] == [7.0]
    with pytest.raises(UnknownWorkerError, match=r"no worker nope\. There are: a\.one, b\.two\."):
        find_workers(["a.one", "nope"])
    with pytest.raises(ValueError, match="two workers named"):
        register_worker("a.one", interval_seconds=1)(lambda context: {})


def test_run_worker_refuses_an_unknown_name() -> None:
    with pytest.raises(
        CommandError, match=r"no worker nope\. There are: audiences\.refresh, deadletters\.relay, deliv"
    ):
        call_command("run_worker", name=["nope"])


@pytest.fixture
def run() -> Iterator[Callable[[Worker], Heartbeat]]:
    stop = threading.Event()
    threads: list[threading.Thread] = []

    def start(worker: Worker) -> Heartbeat:
        heartbeat = Heartbeat("test")
        runner = PeriodicRunner([worker], heartbeat=heartbeat, stop=stop)
        threads.append(threading.Thread(target=runner.run))
        threads[-1].start()
        return heartbeat

    yield start
    stop.set()
    for thread in threads:
        thread.join()


def test_a_worker_goes_round_and_is_idle_between_its_rounds(db: None, run: Callable[[Worker], Heartbeat]) -> None:
    rounds: list[WorkerContext] = []
    heartbeat = run(Worker("w", lambda context: rounds.append(context) or {"done": 1}, 0.01))
    eventually(lambda: len(rounds) >= 3)
    eventually(lambda: heartbeat._counters.processed >= 3)
    eventually(lambda: rounds[0].watch.unmoved_seconds == 0)


def test_a_round_that_fails_is_logged_whole_and_the_next_one_runs(
    db: None, run: Callable[[Worker], Heartbeat], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("deliveries.workers.periodic.FIRST_WAIT_SECONDS", 0.01)
    rounds = []

    def work(context: WorkerContext) -> dict[str, int]:
        rounds.append(1)
        if len(rounds) < 3:
            raise ZeroDivisionError
        return {}

    run(Worker("w", work, 0.01))
    eventually(lambda: len(rounds) > 4)
    assert (
        sum(record.levelno == logging.ERROR and "worker failed" in record.getMessage() for record in caplog.records)
        == 2
    )


def test_a_server_that_is_away_is_one_line_however_long_it_stays_away(
    db: None, run: Callable[[Worker], Heartbeat], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("deliveries.workers.periodic.FIRST_WAIT_SECONDS", 0.001)
    caplog.set_level(logging.INFO)
    rounds = []

    def work(context: WorkerContext) -> dict[str, int]:
        rounds.append(1)
        if len(rounds) < 6:
            raise OperationalError("connection refused")
        return {}

    run(Worker("w", work, 0.001))
    eventually(lambda: len(rounds) > 8)
    lines = [record.getMessage() for record in caplog.records]
    assert sum("worker waits for a server" in line for line in lines) == 1
    assert sum("worker goes on" in line for line in lines) == 1


def test_a_round_that_hangs_makes_the_process_stuck(
    db: None, run: Callable[[Worker], Heartbeat], settings: Any
) -> None:
    settings.STUCK_AFTER_SECONDS = 0.1
    release = threading.Event()
    heartbeat = run(Worker("hanging", lambda context: release.wait() and {}, 0.01))
    assert "hanging: has not moved" in eventually(heartbeat.complaints)[0]
    release.set()
    eventually(lambda: not heartbeat.complaints())
