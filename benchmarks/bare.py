"""The bare loop that ours is measured against: the same work on the same table, one process, no framework.

Poll, parse with msgspec, hash, COPY, insert without conflicts, claim, contact and template, render, the same three updates, commit
offsets. Left out: fairness, lanes' holds, expiry, opt-outs, order for each person, failures, retries, heartbeats, shutdown. It is as
fast as we could write it in plain psycopg, and is nothing to run in earnest.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID, uuid4

import msgspec
import orjson
import psycopg
from kafka import KafkaConsumer
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.structs import OffsetAndMetadata, TopicPartition
from minijinja import Environment

POLL_RECORDS = 2000
CLAIM_ROWS = 500

STAGING = """
CREATE TEMPORARY TABLE staged (tenant_id bigint, job_id uuid, user_id uuid, channel text, priority smallint, lane_id bigint,
    template_code text, locale text, data jsonb, meta jsonb, body_hash bytea, entrance text, created_at timestamptz) ON COMMIT DELETE ROWS
"""
COPY = """
COPY staged (tenant_id, job_id, user_id, channel, priority, lane_id, template_code, locale, data, meta, body_hash, entrance, created_at)
FROM STDIN
"""
INSERT = """
INSERT INTO notification_delivery (tenant_id, job_id, user_id, channel, priority, lane_id, template_code, locale, data, meta, body_hash,
    entrance, created_at, accepted_at, status, next_attempt_at)
SELECT tenant_id, job_id, user_id, channel, priority, lane_id, template_code, locale, data, meta, body_hash, entrance, created_at,
    statement_timestamp(), 'PENDING', statement_timestamp()
FROM staged ORDER BY tenant_id, job_id ON CONFLICT (tenant_id, job_id) DO NOTHING
"""
CLAIM = """
UPDATE notification_delivery d SET lease_token = %(token)s, claims = claims + 1,
    lease_expires_at = statement_timestamp() + interval '90 seconds'
FROM (SELECT id FROM notification_delivery WHERE channel = %(channel)s AND lane_id = %(lane)s AND lease_expires_at IS NULL
        AND hold_id IS NULL AND next_attempt_at <= statement_timestamp()
        ORDER BY next_attempt_at, id LIMIT %(limit)s FOR UPDATE SKIP LOCKED) due
WHERE d.id = due.id RETURNING d.id, d.tenant_id, d.user_id, d.template_code, d.locale, d.data
"""
START = """
UPDATE notification_delivery d SET status = 'SENDING', attempts = d.attempts + 1, started_at = statement_timestamp()
FROM notification_delivery o LEFT JOIN deliveries_contact c ON c.tenant_id = o.tenant_id AND c.user_id = o.user_id
WHERE o.id = ANY (%(ids)s) AND d.id = o.id AND d.lease_token = %(token)s
RETURNING d.id, c.name, c.email, c.locale, c.attributes
"""
FINISH = """
UPDATE notification_delivery d SET status = 'SENT', lease_token = NULL, lease_expires_at = NULL, claims = 0,
    finished_at = statement_timestamp(), next_attempt_at = NULL, provider = 'bare', provider_message_id = '', duration_ms = 0,
    address = o.address, template_version_id = o.version
FROM unnest(%(ids)s::bigint[], %(addresses)s::text[], %(versions)s::bigint[]) AS o (id, address, version)
WHERE d.id = o.id AND d.lease_token = %(token)s AND d.status = 'SENDING'
"""
LANE = """
INSERT INTO deliveries_lane (tenant_id, channel, priority, source) VALUES (%s, %s, %s, '')
ON CONFLICT (tenant_id, channel, priority, source) DO UPDATE SET priority = excluded.priority RETURNING id
"""
TEMPLATE = """
SELECT v.id, c.subject, c.text, c.html FROM deliveries_template t JOIN deliveries_templateversion v ON v.template_id = t.id
JOIN deliveries_templatecontent c ON c.version_id = v.id
WHERE t.tenant_id = %s AND t.code = %s AND v.state = 'published' AND c.locale = %s ORDER BY v.number DESC LIMIT 1
"""
PRIORITIES = {"high": 0, "normal": 1, "low": 2}


class Meta(msgspec.Struct):
    """What the job says of itself."""

    event_type: str = ""
    event_id: str = ""
    campaign_id: str | None = None
    priority: Literal["high", "normal", "low"] = "normal"


class Job(msgspec.Struct):
    """The job's fields, checked by type alone."""

    job_id: UUID
    user_id: UUID
    channel: Literal["email", "push", "ws", "sms", "webhook"]
    template_code: str
    data: dict[str, Any]
    meta: Meta
    created_at: datetime
    locale: str = ""


class Bare:
    """One process that does everything in turn."""

    def __init__(self) -> None:
        self.database = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
        self.database.execute(STAGING)
        row = self.database.execute("SELECT id, slug, name FROM deliveries_tenant WHERE slug = 'default'").fetchone()
        assert row is not None
        self.tenant_id, self.tenant = row[0], {"slug": row[1], "name": row[2]}
        self.lanes: dict[tuple[str, int], int] = {}
        self.templates: dict[tuple[str, str], int] = {}
        self.jinja = Environment(undefined_behavior="strict", auto_escape_callback=lambda name: name.endswith(".html"))
        self.decode = msgspec.json.Decoder(Job).decode
        self.consumer = KafkaConsumer(
            os.environ["KAFKA_OUTBOX_TOPIC"],
            bootstrap_servers=os.environ["KAFKA_BOOTSTRAP_SERVERS"],
            group_id=os.environ["KAFKA_CONSUMER_GROUP"],
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            partition_assignment_strategy=[CooperativeStickyAssignor],
            session_timeout_ms=int(os.environ["KAFKA_SESSION_TIMEOUT_SECONDS"]) * 1000,
            heartbeat_interval_ms=3000,
            max_poll_records=POLL_RECORDS,
            fetch_max_wait_ms=100,
        )

    def run(self) -> None:
        """Work until the process is ended."""
        while True:
            polled = self.consumer.poll(timeout_ms=200)
            if not polled:
                continue
            channels = self.accept(polled)
            self.consumer.commit(
                {p: OffsetAndMetadata(records[-1].offset + 1, "", -1) for p, records in polled.items()}
            )
            for channel, lane_id in channels:
                while self.deliver(channel, lane_id) == CLAIM_ROWS:
                    pass

    def accept(self, polled: dict[TopicPartition, list[Any]]) -> set[tuple[str, int]]:
        """Store the jobs of one poll and return the channels and lanes that have work."""
        waiting: set[tuple[str, int]] = set()
        rows = []
        for partition, records in polled.items():
            entrance = f"kafka:{partition.topic}/{partition.partition}@"
            for record in records:
                job = self.decode(record.value)
                priority = PRIORITIES[job.meta.priority]
                lane_id = self.lane(job.channel, priority)
                waiting.add((job.channel, lane_id))
                rows.append((
                    self.tenant_id, job.job_id, job.user_id, job.channel, priority, lane_id, job.template_code, job.locale,
                    orjson.dumps(job.data).decode(), msgspec.json.encode(job.meta).decode(), hashlib.sha256(record.value).digest(),
                    f"{entrance}{record.offset}", job.created_at,
                ))  # fmt: skip
        with self.database.transaction(), self.database.cursor() as cursor:
            with cursor.copy(COPY) as copy:
                for row in rows:
                    copy.write_row(row)
            cursor.execute(INSERT)
        return waiting

    def deliver(self, channel: str, lane_id: int) -> int:
        """Claim, start, render and finish one batch; return how many rows it had."""
        token = uuid4()
        values = {"token": token, "channel": channel, "lane": lane_id, "limit": CLAIM_ROWS}
        rows = self.database.execute(CLAIM, values).fetchall()
        if not rows:
            return 0
        ids = [row[0] for row in rows]
        people = {row[0]: row[1:] for row in self.database.execute(START, {"ids": ids, "token": token})}
        addresses, versions = [], []
        for row_id, tenant_id, _user, code, locale, data in rows:
            name, email, person_locale, attributes = people[row_id]
            version = self.template(tenant_id, code, locale or person_locale)
            contact = {"name": name, "email": email, "locale": person_locale, "attributes": attributes}
            self.render(version, {**data, "data": data, "contact": contact, "tenant": self.tenant})
            addresses.append(email)
            versions.append(version)
        self.database.execute(FINISH, {"ids": ids, "addresses": addresses, "versions": versions, "token": token})
        return len(rows)

    def render(self, version: int, context: dict[str, Any]) -> Sequence[str]:
        """Return subject, text and HTML."""
        return [self.jinja.render_template(f"{version}.{part}", **context) for part in ("subject", "text", "html")]

    def lane(self, channel: str, priority: int) -> int:
        """Return the lane of a channel and priority, made at first use."""
        lane_id = self.lanes.get((channel, priority))
        if lane_id is None:
            row = self.database.execute(LANE, [self.tenant_id, channel, priority]).fetchone()
            assert row is not None
            lane_id = self.lanes[channel, priority] = row[0]
        return lane_id

    def template(self, tenant_id: int, code: str, locale: str) -> int:
        """Return the id of the newest published version, read and compiled at first use."""
        version = self.templates.get((code, locale))
        if version is None:
            row = self.database.execute(TEMPLATE, [tenant_id, code, locale]).fetchone()
            assert row is not None, f"no template {code} in {locale}"
            version = self.templates[code, locale] = row[0]
            for part, source in zip(("subject", "text", "html"), row[1:], strict=True):
                self.jinja.add_template(f"{version}.{part}", source)
        return version


if __name__ == "__main__":
    Bare().run()
