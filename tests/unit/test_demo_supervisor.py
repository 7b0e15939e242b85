"""The demo's supervisor: what dies is started again, what shall end ends, and nothing is left."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from notifyproj.demo.supervisor import Child, ChildError, Supervisor
from tests.waiting import eventually

SLEEPS = "import time; time.sleep(600)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
)
WITH_A_CHILD = (
    "import subprocess, sys, time; p = subprocess.Popen(['sleep', '600']); print(p.pid, flush=True); time.sleep(600)"
)


class Scene:
    """A supervisor, and what it said."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: list[str] = []
        self.changes = 0
        self.supervisor = Supervisor(say=self.said.append, changed=self._count)

    def _count(self) -> None:
        self.changes += 1

    def start(self, name: str, program: str) -> Child:
        """Start a Python program."""
        child = Child(name, name.title(), [sys.executable, "-c", program], log=self.folder / f"{name}.log")
        self.supervisor.start(child)
        return child


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """Give a supervisor whose children are gone after the test."""
    scene = Scene(tmp_path)
    yield scene
    scene.supervisor.stop(0)


def is_gone(pid: int) -> bool:
    """Say whether a process has ended; a zombie that waits for its reaper has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_what_dies_is_started_again_and_said(scene: Scene) -> None:
    child = scene.start("web", SLEEPS)
    first = child.pid
    os.kill(first, 9)

    def is_back() -> bool:
        scene.supervisor.look()
        return child.is_running and child.pid != first

    eventually(is_back)
    assert child.starts == 2
    assert scene.said == [f"Web was ended by SIGKILL; starting it again. Log: {child.log}"]
    assert scene.changes == 3  # started, died, started


def test_what_keeps_dying_is_started_less_and_less_often(scene: Scene) -> None:
    child = scene.start("web", "raise SystemExit(3)")

    def has_failed(times: int) -> bool:
        scene.supervisor.look()
        return len(scene.said) >= times

    eventually(lambda: has_failed(2))
    assert "ended with code 3" in scene.said[0]
    scene.supervisor.look()
    assert not child.is_running, "the second start in a row waits a second"


def test_a_kill_takes_the_childs_own_children_along(scene: Scene) -> None:
    child = scene.start("sender-1", WITH_A_CHILD)
    grandchild = int(eventually(lambda: child.log.read_text().strip()))
    assert scene.supervisor.kill_one("sender") is child
    eventually(lambda: is_gone(grandchild))
    assert not child.is_running


def test_the_one_that_lived_longest_is_killed(scene: Scene) -> None:
    older, newer = scene.start("sender-1", SLEEPS), scene.start("sender-2", SLEEPS)
    assert scene.supervisor.kill_one("sender") is older
    assert newer.is_running
    assert scene.supervisor.kill_one("consumer") is None


def test_stop_ends_all_and_kills_who_does_not_listen(scene: Scene) -> None:
    polite, stubborn = scene.start("web", SLEEPS), scene.start("sender-1", STUBBORN)
    eventually(lambda: "deaf" in stubborn.log.read_text())
    late = scene.supervisor.stop(within_seconds=2)
    assert late == [stubborn]
    assert not polite.is_running
    assert not stubborn.is_running


def test_a_command_that_fails_says_its_last_lines(tmp_path: Path) -> None:
    program = "print('The reason.'); raise SystemExit(2)"
    with pytest.raises(ChildError, match="The preparation ended with code 2") as caught:
        Child("prepare", "The preparation", [sys.executable, "-c", program], log=tmp_path / "prepare.log").run()
    assert "The reason." in str(caught.value)
    assert str(tmp_path / "prepare.log") in str(caught.value)
