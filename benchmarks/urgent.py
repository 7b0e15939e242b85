"""Urgent jobs beside a broadcast: how long one takes from accepted to SENT while a million low rows drain, and while nothing does.

Two sender processes with the null sender. Probes of high priority are handed in one after another by the service that all entrances use.
"""

from __future__ import annotations

import argparse
import time
from datetime import timedelta
from uuid import uuid4

from benchmarks.broadcasts import Bench
from benchmarks.table import p95, print_facts, print_goal, print_rounds
from benchmarks.world import Build, World, a_world

CONTACTS = 1_000_000
PROBES = 100
PAUSE_SECONDS = 0.2
GOAL_MS = 250.0
TOOK = """
SELECT extract(epoch FROM finished_at - accepted_at) * 1000 FROM notification_delivery
WHERE tenant_id = %s AND job_id = ANY (%s) AND status = 'SENT'
"""


def probe(world: World, bench: Bench, count: int) -> list[float]:
    """Hand in urgent jobs, wait until the last is sent, and return how long each took, in milliseconds."""
    from django.utils import timezone

    from deliveries import hints, ingest
    from deliveries.channels import Priority
    from deliveries.jobs import NotificationJob

    ids = [uuid4() for _ in range(count)]
    for job_id in ids:
        now = timezone.now()
        job = NotificationJob(
            job_id=job_id, user_id=uuid4(), channel="ws", template_code="", content={"title": "Urgent", "body": "Now"}, locale="",
            data={}, event_type="probe", event_id="", campaign_id="", priority=Priority.HIGH, created_at=now, send_after=None,
            expires_at=now + timedelta(hours=1), tenant=bench.tenant.slug, category="",
        )  # fmt: skip
        ingest.ingest([ingest.Incoming(job, "api:bench")], entrance="api:bench")
        hints.hint(["ws"])
        time.sleep(PAUSE_SECONDS)
    deadline = time.monotonic() + 60
    while True:
        took = [float(str(ms)) for (ms,) in world.database.execute(TOOK, [bench.tenant.pk, ids])]
        if len(took) == count:
            return took
        if time.monotonic() > deadline:
            raise RuntimeError(f"{count - len(took)} of {count} urgent jobs were not sent within a minute")
        time.sleep(0.2)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.urgent", description=__doc__)
    parser.add_argument("--contacts", type=int, default=CONTACTS)
    parser.add_argument("--probes", type=int, default=PROBES)
    options = parser.parse_args()
    with a_world() as world:
        import deliveries.actors  # noqa: F401  (hints need their names)
        from broadcasts.fan_out import fan_out_step

        print_facts(Postgres=str(world.one("SHOW server_version")))
        bench = Bench(world, options.contacts)
        commands = {
            "sender": ["-m", "dramatiq", "notifyproj.broker", "--processes", "2", "--threads", "2"],
            "sweeper": ["manage.py", "run_worker", "--name", "deliveries.sweep"],
        }
        with Build(world, commands, reader="sender") as build:
            probe(world, bench, 10)  # until both processes are up and have planned their statements
            idle = probe(world, bench, options.probes)
            broadcast = bench.broadcast("ws")
            while not fan_out_step(broadcast.pk).is_done:
                pass
            beside = probe(world, bench, options.probes)
            build.check()
            left = int(str(world.one("SELECT count(*) FROM notification_delivery WHERE status = 'PENDING'")))
    if not left:
        raise RuntimeError("The broadcast was over before the last probe: give it more --contacts")
    print_rounds("Urgent: accepted → SENT", "ms", {"nothing else": idle, "beside a broadcast": beside}, digits=1)
    print(
        f"  p95: nothing else {p95(idle):,.0f} ms, beside a broadcast {p95(beside):,.0f} ms; {left:,} rows of it still waited"
    )
    print_goal("p95 beside less p95 idle, ms", p95(beside) - p95(idle), GOAL_MS, at_most=True, digits=0)


if __name__ == "__main__":
    main()
