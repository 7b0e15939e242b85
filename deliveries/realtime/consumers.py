"""The WebSocket endpoint: handshake, token, limits, and what a client says. Everything it is told comes from the hub.

A plain ASGI application and not a Channels consumer: a Channels consumer subscribes each socket to the layer by itself,
and here the hub is the process's only subscriber (docs/architecture.md, Realtime).

A refused client is accepted, told why in an `error` frame, and closed: browsers hide everything about a handshake that
was refused over HTTP. Only a foreign Origin gets a plain 403, as nobody there is to be told anything.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

import structlog
from django.conf import settings

from deliveries.realtime import protocol
from deliveries.realtime.auth import SCOPE_KEY, SUBPROTOCOL, Identity, TokenError, Verifier
from deliveries.realtime.connection import Closing, Connection, Entry, Send
from deliveries.realtime.hub import Hub
from deliveries.realtime.inbox import InboxAwayError
from deliveries.realtime.protocol import Ack, Close, Code, FrameError

log = structlog.get_logger(__name__)

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]

FAREWELL_SECONDS = 2.0

EXPIRED = Closing(Close.UNAUTHORIZED, Code.TOKEN_EXPIRED, "The token has expired.")
AWAY = Closing(Close.TRY_AGAIN_LATER, Code.UNAVAILABLE, "The inbox cannot be read now. Connect again later.")
FAILED = Closing(Close.INTERNAL_ERROR, Code.UNAVAILABLE, "Internal server error")
TOO_BIG = Closing(Close.TOO_BIG, Code.FRAME_TOO_LARGE, "A frame was too large.")
NOWHERE = Closing(Close.NO_SUCH_ENDPOINT, Code.NOT_FOUND, "There is no WebSocket endpoint here.")


class NotificationConsumer:
    """`/ws/notifications/`. Wants a scope whose token `conceal_token` has put aside."""

    def __init__(self, hub: Hub, verifier: Verifier) -> None:
        self._hub = hub
        self._verifier = verifier

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one socket until either side ends it."""
        await receive()  # websocket.connect
        if not _is_origin_allowed(scope):
            await send({"type": "websocket.close"})
            return
        await _accept(scope, send)
        try:
            connection, identity = await self._open(scope)
        except _Refusal as refusal:
            await _say_goodbye(send, refusal.closing)
            return
        try:
            await self._serve(connection, identity, receive, send)
        finally:
            self._hub.forget(connection)

    async def _open(self, scope: Scope) -> tuple[Connection, Identity]:
        try:
            identity = self._verifier.verify(scope[SCOPE_KEY])
            tenant_id = await self._hub.inbox.tenant_id(identity.tenant)
        except TokenError as error:
            raise _Refusal(Closing(Close.UNAUTHORIZED, error.code, error.message)) from None
        except InboxAwayError:
            raise _Refusal(AWAY) from None
        if tenant_id is None:
            raise _Refusal(Closing(Close.UNAUTHORIZED, Code.TOKEN_INVALID, "The token is not valid here."))
        limits = self._hub.limits
        connection = Connection(
            id=uuid.uuid4().hex,
            user=(tenant_id, str(identity.user_id)),
            queue_size=limits.queue_size,
            memory=limits.queue_size + limits.replay,
            joins_lines=parse_qs(scope["query_string"].decode("ascii")).get("frames") == ["lines"],
        )
        if closing := self._hub.admit(connection):
            raise _Refusal(closing)
        return connection, identity

    async def _serve(self, connection: Connection, identity: Identity, receive: Receive, send: Send) -> None:
        writer = asyncio.create_task(connection.write(send, self._hub.catch_up))
        writer.add_done_callback(lambda done: _close_after_writer(connection, done))
        try:
            async with connection.life(seconds=max(0.0, identity.expires_at - time.time()), then=EXPIRED):
                await self._listen(connection, receive)
        finally:
            writer.cancel()
            await asyncio.wait([writer])
        if connection.closing is not None:
            await _say_goodbye(send, connection.closing)

    async def _listen(self, connection: Connection, receive: Receive) -> None:
        """Answer what the client says, one frame after the other, until it leaves."""
        while (message := await receive())["type"] == "websocket.receive":
            text = message.get("text")
            if text is None:
                text = message["bytes"].decode(errors="replace")
            if len(text.encode()) > settings.WS_MAX_FRAME_BYTES:
                connection.close(TOO_BIG)
            else:
                await self._answer(connection, text)

    async def _answer(self, connection: Connection, text: str) -> None:
        try:
            request = protocol.parse(text)
            if isinstance(request, Ack):
                await self._hub.acknowledge(connection, request.ids)
            else:
                connection.offer(Entry("", protocol.pong()))
        except FrameError as error:
            connection.offer(Entry("", protocol.error(error.code, error.message)))
        except InboxAwayError:
            connection.offer(
                Entry("", protocol.error(Code.UNAVAILABLE, "The inbox cannot be reached now. Send it again later."))
            )


class NoSuchEndpoint:
    """Every other WebSocket path."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Say that nothing is here."""
        await receive()
        await _accept(scope, send)
        await _say_goodbye(send, NOWHERE)


class _Refusal(Exception):
    def __init__(self, closing: Closing) -> None:
        super().__init__(closing.code.value)
        self.closing = closing


def _is_origin_allowed(scope: Scope) -> bool:
    """Browsers send an Origin, other clients need not. Cookies are never read, so without a list every page that has a token may come."""
    allowed = settings.WS_ALLOWED_ORIGINS
    origin = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"origin"), None)
    return not allowed or origin is None or origin in allowed


async def _accept(scope: Scope, send: Send) -> None:
    offered = scope.get("subprotocols") or []
    await send({"type": "websocket.accept", "subprotocol": SUBPROTOCOL if SUBPROTOCOL in offered else None})


async def _say_goodbye(send: Send, closing: Closing) -> None:
    """Tell why and close. A client that is gone or reads nothing is not waited for; the server then drops the connection."""
    try:
        async with asyncio.timeout(FAREWELL_SECONDS):
            await send({"type": "websocket.send", "text": protocol.error(closing.code, closing.message)})
            await send({"type": "websocket.close", "code": int(closing.close), "reason": closing.code.value})
    except (OSError, TimeoutError) as error:
        log.debug("goodbye not said", code=closing.code.value, error=repr(error))


def _close_after_writer(connection: Connection, writer: asyncio.Task[None]) -> None:
    """End the connection when its writer has ended by itself. A client that is gone is the ordinary case: `receive` says so too."""
    error = None if writer.cancelled() else writer.exception()
    if isinstance(error, InboxAwayError):
        connection.close(AWAY)
    elif error is not None and not isinstance(error, OSError):
        log.error("writer failed", exc_info=error)
        connection.close(FAILED)
