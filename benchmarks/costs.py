"""Where the time goes: our consumer's and sender's own work for a job, by function, under cProfile.

The clock is the thread's own use of a core, so waiting counts nothing, and neither does what else the machine does.
cProfile makes every call dearer: the shares count, not the sums. Speed is measured elsewhere, without a profiler.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kafka.consumer.fetcher import ConsumerRecord
from kafka.structs import TopicPartition

from benchmarks.table import print_facts
from benchmarks.world import PARTITIONS, World, a_world, make_jobs

BATCH = 1000
TOP = 25
ROOT = f"{Path(__file__).resolve().parents[1]}/"


def profile_consumer(world: World, batches: int) -> None:
    """Read and store batches of records, as the poll loop does, without Kafka."""
    from deliveries import outbox

    polls = list(_polls(batches))
    outbox.store(outbox.read(polls.pop(0)))  # the first one makes the staging table and the lane
    profiler = cProfile.Profile(time.thread_time)
    with profiled(profiler, "Consumer: outbox.read and outbox.store", BATCH * (batches - 1)):
        for poll in polls:
            outbox.store(outbox.read(poll))


def profile_sender(world: World, jobs: int) -> None:
    """Send the rows that wait, with the dispatch loop of a sending process and the senders that the settings name."""
    from deliveries import dispatch
    from deliveries.channel_senders import build_senders
    from deliveries.workers.heartbeat import Heartbeat

    profiler = cProfile.Profile(time.thread_time)
    with Heartbeat("sender") as heartbeat:
        dispatcher = dispatch.Dispatcher(build_senders(), heartbeat=heartbeat)
        dispatcher.start()
        # cProfile sees one thread, the one that enables it; so the loop does that itself.
        loop = dispatcher._loop
        with profiled(profiler, "Sender: the dispatch loop, from claim to recorded outcome", jobs, enable=False):
            loop.call_soon_threadsafe(profiler.enable)
            dispatcher.look("email")
            while world.one("SELECT count(*) FROM notification_delivery WHERE status <> 'SENT'"):
                time.sleep(0.2)
            loop.call_soon_threadsafe(profiler.disable)
            dispatcher.stop()


@contextmanager
def profiled(profiler: cProfile.Profile, title: str, jobs: int, *, enable: bool = True) -> Iterator[None]:
    """Profile a block and print its dearest functions, in microseconds a job."""
    if enable:
        profiler.enable()
    yield
    profiler.disable()
    stats = pstats.Stats(profiler)
    table: dict[Any, Any] = stats.stats  # type: ignore[attr-defined]
    total = sum(row[2] for row in table.values())
    print(f"\n{title}: {total / jobs * 1e6:,.0f} µs a job under the profiler, {jobs:,} jobs")
    print(f"  {'own µs':>8} {'with calls':>10} {'calls':>8}  function")
    for (file, line, name), (_, calls, own, cumulative, _) in sorted(table.items(), key=lambda item: -item[1][2])[:TOP]:
        where = f"{file.removeprefix(ROOT).rpartition('site-packages/')[2]}:{line} " if line else ""
        print(f"  {own / jobs * 1e6:>8.2f} {cumulative / jobs * 1e6:>10.2f} {calls / jobs:>8.2f}  {where}{name}")


def _polls(batches: int) -> Iterator[dict[TopicPartition, list[Any]]]:
    """Make polls as the consumer returns them: the records of one or two partitions."""
    timestamp = int(datetime.now(UTC).timestamp() * 1000)
    jobs = make_jobs(batches * BATCH)
    for number in range(batches):
        partition = TopicPartition("costs", number % PARTITIONS)
        records = []
        for place, (key, value) in enumerate(jobs[number * BATCH : (number + 1) * BATCH]):
            values = {
                "topic": "costs",
                "partition": partition.partition,
                "offset": number * BATCH + place,
                "timestamp": timestamp,
                "key": key,
                "value": value,
            }
            records.append(ConsumerRecord(**{name: values.get(name) for name in ConsumerRecord._fields}))
        yield {partition: records}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.costs", description=__doc__)
    parser.add_argument("--batches", type=int, default=50, help=f"of {BATCH:,} jobs")
    options = parser.parse_args()
    with a_world() as world:
        print_facts(Postgres=str(world.one("SHOW server_version")))
        world.clear()
        profile_consumer(world, options.batches)
        profile_sender(world, BATCH * options.batches)


if __name__ == "__main__":
    main()
