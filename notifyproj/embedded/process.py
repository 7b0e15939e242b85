"""One child server process: launch, wait until it serves, stop, kill, restart. What all embedded servers share.

No knowledge of a particular server belongs here. For the demo, tests and benchmarks only; production never imports it.
"""

from __future__ import annotations

import atexit
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar, Self

HOST = "127.0.0.1"
POLL_SECONDS = 0.05
# Below the kernel's range for outgoing connections: no client socket can sit on a port while its server restarts.
PORTS = range(20000, 32000)
IN_USE = ("address in use", "address already in use", "addrinuse", "bindexception")

# The kernel sends a child its death signal when the *thread* that made it ends, so every child is made by one thread
# that lives as long as the interpreter. A test may then restart a server from a thread of its own.
_spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="embedded-spawner")


class ServerError(RuntimeError):
    """An embedded server could not be started or died; the message names its log file."""


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nothing listens on now. Another process may still take it first."""
    for port in random.sample(PORTS, 200):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise ServerError(f"No free port on {HOST} between {PORTS.start} and {PORTS.stop - 1}.")


def is_listening(port: int) -> bool:
    """Say whether something on 127.0.0.1 accepts connections on `port`."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0


class Server:
    """A server on 127.0.0.1 that lives no longer than this process.

    On Linux the kernel signals it when this process dies, even by kill -9. It runs in a session of its own, so Ctrl+C
    reaches only its owner, who then stops it in order. `folder` takes its data and its log and is made when missing.
    """

    name: ClassVar[str]
    start_timeout_seconds: ClassVar[float] = 240
    stop_timeout_seconds: ClassVar[float] = 20
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    parent_death_signal: ClassVar[signal.Signals] = signal.SIGKILL

    def __init__(self, folder: Path, *, port: int | None = None) -> None:
        self.folder = folder.resolve()
        self.log_path = self.folder / f"{self.name}.log"
        self._wanted_port = port
        self._port: int | None = port
        self._process: subprocess.Popen[bytes] | None = None
        self._has_served = False
        self._log_start = 0

    # What a particular server says of itself.

    def command(self) -> list[str]:
        """Return the command line that runs the server in the foreground."""
        raise NotImplementedError

    def is_serving(self) -> bool:
        """Say whether a client would be served now."""
        raise NotImplementedError

    @property
    def address(self) -> str:
        """What the service's setting for this server takes: an URL, or host and port."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Make what the server needs before its first start."""

    def after_first_start(self) -> None:
        """Finish what needs the running server, once."""

    def privileges(self) -> list[str]:
        """Return further options for setpriv(1)."""
        return []

    # Its life.

    @property
    def port(self) -> int:
        """The port on 127.0.0.1; stays the same over restarts."""
        if self._port is None:
            self._port = free_port()
        return self._port

    @property
    def pid(self) -> int:
        """The process id of the running server. Raises ServerError when it isn't running."""
        if self._process is None:
            raise ServerError(f"{self.name} is not running.")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process exists, serving or not."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Start the server and return when it serves. Does nothing to one that runs. Raises ServerError."""
        self.launch()
        self.wait_until_serving()
        return self

    def launch(self) -> None:
        """Start the process without waiting for it. Does nothing to one that runs.

        Raises ServerError when another process listens on its port, which would answer in its place.
        """
        if self.is_running:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log_path.touch()
        if is_listening(self.port):
            if not self._may_move:
                raise ServerError(self._complaint("cannot start: another process listens there"))
            self._port = None
        if not self._has_served:
            self.prepare()
        with self.log_path.open("ab") as log:
            self._log_start = log.tell()
            self._process = _spawner.submit(
                subprocess.Popen,
                [*self._guard(), *self.command()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                start_new_session=True,
            ).result()
        atexit.register(self.stop)

    def wait_until_serving(self) -> None:
        """Return when a client would be served. Raises ServerError with the log's last lines when that doesn't happen.

        An address in use is tried again: at the first start on another port, unless one was asked for; else on the same,
        where old connections in TIME_WAIT may be all that stands in the way of a server that doesn't bind over them.
        """
        deadline = time.monotonic() + self.start_timeout_seconds
        while not (self.is_running and self.is_serving()):
            if time.monotonic() > deadline:
                self.kill()
                raise ServerError(self._complaint(f"did not serve within {self.start_timeout_seconds:.0f} s"))
            if not self.is_running:
                if not self._address_was_in_use():
                    raise ServerError(self._complaint("ended while it was starting"))
                self._forget()
                if self._may_move:
                    self._port = None
                self.launch()
            time.sleep(POLL_SECONDS)
        if not self._has_served:
            self._has_served = True
            self.after_first_start()

    def stop(self) -> None:
        """Ask the server to end and wait for it; kill it when it doesn't. Data on disk stays. Safe to call twice."""
        if self._process is None:
            return
        if self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGCONT)
            self._process.send_signal(self.stop_signal)
            try:
                self._process.wait(self.stop_timeout_seconds)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._forget()

    def kill(self) -> None:
        """End the server by SIGKILL, as a crash does, and wait until it is gone."""
        if self._process is not None:
            self._process.kill()
            self._forget()

    def restart(self) -> Self:
        """Stop the server if it runs and start it again on the same port and data."""
        self.stop()
        return self.start()

    def pause(self) -> None:
        """Freeze the server by SIGSTOP: its sockets stay open and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Undo `pause`."""
        os.kill(self.pid, signal.SIGCONT)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    @property
    def _may_move(self) -> bool:
        """Whether nobody has asked for the port or been told it."""
        return self._wanted_port is None and not self._has_served

    def _guard(self) -> list[str]:
        """Return the prefix that ties the child to this process. Only Linux has it; elsewhere atexit must do."""
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            return []
        return [setpriv, "--pdeathsig", self.parent_death_signal.name, *self.privileges(), "--"]

    def _forget(self) -> None:
        """Reap the child that has been told to end."""
        if self._process is not None:
            self._process.wait()
            self._process = None
        atexit.unregister(self.stop)

    def _log_since_launch(self) -> str:
        with self.log_path.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def _address_was_in_use(self) -> bool:
        text = self._log_since_launch().lower()
        return any(sign in text for sign in IN_USE)

    def _complaint(self, what: str) -> str:
        tail = "\n".join(self._log_since_launch().splitlines()[-15:])
        where = f"The embedded {self.name} on {HOST}:{self._port}"
        return f"{where} {what}. Its log is {self.log_path}; its last lines:\n{tail}"


def start_all(servers: Iterable[Server]) -> None:
    """Start several servers side by side and return when all serve.

    Either all run or none: at the first that fails the others are stopped, and its ServerError is raised.
    """
    servers = list(servers)
    try:
        for server in servers:
            server.launch()
        for server in servers:
            server.wait_until_serving()
    except BaseException:
        for server in servers:
            server.stop()
        raise
