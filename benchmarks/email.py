"""Mails a second from Kafka to an SMTP server, beside two peers that do less, and where a sending process spends its time.

The server is postfix's `smtp-sink` where it is installed, otherwise the demo's mailbox, and runs on the same cores. Peers: one uvloop
process that takes rows with their people from PostgreSQL and patches a skeleton of the mail, on kept and pipelined connections; and
two threads of smtplib with the bytes ready. Neither reads Kafka, stores, claims or records anything.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import shutil
import smtplib
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import psycopg
import uvloop

from benchmarks.costs import profile_sender
from benchmarks.pipeline import Speed, ours, run_round
from benchmarks.table import print_cpu, print_facts, print_rounds
from benchmarks.world import World, a_world, make_jobs
from notifyproj.demo.supervisor import Child
from notifyproj.embedded.process import free_port, is_listening

CONNECTIONS = 10
THREADS = 2
START_SECONDS = 30.0
SENDER = "notifications@localhost"
ROWS = """
SELECT d.id, d.job_id, c.name, c.email, d.data FROM notification_delivery d
JOIN deliveries_contact c ON (c.tenant_id, c.user_id) = (d.tenant_id, d.user_id) WHERE d.id > %s ORDER BY d.id LIMIT 500
"""
SKELETON = (
    b"Date: Fri, 14 Nov 2025 12:00:00 +0000\r\nMessage-ID: <%b@notifications.localhost>\r\nFrom: notifications@localhost\r\nTo: %b\r\n"
    b"Subject: %b, your order is on its way\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
    b"Hello %b,\r\n\r\nyour order %b left our warehouse.\r\n" + b"It comes with Parcel Express on 14 November.\r\n" * 12
)


class Sink:
    """The SMTP server that takes everything, as a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        program = shutil.which("smtp-sink") or shutil.which("smtp-sink", path="/usr/sbin")
        if program:
            self.name = "smtp-sink"
            command = [program, *(["-u", "nobody"] if os.geteuid() == 0 else []), f"127.0.0.1:{self.port}", "256"]
        else:
            self.name = "the demo's mailbox"
            file = ["--file", str(folder / "mail.jsonl"), "--keep", "1000"]
            command = [sys.executable, "-m", "notifyproj.demo.mailbox_server", "--port", str(self.port), *file]
        self.child = Child("sink", self.name, command, log=folder / "sink.log")

    def __enter__(self) -> Sink:
        self.child.launch()
        deadline = time.monotonic() + START_SECONDS
        while not is_listening(self.port):
            if not self.child.is_running or time.monotonic() > deadline:
                self.child.kill()
                raise RuntimeError(self.child.complaint())
            time.sleep(0.05)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.child.kill()


class Pipelined(asyncio.Protocol):
    """One kept connection: the body of a mail, and MAIL, RCPT and DATA of the next, leave in one write (RFC 2920)."""

    def __init__(self) -> None:
        self.ready: asyncio.Future[None] | None = None
        self.replies = 0
        self.refused = False
        self._wanted = 0
        self._input = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        *lines, self._input = (self._input + data).split(b"\n")
        for line in lines:
            self.refused = self.refused or line[:1] in (b"4", b"5")
            self.replies += line[3:4] == b" "
        if self.replies >= self._wanted:
            self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self.refused = True
        self._wake()

    def _wake(self) -> None:
        if self.ready is not None and not self.ready.done():
            self.ready.set_result(None)

    async def wait(self, replies: int) -> None:
        """Return once so many replies came in all. Raises: RuntimeError when one refuses, or the connection is lost."""
        self._wanted = replies
        if self.replies < replies:
            self.ready = asyncio.get_running_loop().create_future()
            await self.ready
        if self.refused:
            raise RuntimeError("the sink refused a mail or closed the connection")


async def _bare_loop(url: str, port: int) -> int:
    """Send every stored row once over CONNECTIONS connections; return how many."""
    queue: asyncio.Queue[tuple[bytes, bytes] | None] = asyncio.Queue(maxsize=1000)

    async def fetch() -> None:
        last = 0
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            while rows := await (await connection.execute(ROWS, [last])).fetchall():
                last = rows[-1][0]
                for _, job_id, name, address, data in rows:
                    to, who = address.encode(), name.encode()
                    mail = SKELETON % (str(job_id).encode(), to, who, who, data["order"].encode())
                    await queue.put((b"MAIL FROM:<%b>\r\nRCPT TO:<%b>\r\nDATA\r\n" % (SENDER.encode(), to), mail))
        for _ in range(CONNECTIONS):
            await queue.put(None)

    async def send() -> int:
        _, connection = await asyncio.get_running_loop().create_connection(Pipelined, "127.0.0.1", port)
        await connection.wait(1)
        connection.transport.write(b"EHLO bench\r\n")
        await connection.wait(2)
        sent, expected = 0, 2
        job = await queue.get()
        if job is not None:
            connection.transport.write(job[0])
        while job is not None:
            expected += 3
            await connection.wait(expected)
            following = await queue.get()
            connection.transport.write(job[1] + b".\r\n" + (following[0] if following else b""))
            expected += 1
            sent += 1
            job = following
        await connection.wait(expected)
        connection.transport.close()
        return sent

    fetching = asyncio.create_task(fetch())
    counts = await asyncio.gather(*(send() for _ in range(CONNECTIONS)))
    await fetching
    return sum(counts)


def bare_loop(world: World, port: int, count: int) -> float:
    """Return the mails a second of the uvloop peer over the rows that the last round stored."""
    began = time.perf_counter()
    sent: int = uvloop.run(_bare_loop(world.database_url, port))
    assert sent >= count, f"{sent} of {count} mails were sent"
    return sent / (time.perf_counter() - began)


def two_threads(world: World, port: int, count: int) -> float:
    """Return the mails a second of smtplib in two threads, the bytes being ready."""
    mails = [
        (f"person{n}@example.com", SKELETON % (b"%d" % n, b"person@example.com", b"Person", b"Person", b"A-1"))
        for n in range(count)
    ]
    counter = itertools.count()

    def send() -> None:
        with smtplib.SMTP("127.0.0.1", port) as client:
            while (place := next(counter)) < count:
                client.sendmail(SENDER, *mails[place])

    began = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        for done in [pool.submit(send) for _ in range(THREADS)]:
            done.result()
    return count / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.email", description=__doc__)
    parser.add_argument("--mails", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=CONNECTIONS, help="EMAIL_CONNECTIONS of ours")
    options = parser.parse_args()
    with (
        a_world(CHANNEL_SENDERS="email=smtp,ws=null", EMAIL_CONNECTIONS=str(options.connections)) as world,
        Sink(world.folder) as sink,
    ):
        os.environ.update(EMAIL_HOST="127.0.0.1", EMAIL_PORT=str(sink.port))
        print_facts(Postgres=str(world.one("SHOW server_version")), sink=sink.name)
        speeds: list[Speed] = []
        rounds: dict[str, list[float]] = defaultdict(list)
        peers: dict[str, Callable[[World, int, int], float]] = {
            "one uvloop process, rows from PostgreSQL": bare_loop,
            "two smtplib threads, bytes ready": two_threads,
        }
        for _ in range(options.rounds):
            speeds.append(run_round(world, ours, options.mails))
            rounds["ours, Kafka → mail recorded as SENT"].append(speeds[-1].from_first_accepted)
            for name, peer in peers.items():
                rounds[name].append(peer(world, sink.port, options.mails))
        print_rounds(f"Mails to {sink.name}, {options.mails:,} a round", "mails/s", rounds)
        print_cpu("ours", [speed.cpu_us for speed in speeds])
        _where_the_time_goes(world, sink, options.mails)


def _where_the_time_goes(world: World, sink: Sink, mails: int) -> None:
    """Send from this process, under a profiler, apart from the timed rounds."""
    from datetime import UTC, datetime

    from django.conf import settings

    from deliveries import ingest
    from deliveries.jobs import parse_job

    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", sink.port
    world.clear()
    now = datetime.now(UTC)
    jobs = [ingest.Incoming(parse_job(value, now=now), "bench") for _, value in make_jobs(mails)]
    for begin in range(0, mails, 1000):
        ingest.ingest(jobs[begin : begin + 1000], entrance="bench")
    profile_sender(world, mails)


if __name__ == "__main__":
    main()
