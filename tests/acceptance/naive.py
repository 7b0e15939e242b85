"""A deliberately naive build of the same service, for the checker to convict.

As such services are often written: the consumer commits by itself, one Dramatiq message carries each job, Dramatiq's
own retries, nobody sweeps, and the row is written after the fact. It works as long as nothing breaks. Not to be mended.

`python -m tests.acceptance.naive` consumes; `dramatiq tests.acceptance.naive` sends.
"""

from __future__ import annotations

import os
import smtplib
from email.message import EmailMessage

import dramatiq
import orjson
import psycopg
from dramatiq.brokers.redis import RedisBroker
from kafka import KafkaConsumer

# Dramatiq gives the messages of a worker that died to another after a minute or so. Here it looks at every command, so
# that the naive build is judged at its best and soon.
REQUEUE_MS = 5000
LOOK_ALWAYS = 1_000_000

broker = RedisBroker(  # type: ignore[no-untyped-call]
    url=os.environ["REDIS_URL"],
    namespace=f"{os.environ['REDIS_PREFIX']}naive",
    heartbeat_timeout=REQUEUE_MS,
    maintenance_chance=LOOK_ALWAYS,
)
dramatiq.set_broker(broker)


@dramatiq.actor(max_retries=3, min_backoff=500)
def deliver(row_id: int, title: str, body: str) -> None:
    """Send one mail and say so in its row."""
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as database:
        found = database.execute(
            "SELECT n.job_id, c.email FROM naive_delivery n JOIN deliveries_contact c USING (user_id) WHERE n.id = %s",
            [row_id],
        ).fetchone()
        assert found is not None
        job_id, address = found
        mail = EmailMessage()
        mail["Message-ID"], mail["From"], mail["To"] = f"<{job_id}@naive.example.com>", "naive@example.com", address
        mail["Subject"] = title
        mail.set_content(body)
        with smtplib.SMTP(os.environ["EMAIL_HOST"], int(os.environ["EMAIL_PORT"])) as server:
            server.send_message(mail)
        database.execute("UPDATE naive_delivery SET status = 'SENT', attempts = attempts + 1 WHERE id = %s", [row_id])


def consume() -> None:
    """Make a row and a message of each record, for ever."""
    consumer = KafkaConsumer(
        os.environ["KAFKA_OUTBOX_TOPIC"],
        bootstrap_servers=os.environ["KAFKA_BOOTSTRAP_SERVERS"],
        group_id=os.environ["KAFKA_CONSUMER_GROUP"],
        auto_offset_reset="earliest",
        enable_auto_commit=True,
        auto_commit_interval_ms=500,
        session_timeout_ms=int(os.environ["KAFKA_SESSION_TIMEOUT_SECONDS"]) * 1000,
        heartbeat_interval_ms=1000,
    )
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as database:
        for record in consumer:
            job = orjson.loads(record.value)
            row = database.execute(
                "INSERT INTO naive_delivery (job_id, user_id) VALUES (%s, %s) RETURNING id",
                [job["job_id"], job["user_id"]],
            ).fetchone()
            assert row is not None
            deliver.send(row[0], job["content"]["title"], job["content"]["body"])


if __name__ == "__main__":
    consume()
