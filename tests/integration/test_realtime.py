"""The inbox over a real WebSocket: uvicorn, Valkey and PostgreSQL, and the `websockets` library as the browser."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.utils import timezone
from pytest_django.plugin import DjangoDbBlocker
from websockets.exceptions import ConnectionClosed, InvalidStatus

from deliveries.models import Delivery, Tenant
from deliveries.realtime.publish import publish_items
from deliveries.senders.ws import InboxSender
from tests.factories import TenantFactory
from tests.realtime import (
    WebServer,
    again,
    environment,
    frames_of,
    in_thread,
    inbox_row,
    message,
    open_socket,
    shared_web_server,
    token,
)

pytestmark = pytest.mark.django_db(transaction=True)

store = in_thread(inbox_row)
stored = in_thread(again)
a_tenant = in_thread(TenantFactory)


@pytest.fixture(scope="module")
def web(
    tmp_path_factory: pytest.TempPathFactory, django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[WebServer]:
    """One server for all tests here that need no settings of their own: each has its own tenant and people."""
    with shared_web_server(tmp_path_factory.mktemp("web"), django_db_blocker) as server:
        yield server


async def push(*rows: Delivery) -> None:
    """Do what the worker does after the commit."""
    await InboxSender(publish_items).stored([message(row) for row in rows])


async def closed_with(client: Any) -> tuple[int, list[dict[str, Any]]]:
    """Read until the server closes; return its code and the frames before it."""
    with pytest.raises(ConnectionClosed) as caught:
        await client.until(lambda: False)
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code, client.frames


async def test_a_stored_notification_is_pushed_live(web: WebServer) -> None:
    tenant, user_id = await a_tenant(), uuid4()
    async with open_socket(web, token(tenant, user_id)) as client:
        assert (await client.next("connected"))["unacknowledged"] == 0
        assert (await client.next("unread"))["count"] == 0
        row = await store(tenant, user_id, "Your parcel is here", data={"order": 7})
        await push(row)

        frame = await client.next("notification")
        assert (await client.next("unread"))["count"] == 1

    assert frame["id"] == frame["job_id"] == str(row.job_id)
    assert (frame["title"], frame["body"], frame["data"]) == ("News", "Your parcel is here", {"order": 7})


async def test_pushed_and_replayed_are_the_same_frame(web: WebServer) -> None:
    tenant, user_id = await a_tenant(), uuid4()
    row = await store(tenant, user_id, data={"a": [1, {"b": None}]}, priority=0)
    [pushed] = await frames_of(row)
    async with open_socket(web, token(tenant, user_id)) as client:
        assert (await client.next("notification")) == json.loads(pushed.frame)


async def test_what_is_unacknowledged_is_replayed_in_order_at_every_connect(web: WebServer) -> None:
    tenant, user_id = await a_tenant(), uuid4()
    rows = [await store(tenant, user_id, str(number)) for number in range(3)]
    for _ in range(2):
        async with open_socket(web, token(tenant, user_id)) as client:
            assert (await client.next("connected"))["unacknowledged"] == 3
            await client.until(lambda: len(client.notifications) == 3)
            assert client.notifications == [str(row.job_id) for row in rows]


async def test_an_acknowledged_item_stays_away_and_its_row_says_so(web: WebServer) -> None:
    tenant, user_id = await a_tenant(), uuid4()
    row, other = await store(tenant, user_id), await store(tenant, user_id)
    async with open_socket(web, token(tenant, user_id)) as client:
        await client.next("unread", count=2)
        for _ in range(2):  # twice gives the same answer
            await client.send(type="ack", notification_id=str(row.job_id))
            assert (await client.next("acked"))["notification_ids"] == [str(row.job_id)]
        await client.next("unread", count=1)
    async with open_socket(web, token(tenant, user_id)) as client:
        await client.next("unread", count=1)
    async with open_socket(web, token(tenant, user_id)) as client:
        assert (await client.next("connected"))["unacknowledged"] == 1
        assert (await client.next("notification"))["id"] == str(other.job_id)

    row = await stored(row)
    assert (row.status, row.outcome) == ("SENT", "acknowledged")
    assert row.acknowledged_at is not None
    assert row.read_at == row.acknowledged_at


async def test_all_sockets_of_a_person_hear_of_an_acknowledgement(web: WebServer) -> None:
    tenant, user_id = await a_tenant(), uuid4()
    row = await store(tenant, user_id)
    bearer = token(tenant, user_id)
    async with open_socket(web, bearer) as phone, open_socket(web, bearer) as desk:
        await phone.next("unread", count=1)
        await desk.next("unread", count=1)
        await web.listening()
        await phone.send(type="ack", notification_ids=[str(row.job_id)])

        assert (await desk.next("acked"))["notification_ids"] == [str(row.job_id)]
        await desk.next("unread", count=0)
        await phone.next("unread", count=0)


async def test_no_one_sees_or_acknowledges_what_is_anothers(web: WebServer) -> None:
    mine, theirs, user_id, other_user = await a_tenant(), await a_tenant(), uuid4(), uuid4()
    elsewhere = await store(theirs, user_id)  # the same user id, of another tenant
    neighbour = await store(mine, other_user)
    answers = []
    async with open_socket(web, token(mine, user_id)) as client:
        assert (await client.next("connected"))["unacknowledged"] == 0
        await web.listening()
        await push(elsewhere, neighbour)
        for notification_id in (elsewhere.job_id, neighbour.job_id, uuid4()):
            await client.send(type="ack", notification_id=str(notification_id))
            answer = await client.next("error")
            assert answer.pop("notification_ids") == [str(notification_id)]
            answers.append(answer)
        await client.send(type="ping")
        await client.until(lambda: any(frame["type"] == "pong" for frame in client.frames))

        assert client.notifications == []

    assert answers[0] == answers[1] == answers[2]
    assert answers[0]["code"] == "not_found"
    for row in (elsewhere, neighbour):
        row = await stored(row)
        assert (row.acknowledged_at, row.read_at, row.outcome) == (None, None, "")


@pytest.mark.parametrize(
    "values",
    [{"recalled_at": timezone.now()}, {"is_test": True}, {"rendered": None}],
    ids=["recalled", "test key", "no text"],
)
async def test_what_is_not_in_the_inbox_is_neither_replayed_nor_acknowledged(
    web: WebServer, values: dict[str, Any]
) -> None:
    tenant, user_id = await a_tenant(), uuid4()
    row = await store(tenant, user_id, **values)
    async with open_socket(web, token(tenant, user_id)) as client:
        assert (await client.next("connected"))["unacknowledged"] == 0
        await client.send(type="ack", notification_id=str(row.job_id))
        assert (await client.next("error"))["code"] == "not_found"


async def test_bad_frames_are_answered_and_the_socket_lives_on(web: WebServer) -> None:
    tenant = await a_tenant()
    async with open_socket(web, token(tenant, uuid4())) as client:
        bad = [
            ("{", "invalid_json"),
            ("[]", "invalid_frame"),
            ('{"type":"nonsense"}', "unknown_type"),
            (b"\xff", "invalid_json"),
        ]
        for text, code in bad:
            await client.socket.send(text)
            assert (await client.next("error"))["code"] == code
        await client.send(type="ping")
        await client.next("pong")


async def test_a_long_inbox_is_replayed_page_by_page_as_it_is_acknowledged(
    tmp_path: Path, django_db_setup: None
) -> None:
    tenant, user_id = await a_tenant(), uuid4()
    rows = [await store(tenant, user_id, str(number)) for number in range(25)]
    received: list[str] = []
    with WebServer(tmp_path / "web", environment(), WS_REPLAY_LIMIT=10) as web:
        async with open_socket(web, token(tenant, user_id)) as client:
            assert (await client.next("connected"))["unacknowledged"] == 25
            await client.until(lambda: any(frame["type"] == "resync" for frame in client.frames))
            assert len(client.notifications) == 10
            while len(received) < 25:
                frame = await client.next("notification")
                received.append(frame["id"])
                await client.send(type="ack", notification_id=frame["id"])
            await client.next("unread", count=0)

    assert received == [str(row.job_id) for row in rows]


async def test_joined_lines_are_for_those_who_ask(web: WebServer) -> None:
    tenant, user_id = await a_tenant(), uuid4()
    async with open_socket(web, token(tenant, user_id), path="/ws/notifications/?frames=lines") as client:
        await client.next("unread", count=0)
        await web.listening()
        rows = [await store(tenant, user_id, str(number)) for number in range(20)]
        await push(*rows)
        await client.until(lambda: len(client.notifications) == 20)

        assert client.notifications == [str(row.job_id) for row in rows]


# Who may come in.


@pytest.mark.parametrize("way", ["header", "subprotocol", "query"])
async def test_a_token_may_come_three_ways_and_is_in_no_log(way: str, tmp_path: Path, django_db_setup: None) -> None:
    bearer = token(await a_tenant(), uuid4())
    options: dict[str, Any] = {
        "header": {"additional_headers": {"Authorization": f"Bearer {bearer}"}},
        "subprotocol": {"subprotocols": ["bearer", bearer]},
        "query": {"path": f"/ws/notifications/?token={bearer}"},
    }[way]
    with WebServer(tmp_path / "web", environment(), LOG_LEVEL="DEBUG", UVICORN_LOG_LEVEL="trace") as web:
        async with open_socket(web, None, **options) as client:
            await client.next("connected")
            assert client.socket.subprotocol == ("bearer" if way == "subprotocol" else None)
        log = web.log

    assert "< GET /ws/notifications/" in log  # so the server did print the handshake
    assert bearer not in log
    assert bearer.split(".")[1] not in log


@pytest.mark.parametrize(
    "path", ["/ws/notifications/", "/ws/notifications/?token=aa.bb.cc", "/ws/notifications/?token="]
)
async def test_without_a_valid_token_the_client_is_told_and_closed(web: WebServer, path: str) -> None:
    async with open_socket(web, None, path=path) as client:
        code, frames = await closed_with(client)

    assert code == 4401
    assert [frame["type"] for frame in frames] == ["error"]
    assert frames[0]["code"] == ("token_invalid" if "aa" in path else "token_missing")


async def test_a_tenant_that_does_not_exist_is_an_invalid_token(web: WebServer) -> None:
    nobody = TenantFactory.build()
    async with open_socket(web, token(nobody, uuid4())) as client:
        code, frames = await closed_with(client)

    assert (code, frames[0]["code"]) == (4401, "token_invalid")


async def test_a_cookie_is_no_credential(web: WebServer, admin_client: Any) -> None:
    session = admin_client.cookies["sessionid"].value
    async with open_socket(web, None, additional_headers={"Cookie": f"sessionid={session}"}) as client:
        code, _ = await closed_with(client)

    assert code == 4401


async def test_only_listed_origins_may_come(tmp_path: Path, django_db_setup: None) -> None:
    bearer = token(await a_tenant(), uuid4())
    with WebServer(tmp_path / "web", environment(), WS_ALLOWED_ORIGINS="https://app.example.com") as web:
        with pytest.raises(InvalidStatus) as caught:
            async with open_socket(web, bearer, origin="https://evil.example.com"):
                raise AssertionError("let in")
        async with open_socket(web, bearer, origin="https://app.example.com") as client:
            await client.next("connected")
        async with open_socket(web, bearer) as client:
            await client.next("connected")

    assert caught.value.response.status_code == 403


async def test_the_connection_ends_with_its_token(web: WebServer) -> None:
    expires_at = int(time.time()) + 8
    async with open_socket(web, token(await a_tenant(), uuid4(), exp=expires_at)) as client:
        await client.next("connected")
        code, frames = await closed_with(client)

    assert time.time() >= expires_at
    assert (code, frames[-1]["code"]) == (4401, "token_expired")


async def test_connections_are_limited_by_user_and_in_all(tmp_path: Path, django_db_setup: None) -> None:
    tenant, user_id = await a_tenant(), uuid4()
    with WebServer(tmp_path / "web", environment(), WS_MAX_CONNECTIONS=3, WS_MAX_CONNECTIONS_PER_USER=2) as web:
        async with open_socket(web, token(tenant, user_id)) as one, open_socket(web, token(tenant, user_id)) as two:
            await one.next("connected")
            await two.next("connected")
            async with open_socket(web, token(tenant, user_id)) as third:
                assert (await closed_with(third))[0] == 4429
            async with open_socket(web, token(tenant, uuid4())) as other:
                await other.next("connected")
                async with open_socket(web, token(tenant, uuid4())) as fourth:
                    assert (await closed_with(fourth))[0] == 1013
            for client in (one, two):
                await client.send(type="ping")
                await client.next("pong")
        async with open_socket(web, token(tenant, user_id)) as again:  # a place was given back
            await again.next("connected")


async def test_another_path_is_closed_and_logs_no_traceback(web: WebServer) -> None:
    async with open_socket(web, None, path="/ws/nothing/?token=aa.bb.cc") as client:
        code, _ = await closed_with(client)

    assert code == 4404
    assert "Traceback" not in web.log


# What one client does to others.


async def test_a_huge_frame_closes_its_socket_and_no_other(web: WebServer) -> None:
    tenant = await a_tenant()
    async with open_socket(web, token(tenant, uuid4())) as bad, open_socket(web, token(tenant, uuid4())) as good:
        await bad.next("connected")
        await good.next("connected")
        await bad.socket.send('{"type": "ping", "x": "' + "x" * 2**20 + '"}')
        code, _ = await closed_with(bad)
        await good.send(type="ping")
        await good.next("pong")

    assert code == 1009


async def test_a_frame_over_our_own_limit_is_refused_too(tmp_path: Path, django_db_setup: None) -> None:
    with WebServer(tmp_path / "web", environment(), WS_MAX_FRAME_BYTES=100) as web:
        async with open_socket(web, token(await a_tenant(), uuid4())) as client:
            await client.send(type="ping", x="x" * 100)
            code, _ = await closed_with(client)

    assert code == 1009


ROUNDS = 20


@in_thread
def store_round(tenant: Tenant, deaf: UUID, readers: list[UUID], number: int) -> list[Delivery]:
    """Store nearly a megabyte for one and a line for each of the others."""
    big = [inbox_row(tenant, deaf, "x" * 300_000) for _ in range(3)]
    return [*big, *(inbox_row(tenant, reader, str(number)) for reader in readers)]


async def test_one_who_never_reads_costs_the_others_nothing(tmp_path: Path, django_db_setup: None) -> None:
    tenant = await a_tenant()
    deaf_user, *users = [uuid4() for _ in range(21)]
    sent: defaultdict[UUID, list[str]] = defaultdict(list)
    async with AsyncExitStack() as stack:
        # Without uvicorn's pings, which would close the deaf one after 40 s on a slow machine.
        settings = {"WS_QUEUE_SIZE": 20, "UVICORN_WS_PING_TIMEOUT": 3600}
        web = stack.enter_context(WebServer(tmp_path / "web", environment(), **settings))
        # The client library reads ahead only as far as its queue goes; then the server's socket is full.
        deaf = await stack.enter_async_context(
            open_socket(web, token(tenant, deaf_user), max_queue=1, ping_interval=None)
        )
        await deaf.next("unread", count=0)
        readers = [await stack.enter_async_context(open_socket(web, token(tenant, user))) for user in users]
        for reader in readers:
            await reader.next("unread", count=0)
        await web.listening()
        for number in range(ROUNDS):
            rows = await store_round(tenant, deaf_user, users, number)
            for row in rows:
                sent[row.user_id].append(str(row.job_id))
            await push(*rows)
            for reader in readers:
                await reader.until(lambda: len(reader.notifications) > number)  # noqa: B023

        assert [reader.notifications for reader in readers] == [sent[user] for user in users]
        assert not any(frame["type"] == "resync" for reader in readers for frame in reader.frames)

        # Once it reads it is told that it was too slow, and then gets all that it missed.
        await deaf.until(lambda: len(set(deaf.notifications)) == len(sent[deaf_user]))
        assert any(frame["type"] == "resync" and frame["reason"] == "slow" for frame in deaf.frames)
        assert set(deaf.notifications) == set(sent[deaf_user])
