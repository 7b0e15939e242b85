"""What the demo keeps on disk, all of it in one folder (DEMO_FOLDER, by default `.run/`): where it lies, and its
small files. Knows no Django and starts nothing.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

OWNER_ONLY: Final = 0o600


class FolderInUseError(Exception):
    """Another demo runs in this folder; the message says which process and where it answers."""


@dataclass(slots=True)
class Kept:
    """What stays the same from one run to the next. The API key is empty until the first run has made it."""

    secret_key: str = field(default_factory=lambda: secrets.token_urlsafe(48))
    jwt_key: str = field(default_factory=lambda: secrets.token_urlsafe(48))
    admin_password: str = field(default_factory=lambda: f"admin-{secrets.token_hex(4)}")
    ben_password: str = field(default_factory=lambda: f"ben-{secrets.token_hex(4)}")
    api_key: str = ""


@dataclass(frozen=True, slots=True)
class Running:
    """One process of the running demo. `starts` counts how often it was started; `started_at` is Unix time."""

    name: str
    title: str
    pid: int
    starts: int
    started_at: float
    is_running: bool


@dataclass(frozen=True, slots=True)
class State:
    """What the running demo says of itself. `owns_redis`: Redis is the demo's own, so it may be wiped."""

    pid: int
    url: str
    owns_redis: bool
    processes: list[Running]


class Folder:
    """The demo's folder. Made when something is written to it."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.mailbox = self.root / "mailbox.jsonl"
        self.logs = self.root / "logs"
        self.environment = self.root / "env"
        self.provider_a_broken = self.root / "provider-a-is-broken"
        self._kept = self.root / "kept.json"
        self._state = self.root / "running.json"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for a block. Raises: FolderInUseError."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                running = self.state()
                who = f" as process {running.pid}, at {running.url}" if running else ""
                raise FolderInUseError(
                    f"The demo runs already in {self.root}{who}. Stop that one first, or set DEMO_FOLDER to another folder."
                ) from None
            yield

    def kept(self) -> Kept:
        """Return what was kept, made new at the first call."""
        if not self._kept.exists():
            self.keep(Kept())
        return Kept(**json.loads(self._kept.read_text()))

    def keep(self, kept: Kept) -> None:
        """Keep this for the next run."""
        _write(self._kept, json.dumps(asdict(kept), indent=1))

    def state(self) -> State | None:
        """Return what the running demo last wrote, or None when none runs."""
        if not self._state.exists():
            return None
        fields = json.loads(self._state.read_text())
        return State(**{**fields, "processes": [Running(**one) for one in fields["processes"]]})

    def write_state(self, state: State) -> None:
        """Show this to the tour page. Readers see the old file or the new one, never half."""
        _write(self._state, json.dumps(asdict(state), indent=1))

    def write_environment(self, variables: Mapping[str, str]) -> None:
        """Write a file that a shell can read (`. .run/env`), so that other commands find the running servers."""
        lines = (f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())
        _write(self.environment, "".join(lines))

    def forget_running(self) -> None:
        """Say that no demo runs any more."""
        self._state.unlink(missing_ok=True)
        self.environment.unlink(missing_ok=True)


def _write(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, OWNER_ONLY), "w") as file:
        file.write(content)
    temporary.replace(path)
