"""Mails a second to an SMTP server, personalised, HTML and text, each outcome recorded; beside three peers, in one run.

Ours twice: from Kafka to the recorded outcome, and as a backlog of rows that are ready when the sending processes start. Peers: one
uvloop process that takes rows with their people from PostgreSQL and patches a skeleton of the mail, on kept and pipelined connections
(the floor: it claims and records nothing); two threads of smtplib with the bytes ready and no database; and django-post_office, queue and
send. All mails have about 2 KB. The server runs on the same cores.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import smtplib
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import cast

import psycopg
import uvloop

from benchmarks.costs import profile_sender
from benchmarks.pipeline import Speed, ours, run_round
from benchmarks.sinks import Sink, mail_sink
from benchmarks.table import print_cpu, print_facts, print_goal, print_rounds, ratio
from benchmarks.world import Build, World, a_world, make_jobs, wait_until_sent

CONNECTIONS = 10
THREADS = 2
PROCESSES = 2
POST_OFFICE_MAILS = 1000
SENDER = "notifications@localhost"
ROWS = """
SELECT d.id, d.job_id, c.name, c.email, d.data FROM notification_delivery d
JOIN deliveries_contact c ON (c.tenant_id, c.user_id) = (d.tenant_id, d.user_id) WHERE d.id > %s ORDER BY d.id LIMIT 500
"""
LINES = b"It comes with Parcel Express on 14 November.\r\n"
SKELETON = (
    b"Date: Fri, 14 Nov 2025 12:00:00 +0000\r\nMessage-ID: <%b@notifications.localhost>\r\nFrom: notifications@localhost\r\nTo: %b\r\n"
    b"Subject: %b, your order is on its way\r\nMIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n"
    b"--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nHello %b,\r\n\r\nyour order %b left our warehouse.\r\n"
    + LINES * 4
    + b"--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>Hello %b,</p><p>your order <b>%b</b> left our warehouse.</p>\r\n"
    + LINES * 24
    + b"--b--\r\n"
)
SPAN = "SELECT min(started_at), max(finished_at) FROM notification_delivery"


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
                    order = data["order"].encode()
                    mail = SKELETON % (str(job_id).encode(), to, who, who, order, who, order)
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
        (
            f"person{n}@example.com",
            SKELETON % (b"%d" % n, b"p@example.com", b"Person", b"Person", b"A-1", b"Person", b"A-1"),
        )
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


def post_office(world: World, port: int, count: int) -> float:
    """Return the mails a second of django-post_office: one `mail.send` a mail from a stored template, then its command until done."""
    command = [sys.executable, "-m", "benchmarks.post_office", str(min(count, POST_OFFICE_MAILS))]
    environment = {**os.environ, "EMAIL_HOST": "127.0.0.1", "EMAIL_PORT": str(port), "DATABASE_URL": world.database_url}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return float(done.stdout)


def store(world: World, mails: int) -> None:
    """Put jobs into the table as accepted rows, without Kafka."""
    from deliveries import ingest
    from deliveries.jobs import parse_job

    world.clear()
    now = datetime.now(UTC)
    jobs = [ingest.Incoming(parse_job(value, now=now), "bench") for _, value in make_jobs(mails)]
    for begin in range(0, mails, 1000):
        ingest.ingest(jobs[begin : begin + 1000], entrance="bench")


def backlog(world: World, mails: int) -> float:
    """Return the mails a second from the first started to the last recorded, of rows that waited before the processes started."""
    store(world, mails)
    world.make_topic()
    sender = ["-m", "dramatiq", "notifyproj.broker", "--processes", str(PROCESSES), "--threads", "2"]
    with Build(world, {"sender": sender, "sweeper": ["manage.py", "run_worker"]}, reader="sender") as build:
        wait_until_sent(world, build, mails)
    row = world.database.execute(SPAN).fetchone()
    assert row is not None
    return float(mails / (row[1] - row[0]).total_seconds())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.email", description=__doc__)
    parser.add_argument("--mails", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=CONNECTIONS, help="EMAIL_CONNECTIONS of ours")
    options = parser.parse_args()
    with (
        a_world(CHANNEL_SENDERS="email=smtp,ws=null", EMAIL_CONNECTIONS=str(options.connections)) as world,
        mail_sink(world.folder) as sink,
    ):
        os.environ.update(EMAIL_HOST="127.0.0.1", EMAIL_PORT=str(sink.port))
        print_facts(Postgres=str(world.one("SHOW server_version")), sink=sink.name)
        _measure(world, sink, options)
        _where_the_time_goes(world, sink, options.mails)


def _measure(world: World, sink: Sink, options: argparse.Namespace) -> None:
    ready, whole = (
        f"ours, {PROCESSES} processes, rows ready → recorded",
        f"ours, {PROCESSES} processes, Kafka → recorded",
    )
    floor, threads = "one uvloop process, rows from PostgreSQL", "two smtplib threads, bytes ready"
    queued = f"django-post_office, queue and send ({POST_OFFICE_MAILS:,})"
    peers: dict[str, Callable[[World, int, int], float]] = {floor: bare_loop, threads: two_threads, queued: post_office}
    speeds: list[Speed] = []
    rounds: dict[str, list[float]] = defaultdict(list)
    for _ in range(options.rounds):
        rounds[ready].append(backlog(world, options.mails))
        speeds.append(run_round(world, lambda world: ours(world, PROCESSES), options.mails))
        rounds[whole].append(speeds[-1].from_first_accepted)
        for name, peer in peers.items():
            rounds[name].append(peer(world, sink.port, options.mails))
    print_rounds(f"Mails of about 2 KB to {sink.name}, {options.mails:,} a round", "mails/s", rounds)
    print_cpu("ours from Kafka", [speed.cpu_us for speed in speeds])
    for what, peer_name, goal in (
        (ready, floor, 0.35),
        (ready, threads, 1.2),
        (whole, floor, 0.2),
        (whole, queued, 15.0),
    ):
        print_goal(f"{what} / {peer_name}", ratio(rounds[what], rounds[peer_name]), goal)


def _where_the_time_goes(world: World, sink: Sink, mails: int) -> None:
    """Send from this process, under a profiler, apart from the timed rounds."""
    from django.conf import settings

    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", sink.port
    store(world, mails)
    profile_sender(world, mails)


if __name__ == "__main__":
    main()
