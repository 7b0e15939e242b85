"""Staff pages with few and with many deliveries: the list, a search by person, the list of broadcasts and one of them.

Through Django's test client, as an administrator: the whole page, without the network.
"""

from __future__ import annotations

import argparse
import time

from benchmarks.broadcasts import Bench
from benchmarks.table import print_facts, print_goal, print_rounds, ratio
from benchmarks.world import a_world

FEW, MANY = 5_000, 5_000_000
PEOPLE = 50_000
VIEWS = 15
GOAL = 2.0

# Of people who exist, spread over the last month, one in fifty failed.
MAKE_ROWS = """
INSERT INTO notification_delivery (tenant_id, job_id, user_id, channel, priority, lane_id, template_code, locale, data, meta, body_hash,
    entrance, created_at, accepted_at, status, attempts, started_at, finished_at, reason)
SELECT %(tenant)s, gen_random_uuid(), p.ids[1 + n %% array_length(p.ids, 1)], 'email', 1, NULL, 'order_shipped', 'en', '{}', '{}',
    decode(repeat('00', 33), 'hex'), 'kafka:bench/0@' || n, at, at, CASE WHEN n %% 50 = 0 THEN 'FAILED' ELSE 'SENT' END, 1, at, at,
    CASE WHEN n %% 50 = 0 THEN 'smtp_550' ELSE '' END
FROM generate_series(1, %(count)s) n, (SELECT now() - interval '30 days' AS since) t,
    (SELECT array_agg(user_id) AS ids FROM deliveries_contact WHERE tenant_id = %(tenant)s) p,
    LATERAL (SELECT t.since + n * interval '30 days' / %(count)s AS at) a
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pages", description=__doc__)
    parser.add_argument("--few", type=int, default=FEW)
    parser.add_argument("--many", type=int, default=MANY)
    parser.add_argument("--views", type=int, default=VIEWS)
    options = parser.parse_args()
    with a_world(ALLOWED_HOSTS="testserver") as world:
        from django.contrib.auth import get_user_model
        from django.test import Client
        from django.urls import reverse

        print_facts(Postgres=str(world.one("SHOW server_version")))
        bench = Bench(world, PEOPLE)
        broadcast = bench.broadcast("ws")
        client = Client()
        client.force_login(get_user_model().objects.create_superuser("bench", "bench@example.com", "bench"))
        pages = {
            "deliveries": reverse("admin:deliveries_delivery_changelist"),
            "deliveries of a person": reverse("admin:deliveries_delivery_changelist") + "?q=person77@example.com",
            "broadcasts": reverse("admin:broadcasts_broadcast_changelist"),
            "a broadcast": reverse("admin:broadcasts_broadcast_change", args=[broadcast.pk]),
        }
        took: dict[int, dict[str, list[float]]] = {}
        for count in (options.few, options.many):
            world.clear()
            world.database.execute(MAKE_ROWS, {"tenant": bench.tenant.pk, "count": count})
            world.database.execute("VACUUM ANALYZE notification_delivery")
            took[count] = {name: [] for name in pages}
            for _ in range(options.views + 1):
                for name, path in pages.items():
                    began = time.perf_counter()
                    response = client.get(path)
                    took[count][name].append((time.perf_counter() - began) * 1000)
                    assert response.status_code == 200, f"{path}: {response.status_code}"
    for count, times in took.items():
        rounds = {name: values[1:] for name, values in times.items()}  # the first view compiles templates
        print_rounds(f"Pages with {count:,} deliveries", "ms", rounds, digits=1)
    for name in pages:
        value = ratio(took[options.many][name][1:], took[options.few][name][1:])
        print_goal(f"{name}: many / few", value, GOAL, at_most=True)


if __name__ == "__main__":
    main()
