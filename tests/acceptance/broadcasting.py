"""`python -m tests.acceptance.broadcasting`: what staff do, from a process of its own that works on the scenario's database.

create COUNT CHANNEL   make that many broadcasts to everybody
send THREADS           send all of them, each from that many threads at once; prints how many calls were the one that did it
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from tests.acceptance.system import ROOT

APPROVE_FROM = "1000000"
"""What the scenarios set as BROADCAST_APPROVAL_FROM: approvals are not what they are about."""


def do(environment: Mapping[str, str], *words: str) -> str:
    """Do it in a process of its own and return what it printed. Raises: AssertionError with its errors."""
    command = [sys.executable, "-m", "tests.acceptance.broadcasting", *words]
    done = subprocess.run(command, cwd=ROOT, env=dict(environment), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def _create(count: int, channel: str) -> None:
    from broadcasts.actor import Actor
    from broadcasts.drafts import broadcast_create
    from deliveries.models import Tenant

    tenant = Tenant.objects.get(slug="default")
    values = {"title": "News", "body": "Hello", "channels": [channel], "audience": {"type": "all_users"}}
    for _ in range(count):
        broadcast_create(tenant=tenant, actor=Actor("ana"), values=values)


def _send(threads: int) -> int:
    from django.db import close_old_connections, connections

    from broadcasts.actor import Actor
    from broadcasts.changes import broadcast_send
    from broadcasts.models import Broadcast
    from broadcasts.review import review

    def send(broadcast_id: int) -> bool:
        close_old_connections()
        try:
            broadcast = Broadcast.objects.select_related("tenant").get(pk=broadcast_id)
            return broadcast_send(broadcast=broadcast, actor=Actor("ana"), review=review(broadcast), undo_seconds=0)[1]
        finally:
            connections.close_all()

    ids = list(Broadcast.objects.order_by("id").values_list("id", flat=True))
    with ThreadPoolExecutor(max_workers=threads) as pool:
        return sum(pool.map(send, [each for each in ids for _ in range(threads)]))


def main() -> None:
    import django

    django.setup()
    match sys.argv[1:]:
        case ["create", count, channel]:
            _create(int(count), channel)
        case ["send", threads]:
            sys.stdout.write(str(_send(int(threads))))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
