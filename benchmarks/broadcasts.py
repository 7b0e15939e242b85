"""Broadcasts: how fast an audience becomes rows, and how long checking its recipients takes, each beside bare SQL of the same run.

Through `broadcasts.fan_out` and `broadcasts.check` themselves. The bare insert makes the same rows in the same table, in chunks of the
same size, and asks nothing of anybody; the ORM's way makes one row a recipient. Rows are made away between rounds.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks.table import print_facts, print_goal, print_rounds, ratio
from benchmarks.world import World, a_world

CONTACTS = 1_000_000
CHUNK = 10_000
ORM_ROWS = 2_000
GOAL_BARE, GOAL_ORM, GOAL_MEMORY_MB, GOAL_CHECK = 0.7, 20.0, 20.0, 2.0

# One in fifty has no address, one in a hundred shares somebody's, one in a hundred opted out of e-mail, nine in ten have a city.
MAKE_CONTACTS = """
INSERT INTO deliveries_contact (tenant_id, user_id, name, email, phone, locale, time_zone, attributes, opted_out, created_at, updated_at)
SELECT %(tenant)s, gen_random_uuid(), 'Person ' || n,
    CASE WHEN n %% 50 = 0 THEN '' WHEN n %% 100 = 1 THEN 'person' || n - 1 + 2 || '@example.com' ELSE 'person' || n || '@example.com' END,
    '', 'en', '', jsonb_build_object('plan', CASE n %% 3 WHEN 0 THEN 'gold' ELSE 'free' END, 'visits', n %% 100)
        || CASE WHEN n %% 10 = 0 THEN '{}'::jsonb ELSE '{"city": "Berlin"}'::jsonb END,
    CASE WHEN n %% 100 = 7 THEN ARRAY['email'] ELSE '{}' END, now(), now()
FROM generate_series(1, %(count)s) n
"""
BARE_CHUNK = """
WITH people AS MATERIALIZED (
    SELECT id, user_id FROM deliveries_contact WHERE tenant_id = %(tenant)s AND id > %(cursor)s ORDER BY id LIMIT %(chunk)s
), stored AS (
    INSERT INTO notification_delivery (tenant_id, job_id, user_id, channel, priority, lane_id, template_code, category, data, meta,
        body_hash, is_test, entrance, created_at, accepted_at, status, next_attempt_at)
    SELECT %(tenant)s, ('0199999999998001' || to_hex((-9223372036854775808)::bigint | (id << 14)))::uuid, user_id, 'email', 2, %(lane)s,
        'broadcast:1', '', '{}', '{}', decode(repeat('00', 33), 'hex'), false, 'broadcast:1', now(), now(), 'PENDING',
        statement_timestamp()
    FROM people ORDER BY id
)
SELECT count(*), max(id) FROM people
"""
# What the check answers for one channel and these rules: by reason, the same address twice counted once.
BARE_CHECK = """
WITH judged AS (
    SELECT CASE WHEN email = '' THEN 'no_address' WHEN 'email' = ANY (opted_out) THEN 'opted_out'
        WHEN EXISTS (SELECT FROM deliveries_suppression x WHERE x.tenant_id = c.tenant_id AND x.channel = 'email'
            AND x.address = lower(c.email)) THEN 'suppressed_address' ELSE '' END AS reason, lower(email) AS address
    FROM deliveries_contact c WHERE tenant_id = %(tenant)s AND attributes ->> 'city' = 'Berlin'
        AND attributes ->> 'plan' IN ('gold', 'free') AND (attributes ->> 'visits')::numeric < 90
), grouped AS (SELECT reason, CASE WHEN reason = '' THEN address END AS address, count(*) AS n FROM judged GROUP BY 1, 2)
SELECT reason, sum(CASE WHEN reason = '' THEN 1 ELSE n END), sum(CASE WHEN reason = '' THEN n - 1 ELSE 0 END) FROM grouped GROUP BY 1
"""
RULES = {
    "match": "all",
    "rules": [
        {"field": "attributes.city", "type": "text", "op": "is", "value": "Berlin"},
        {"field": "attributes.plan", "type": "text", "op": "is_one_of", "value": ["gold", "free"]},
        {"field": "attributes.visits", "type": "number", "op": "<", "value": 90},
    ],
}


@dataclass(slots=True)
class Rounds:
    """Rows a second, by the clock and of a core in the database, which other work here disturbs less."""

    clock: list[float] = field(default_factory=list)
    core: list[float] = field(default_factory=list)

    def add(self, world: Bench, work: Callable[[], int]) -> None:
        """Do work that returns how many rows it made, and note how fast."""
        used, began = world.core_seconds(), time.perf_counter()
        rows = work()
        self.clock.append(rows / (time.perf_counter() - began))
        self.core.append(rows / (world.core_seconds() - used))


class Bench:
    """A world with many contacts, and Django's one connection to it."""

    def __init__(self, world: World, contacts: int) -> None:
        from django.db import connection

        from deliveries.models import Tenant

        self.world, self.connection, self.contacts = world, connection, contacts
        self.tenant = Tenant.objects.create(slug="crowd", name="Crowd")
        world.database.execute(MAKE_CONTACTS, {"tenant": self.tenant.pk, "count": contacts})
        self.settle()
        connection.ensure_connection()
        self.backend = connection.connection.info.backend_pid

    def core_seconds(self) -> float:
        return int(Path(f"/proc/{self.backend}/schedstat").read_text().split()[0]) / 1e9

    def settle(self) -> None:
        """Make all rows away, and let vacuum and statistics catch up."""
        self.world.database.execute("TRUNCATE notification_delivery, broadcasts_leftout, deliveries_receipt CASCADE")
        self.world.database.execute("VACUUM ANALYZE deliveries_contact")
        self.world.database.execute("CHECKPOINT")

    def bare(self) -> int:
        """Insert in chunks, and ask nothing."""
        lane = self._lane()
        rows, cursor_id = 0, 0
        with self.connection.cursor() as cursor:
            while True:
                values = {"tenant": self.tenant.pk, "cursor": cursor_id, "chunk": CHUNK, "lane": lane}
                cursor.execute(BARE_CHUNK, values)
                count, last = cursor.fetchone()
                rows += count
                if count < CHUNK:
                    return rows
                cursor_id = last

    def orm(self) -> int:
        """Make a row a recipient, as one would first write it."""
        from django.utils import timezone

        from deliveries.models import Contact, Delivery

        lane, now = self._lane(), timezone.now()
        for contact in Contact.objects.filter(tenant=self.tenant).order_by("id")[:ORM_ROWS]:
            Delivery.objects.create(
                tenant=self.tenant, job_id=contact.user_id, user_id=contact.user_id, channel="email", priority=2, lane_id=lane,
                template_code="broadcast:1", body_hash=b"\0" * 33, entrance="broadcast:1", created_at=now, accepted_at=now,
                status="PENDING", next_attempt_at=now,
            )  # fmt: skip
        return ORM_ROWS

    def broadcast(self, *channels: str, pace_per_minute: int | None = None) -> Any:
        """Return a broadcast to everybody that was just started: preparing it is part of what is measured."""
        from broadcasts.actor import Actor
        from broadcasts.changes import broadcast_send, broadcast_start
        from broadcasts.drafts import broadcast_create
        from broadcasts.review import review

        values = {
            "title": "News",
            "body": "Hello {{ contact.name }}",
            "channels": list(channels) or ["email"],
            "audience": {"type": "all_users"},
            "pace_per_minute": pace_per_minute,
        }
        made = broadcast_create(tenant=self.tenant, actor=Actor("bench"), values=values)
        checked = review(made)
        sent, _is_new = broadcast_send(
            broadcast=made,
            actor=Actor("bench"),
            review=checked,
            undo_seconds=0,
            typed_count=checked.checked.reached,
            may_approve_alone=True,
        )
        return broadcast_start(broadcast=sent)

    def _lane(self) -> int:
        from deliveries.channels import Priority
        from deliveries.lifecycle import lanes_open

        lanes = lanes_open(tenant_id=self.tenant.pk, source="bench", priority=Priority.LOW, paces={"email": None})
        return lanes["email"]


def fan_out(bench: Bench, options: argparse.Namespace) -> None:
    """An audience becomes rows: ours, bare SQL, and the ORM, in turns."""
    from broadcasts.fan_out import fan_out_step

    ours, bare, orm = Rounds(), Rounds(), Rounds()
    grown = []
    for _ in range(options.rounds):
        broadcast = bench.broadcast()

        def walk(broadcast_id: int = broadcast.pk) -> int:
            rows = 0
            while not (step := fan_out_step(broadcast_id)).is_done:
                rows += step.accepted + step.left_out
            return rows + step.accepted + step.left_out

        gc.collect()
        before = psutil.Process().memory_info().rss
        ours.add(bench, walk)
        grown.append((psutil.Process().memory_info().rss - before) / 1e6)
        bench.settle()
        bare.add(bench, bench.bare)
        bench.settle()
        orm.add(bench, bench.orm)
        bench.settle()
    print_rounds(
        f"Fan-out to {bench.contacts:,} contacts (recipients and left out)",
        "rows/s",
        {
            "ours, preparation included": ours.clock,
            "bare INSERT … SELECT": bare.clock,
            "one ORM create a recipient": orm.clock,
        },
    )
    print_rounds("  of a core in the database", "rows/s", {"ours": ours.core, "bare INSERT … SELECT": bare.core})
    print_rounds("  memory that the process grew by", "MB", {"ours": grown}, digits=1)
    print_goal("ours / bare, by the clock", ratio(ours.clock, bare.clock), GOAL_BARE)
    print_goal("ours / bare, by the database's core", ratio(ours.core, bare.core), GOAL_BARE)
    print_goal("ours / ORM", ratio(ours.clock, orm.clock), GOAL_ORM, digits=0)
    print_goal("memory, MB", max(grown), GOAL_MEMORY_MB, at_most=True, digits=1)


def check(bench: Bench, options: argparse.Namespace) -> None:
    """Who will get it and who will not, and why: ours beside one bare statement that answers the same."""
    from broadcasts import check as checking
    from broadcasts.message import words_of
    from broadcasts.models import Audience, Broadcast

    audience = Audience.objects.create(
        tenant=bench.tenant, name="Active in Berlin", kind="segment", rules=RULES, created_by="bench"
    )
    broadcast = Broadcast(
        tenant=bench.tenant,
        title="News",
        body="Hello",
        channels=["email"],
        audience={"type": "audience", "id": audience.pk},
    )
    words = words_of(broadcast)
    ours, bare = [], []
    for _ in range(options.rounds * 3):
        began = time.perf_counter()
        checked = checking.check(broadcast, words, [])
        ours.append((time.perf_counter() - began) * 1000)
        began = time.perf_counter()
        with bench.connection.cursor() as cursor:
            cursor.execute(BARE_CHECK, {"tenant": bench.tenant.pk})
            found = {reason: (int(count), int(doubled)) for reason, count, doubled in cursor.fetchall()}
        bare.append((time.perf_counter() - began) * 1000)
        assert found[""] == (checked.messages, checked.left_out.get("same_address", 0)), (
            "the two do not answer the same"
        )
    print_rounds(
        f"Check recipients: {checked.people:,} of {bench.contacts:,} contacts by three rules",
        "ms",
        {"ours": ours, "bare": bare},
    )
    print_goal("ours / bare", ratio(ours, bare), GOAL_CHECK, at_most=True)


CASES: dict[str, Callable[[Bench, argparse.Namespace], None]] = {"check": check, "fan_out": fan_out}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.broadcasts", description=__doc__)
    parser.add_argument("--contacts", type=int, default=CONTACTS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", action="append", choices=CASES, help="default: all; may be given again")
    options = parser.parse_args()
    with a_world() as world:
        print_facts(Postgres=str(world.one("SHOW server_version")))
        bench = Bench(world, options.contacts)
        for name in options.only or CASES:
            CASES[name](bench, options)


if __name__ == "__main__":
    main()
