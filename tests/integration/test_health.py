"""`/health/…` tells what is wrong, in time, whatever is stalled; and a worker process ends cleanly."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from django.test import Client

from deliveries.models import WorkerHeartbeat
from deliveries.workers.heartbeat import Heartbeat
from deliveries.workers.impatient import ImpatientConnection
from notifyproj.embedded import Postgres
from notifyproj.embedded.process import free_port
from tests.waiting import GENEROUS_SECONDS, eventually

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def elsewhere(own_postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> Postgres:
    """Lead what is impatient to a database of this test's own."""
    url = urlsplit(own_postgres.url)
    parameters = {"host": url.hostname, "port": url.port, "user": url.username, "dbname": url.path[1:]}
    monkeypatch.setattr("deliveries.workers.impatient.connection_parameters", lambda: dict(parameters))
    return own_postgres


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a server that is there take its time: the machine may be busy."""
    monkeypatch.setattr("notifyproj.health.PATIENCE_SECONDS", 60.0)


def test_live_answers_without_any_server(client: Client) -> None:
    answer = client.get("/health/live")
    assert (answer.status_code, answer.json()) == (200, {"live": True})


def test_ready_when_everything_is_there(client: Client, db: None, patient: None) -> None:
    answer = client.get("/health/ready")
    expected = {"ready": True, "checks": {"database": "ok", "migrations": "ok", "redis": "ok"}}
    assert (answer.status_code, answer.json()) == (200, expected)


def test_ready_says_that_migrations_are_missing(client: Client, elsewhere: Postgres, patient: None) -> None:
    answer = client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["checks"]["database"] == "ok"
    assert "manage.py migrate" in answer.json()["checks"]["migrations"]


def test_ready_says_that_redis_is_away(client: Client, db: None, settings: Any) -> None:
    settings.REDIS_URL = f"redis://:secret@127.0.0.1:{free_port()}/0"
    answer = client.get("/health/ready")
    assert answer.status_code == 503
    assert "REDIS_URL" in answer.json()["checks"]["redis"]
    assert b"secret" not in answer.content


@pytest.mark.parametrize("path", ["/health/ready", "/health/workers"])
def test_a_stalled_database_is_told_and_not_waited_for(client: Client, elsewhere: Postgres, path: str) -> None:
    elsewhere.pause()
    try:
        answer = client.get(path)
    finally:
        elsewhere.resume()
    assert answer.status_code == 503
    assert b"DATABASE_URL" in answer.content


def test_a_session_that_stalls_under_a_statement_is_given_up(elsewhere: Postgres) -> None:
    with ImpatientConnection(name="test", patience_seconds=3) as database:
        pid = database.execute("SELECT pg_backend_pid()")[0][0]
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(psycopg.OperationalError):
                database.execute("SELECT 1")
        finally:
            os.kill(pid, signal.SIGCONT)
        assert database.execute("SELECT 2") == [(2,)]


def test_workers_lists_a_running_process_with_its_figures(client: Client, transactional_db: None) -> None:
    with Heartbeat("sender") as heartbeat:
        heartbeat.count(consumed=3, sent=3)
        eventually(lambda: WorkerHeartbeat.objects.filter(instance_id=heartbeat.instance_id).exists())
        answer = client.get("/health/workers")
        assert answer.status_code == 200
        (worker,) = answer.json()["workers"]
        assert (worker["pid"], worker["status"], worker["service_type"]) == (os.getpid(), "running", "sender")
        names = "uptime uptime_seconds messages_consumed messages_sent messages_failed messages_retried avg_processing_time_ms"
        assert set(names.split()) <= worker.keys()
    stopped = client.get("/health/workers")
    assert (stopped.status_code, stopped.json()["workers"][0]["status"]) == (200, "stopped")


def test_no_worker_at_all_is_not_unhealthy(client: Client, transactional_db: None) -> None:
    answer = client.get("/health/workers")
    assert (answer.status_code, answer.json()) == (200, {"healthy": True, "workers": []})


def test_a_stuck_process_makes_workers_unhealthy(client: Client, transactional_db: None, settings: Any) -> None:
    settings.STUCK_AFTER_SECONDS = 0.01
    settings.HEARTBEAT_INTERVAL_SECONDS = 0.05
    with Heartbeat("sender") as heartbeat:
        heartbeat.watch("event loop").busy()
        answer = eventually(
            lambda: (got := client.get("/health/workers")).status_code == 503 and got.json()["workers"] and got
        )
    assert answer.json()["healthy"] is False
    assert answer.json()["workers"][0]["status"] == "stuck"
    assert "event loop" in answer.json()["workers"][0]["detail"]["stuck"][0]


def test_run_worker_beats_and_ends_cleanly_on_sigterm(service_environment: dict[str, str]) -> None:
    command = [sys.executable, "manage.py", "run_worker", "--name", "deliveries.sweep", "--log-level", "debug"]
    with subprocess.Popen(command, cwd=ROOT, env=service_environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            eventually(lambda: WorkerHeartbeat.objects.filter(pid=process.pid, state="running").exists())
            process.send_signal(signal.SIGTERM)
            _out, log = process.communicate(timeout=GENEROUS_SECONDS)
        finally:
            process.kill()
    assert process.returncode == 0, log
    assert "workers stopped" in log
    assert WorkerHeartbeat.objects.get(pid=process.pid).state == "stopped"
