"""Keeps the demo's processes running: starts them, starts again what dies, and ends them all. Knows no Django and not
what the processes do.

Each child leads a process group of its own, so Ctrl+C in the terminal reaches only the supervisor, which ends them in
order, and a kill takes a child's own children along.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

POLL_SECONDS: Final = 0.05
#: A child that lived longer than this is started again at once; one that keeps dying waits longer each time.
SETTLED_SECONDS: Final = 10.0
PAUSES_SECONDS: Final = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0)
LAST_LINES: Final = 8


class ChildError(Exception):
    """A child ended while it was needed; the message names its log and its last lines."""


class Child:
    """One process of the service. `title` is what a person calls it; output goes to `log`, which starts anew."""

    def __init__(self, name: str, title: str, command: Sequence[str], *, log: Path) -> None:
        self.name = name
        self.title = title
        self.command = list(command)
        self.log = log
        self.starts = 0
        self.started_at = 0.0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Return the process id of the last start, 0 before the first."""
        return self._process.pid if self._process else 0

    @property
    def is_running(self) -> bool:
        """Say whether the process exists."""
        return self._process is not None and self._process.poll() is None

    @property
    def ending(self) -> str:
        """Say how it ended."""
        code = self._process.returncode if self._process else None
        if code is None:
            return "runs"
        return f"ended with code {code}" if code >= 0 else f"was ended by {signal.Signals(-code).name}"

    def launch(self) -> None:
        """Start the process. Call it in the main thread: the kernel ends the child with the thread that made it."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab" if self.starts else "wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 (a command made in runner.py)
                [*_tied_to_this_process(), *self.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.starts += 1
        self.started_at = time.time()

    def run(self) -> None:
        """Run the process to its end. Raises: ChildError when that is not a success."""
        self.launch()
        while self.is_running:
            time.sleep(POLL_SECONDS)
        if self._process is not None and self._process.returncode != 0:
            raise ChildError(self.complaint())

    def ask_to_end(self) -> None:
        """Send SIGTERM to the process, which tells its own children."""
        if self._process is not None and self.is_running:
            self._process.terminate()

    def kill(self) -> None:
        """End the process and its children by SIGKILL, as a crash does. Safe when they are gone."""
        if self._process is None:
            return
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return  # the whole group is gone, which is what was wanted
        finally:
            self._process.wait()

    def complaint(self) -> str:
        """Say how it ended, where its log is, and the log's last lines."""
        lines = self.log.read_text(errors="replace").splitlines()[-LAST_LINES:]
        return "\n".join([f"{self.title} {self.ending}. Its log is {self.log}; its last lines:", *lines])


class Supervisor:
    """The children that shall run. `say` takes lines for a person; `changed` is called when a child came or went."""

    def __init__(self, *, say: Callable[[str], None], changed: Callable[[], None]) -> None:
        self.children: list[Child] = []
        self._say = say
        self._changed = changed
        self._failures: dict[str, int] = {}
        self._down_since: dict[str, float] = {}

    def start(self, child: Child) -> None:
        """Start a child and keep it running from now on."""
        self.children.append(child)
        child.launch()
        self._changed()

    def look(self) -> None:
        """Start again what has died, after a pause when it keeps dying. To be called a few times a second."""
        for child in self.children:
            if not child.is_running:
                self._revive(child)

    def kill_one(self, prefix: str) -> Child | None:
        """Kill one running child whose name begins with `prefix`, the one that lived longest; `look` starts it again."""
        running = [child for child in self.children if child.name.startswith(prefix) and child.is_running]
        if not running:
            return None
        oldest = min(running, key=lambda child: child.started_at)
        oldest.kill()
        return oldest

    def stop(self, within_seconds: float) -> list[Child]:
        """Ask all children to end, wait, kill the rest, and return those that had to be killed. Safe to call again."""
        for child in self.children:
            child.ask_to_end()
        deadline = time.monotonic() + within_seconds
        while any(child.is_running for child in self.children) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        late = [child for child in self.children if child.is_running]
        for child in self.children:
            child.kill()
        return late

    def _revive(self, child: Child) -> None:
        now = time.monotonic()
        if child.name not in self._down_since:
            lived = time.time() - child.started_at
            self._failures[child.name] = 0 if lived > SETTLED_SECONDS else self._failures.get(child.name, 0) + 1
            self._down_since[child.name] = now
            child.kill()  # what it may have left of its own children
            self._say(f"{child.title} {child.ending}; starting it again. Log: {child.log}")
            self._changed()
        pause = PAUSES_SECONDS[min(self._failures[child.name], len(PAUSES_SECONDS) - 1)]
        if now - self._down_since[child.name] >= pause:
            del self._down_since[child.name]
            child.launch()
            self._changed()


def _tied_to_this_process() -> list[str]:
    """Return the prefix by which the kernel asks a child to end when this process is gone. Only Linux has it."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "SIGTERM", "--"] if setpriv else []
