"""Where a benchmark happens: servers, one database with people and a template, jobs on a topic, and the processes under test.

Here belongs what all benchmarks share. What is measured, and how a build works, belongs to the module that measures it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import django
import orjson
import psutil
import psycopg
from kafka import KafkaAdminClient, KafkaProducer

from notifyproj.demo.supervisor import Child
from notifyproj.embedded import Postgres, Tansu, Valkey, start_all

CONTACTS = 10_000
PARTITIONS = 12
GROUP_SESSION_SECONDS = 12
"""A consumer that is held may stay silent this long; joining takes half of it on Tansu."""
DEADLINE_SECONDS = 900.0
EXIT_SECONDS = 40.0
TEMPLATE_CODE = "order_shipped"

SUBJECT = "{{ contact.name }}, your order {{ order }} is on its way"
TEXT = """Hello {{ contact.name }},

your order {{ order }} of {{ items }} items left our warehouse. It comes with {{ carrier }} and should be with you on {{ day }}.
Follow it: https://shop.example/track/{{ tracking }}

{{ tenant.name }}
"""
HTML = """<h1 style="font: 600 22px sans-serif; color: #14532d">On its way</h1>
<p style="font: 16px/1.5 sans-serif">Hello {{ contact.name }},</p>
<p style="font: 16px/1.5 sans-serif">your order <b>{{ order }}</b> of {{ items }} items left our warehouse. It comes with {{ carrier }}
and should be with you on {{ day }}.</p>
<table role="presentation" style="font: 15px sans-serif; border-collapse: collapse; width: 100%">
<tr><td style="padding: 8px; border-bottom: 1px solid #ddd">Order</td><td style="padding: 8px">{{ order }}</td></tr>
<tr><td style="padding: 8px; border-bottom: 1px solid #ddd">Items</td><td style="padding: 8px">{{ items }}</td></tr>
<tr><td style="padding: 8px; border-bottom: 1px solid #ddd">Carrier</td><td style="padding: 8px">{{ carrier }}</td></tr>
</table>
<p><a href="https://shop.example/track/{{ tracking }}" style="background: #166534; color: #fff; padding: 12px 20px">Follow it</a></p>
<p style="font: 13px sans-serif; color: #666">{{ tenant.name }}. You get this mail because you ordered something.</p>
"""

INSERT_CONTACTS = """
INSERT INTO deliveries_contact (tenant_id, user_id, name, email, phone, locale, time_zone, attributes, opted_out, created_at, updated_at)
SELECT t.id, md5('contact ' || n)::uuid, 'Person ' || n, 'person' || n || '@example.com', '', 'en', '', '{}', '{}', now(), now()
FROM deliveries_tenant t, generate_series(0, %s - 1) n WHERE t.slug = %s
"""

LAST_ID = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM notification_delivery_id_seq"
ANY_WAITING = """
SELECT EXISTS (SELECT FROM notification_delivery
    WHERE lease_expires_at IS NULL AND next_attempt_at IS NOT NULL AND hold_id IS NULL AND channel >= '')
"""
ANY_IN_FLIGHT = """
SELECT EXISTS (SELECT FROM notification_delivery WHERE lease_expires_at IS NOT NULL AND user_id >= '00000000-0000-0000-0000-000000000000')
"""


class World:
    """Embedded servers, a migrated database with CONTACTS people and one published template, and Django set up on it."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        postgres, valkey, tansu = Postgres(folder / "postgres"), Valkey(folder / "valkey"), Tansu(folder / "tansu")
        self.servers = [postgres, valkey, tansu]
        start_all(self.servers)
        self.database_url = postgres.url
        self.kafka = tansu.bootstrap
        os.environ.update(
            {
                "DJANGO_SETTINGS_MODULE": "notifyproj.settings",
                "SECRET_KEY": "benchmark-" + "x" * 60,
                "LOG_LEVEL": "WARNING",
                "DATABASE_URL": postgres.url,
                "REDIS_URL": valkey.url,
                "KAFKA_BOOTSTRAP_SERVERS": tansu.bootstrap,
                "KAFKA_SESSION_TIMEOUT_SECONDS": str(GROUP_SESSION_SECONDS),
                "CHANNEL_SENDERS": "email=null,ws=null",
                "NULL_SENDER_ALLOWED": "1",
                **environment,
            }
        )
        self._furnish()
        self.database = psycopg.connect(self.database_url, autocommit=True)
        self.tenant_id = int(str(self.one("SELECT id FROM deliveries_tenant WHERE slug = 'default'")))

    def _furnish(self) -> None:
        django.setup()
        from django.core.management import call_command
        from django.db import connection

        from deliveries.models import Template, Tenant
        from deliveries.rendering import ContentSource
        from deliveries.templating import template_publish, template_save_draft

        call_command("migrate", verbosity=0)
        tenant = Tenant.objects.get(slug="default")
        template = Template.objects.create(tenant=tenant, code=TEMPLATE_CODE, name="Order shipped")
        words = {"en": ContentSource(SUBJECT, TEXT, HTML)}
        template_publish(version=template_save_draft(template=template, contents=words, default_locale="en"))
        with connection.cursor() as cursor:
            cursor.execute(INSERT_CONTACTS, [CONTACTS, tenant.slug])
            cursor.execute("ANALYZE")
        connection.close()

    def one(self, query: str, *values: object) -> object:
        """Return the first value of a query's first row."""
        row = self.database.execute(query, values).fetchone()
        assert row is not None, query
        return row[0]

    def clear(self) -> None:
        """Empty what jobs leave behind, so that every round begins with the same tables."""
        self.database.execute(
            "TRUNCATE notification_delivery, deliveries_deliveryattempt, deliveries_deadletter, deliveries_outboxposition,"
            " deliveries_receipt RESTART IDENTITY"
        )
        self.database.execute("VACUUM ANALYZE notification_delivery")
        self.database.execute("CHECKPOINT")

    def make_topic(self) -> str:
        """Make a topic that nothing else uses, point the settings' environment at it and at a group of its own."""
        topic = f"bench-{uuid4().hex[:8]}"
        admin = KafkaAdminClient(bootstrap_servers=self.kafka)
        admin.create_topics({topic: {"num_partitions": PARTITIONS, "replication_factor": 1}})
        admin.close()
        os.environ.update({"KAFKA_OUTBOX_TOPIC": topic, "KAFKA_CONSUMER_GROUP": f"{topic}-group"})
        os.environ["REDIS_PREFIX"] = f"{topic}:"
        return topic

    def close(self) -> None:
        """Stop the servers."""
        self.database.close()
        for server in reversed(self.servers):
            server.stop()


@contextmanager
def a_world(**environment: str) -> Iterator[World]:
    """Make a world in a temporary folder, and leave nothing of it behind. `environment` overrides settings."""
    # A plain `kill` ends a benchmark as Ctrl+C does: with everything it started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="notifyproj-bench-"))
    world: World | None = None
    try:
        world = World(folder, **environment)
        yield world
    finally:
        if world is not None:
            world.close()
        shutil.rmtree(folder, ignore_errors=True)


def tree(pid: int) -> list[psutil.Process]:
    """Return a process and all below it."""
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def seconds_used(process: psutil.Process) -> float:
    """Return the processor time of one process, 0 when it ended meanwhile."""
    try:
        return float(sum(process.cpu_times()))
    except psutil.NoSuchProcess:
        return 0.0


def user_of(number: int) -> UUID:
    """Return the user id of a contact, as INSERT_CONTACTS makes it."""
    return UUID(hashlib.md5(f"contact {number}".encode(), usedforsecurity=False).hexdigest())


def make_jobs(count: int, *, channel: str = "email") -> list[tuple[bytes, bytes]]:
    """Return keys and values of template-rendered jobs, about 480 bytes each, spread evenly over the contacts."""
    users = [str(user_of(number)) for number in range(min(CONTACTS, count))]
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    jobs = []
    for number in range(count):
        user = users[number % len(users)]
        job = {
            "job_id": str(uuid4()),
            "user_id": user,
            "channel": channel,
            "template_code": TEMPLATE_CODE,
            "locale": "en",
            "data": {
                "order": f"A-{number:07}",
                "items": 3,
                "carrier": "Parcel Express",
                "day": "14 November",
                "tracking": f"PX{number:012}",
            },
            "meta": {"event_type": "order_shipped", "event_id": str(number), "campaign_id": None, "priority": "normal"},
            "created_at": now,
            "send_after": None,
            "expires_at": None,
        }
        jobs.append((user.encode(), orjson.dumps(job)))
    return jobs


def produce(world: World, topic: str, jobs: Sequence[tuple[bytes, bytes]]) -> float:
    """Put jobs on a topic and return how many seconds that took, acknowledgements included."""
    producer = KafkaProducer(bootstrap_servers=world.kafka, acks="all", linger_ms=20, batch_size=256 * 1024)
    began = time.perf_counter()
    for key, value in jobs:
        producer.send(topic, key=key, value=value, partition=zlib.crc32(key) % PARTITIONS)
    producer.flush()
    seconds = time.perf_counter() - began
    producer.close()
    return seconds


class Build:
    """The processes of one way to do the work. `commands`: name → arguments after the Python interpreter.

    `reader` names the process that reads Kafka: while it is held, jobs pile up on the topic and nobody works.
    """

    def __init__(self, world: World, commands: dict[str, list[str]], *, reader: str) -> None:
        stamp = uuid4().hex[:6]
        self.world = world
        self.children = {
            name: Child(name, name, [sys.executable, *arguments], log=world.folder / f"{stamp}-{name}.log")
            for name, arguments in commands.items()
        }
        self.reader = self.children[reader]

    def __enter__(self) -> Build:
        for child in self.children.values():
            child.launch()
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Ask all to end, and kill what does not."""
        for child in self.children.values():
            child.ask_to_end()
        deadline = time.monotonic() + EXIT_SECONDS
        for child in self.children.values():
            while child.is_running and time.monotonic() < deadline:
                time.sleep(0.05)
            child.kill()

    def check(self) -> None:
        """Raise RuntimeError, with its last lines, when a process has ended."""
        for child in self.children.values():
            if not child.is_running:
                raise RuntimeError(child.complaint())

    def hold(self) -> None:
        """Freeze the reader."""
        os.kill(self.reader.pid, signal.SIGSTOP)

    def go(self) -> None:
        """Let the reader go on."""
        os.kill(self.reader.pid, signal.SIGCONT)

    def memory(self) -> dict[str, float]:
        """Return the resident memory of each process in MiB, a name with a number for its children."""
        sizes: dict[str, float] = {}
        for name, child in self.children.items():
            for number, one in enumerate(tree(child.pid)):
                sizes[f"{name} {number}" if number else name] = one.memory_info().rss / 2**20
        return sizes

    def cpu_seconds(self) -> dict[str, float]:
        """Return what each process and the servers have used of the cores so far, children included."""
        pids = {name: child.pid for name, child in self.children.items()}
        pids |= {server.name: server.pid for server in self.world.servers}
        return {name: sum(map(seconds_used, tree(pid))) for name, pid in pids.items()}


def wait_until_sent(world: World, build: Build, count: int) -> None:
    """Return once `count` deliveries exist and all are SENT. Asks little of the database until they may be.

    Raises: RuntimeError when one ended otherwise, a process died, or it takes longer than DEADLINE_SECONDS.
    """
    deadline = time.monotonic() + DEADLINE_SECONDS
    statuses: dict[str, int] = {}
    while statuses.get("SENT", 0) < count:
        build.check()
        if time.monotonic() > deadline:
            raise RuntimeError(f"not done after {DEADLINE_SECONDS:g} s: {statuses or 'not all accepted'}")
        time.sleep(0.1)
        if int(str(world.one(LAST_ID))) >= count and not _is_anything_open(world):
            statuses = dict(world.database.execute("SELECT status, count(*) FROM notification_delivery GROUP BY 1"))
            if statuses.keys() & {"FAILED", "EXPIRED", "SUPPRESSED", "CANCELLED"}:
                raise RuntimeError(f"not all were sent: {statuses}")


def _is_anything_open(world: World) -> bool:
    """Look for rows that wait or are in flight, by the indexes that hold only those."""
    with world.database.transaction():
        world.database.execute("SET LOCAL enable_seqscan = off")
        return any(map(world.one, (ANY_WAITING, ANY_IN_FLIGHT)))
