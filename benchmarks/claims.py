"""Claims: how long one of 500 takes when few or many rows wait, beside an open snapshot, and whether tenants share it.

Through `deliveries.lifecycle.claim` itself, on an autocommit connection as the senders use. Claimed rows are given back between
claims, except while a lane is drained. Rows are made by SQL; the tables are vacuumed and analyzed before each case.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import psycopg

from benchmarks.table import p95, print_facts, print_goal, print_rounds, ratio
from benchmarks.world import World, a_world

T = TypeVar("T")
LIMIT = 500
LEASE_SECONDS = 90.0
FEW, MANY = 10_000, 1_000_000
DRAIN = 100_000
TENANTS = 1_000
GOAL = 2.0

MAKE_TENANTS = """
INSERT INTO deliveries_tenant (slug, name, default_locale, created_at)
SELECT %(prefix)s || n, %(prefix)s || n, 'en', now() FROM generate_series(1, %(count)s) n RETURNING id
"""
MAKE_LANES = """
INSERT INTO deliveries_lane (tenant_id, channel, priority, source, paused_at)
SELECT id, %(channel)s, 1, '', CASE WHEN %(paused)s THEN now() END FROM unnest(%(tenants)s::bigint[]) AS t (id) RETURNING id
"""
# Spread over 100,000 people, due in the order of their ids, as an outbox leaves them.
MAKE_ROWS = """
INSERT INTO notification_delivery (tenant_id, job_id, user_id, channel, priority, lane_id, template_code, locale, data, meta, body_hash,
    entrance, created_at, accepted_at, status, next_attempt_at)
SELECT l.tenant_id, gen_random_uuid(), md5('person ' || n %% 100000)::uuid, l.channel, 1, l.id, 'order_shipped', 'en',
    '{"order": "A-0000000", "items": 3}', '{}', decode(repeat('00', 33), 'hex'), 'kafka:bench/0@' || n, now(), now(), 'PENDING',
    now() - interval '1 hour' + n * interval '1 millisecond' + %(due_in)s * interval '1 second'
FROM deliveries_lane l, generate_series(1, %(count)s) n WHERE l.id = ANY (%(lanes)s)
"""


@dataclass(slots=True)
class Times:
    """What claims took, in milliseconds: by the clock, and of a core in the database, which other work here disturbs less."""

    clock: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def first(self, count: int) -> Times:
        return Times(self.clock[:count], self.cpu[:count])

    def last(self, count: int) -> Times:
        return Times(self.clock[-count:], self.cpu[-count:])


class Bench:
    """A world and one async connection for the claims."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.loop = asyncio.new_event_loop()
        self.connection = self._run(psycopg.AsyncConnection.connect(world.database_url, autocommit=True))
        self.backend = self.connection.info.backend_pid

    def close(self) -> None:
        self._run(self.connection.close())
        self.loop.close()

    def tenants(self, count: int) -> list[int]:
        """Make tenants and return their ids."""
        values = {"prefix": f"b{uuid4().hex[:8]}-", "count": count}
        return [row[0] for row in self.world.database.execute(MAKE_TENANTS, values)]

    def rows(
        self, channel: str, *, tenants: Sequence[int], count: int, paused: bool = False, due_in_seconds: float = 0.0
    ) -> None:
        """Make a lane for each tenant, with `count` waiting rows each."""
        values = {"channel": channel, "tenants": list(tenants), "paused": paused}
        lanes = [row[0] for row in self.world.database.execute(MAKE_LANES, values)]
        self.world.database.execute(MAKE_ROWS, {"lanes": lanes, "count": count, "due_in": due_in_seconds})

    def settle(self) -> None:
        """Let vacuum and statistics catch up, as they do on a table that has been there for a while."""
        self.world.database.execute("VACUUM ANALYZE notification_delivery")
        self.world.database.execute("CHECKPOINT")

    def claim(self, channel: str, times: Times) -> list[Any]:
        """Claim once, note how long it took, and return the rows."""
        from deliveries import lifecycle

        with self.timed(times):
            return self._run(
                lifecycle.claim(self.connection, channel=channel, limit=LIMIT, lease_seconds=LEASE_SECONDS)
            )

    @contextmanager
    def timed(self, times: Times) -> Iterator[None]:
        """Note how long a block took."""
        used, began = self._backend_cpu_ms(), time.perf_counter()
        yield
        times.clock.append((time.perf_counter() - began) * 1000)
        times.cpu.append(self._backend_cpu_ms() - used)

    def _backend_cpu_ms(self) -> float:
        return int(Path(f"/proc/{self.backend}/schedstat").read_text().split()[0]) / 1e6

    def give_back(self, rows: Sequence[Any]) -> None:
        """Return leased rows."""
        from deliveries import lifecycle

        self._run(lifecycle.give_back(self.connection, rows=rows))

    def send(self, rows: Sequence[Any]) -> None:
        """Start and finish rows."""
        from deliveries import lifecycle
        from deliveries.channels import Status

        self._run(lifecycle.start(self.connection, rows=rows, deadline_seconds=20, only_to=None))
        outcomes = [lifecycle.Outcome(id=row.id, lease_token=row.lease_token, status=Status.SENT) for row in rows]
        assert len(self._run(lifecycle.finish(self.connection, outcomes=outcomes))) == len(rows)

    def _run(self, work: Awaitable[T]) -> T:
        async def awaited() -> T:
            return await work

        return self.loop.run_until_complete(awaited())


def flatness(bench: Bench, options: argparse.Namespace) -> None:
    """Few rows waiting beside many: two channels of one table, claims in turns."""
    tenant = bench.tenants(1)
    bench.rows("sms", tenants=tenant, count=options.few)
    bench.rows("email", tenants=tenant, count=options.many)
    bench.settle()
    few, many = Times(), Times()
    for _ in range(options.claims):
        for channel, times in (("sms", few), ("email", many)):
            rows = bench.claim(channel, times)
            assert len(rows) == LIMIT, f"a claim of {channel} brought {len(rows)} rows"
            bench.give_back(rows)
    report("Claims of 500, given back between", {f"{options.few:,} waiting": few, f"{options.many:,} waiting": many})
    print_goals("many / few", many, few)


def drain(bench: Bench, options: argparse.Namespace, *, beside_snapshot: bool = False, is_new: bool = False) -> None:
    """Claim, start and finish every row of a lane; a snapshot held open keeps vacuum and the index from forgetting what is done.

    `is_new`: the statistics are of the empty table, as in the first minutes of an installation.
    """
    bench.rows("push", tenants=bench.tenants(1), count=options.drain)
    if not is_new:
        bench.settle()
    times, sends = Times(), Times()
    with psycopg.connect(bench.world.database_url) as onlooker:
        if beside_snapshot:
            onlooker.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            onlooker.execute("SELECT count(*) FROM deliveries_lane")
        began = time.perf_counter()
        while rows := bench.claim("push", times):
            with bench.timed(sends):
                bench.send(rows)
        seconds = time.perf_counter() - began
    times = times.first(len(sends.clock))  # the last one was empty
    fifth = max(1, len(times.clock) // 5)
    where = "beside an open snapshot" if beside_snapshot else "alone"
    where += ", on a new table without statistics" if is_new else ""
    title = (
        f"Draining {options.drain:,} rows {where}: {options.drain / seconds:,.0f} rows/s claimed, started and finished"
    )
    cases = {"claims, first fifth": times.first(fifth), "claims, last fifth": times.last(fifth), "claims": times}
    report(title, {**cases, "starts and finishes": sends})
    print_goals("last / first fifth", times.last(fifth), times.first(fifth))


def fairness(bench: Bench, options: argparse.Namespace) -> None:
    """One tenant's flood beside another's ten rows, a thousand tenants with parked rows, and a paused lane."""
    flood, small = bench.tenants(2)
    bench.rows("webhook", tenants=[flood], count=options.many)
    bench.rows("webhook", tenants=[small], count=10)
    bench.settle()
    rows = bench.claim("webhook", Times())
    shares = Counter(row.tenant_id for row in rows)
    print(f"\nFirst claim with {options.many:,} rows of A and 10 of B: A {shares[flood]}, B {shares[small]}")
    print_goal("B's rows in the first claim", shares[small], 10, digits=0)
    bench.give_back(rows)
    times = {"A and B": repeated(bench, options, "webhook")}
    bench.rows("webhook", tenants=bench.tenants(options.tenants), count=10, due_in_seconds=7 * 86400)
    bench.settle()
    times[f"and {options.tenants:,} tenants with parked rows"] = repeated(bench, options, "webhook")
    bench.rows("webhook", tenants=bench.tenants(1), count=options.many, paused=True)
    bench.settle()
    times[f"and a paused lane of {options.many:,}"] = repeated(bench, options, "webhook")
    report("Claims of 500 from the same channel", times)


def holds(bench: Bench, options: argparse.Namespace) -> None:
    """Half of a lane's rows are of a template that staff hold: claims before, while the rows are put aside, and afterwards."""
    from deliveries import lifecycle

    bench.rows("email", tenants=bench.tenants(1), count=options.many)
    bench.world.database.execute("UPDATE notification_delivery SET template_code = 'welcome' WHERE id % 2 = 0")
    bench.settle()
    before, meanwhile = repeated(bench, options, "email"), Times()
    lifecycle.hold_place(by="bench", reason="bench", template_code="welcome")
    began, put_aside = time.perf_counter(), 0
    while (swept := lifecycle.sweep()).has_more_held:
        put_aside += swept.put_aside
        bench.give_back(bench.claim("email", meanwhile))
    put_aside += swept.put_aside
    seconds = time.perf_counter() - began
    print(
        f"\n{put_aside:,} of {options.many:,} rows put aside in {seconds:,.1f} s, a claim after each step", flush=True
    )
    after = repeated(bench, options, "email")
    report("Claims of 500", {"nothing on hold": before, "while rows are put aside": meanwhile, "half put aside": after})
    print_goals("half put aside / nothing on hold", after, before)


def repeated(bench: Bench, options: argparse.Namespace, channel: str) -> Times:
    """Claim and give back, again and again."""
    times = Times()
    for _ in range(options.claims):
        rows = bench.claim(channel, times)
        assert len(rows) == LIMIT
        bench.give_back(rows)
    return times


def report(title: str, cases: dict[str, Times]) -> None:
    """Print rounds by the clock, by the database's core, and the 95th percentiles."""
    print_rounds(title, "ms", {name: times.clock for name, times in cases.items()}, digits=1)
    print_rounds("  of a core in the database", "ms", {name: times.cpu for name, times in cases.items()}, digits=1)
    print("  p95: " + "; ".join(f"{name} {p95(times.clock):,.1f} ms" for name, times in cases.items()), flush=True)


def print_goals(what: str, of: Times, to: Times) -> None:
    """Compare medians by the clock and by the database's core."""
    print_goal(f"{what}, by the clock", ratio(of.clock, to.clock), GOAL, at_most=True)
    print_goal(f"{what}, by the database's core", ratio(of.cpu, to.cpu), GOAL, at_most=True)


CASES: dict[str, Callable[[Bench, argparse.Namespace], None]] = {
    "flatness": flatness,
    "drain": drain,
    "new": lambda bench, options: drain(bench, options, is_new=True),
    "snapshot": lambda bench, options: drain(bench, options, beside_snapshot=True),
    "fairness": fairness,
    "holds": holds,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.claims", description=__doc__)
    parser.add_argument("--few", type=int, default=FEW)
    parser.add_argument("--many", type=int, default=MANY)
    parser.add_argument("--drain", type=int, default=DRAIN)
    parser.add_argument("--tenants", type=int, default=TENANTS)
    parser.add_argument("--claims", type=int, default=30, help="timed claims of each case")
    parser.add_argument("--only", action="append", choices=CASES, help="default: all; may be given again")
    options = parser.parse_args()
    with a_world() as world:
        print_facts(Postgres=str(world.one("SHOW server_version")))
        for name in options.only or CASES:
            world.clear()
            bench = Bench(world)
            try:
                CASES[name](bench, options)
            finally:
                bench.close()


if __name__ == "__main__":
    main()
