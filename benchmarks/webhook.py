"""Webhooks a second from Kafka to an endpoint that answers in 20 ms, beside two peers that only post.

Peers: one uvloop process with the same client library and as many requests in flight, the signed bodies being ready; and one blocking
request after another on a kept connection. Neither reads Kafka, stores, claims, signs or records anything.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import itertools
import time
from collections import defaultdict
from uuid import UUID, uuid4

import aiohttp
import uvloop

from benchmarks.pipeline import Speed, ours, run_round
from benchmarks.sinks import Sink, http_sink
from benchmarks.table import print_cpu, print_facts, print_goal, print_rounds, ratio
from benchmarks.world import CONTACTS, World, a_world, user_of

DELAY_SECONDS = 0.02
CONNECTIONS = 100
BLOCKING_REQUESTS = 200
BARE_GOAL, BLOCKING_GOAL = 0.5, 10.0
SECRET = "whsec_" + "QUFB" * 8
ENDPOINTS = """
INSERT INTO deliveries_webhookendpoint (tenant_id, user_id, url, sealed_secrets, disabled_why, created_at)
SELECT tenant_id, user_id, %s, %s, '', now() FROM deliveries_contact ON CONFLICT (tenant_id, user_id) DO UPDATE SET url = excluded.url
"""


def give_everybody_an_endpoint(world: World, sink: Sink) -> None:
    """Let every contact's webhooks go to the sink, signed by one secret."""
    from deliveries.providers.credentials import seal

    world.database.execute(ENDPOINTS, [f"http://127.0.0.1:{sink.port}/hooks", seal({"secret": SECRET})])


def request() -> tuple[dict[str, str], bytes]:
    """Return headers and body as the service posts them."""
    from datetime import UTC, datetime

    from deliveries.senders.base import Content, Message
    from deliveries.senders.webhook import body_of, headers_of

    words = Content(
        "Person 7, your order A-1 is on its way", "Hello Person 7,\n" + "your order left our warehouse.\n" * 8
    )
    message = Message(
        delivery_id=1,
        job_id=uuid4(),
        tenant_id=1,
        user_id=UUID(str(user_of(7))),
        to="",
        content=words,
        attempt=1,
        accepted_at=datetime.now(UTC),
        data={"order": "A-1", "items": 3},
        secrets=(SECRET,),
    )
    body = body_of(message)
    return headers_of(message, body), body


async def _bare_loop(port: int, count: int) -> None:
    headers, body = request()
    places = itertools.count()
    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:

        async def post() -> None:
            while next(places) < count:
                async with session.post(f"http://127.0.0.1:{port}/hooks", data=body, headers=headers) as answer:
                    await answer.read()
                    if answer.status != 200:
                        raise RuntimeError(f"the sink answered {answer.status}")

        await asyncio.gather(*(post() for _ in range(CONNECTIONS)))


def bare_loop(port: int, count: int) -> float:
    """Return the requests a second of the uvloop peer."""
    began = time.perf_counter()
    uvloop.run(_bare_loop(port, count))
    return count / (time.perf_counter() - began)


def one_after_another(port: int) -> float:
    """Return the requests a second of blocking calls on one kept connection."""
    headers, body = request()
    connection = http.client.HTTPConnection("127.0.0.1", port)
    began = time.perf_counter()
    for _ in range(BLOCKING_REQUESTS):
        connection.request("POST", "/hooks", body=body, headers=headers)
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise RuntimeError(f"the sink answered {answer.status}")
    connection.close()
    return BLOCKING_REQUESTS / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.webhook", description=__doc__)
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2, help="sender processes of ours")
    options = parser.parse_args()
    settings = {
        "CHANNEL_SENDERS": "webhook=http,ws=null",
        "WEBHOOK_CONNECTIONS": str(CONNECTIONS),
        "PRIVATE_ADDRESSES_ALLOWED": "1",
        "CREDENTIALS_KEYS": "benchmark-" + "k" * 40,
    }
    with a_world(**settings) as world, http_sink(world.folder, delay_seconds=DELAY_SECONDS) as sink:
        print_facts(Postgres=str(world.one("SHOW server_version")), sink=sink.name)
        give_everybody_an_endpoint(world, sink)
        speeds: list[Speed] = []
        rounds: dict[str, list[float]] = defaultdict(list)
        name = f"ours, {options.processes} sender processes, Kafka → recorded as SENT"
        bare = f"one uvloop process, {CONNECTIONS} requests in flight"
        blocking = "one blocking request after another"
        for _ in range(options.rounds):
            speeds.append(
                run_round(world, lambda world: ours(world, options.processes), options.jobs, channel="webhook")
            )
            rounds[name].append(speeds[-1].from_first_accepted)
            rounds[bare].append(bare_loop(sink.port, options.jobs))
            rounds[blocking].append(one_after_another(sink.port))
        print_rounds(f"Webhooks to {sink.name}, {options.jobs:,} a round, {CONTACTS:,} people", "webhooks/s", rounds)
        print_cpu("ours", [speed.cpu_us for speed in speeds])
        print_goal("ours / bare loop", ratio(rounds[name], rounds[bare]), BARE_GOAL)
        print_goal("ours / blocking", ratio(rounds[name], rounds[blocking]), BLOCKING_GOAL, digits=1)


if __name__ == "__main__":
    main()
