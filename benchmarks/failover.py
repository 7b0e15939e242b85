"""Two mail providers, one of which starts refusing half way: what it costs in attempts, and how soon the rate is back.

Both providers are one SMTP server on the same cores, so that A and B are equally fast. The rate is read off the rows: what was
recorded as SENT in each quarter of a second, by the database's clock. Each sender process has a breaker of its own for A and tells the
others when it opens; failures are those of all, so they are given for one.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from datetime import datetime
from pathlib import Path

from benchmarks.pipeline import WARM_UP, ours
from benchmarks.sinks import mailbox
from benchmarks.table import print_facts, print_goal, print_rounds
from benchmarks.world import World, a_world, make_jobs, produce, wait_until_sent
from notifyproj.embedded.process import free_port

PROCESSES = 2
BUCKET_SECONDS = 0.25
MEASURED_SECONDS = 1.0
FAILURES_GOAL, RATE_GOAL, SECONDS_GOAL = 20, 0.8, 5.0
RATE = """
SELECT floor(extract(epoch FROM finished_at - %(at)s) / %(bucket)s)::int, count(*) FROM notification_delivery
WHERE id > %(after)s GROUP BY 1 ORDER BY 1
"""


def add_providers(world: World, first: int, second: int) -> None:
    """Give the tenant providers A and B, in this order."""
    from django.db import connection

    from deliveries.models import Provider

    for position, (name, port) in enumerate((("A", first), ("B", second)), start=1):
        options = {"host": "127.0.0.1", "port": port, "security": "none", "connections": 10}
        Provider.objects.create(
            tenant_id=world.tenant_id, channel="email", name=name, kind="smtp", position=position, options=options
        )
    connection.close()


def run_round(world: World, broken: Path, jobs: int) -> dict[str, float]:
    """Run `jobs` mails; half way A begins to refuse. Returns failures, seconds until the rate was back, and the rates."""
    broken.unlink(missing_ok=True)
    world.clear()
    topic = world.make_topic()
    with ours(world, PROCESSES) as build:
        produce(world, topic, make_jobs(WARM_UP))
        wait_until_sent(world, build, WARM_UP)
        produce(world, topic, make_jobs(jobs))
        while (
            int(str(world.one("SELECT count(*) FROM notification_delivery WHERE status = 'SENT'")))
            < WARM_UP + jobs // 2
        ):
            time.sleep(0.02)
            build.check()
        broken.touch()
        broken_at = world.one("SELECT clock_timestamp()")
        wait_until_sent(world, build, WARM_UP + jobs)
    assert isinstance(broken_at, datetime)
    failures = int(str(world.one("SELECT count(*) FROM deliveries_deliveryattempt")))
    before, after = _rates(world, broken_at)
    return {"failed attempts": failures, "back after, seconds": _back_after(before, after), "mails/s before": before}


def _rates(world: World, broken_at: datetime) -> tuple[float, dict[int, float]]:
    """Return the median rate before, and the rate of each bucket after, in mails a second."""
    values = {"at": broken_at, "bucket": BUCKET_SECONDS, "after": WARM_UP}
    found = {int(bucket): count / BUCKET_SECONDS for bucket, count in world.database.execute(RATE, values)}
    whole = [found[bucket] for bucket in sorted(found) if bucket < 0][1:]
    return statistics.median(whole or [0.0]), {bucket: rate for bucket, rate in found.items() if bucket >= 0}


def _back_after(before: float, after: dict[int, float]) -> float:
    """Return after how many seconds a whole second had RATE_GOAL of the rate before; infinite when none had."""
    width = int(MEASURED_SECONDS / BUCKET_SECONDS)
    for bucket in range(max(after, default=0) + 2 - width):
        if sum(after.get(bucket + place, 0.0) for place in range(width)) / width >= RATE_GOAL * before:
            return bucket * BUCKET_SECONDS
    return float("inf")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.failover", description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with a_world(CHANNEL_SENDERS="email=null,ws=null", CREDENTIALS_KEYS="benchmark-" + "k" * 40) as world:
        first, second, broken = free_port(), free_port(), world.folder / "a-refuses"
        with mailbox(world.folder, port=first, second_port=second, refuses_while=broken) as sink:
            print_facts(Postgres=str(world.one("SHOW server_version")), sink=sink.name)
            add_providers(world, first, second)
            rounds: dict[str, list[float]] = defaultdict(list)
            for _ in range(options.rounds):
                for what, value in run_round(world, broken, options.jobs).items():
                    rounds[what].append(value)
        print_rounds(f"Provider A refuses half way through {options.jobs:,} mails; all SENT", "", rounds, digits=1)
        failures = max(rounds["failed attempts"]) / PROCESSES
        print_goal("failed attempts for one process, the worst round", failures, FAILURES_GOAL, at_most=True, digits=0)
        print_goal(
            f"seconds until {RATE_GOAL:g} of the rate, the worst round",
            max(rounds["back after, seconds"]),
            SECONDS_GOAL,
            at_most=True,
        )


if __name__ == "__main__":
    main()
