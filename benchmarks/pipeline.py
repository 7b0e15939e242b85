"""Jobs a second from Kafka to SENT: ours, a bare loop and a naive build, in one run; memory over many jobs; and a table already full.

The sender is `null`, so that only our own work is measured. Jobs wait on the topic, all processes are up and have done some hundred
jobs, before the clock starts. Each round of each build has an emptied table, a new topic and new processes. Rounds alternate.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from benchmarks.table import print_cpu, print_facts, print_goal, print_rounds, ratio
from benchmarks.world import Build, World, a_world, make_jobs, produce, wait_until_sent

WARM_UP = 300
BARE_GOAL, NAIVE_GOAL, FULL_TABLE_GOAL = 0.6, 25.0, 0.9
GROWTH_GOAL_MIB, GROWTH_GOAL_SHARE = 20.0, 0.10
MEMORY_FIRST, MEMORY_LAST = 10_000, 200_000
FINISHED_ROWS = 2_000_000
SECTIONS = ("speed", "memory", "full")

# One finished delivery after another, as a year of use leaves them; what triggers and constraints would say holds anyway.
FILL = """
INSERT INTO notification_delivery (tenant_id, job_id, user_id, channel, priority, lane_id, template_code, locale, data, meta, body_hash,
    entrance, created_at, accepted_at, status, attempts, started_at, finished_at, address, provider, duration_ms)
SELECT t.id, gen_random_uuid(), md5('contact ' || n %% 10000)::uuid, 'email', 1, NULL, 'order_shipped', 'en',
    '{"order": "A-0000000", "items": 3, "carrier": "Parcel Express", "day": "14 November", "tracking": "PX000000000000"}',
    '{"event_type": "order_shipped", "event_id": "0", "campaign_id": null}', decode(repeat('00', 33), 'hex'),
    'kafka:bench/0@' || n, at, at, 'SENT', 1, at, at, 'person' || n %% 10000 || '@example.com', 'null', 0
FROM deliveries_tenant t, generate_series(1, %s) n, LATERAL (SELECT now() - interval '30 days' + n * interval '1 second' AS at) moment
WHERE t.slug = 'default'
"""


@dataclass(frozen=True, slots=True)
class Speed:
    """Jobs a second by the database's clock: from the first row accepted, and from the moment that the reader was let go.

    `cpu_us`: microseconds of a core for a job, by process. On a machine that others use too it is the steadier figure.
    """

    from_first_accepted: float
    from_release: float
    cpu_us: dict[str, float]


def ours(world: World, sender_processes: int = 1) -> Build:
    """Return this project's processes, as the README tells an operator to run them."""
    sender = ["-m", "dramatiq", "notifyproj.broker", "--processes", str(sender_processes), "--threads", "2"]
    commands = {"consumer": ["manage.py", "consume_outbox"], "sender": sender, "sweeper": ["manage.py", "run_worker"]}
    return Build(world, commands, reader="consumer")


def bare(world: World) -> Build:
    """Return the loop without framework."""
    return Build(world, {"bare": ["-m", "benchmarks.bare"]}, reader="bare")


def naive(world: World) -> Build:
    """Return the build of one message a job."""
    sender = ["-m", "dramatiq", "benchmarks.naive", "--processes", "1", "--threads", "4"]
    return Build(world, {"reader": ["-m", "benchmarks.naive"], "sender": sender}, reader="reader")


def run_round(
    world: World, make: Callable[[World], Build], jobs: int, *, keep_rows: bool = False, channel: str = "email"
) -> Speed:
    """Run one build over `jobs` jobs. Raises: RuntimeError unless each job's row is SENT at the end."""
    if not keep_rows:
        world.clear()
    before = int(str(world.one("SELECT count(*) FROM notification_delivery")))
    topic = world.make_topic()
    with make(world) as build:
        produce(world, topic, make_jobs(WARM_UP, channel=channel))
        wait_until_sent(world, build, before + WARM_UP)
        build.hold()
        produce(world, topic, make_jobs(jobs, channel=channel))
        used_before = build.cpu_seconds()
        released_at = world.one("SELECT clock_timestamp()")
        build.go()
        wait_until_sent(world, build, before + WARM_UP + jobs)
        used = {name: seconds - used_before[name] for name, seconds in build.cpu_seconds().items()}
    row = world.database.execute(
        "SELECT min(accepted_at), max(finished_at) FROM notification_delivery WHERE accepted_at >= %s", [released_at]
    ).fetchone()
    assert row is not None
    assert isinstance(released_at, datetime)
    first, last = row
    return Speed(
        jobs / (last - first).total_seconds(),
        jobs / (last - released_at).total_seconds(),
        {name: seconds / jobs * 1e6 for name, seconds in used.items()},
    )


def measure_speed(world: World, options: argparse.Namespace) -> None:
    """Compare the builds in alternating rounds."""
    builds: dict[str, tuple[Callable[[World], Build], int]] = {
        "ours": (ours, options.jobs),
        "ours, 2 sender processes": (lambda world: ours(world, 2), options.jobs),
        "(a) bare loop": (bare, options.jobs),
        "(b) naive build": (naive, options.naive_jobs),
    }
    speeds: dict[str, list[Speed]] = {name: [] for name in builds}
    for number in range(options.rounds):
        for name, (make, jobs) in builds.items():
            speeds[name].append(run_round(world, make, jobs))
            print(f"  round {number + 1}, {name}: {speeds[name][-1].from_first_accepted:,.0f} jobs/s", flush=True)
    title = f"Kafka → SENT, null sender, {options.jobs:,} jobs a round (naive: {options.naive_jobs:,})"
    accepted = {name: [speed.from_first_accepted for speed in found] for name, found in speeds.items()}
    released = {name: [speed.from_release for speed in found] for name, found in speeds.items()}
    print_rounds(f"{title}, first accepted → last finished", "jobs/s", accepted)
    print_rounds(f"{title}, reader let go → last finished", "jobs/s", released)
    for name, found in speeds.items():
        print_cpu(name, [speed.cpu_us for speed in found])
    for name in ("ours", "ours, 2 sender processes"):
        print_goal(f"{name} / (a)", ratio(accepted[name], accepted["(a) bare loop"]), BARE_GOAL)
        print_goal(f"{name} / (b)", ratio(accepted[name], accepted["(b) naive build"]), NAIVE_GOAL, digits=1)


def measure_memory(world: World, options: argparse.Namespace) -> None:
    """Compare each process's memory early and late in one long run."""
    first, last = min(MEMORY_FIRST, options.memory_jobs), options.memory_jobs
    world.clear()
    topic = world.make_topic()
    with ours(world) as build:
        produce(world, topic, make_jobs(first))
        wait_until_sent(world, build, first)
        early = build.memory()
        for done in range(first, last, first):
            produce(world, topic, make_jobs(min(first, last - done)))
        wait_until_sent(world, build, last)
        late = build.memory()
    print(f"\nMemory of each process after {first:,} and after {last:,} jobs")
    for name, before in early.items():
        growth = late[name] - before
        goal = max(GROWTH_GOAL_MIB, GROWTH_GOAL_SHARE * before)
        print_goal(f"{name}: {before:.0f} → {late[name]:.0f} MiB, growth in MiB", growth, goal, at_most=True, digits=1)


def measure_full_table(world: World, options: argparse.Namespace) -> None:
    """Compare an empty table with one that holds finished rows, in alternating rounds."""
    rounds: dict[str, list[float]] = {"empty table": [], f"{options.finished_rows:,} finished rows": []}
    empty, full = rounds.values()
    for _ in range(options.rounds):
        empty.append(run_round(world, ours, options.jobs).from_first_accepted)
        world.clear()
        world.database.execute(FILL, [options.finished_rows])
        world.database.execute("VACUUM ANALYZE notification_delivery")
        world.database.execute("CHECKPOINT")
        full.append(run_round(world, ours, options.jobs, keep_rows=True).from_first_accepted)
    print_rounds(f"Kafka → SENT beside finished rows, {options.jobs:,} jobs a round", "jobs/s", rounds)
    print_goal("full / empty", statistics.median(full) / statistics.median(empty), FULL_TABLE_GOAL)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pipeline", description=__doc__)
    parser.add_argument("--jobs", type=int, default=50_000)
    parser.add_argument("--naive-jobs", type=int, help="default: 2,000, or --jobs when that is less")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory-jobs", type=int, default=MEMORY_LAST)
    parser.add_argument("--finished-rows", type=int, default=FINISHED_ROWS)
    parser.add_argument("--only", action="append", choices=SECTIONS, help="default: all; may be given again")
    options = parser.parse_args()
    options.naive_jobs = options.naive_jobs or min(2000, options.jobs)
    sections = {"speed": measure_speed, "memory": measure_memory, "full": measure_full_table}
    with a_world() as world:
        print_facts(Postgres=str(world.one("SHOW server_version")))
        for name in options.only or SECTIONS:
            sections[name](world, options)


if __name__ == "__main__":
    main()
