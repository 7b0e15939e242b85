"""The far ends of the realtime tests: a real uvicorn process, clients of the `websockets` library, tokens and inbox rows.

For tests of any kind. The server runs with the flags that notifyproj/asgi.py documents.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from typing import Any, ParamSpec, TypeVar
from urllib.parse import urlsplit
from uuid import UUID

import jwt
from asgiref.sync import sync_to_async
from django.db import connections
from pytest_django.plugin import DjangoDbBlocker
from websockets.asyncio.client import ClientConnection, connect

from deliveries.models import Delivery, Tenant, WorkerHeartbeat
from deliveries.realtime.protocol import Item
from deliveries.senders.base import Content, Message
from deliveries.senders.ws import InboxSender
from notifyproj.embedded.process import HOST, Server, is_listening
from tests.factories import DeliveryFactory
from tests.waiting import GENEROUS_SECONDS

ROOT = Path(__file__).resolve().parent.parent
KEY = "only-for-tests-" + "k" * 32
FLAGS = ("--ws", "websockets-sansio", "--ws-per-message-deflate", "false", "--ws-max-size", "65536", "--no-access-log")

P = ParamSpec("P")
T = TypeVar("T")


def in_thread(function: Callable[P, T]) -> Callable[P, Awaitable[T]]:
    """Let an async test call something that uses Django's ORM, and leave no connection open in that thread."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        finally:
            connections.close_all()

    return sync_to_async(run)


def environment() -> dict[str, str]:
    """Return the environment in which a child process works on this process's test database and channel layer."""
    name = connections["default"].settings_dict["NAME"]
    database_url = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()
    return {**os.environ, "DATABASE_URL": database_url, "DJANGO_SETTINGS_MODULE": "notifyproj.settings"}


class WebServer(Server):
    """uvicorn with notifyproj.asgi, as production runs it."""

    name = "web"

    def __init__(self, folder: Path, environment: Mapping[str, str], **settings: object) -> None:
        """`settings`: further environment variables of this server."""
        super().__init__(folder)
        self._environment = {
            **environment,
            "PYTHONPATH": str(ROOT),
            "JWT_KEY": KEY,
            **{name: str(value) for name, value in settings.items()},
        }

    def command(self) -> list[str]:
        """Return uvicorn's command line, behind env(1), which sets its environment."""
        variables = [f"{name}={value}" for name, value in self._environment.items()]
        address = ["--host", HOST, "--port", str(self.port)]
        return ["env", *variables, sys.executable, "-m", "uvicorn", "notifyproj.asgi:application", *FLAGS, *address]

    def is_serving(self) -> bool:
        """Say whether it listens: uvicorn does so after its lifespan has started."""
        return is_listening(self.port)

    @property
    def log(self) -> str:
        """All that the server has written."""
        return self.log_path.read_text(errors="replace")

    async def listening(self, times: int = 1) -> None:
        """Wait until the server's hub hears the channel layer, for the first time or again after so many outages."""
        async with asyncio.timeout(GENEROUS_SECONDS):
            while self.log.count("listening for live pushes") < times:
                await asyncio.sleep(0.05)


@contextmanager
def shared_web_server(folder: Path, database: DjangoDbBlocker) -> Iterator[WebServer]:
    """Run a server for all tests of a module, and take along what it wrote of itself: no test's end does that for it."""
    with WebServer(folder, environment()) as server:
        pid = server.pid
        yield server
    with database.unblock():
        WorkerHeartbeat.objects.filter(pid=pid).delete()
        connections.close_all()


def token(tenant: Tenant, user_id: UUID, **claims: object) -> str:
    """Return a token that the test server takes for this person, valid for ten minutes unless `exp` says otherwise."""
    return jwt.encode(
        {"sub": str(user_id), "tenant_id": tenant.slug, "exp": int(time.time()) + 600, **claims}, KEY, "HS256"
    )


class Client:
    """A person's open socket, which remembers every frame."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.frames: list[dict[str, Any]] = []

    @property
    def notifications(self) -> list[str]:
        """Return the ids received, in order."""
        return [frame["id"] for frame in self.frames if frame["type"] == "notification"]

    async def send(self, **frame: object) -> None:
        """Say something."""
        await self.socket.send(json.dumps(frame))

    async def until(self, condition: Callable[[], bool]) -> None:
        """Read frames until something is so."""
        async with asyncio.timeout(GENEROUS_SECONDS):
            while not condition():
                self.frames += [json.loads(line) for line in str(await self.socket.recv()).splitlines()]

    async def next(self, type: str, **fields: object) -> dict[str, Any]:
        """Return the next frame of a type that has these fields, read or still to come, and forget all up to it."""

        def position() -> int | None:
            wanted = {"type": type, **fields}
            return next((at for at, frame in enumerate(self.frames) if wanted.items() <= frame.items()), None)

        await self.until(lambda: position() is not None)
        at = position()
        assert at is not None
        found = self.frames[at]
        del self.frames[: at + 1]
        return found


class open_socket(AbstractAsyncContextManager[Client]):
    """Open a person's socket to the server for a block. `subprotocols` and the rest go to `websockets.connect`."""

    def __init__(
        self, server: WebServer, bearer: str | None, *, path: str = "/ws/notifications/", **options: Any
    ) -> None:
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        options.setdefault("additional_headers", headers)
        options.setdefault("compression", None)
        self._connecting = connect(f"ws://{HOST}:{server.port}{path}", max_size=None, **options)

    async def __aenter__(self) -> Client:
        return Client(await self._connecting.__aenter__())

    async def __aexit__(self, *exc_info: Any) -> None:
        await self._connecting.__aexit__(*exc_info)


def inbox_row(tenant: Tenant, user_id: UUID, text: str = "Hello", **values: Any) -> Delivery:
    """Store one inbox item: a ws delivery as finish leaves it."""
    values.setdefault("rendered", {"subject": "News", "text": text, "action_url": ""})
    return DeliveryFactory(tenant=tenant, user_id=user_id, channel="ws", sent=True, provider="inbox", **values)


def again(row: Delivery) -> Delivery:
    """Return the row as it is stored now."""
    return Delivery.objects.get(pk=row.pk)


def message(row: Delivery) -> Message:
    """Return the message that dispatch hands to the sender for this row."""
    rendered = row.rendered or {}
    return Message(
        delivery_id=row.pk,
        job_id=row.job_id,
        tenant_id=row.tenant_id,
        user_id=row.user_id,
        to=str(row.user_id),
        content=Content(subject=rendered["subject"], text=rendered["text"], action_url=rendered["action_url"]),
        attempt=1,
        accepted_at=row.accepted_at,
        priority=row.priority,
        data=row.data,
    )


async def frames_of(*rows: Delivery) -> list[Item]:
    """Return what the sender publishes for stored rows."""
    published: list[Item] = []

    async def publish(items: Any) -> None:
        published.extend(items)

    await InboxSender(publish).stored([message(row) for row in rows])
    return published
