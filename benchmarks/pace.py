"""A broadcast's speed: how many messages go out in a minute at the speed that staff set, at another set while it runs, after a pause.

Two channels, whose messages count together, and two sender processes with the null sender. Counted from `started_at`, by the database's
clock, in windows that begin a few seconds after each change; the first second after a resume stands by itself, because a lane that had
saved up its pause would show there.
"""

from __future__ import annotations

import argparse
import time
from datetime import datetime
from typing import TYPE_CHECKING

from benchmarks.broadcasts import Bench
from benchmarks.table import print_facts, print_goal, print_rounds
from benchmarks.world import Build, World, a_world

if TYPE_CHECKING:
    from broadcasts.models import Broadcast

SPEEDS = (6_000, 30_000, 12_000)
WINDOW_SECONDS = 60.0
SETTLE_SECONDS = 3.0
PAUSE_SECONDS = 10.0
GOAL_PERCENT = 5.0
#: A lane may save up two seconds' worth (`lifecycle/claim.py`), so one that had saved up its pause would send three in the first second.
MOST_IN_FIRST_SECOND = 1.5
STARTED = "SELECT count(*) FROM notification_delivery WHERE started_at >= %s AND started_at < %s"
STARTED_IN_FIRST_SECOND = """
SELECT count(*) FROM notification_delivery d, (SELECT min(started_at) AS at FROM notification_delivery WHERE started_at >= %s) first
WHERE d.started_at >= first.at AND d.started_at < first.at + interval '1 second'
"""


def now(world: World) -> datetime:
    """Return the database's clock."""
    return datetime.fromisoformat(str(world.one("SELECT clock_timestamp()::text")))


def a_minute(world: World, seconds: float) -> float:
    """Wait for one window and return how many were started in it, as a number a minute."""
    since = now(world)
    time.sleep(seconds)
    until = now(world)
    return int(str(world.one(STARTED, since, until))) * 60 / (until - since).total_seconds()


def measure(
    world: World, broadcast: Broadcast, *, seconds: float, rounds: int
) -> tuple[dict[str, list[float]], list[float]]:
    """Return the parts of each speed that were started, and the seconds' worth that went in the first second after a resume."""
    from broadcasts.actor import Actor
    from broadcasts.changes import broadcast_pause, broadcast_resume
    from broadcasts.control import broadcast_set_speed

    staff = Actor("bench")
    parts: dict[str, list[float]] = {}
    first_seconds: list[float] = []
    for _ in range(rounds):
        for speed in SPEEDS:
            broadcast_set_speed(broadcast=broadcast, actor=staff, pace_per_minute=speed)
            time.sleep(SETTLE_SECONDS)
            parts.setdefault(f"set to {speed:,} a minute", []).append(a_minute(world, seconds) / speed)
        broadcast_pause(broadcast=broadcast, actor=staff, reason="benchmark")
        time.sleep(PAUSE_SECONDS)
        resumed = now(world)
        broadcast_resume(broadcast=broadcast, actor=staff)
        time.sleep(SETTLE_SECONDS)
        in_first = int(str(world.one(STARTED_IN_FIRST_SECOND, resumed)))
        if not in_first:
            raise RuntimeError("nothing was started after the resume")
        first_seconds.append(in_first / (SPEEDS[-1] / 60))
        parts.setdefault("after a pause", []).append(a_minute(world, seconds) / SPEEDS[-1])
    return parts, first_seconds


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pace", description=__doc__)
    parser.add_argument("--seconds", type=float, default=WINDOW_SECONDS, help="how long a window is")
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    need = int(sum(SPEEDS) / 60 * (options.seconds + 4 * SETTLE_SECONDS + PAUSE_SECONDS) * options.rounds * 1.5)
    with a_world() as world:
        import deliveries.actors  # noqa: F401  (hints need their names)
        from broadcasts.fan_out import fan_out_step

        print_facts(Postgres=str(world.one("SHOW server_version")))
        bench = Bench(world, need)
        commands = {
            "sender": ["-m", "dramatiq", "notifyproj.broker", "--processes", "2", "--threads", "2"],
            "sweeper": ["manage.py", "run_worker", "--name", "deliveries.sweep"],
        }
        with Build(world, commands, reader="sender") as build:
            broadcast = bench.broadcast("ws", "email", pace_per_minute=SPEEDS[0])
            while not fan_out_step(broadcast.pk).is_done:
                pass
            parts, first_seconds = measure(world, broadcast, seconds=options.seconds, rounds=options.rounds)
            build.check()
    print_rounds("Speed: started / set", "of the speed", parts, digits=3)
    print_rounds("First second after a resume", "seconds' worth", {"started": first_seconds}, digits=2)
    worst = max(abs(1 - one) * 100 for values in parts.values() for one in values)
    print_goal("off the speed at most, %", worst, GOAL_PERCENT, at_most=True, digits=1)
    print_goal("first second after a resume, seconds' worth", max(first_seconds), MOST_IN_FIRST_SECOND, at_most=True)


if __name__ == "__main__":
    main()
