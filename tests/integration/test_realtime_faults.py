"""The inbox while Valkey or PostgreSQL is away, frozen or emptied: a push may be lost, a notification never.

`WS_REREAD_SECONDS` is an hour wherever a test is about noticing a gap, so that nothing else can bring the notification.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import redis
from channels.layers import channel_layers
from channels_redis.pubsub import RedisPubSubChannelLayer
from django.conf import settings
from django.db import connection
from websockets.exceptions import ConnectionClosed

from deliveries.realtime.publish import Publisher
from notifyproj.embedded import Valkey
from notifyproj.embedded.process import free_port
from tests.factories import TenantFactory
from tests.realtime import WebServer, environment, frames_of, in_thread, inbox_row, open_socket, token

pytestmark = pytest.mark.django_db(transaction=True)

store = in_thread(inbox_row)
a_tenant = in_thread(TenantFactory)
AN_HOUR = 3600


@pytest.fixture
def web(tmp_path: Path, own_valkey: Valkey, django_db_setup: None) -> Iterator[WebServer]:
    """A web process on a Valkey of its own."""
    with WebServer(tmp_path / "web", environment(), REDIS_URL=own_valkey.url, WS_REREAD_SECONDS=AN_HOUR) as server:
        yield server


@pytest.fixture
def publisher(own_valkey: Valkey) -> Iterator[Publisher]:
    """A worker's publisher on the same Valkey."""
    yield from publisher_on(own_valkey.url)


@pytest.fixture
def publisher_on_nothing() -> Iterator[Publisher]:
    """A publisher where no Valkey is."""
    yield from publisher_on(f"redis://127.0.0.1:{free_port()}/0")


def publisher_on(url: str) -> Iterator[Publisher]:
    before = channel_layers.set(
        "default",
        RedisPubSubChannelLayer(
            hosts=[{"address": url, "socket_timeout": None}], prefix=f"{settings.REDIS_PREFIX}layer"
        ),
    )
    yield Publisher()
    if before is None:  # nobody had used it yet, so the next to ask makes it from the settings
        del channel_layers.backends["default"]
    else:
        channel_layers.set("default", before)


async def test_what_was_stored_while_valkey_was_dead_arrives_when_it_is_back(
    web: WebServer, own_valkey: Valkey
) -> None:
    tenant, user_id = await a_tenant(), uuid4()
    async with open_socket(web, token(tenant, user_id)) as client:
        await client.next("unread", count=0)
        await web.listening()
        own_valkey.kill()
        row = await store(tenant, user_id)
        own_valkey.start()

        assert (await client.next("notification"))["id"] == str(row.job_id)
        await client.next("unread", count=1)
    assert "Traceback" not in web.log


async def test_a_connection_that_was_cut_for_a_moment_is_noticed(web: WebServer, own_valkey: Valkey) -> None:
    tenant, user_id = await a_tenant(), uuid4()
    with redis.Redis.from_url(own_valkey.url) as server:
        async with open_socket(web, token(tenant, user_id)) as client:
            await client.next("unread", count=0)
            await web.listening()
            row = await store(tenant, user_id)
            assert server.execute_command("CLIENT", "KILL", "TYPE", "pubsub") >= 1

            assert (await client.next("notification"))["id"] == str(row.job_id)


async def test_a_frozen_valkey_holds_nothing_up_for_ever(web: WebServer, own_valkey: Valkey) -> None:
    tenant, user_id = await a_tenant(), uuid4()
    async with open_socket(web, token(tenant, user_id)) as client:
        await client.next("unread", count=0)
        await web.listening()
        own_valkey.pause()
        row = await store(tenant, user_id)
        await client.send(type="ack", notification_id=str(row.job_id))  # answered by the database alone
        await client.next("acked")
        other = await store(tenant, user_id)
        async with open_socket(web, token(tenant, user_id)) as newcomer:
            assert (await newcomer.next("notification"))["id"] == str(other.job_id)
        while "no live pushes" not in web.log:
            await client.send(type="ping")
            await client.next("pong")
        own_valkey.resume()

        assert (await client.next("notification"))["id"] == str(other.job_id)


async def test_flushall_harms_no_push(web: WebServer, own_valkey: Valkey, publisher: Publisher) -> None:
    tenant, user_id = await a_tenant(), uuid4()
    with redis.Redis.from_url(own_valkey.url) as server:
        async with open_socket(web, token(tenant, user_id)) as client:
            await client.next("unread", count=0)
            await web.listening()
            for _ in range(3):
                server.flushall()
                row = await store(tenant, user_id)
                await publisher(await frames_of(row))
                assert (await client.next("notification"))["id"] == str(row.job_id)


async def test_without_valkey_the_steady_reread_brings_everything_once(tmp_path: Path, django_db_setup: None) -> None:
    tenant, user_id = await a_tenant(), uuid4()
    nowhere = f"redis://127.0.0.1:{free_port()}/0"
    with WebServer(tmp_path / "web", environment(), REDIS_URL=nowhere, WS_REREAD_SECONDS=0.2) as web:
        async with open_socket(web, token(tenant, user_id)) as client:
            await client.next("unread", count=0)
            rows = [await store(tenant, user_id, str(number)) for number in range(20)]
            await client.until(lambda: len(client.notifications) >= 20)
            late = await store(tenant, user_id)
            await client.until(lambda: str(late.job_id) in client.notifications)

            assert client.notifications == [*(str(row.job_id) for row in rows), str(late.job_id)]
        assert web.log.count("no live pushes") == 1


async def test_a_row_that_waited_long_is_found_though_its_id_is_old(web: WebServer, own_valkey: Valkey) -> None:
    """Ids tell nothing of when an item got into the inbox: this one had a send_after."""
    tenant, user_id = await a_tenant(), uuid4()
    parked = await store(tenant, user_id, rendered=None)
    newer = await store(tenant, user_id)
    async with open_socket(web, token(tenant, user_id)) as client:
        assert (await client.next("notification"))["id"] == str(newer.job_id)
        await web.listening()
        own_valkey.kill()
        await in_thread(finish)(parked.pk)
        own_valkey.start()

        assert (await client.next("notification"))["id"] == str(parked.job_id)


def finish(pk: int) -> None:
    """Put a row into the inbox as dispatch's finish does."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE notification_delivery SET rendered = %s, finished_at = statement_timestamp() WHERE id = %s",
            ['{"subject": "News", "text": "at last", "action_url": ""}', pk],
        )


async def test_dead_database_connections_are_replaced(web: WebServer) -> None:
    tenant, user_id = await a_tenant(), uuid4()
    row = await store(tenant, user_id)
    async with open_socket(web, token(tenant, user_id)) as client:
        await client.next("unread", count=1)
        assert await in_thread(cut_hub_connections)() >= 1
        await client.send(type="ack", notification_id=str(row.job_id))

        await client.next("acked")
        await client.next("unread", count=0)


def cut_hub_connections() -> int:
    """End the hub's sessions, as a restart of PostgreSQL does. Returns how many there were."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE application_name = 'notify hub' AND datname = current_database()"
        )
        [(count,)] = cursor.fetchall()
        return int(count)


async def test_without_a_database_a_client_is_told_to_come_back(tmp_path: Path, django_db_setup: None) -> None:
    nowhere = f"postgres://nobody@127.0.0.1:{free_port()}/none"
    tenant = TenantFactory.build()
    with WebServer(tmp_path / "web", {**environment(), "DATABASE_URL": nowhere}) as web:
        async with open_socket(web, token(tenant, uuid4())) as client:
            with pytest.raises(ConnectionClosed) as caught:
                await client.until(lambda: False)

    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1013
    assert [frame["code"] for frame in client.frames] == ["unavailable"]


async def test_a_push_without_valkey_is_lost_and_said_once(
    publisher_on_nothing: Publisher, caplog: pytest.LogCaptureFixture
) -> None:
    row = await store(await a_tenant(), uuid4())
    items = await frames_of(row)
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            await publisher_on_nothing(items)

    assert sum("push lost" in record.getMessage() for record in caplog.records) == 1


async def test_a_stop_tells_its_clients_and_ends_cleanly(web: WebServer) -> None:
    async with open_socket(web, token(await a_tenant(), uuid4())) as client:
        await client.next("unread")
        web.stop()
        with pytest.raises(ConnectionClosed) as caught:
            await client.until(lambda: False)

    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1012
    assert "Application shutdown complete" in web.log
    assert "Traceback" not in web.log
