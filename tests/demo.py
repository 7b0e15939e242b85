"""The demo as its user has it: `manage.py demo` as a process, with servers, data and mailbox in a folder of the test's.

For the tests of the demo and those that drive a browser, which need every process of the service at once.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import httpx
import jwt

from notifyproj.demo.folder import Folder, State
from notifyproj.embedded.process import free_port
from tests.waiting import GENEROUS_SECONDS, eventually

ROOT = Path(__file__).resolve().parent.parent
READY = re.compile(r"^Ready: (\S+)", re.MULTILINE)
#: What conftest sets for the run's own servers; a demo that is not told of them starts its own.
OF_THE_RUN = (
    *("DATABASE_URL", "REDIS_URL", "KAFKA_BOOTSTRAP_SERVERS", "REDIS_PREFIX", "SECRET_KEY"),
    *("DJANGO_SETTINGS_MODULE", "DEMO", "DEMO_FOLDER"),
)


class RunningDemo:
    """A demo that is started with the block and ended by Ctrl+C after it. `settings`: further environment variables."""

    def __init__(self, folder: Path, *, output: Path | None = None, **settings: str) -> None:
        self.folder = Folder(folder)
        self.port = free_port()
        self._output = output or folder.with_suffix(".out")
        inherited = {name: value for name, value in os.environ.items() if name not in OF_THE_RUN}
        self._environment = {**inherited, "DEMO_FOLDER": str(folder), **settings}
        self.process: subprocess.Popen[bytes] | None = None

    def launch(self) -> Self:
        """Start it without waiting."""
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [*tied_to_this_process(), sys.executable, str(ROOT / "manage.py"), "demo", "--port", str(self.port)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment,
                cwd=ROOT,
                start_new_session=True,
            )
        return self

    def __enter__(self) -> Self:
        self.launch()

        def is_ready() -> bool:
            if self.process is None or self.process.poll() is not None:
                raise RuntimeError(f"The demo ended before it was ready:\n{self.said}")
            return READY.search(self.said) is not None

        try:
            eventually(is_ready, what="the demo is ready")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.interrupt()
            self.wait()

    @property
    def said(self) -> str:
        """All that it has printed."""
        return self._output.read_text(errors="replace")

    @property
    def url(self) -> str:
        """The address that it printed."""
        found = READY.search(self.said)
        assert found, self.said
        return found[1]

    @property
    def state(self) -> State:
        """What it says of its processes."""
        state = self.folder.state()
        assert state is not None, "the demo says nothing of itself"
        return state

    @property
    def environment(self) -> dict[str, str]:
        """What other commands need in order to find its servers."""
        lines = self.folder.environment.read_text().splitlines()
        return dict(shlex.split(line.removeprefix("export "))[0].split("=", 1) for line in lines)

    def interrupt(self) -> None:
        """Press Ctrl+C: SIGINT to its whole process group."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGINT)

    def wait(self) -> int:
        """Return its exit code once it has ended."""
        assert self.process is not None
        return self.process.wait(GENEROUS_SECONDS)

    def left_running(self) -> list[str]:
        """Return the command lines of processes that know the demo's folder. Empty after an orderly end."""
        mark = str(self.folder.root).encode()
        return [line for line, environment in _processes() if mark in line.encode() or mark in environment]

    def token(self, user_id: str, tenant: str = "default") -> str:
        """Return what the application that embeds the inbox would sign for this person."""
        claims = {"sub": user_id, "tenant_id": tenant, "exp": int(time.time()) + 3600}
        return jwt.encode(claims, self.folder.kept().jwt_key, "HS256")

    def visitor(self) -> Visitor:
        """Return somebody who has opened the tour."""
        return Visitor(self.url)

    def api(self, path: str) -> Any:
        """GET from the REST API with the demo's key."""
        answer = httpx.get(
            f"{self.url}/api/{path}", headers={"X-API-Key": self.folder.kept().api_key}, timeout=GENEROUS_SECONDS
        )
        assert answer.is_success, f"{answer.status_code} {answer.text}"
        return answer.json()

    def manage(self, *arguments: str) -> str:
        """Run a command of manage.py beside the demo, as its user would in another terminal; return what it printed."""
        environment = {**self._environment, **self.environment}
        done = subprocess.run(
            [sys.executable, str(ROOT / "manage.py"), *arguments],
            env=environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


class Visitor:
    """Somebody with the tour open, without a window: keeps cookies, sends the CSRF token. Close it after use."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=GENEROUS_SECONDS)
        self.get("/")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._client.close()

    def get(self, path: str) -> httpx.Response:
        """GET a page, whatever comes back."""
        return self._client.get(path)

    def json(self, path: str) -> Any:
        """GET JSON. Raises: httpx.HTTPStatusError."""
        return self.get(path).raise_for_status().json()

    def send(self, path: str, **fields: str) -> httpx.Response:
        """POST a form, whatever comes back."""
        return self._client.post(path, data=fields, headers={"X-CSRFToken": self._client.cookies["csrftoken"]})

    def post(self, path: str, **fields: str) -> Any:
        """POST a form; return the JSON that comes back. Raises: httpx.HTTPStatusError."""
        return self.send(path, **fields).raise_for_status().json()

    def delivered(self, job_id: str) -> Any:
        """Return how a job stands once it is over."""
        return eventually(lambda: (found := self.json(f"/demo/jobs/{job_id}/"))["is_over"] and found)


def tied_to_this_process() -> list[str]:
    """Return the prefix by which the kernel ends the demo in order when the run of the tests is killed."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "SIGTERM", "--"] if setpriv else []


def _processes() -> Iterator[tuple[str, bytes]]:
    """Yield the command line and the environment of every process of ours but this one."""
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            environment = (folder / "environ").read_bytes()
        except OSError:  # it ended meanwhile, or is not ours
            continue
        if line:
            yield line, environment
