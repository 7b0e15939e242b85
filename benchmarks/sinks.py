"""The far ends of the benchmarks: servers on 127.0.0.1 that take everything, each a process of its own on the same cores.

For mail postfix's `smtp-sink` where it is installed, otherwise the demo's mailbox; for HTTP this module itself, run as a program.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import uvloop

from notifyproj.demo.supervisor import Child
from notifyproj.embedded.process import free_port, is_listening

START_SECONDS = 30.0
TAKEN = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Sink:
    """A server that takes everything."""

    def __init__(self, name: str, command: Sequence[str], *, port: int, log: Path) -> None:
        self.name = name
        self.port = port
        self._child = Child("sink", name, list(command), log=log)

    def __enter__(self) -> Sink:
        self._child.launch()
        deadline = time.monotonic() + START_SECONDS
        while not is_listening(self.port):
            if not self._child.is_running or time.monotonic() > deadline:
                self._child.kill()
                raise RuntimeError(self._child.complaint())
            time.sleep(0.05)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._child.kill()


def mail_sink(folder: Path) -> Sink:
    """Return an SMTP server, not started."""
    port = free_port()
    program = shutil.which("smtp-sink") or shutil.which("smtp-sink", path="/usr/sbin")
    if program:
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        return Sink("smtp-sink", [program, *user, f"127.0.0.1:{port}", "256"], port=port, log=folder / "sink.log")
    return mailbox(folder, port=port)


def mailbox(folder: Path, *, port: int, second_port: int | None = None, refuses_while: Path | None = None) -> Sink:
    """Return the demo's mailbox, not started. At `port` it refuses everything while the file `refuses_while` is there."""
    command = [sys.executable, "-m", "notifyproj.demo.mailbox_server", "--port", str(port)]
    command += ["--file", str(folder / "mail.jsonl"), "--keep", "1000"]
    if second_port:
        command += ["--second-port", str(second_port)]
    if refuses_while:
        command += ["--refuse-while", str(refuses_while)]
    return Sink("the demo's mailbox", command, port=port, log=folder / "sink.log")


def http_sink(folder: Path, *, delay_seconds: float) -> Sink:
    """Return an HTTP server that answers 200 to every request, `delay_seconds` after it came."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.sinks", "--port", str(port), "--delay", str(delay_seconds)]
    return Sink(f"HTTP in {delay_seconds * 1000:g} ms", command, port=port, log=folder / "http-sink.log")


class Taker(asyncio.Protocol):
    """One connection: whole requests with a Content-Length, one after the other, each answered after the delay."""

    def __init__(self, delay_seconds: float) -> None:
        self._delay = delay_seconds
        self._input = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._input += data
        while (end := self._input.find(b"\r\n\r\n")) >= 0:
            _, found, length = self._input[:end].lower().partition(b"content-length:")
            whole = end + 4 + (int(length.split(b"\r\n", 1)[0]) if found else 0)
            if len(self._input) < whole:
                return
            self._input = self._input[whole:]
            asyncio.get_running_loop().call_later(self._delay, self._answer)

    def _answer(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(TAKEN)  # type: ignore[attr-defined]  # a TCP server's transport can write


async def serve(port: int, delay_seconds: float) -> None:
    """Serve until the process is ended."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Taker(delay_seconds), "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sinks", description="Take every HTTP request.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--delay", type=float, default=0.0, help="seconds between a request and its answer")
    options = parser.parse_args()
    uvloop.run(serve(options.port, options.delay))


if __name__ == "__main__":
    main()
