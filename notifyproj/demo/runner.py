"""Runs the demo from the first server to the last: starts, proves that a job gets through, watches, ends.

What a person sees in the terminal is said here. Sample data, pages and the mailbox are elsewhere; no database is touched in
this process.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.request import urlopen
from uuid import uuid4

from notifyproj.demo import terminal
from notifyproj.demo.folder import Folder, Running, State
from notifyproj.demo.supervisor import Child, ChildError, Supervisor
from notifyproj.embedded import Postgres, Server, Tansu, Valkey
from notifyproj.embedded.process import HOST, free_port, is_listening

ROOT: Final = Path(__file__).resolve().parents[2]
LOOK_SECONDS: Final = 0.2
READY_SECONDS: Final = 300.0
#: Ctrl+C ends everything within 30 s: the children get this long, the servers what they need (a second or two).
STOP_SECONDS: Final = 18.0
SERVER_PAUSE_SECONDS: Final = 2.0
WANTED_WORKERS: Final = {"consumer": 2, "sender": 2, "periodic": 1}
SERVERS: Final = ("DATABASE_URL", "REDIS_URL", "KAFKA_BOOTSTRAP_SERVERS")
#: Shorter than in production, so that a person sees within seconds how the work of a killed sender goes on.
PACE: Final = {
    "SEND_DEADLINE_SECONDS": "4",
    "SHUTDOWN_GRACE_SECONDS": "8",
    "LEASE_SECONDS": "15",
    "KAFKA_SESSION_TIMEOUT_SECONDS": "6",
}

Say = Callable[[str], None]


class Stopped(BaseException):
    """Somebody wants the demo to end. Not an Exception, so that no handler on the way takes it for a failure."""


class Demo:
    """One run of the demo in `folder`. `port`: where the page shall be; another free one when it is taken."""

    def __init__(self, folder: Folder, *, port: int, say: Say, say_part: Say) -> None:
        self.folder = folder
        self.port = free_port() if is_listening(port) else port
        self.url = f"http://{HOST}:{self.port}"
        self._say = say
        self._say_part = say_part
        self._supervisor = Supervisor(say=say, changed=self._write_state)
        self._servers: list[Server] = []
        self._server_seen: dict[str, float] = {}
        self._owns_redis = False
        self._began = time.monotonic()
        self._wants_sender_killed = False

    def run(self) -> None:
        """Start everything, say so, and keep it running until Ctrl+C or SIGTERM.

        Nothing is left running however it ends. Raises: ServerError, ChildError when it cannot start.
        """
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _stop)
        signal.signal(signal.SIGUSR1, self._note_wish)
        try:
            self._start()
            while True:
                self._look()
                time.sleep(LOOK_SECONDS)
        except Stopped:
            self._say("\nStopping …")
        finally:
            self._stop_all()

    # Starting.

    def _start(self) -> None:
        self._start_servers()
        self._set_environment()
        job_id = str(uuid4())
        ports = [str(self._mail_port), str(self._second_mail_port)]
        prepare = ["--job-id", job_id, "--mail-ports", *ports]
        with self._step("Preparing tables, topics and sample data"):
            Child("prepare", "The preparation", _manage("demo_prepare", *prepare), log=self._log("prepare")).run()
        with self._step("Starting the service"):
            for child in self._children():
                self._supervisor.start(child)
            self._wait_until(self._is_ready, "answer at /health/ready")
        with self._step("Sending one job through it, from Kafka to an inbox"):
            self._wait_until(lambda: self._has_arrived(job_id), "deliver a first job")
        self._say_ready()

    def _start_servers(self) -> None:
        """Start each server that the environment doesn't name, and name it there. Postgres comes last: it takes longest."""
        wanted: dict[str, Server] = {
            "KAFKA_BOOTSTRAP_SERVERS": Tansu(self.folder.root / "kafka"),
            "REDIS_URL": Valkey(self.folder.root / "valkey"),
            "DATABASE_URL": Postgres(self.folder.root / "postgres"),
        }
        own = {variable: server for variable, server in wanted.items() if not os.environ.get(variable)}
        self._owns_redis = "REDIS_URL" in own
        for variable in wanted.keys() - own.keys():
            self._say(f"Using {variable} from the environment: {terminal.without_password(os.environ[variable])}")
        self._servers = list(own.values())
        with self._step("Starting Kafka (Tansu), Redis (Valkey) and PostgreSQL") if own else _nothing():
            for server in self._servers:
                server.launch()
            for server in self._servers:
                server.wait_until_serving()
        os.environ.update({variable: server.address for variable, server in own.items()})

    def _set_environment(self) -> None:
        """Say to every child who it is, and write it down for other terminals.

        Mail goes to the demo's mailbox whatever else is set, and notices to the bell alone: nobody outside is told anything.
        """
        kept = self.folder.kept()
        self._mail_port, self._second_mail_port = free_port(), free_port()
        self.folder.provider_a_broken.unlink(missing_ok=True)
        chosen = {
            **{variable: os.environ.get(variable, value) for variable, value in PACE.items()},
            **{variable: os.environ[variable] for variable in SERVERS},
            "ENVIRONMENT_LABEL": os.environ.get("ENVIRONMENT_LABEL", "Demo"),
            "DEMO": "1",
            "DEMO_FOLDER": str(self.folder.root),
            "DJANGO_SETTINGS_MODULE": "notifyproj.settings",
            "PYTHONPATH": str(ROOT),
            "SECRET_KEY": kept.secret_key,
            "JWT_ALGORITHM": "HS256",
            "JWT_KEY": kept.jwt_key,
            "JWT_AUDIENCE": "",
            "PUBLIC_URL": f"http://{HOST}:{self.port}",
            "EMAIL_HOST": HOST,
            "EMAIL_PORT": str(self._mail_port),
            "EMAIL_HOST_USER": "",
            "EMAIL_USE_SSL": "0",
            "EMAIL_USE_TLS": "0",
            "EMAIL_FROM": "Juniper <hello@juniper.example>",
            "EMAIL_MESSAGE_ID_DOMAIN": "juniper.example",
            "NOTICE_WEBHOOK_URL": "",
            "NOTICE_EMAIL_TO": "",
        }
        self.folder.write_environment(chosen)
        os.environ.update(chosen, PYTHONUNBUFFERED="1")

    def _children(self) -> Iterator[Child]:
        """Return the processes of the service, each by the command that production uses."""
        program = Path(sys.executable).parent
        web = [
            "--host",
            HOST,
            "--port",
            str(self.port),
            "--ws",
            "websockets-sansio",
            "--ws-per-message-deflate",
            "false",
        ]
        mail = [
            *("--port", str(self._mail_port), "--second-port", str(self._second_mail_port)),
            *("--refuse-while", str(self.folder.provider_a_broken)),
            *("--file", str(self.folder.mailbox), "--messages", "--keep", "200"),
        ]
        sender = [str(program / "dramatiq"), "notifyproj.broker", "--processes", "1", "--threads", "2"]
        topic = os.environ.get("KAFKA_SIMPLE_TOPIC", "notifications")
        commands = {
            ("mailbox", "Mailbox"): [sys.executable, "-m", "notifyproj.demo.mailbox_server", *mail],
            ("web", "Web server"): [
                *("env", "LOG_LEVEL=WARNING"),  # the page asks every few seconds
                *(str(program / "uvicorn"), "notifyproj.asgi:application", *web),
                *("--ws-max-size", "65536", "--no-access-log", "--log-level", "warning"),
                *("--timeout-graceful-shutdown", "3"),
            ],
            ("sender-1", "Sender 1"): sender,
            ("sender-2", "Sender 2"): sender,
            ("consumer", "Outbox consumer"): _manage("consume_outbox"),
            ("consumer-simple", "Simple-topic consumer"): _manage("consume_outbox", "--topic", topic),
            ("tasks", "Scheduled tasks"): _manage("run_worker"),
        }
        for (name, title), command in commands.items():
            yield Child(name, title, command, log=self._log(name))

    def _wait_until(self, condition: Callable[[], bool], what: str) -> None:
        """Return when it is so. Raises: ChildError with the log of what keeps dying, or where to look, after a while."""
        deadline = time.monotonic() + READY_SECONDS
        while not condition():
            dead = next(
                (child for child in self._supervisor.children if not child.is_running and child.starts > 2), None
            )
            if dead is not None:
                raise ChildError(dead.complaint())
            if time.monotonic() > deadline:
                raise ChildError(
                    f"The service did not {what} within {READY_SECONDS:.0f} s. Look into {self.folder.logs}."
                )
            self._look()
            time.sleep(LOOK_SECONDS)

    def _is_ready(self) -> bool:
        if self._ask("/health/ready") is None:
            return False
        answer = self._ask("/health/workers") or {"workers": []}
        types = [worker["service_type"] for worker in answer["workers"] if worker["status"] == "running"]
        return all(types.count(name) >= wanted for name, wanted in WANTED_WORKERS.items())

    def _has_arrived(self, job_id: str) -> bool:
        answer = self._ask(f"/demo/jobs/{job_id}/")
        return answer is not None and bool(answer["is_over"])

    def _ask(self, path: str) -> Any:
        """Return what the web server says, or None as long as it doesn't say 200."""
        try:
            with urlopen(f"{self.url}{path}", timeout=5) as answer:  # noqa: S310 (an http address made here)
                return json.load(answer)
        except (HTTPError, URLError, OSError):
            return None

    def _say_ready(self) -> None:
        kept = self.folder.kept()
        seconds = time.monotonic() - self._began
        self._say(f"\nReady: {self.url}   (after {seconds:.0f} s)")
        self._say(
            terminal.ready_text(
                self.url,
                admin=kept.admin_password,
                ben=kept.ben_password,
                api_key=kept.api_key,
                environment=self.folder.environment,
            )
        )

    # Watching.

    def _look(self) -> None:
        if self._wants_sender_killed:
            self._wants_sender_killed = False
            if killed := self._supervisor.kill_one("sender"):
                self._say(f"{killed.title} is killed, as the page asked.")
        self._supervisor.look()
        for server in self._servers:
            if not server.is_running:
                self._revive(server)

    def _revive(self, server: Server) -> None:
        """Start a server that died, on its port and data. The broker loses its topics with its life, so they are made anew."""
        now = time.monotonic()
        if now - self._server_seen.get(server.name, 0.0) < SERVER_PAUSE_SECONDS:
            return
        self._server_seen[server.name] = now
        self._say(f"{server.name} ended; starting it again. Log: {server.log_path}")
        server.launch()
        if isinstance(server, Tansu):
            Child("topics", "create_topics", _manage("create_topics"), log=self._log("topics")).launch()

    def _note_wish(self, signum: int, frame: FrameType | None) -> None:
        """Take SIGUSR1, by which the tour page asks that a sender be killed. Only this process may kill its children."""
        self._wants_sender_killed = True

    def _write_state(self) -> None:
        processes = [
            Running(child.name, child.title, child.pid, child.starts, child.started_at, child.is_running)
            for child in self._supervisor.children
        ]
        self.folder.write_state(State(os.getpid(), self.url, self._owns_redis, processes))

    # Ending.

    def _stop_all(self) -> None:
        """End the children, then the servers. A second Ctrl+C kills what is still there."""
        began = time.monotonic()
        try:
            late = self._supervisor.stop(STOP_SECONDS)
            if late:
                self._say(
                    f"Killed, because they did not end within {STOP_SECONDS:.0f} s: {', '.join(child.title for child in late)}"
                )
        except Stopped:
            self._supervisor.stop(0)
        finally:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)  # the servers end in a moment, and must
            for server in self._servers:
                server.stop()
            self.folder.forget_running()
        self._say(f"Stopped after {time.monotonic() - began:.1f} s. What it stored is kept in {self.folder.root}")

    # Small things.

    @contextmanager
    def _step(self, title: str) -> Iterator[None]:
        """Say what goes on and, when it is done, how long it took."""
        began = time.monotonic()
        self._say_part(f"{title} … ")
        yield
        self._say(f"{time.monotonic() - began:.1f} s")

    def _log(self, name: str) -> Path:
        return self.folder.logs / f"{name}.log"


def _manage(*arguments: str) -> list[str]:
    return [sys.executable, str(ROOT / "manage.py"), *arguments]


def _stop(signum: int, frame: FrameType | None) -> None:
    raise Stopped


@contextmanager
def _nothing() -> Iterator[None]:
    yield
