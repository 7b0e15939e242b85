"""The service's real processes, each in a process group of its own: start, kill as a crash does, end politely, start anew.

Here belongs what an init system does. What the processes are to do, and whether they did, belongs elsewhere.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from pathlib import Path

from tests.acceptance.sizes import EXIT_SECONDS

ROOT = Path(__file__).resolve().parents[2]

# The kernel sends a child its death signal when the thread that made it ends; this one lives as long as the interpreter.
_spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="acceptance-spawner")


class Role(Enum):
    """The processes that the README tells an operator to run."""

    CONSUMER = ("manage.py", "consume_outbox")
    SENDER = ("-m", "dramatiq", "notifyproj.broker", "--processes", "1", "--threads", "2")
    SWEEPER = ("manage.py", "run_worker", "--name", "deliveries.sweep", "--name", "deadletters.relay")
    BROADCASTER = ("manage.py", "run_worker", "--name", "notifications.broadcast")
    NAIVE_CONSUMER = ("-m", "tests.acceptance.naive")
    NAIVE_SENDER = ("-m", "dramatiq", "tests.acceptance.naive", "--processes", "1", "--threads", "4")


class Process:
    """One process group and its log. It gets SIGTERM when this interpreter dies."""

    def __init__(self, role: Role, *, environment: Mapping[str, str], log_path: Path) -> None:
        self.role = role
        self.log_path = log_path
        self._environment = dict(environment)
        self._popen = self._launch()

    @property
    def pid(self) -> int:
        """The id of the process and of its group."""
        return self._popen.pid

    @property
    def is_running(self) -> bool:
        """Whether the group's first process is there."""
        return self._popen.poll() is None

    def owns(self, pid: int) -> bool:
        """Say whether a process is alive in this group."""
        try:
            return os.getpgid(pid) == self.pid
        except ProcessLookupError:
            return False

    def kill(self) -> None:
        """End the whole group by SIGKILL and wait until its first process is gone."""
        with contextlib.suppress(ProcessLookupError):  # it is gone, which is what was asked for
            os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait()

    def freeze(self) -> None:
        """Stop the whole group in its tracks; its sockets stay open."""
        os.killpg(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Undo `freeze`."""
        os.killpg(self.pid, signal.SIGCONT)

    def terminate(self) -> None:
        """Ask it to end."""
        self._popen.send_signal(signal.SIGTERM)

    def exit_code(self) -> int:
        """Wait for the end that was asked for, and return the exit code. Raises: AssertionError when it does not come."""
        try:
            return self._popen.wait(EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(
                f"{self.role.name} still runs {EXIT_SECONDS:g} s after SIGTERM: {self.log_path}"
            ) from None

    def restart(self) -> None:
        """Start it again, with the same environment and log."""
        self._popen = self._launch()

    def _launch(self) -> subprocess.Popen[bytes]:
        setpriv = shutil.which("setpriv")
        guard = [setpriv, "--pdeathsig", "SIGTERM", "--"] if setpriv else []
        with self.log_path.open("ab") as log:
            return _spawner.submit(
                subprocess.Popen,
                [*guard, sys.executable, *self.role.value],
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            ).result()


class System:
    """The processes of one scenario. Leaving the context kills what still runs."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.environment = dict(environment)
        self.processes: list[Process] = []

    def start(self, role: Role, count: int = 1) -> list[Process]:
        """Start processes of a role. Returns at once: whether they work shows in what they do."""
        started = []
        for _ in range(count):
            log_path = self.folder / f"{len(self.processes)}-{role.name.lower()}.log"
            started.append(Process(role, environment=self.environment, log_path=log_path))
            self.processes.append(started[-1])
        return started

    def stop(self) -> list[int]:
        """Send SIGTERM to all and return their exit codes. Raises: AssertionError when one does not end by itself."""
        running = [process for process in self.processes if process.is_running]
        for process in running:
            process.terminate()
        return [process.exit_code() for process in running]

    def run(self, *arguments: str) -> None:
        """Run one management command to its end. Raises: CalledProcessError, with what it printed."""
        manage(self.environment, arguments)

    def __enter__(self) -> System:
        return self

    def __exit__(self, *exc_info: object) -> None:
        for process in self.processes:
            process.kill()


def manage(environment: Mapping[str, str], arguments: Sequence[str]) -> None:
    """Run `manage.py` with these arguments. Raises: AssertionError with its output when it fails."""
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments], cwd=ROOT, env=dict(environment), capture_output=True, text=True
    )
    assert done.returncode == 0, f"manage.py {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}"
