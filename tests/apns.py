"""APNs as a real HTTP/2 server over TLS on loopback, whose faults the tests choose by the device tokens they push to.

* `reason-410-Unregistered`: that status and reason. `status-503`: that status and no reason.
* `after-7-status-503`: with Retry-After.
* `silent`: no answer, ever. `half`: headers, and no end. `garbage`: bytes that are not HTTP/2. `flood`: a reply without end.
* `refused`: the stream is refused before anything was done; `reset`: it is cut, who knows when.
* `cut`: the connection ends. `last`: GOAWAY after this stream, and only then its answer. `unseen`: GOAWAY before it.
* anything else: 200. While `hold` is set, answers wait for `release`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, cast

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, RequestReceived, StreamEnded, StreamReset
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

from tests.smtp import Certificate

_FAULT = re.compile(r"(?:after-(?P<after>\d+)-)?(?:reason-(?P<code>\d+)-(?P<reason>\w+)|status-(?P<status>\d+))")


@dataclass(slots=True)
class Push:
    """One request as it came: its headers, pseudo-headers among them, and its body."""

    stream: int
    headers: dict[str, str]
    raw: bytes = b""

    @property
    def token(self) -> str:
        return self.headers[":path"].rpartition("/")[2]

    @property
    def body(self) -> Any:
        return json.loads(self.raw)


@dataclass(slots=True)
class ApnsServer:
    """The server and what it has seen. `most_streams`: how many requests a connection may have open at once."""

    certificate: Certificate
    most_streams: int = 1000
    window: int = 65_535
    hold: bool = False
    speaks_h2: bool = True
    port: int = 0
    connections: int = 0
    busiest: int = 0
    pushes: list[Push] = field(default_factory=list)
    resets: list[int] = field(default_factory=list)
    sessions: set[Session] = field(default_factory=set)
    _server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def tokens(self) -> list[str]:
        """The device tokens that were pushed to, in order."""
        return [push.token for push in self.pushes]

    async def start(self) -> None:
        """Listen; a restart takes the same port."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate.path)
        if self.speaks_h2:
            context.set_alpn_protocols(["h2"])
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Session(self), "127.0.0.1", self.port, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """End every connection as a crash would."""
        if self._server is not None:
            self._server.close()
            for session in list(self.sessions):
                session.transport.abort()
            await self._server.wait_closed()
            while self.sessions:
                await asyncio.sleep(0)

    async def seen(self, count: int) -> None:
        """Wait until so many pushes have come."""
        while len(self.pushes) < count:
            await asyncio.sleep(0.005)

    def release(self) -> None:
        """Answer what was held back, and hold no more."""
        self.hold = False
        for session in list(self.sessions):
            session.answer_held()


@contextlib.asynccontextmanager
async def apns_server(certificate: Certificate, **options: Any) -> AsyncIterator[ApnsServer]:
    """Serve APNs on 127.0.0.1."""
    server = ApnsServer(certificate, **options)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


class Session(asyncio.Protocol):
    """One connection, the server's side."""

    def __init__(self, server: ApnsServer) -> None:
        self._server = server
        self._h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self._h2.local_settings = Settings(
            client=False,
            initial_values={
                SettingCodes.MAX_CONCURRENT_STREAMS: server.most_streams,
                SettingCodes.INITIAL_WINDOW_SIZE: server.window,
            },
        )
        self._open: dict[int, Push] = {}
        self._held: list[Push] = []
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._server.connections += 1
        self._server.sessions.add(self)
        self._h2.initiate_connection()
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.sessions.discard(self)

    def _flush(self) -> None:
        self.transport.write(self._h2.data_to_send())

    def data_received(self, data: bytes) -> None:
        try:
            events = self._h2.receive_data(data)
        except ProtocolError:  # what is no HTTP/2, or comes after our GOAWAY
            self.transport.abort()
            return
        for event in events:
            if isinstance(event, RequestReceived):
                headers = {str(name): str(value) for name, value in event.headers}
                self._open[event.stream_id] = Push(event.stream_id, headers)
                self._server.busiest = max(self._server.busiest, len(self._open))
            elif isinstance(event, DataReceived):
                self._open[event.stream_id].raw += event.data
                self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, StreamEnded):
                push = self._open[event.stream_id]
                self._server.pushes.append(push)
                self._held.append(push)
            elif isinstance(event, StreamReset):
                self._server.resets.append(event.stream_id)
                self._open.pop(event.stream_id, None)
        if not self._server.hold:
            self.answer_held()
        self._flush()

    def answer_held(self) -> None:
        """Answer every request that has no answer yet."""
        held, self._held = self._held, []
        for push in held:
            if push.stream in self._open:
                self._answer(push)
        self._flush()

    def _answer(self, push: Push) -> None:
        stream = push.stream
        match push.token:
            case "silent":
                return
            case "half":
                self._h2.send_headers(stream, [(":status", "200")])
                return
            case "garbage":
                self.transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 10)
            case "flood":
                self._h2.send_headers(stream, [(":status", "400")])
                for _ in range(6):
                    self._h2.send_data(stream, b"x" * 10_000)
                return
            case "refused":
                self._h2.reset_stream(stream, ErrorCodes.REFUSED_STREAM)
            case "reset":
                self._h2.reset_stream(stream, ErrorCodes.INTERNAL_ERROR)
            case "cut":
                self.transport.abort()
            case "unseen":
                self._h2.close_connection(
                    ErrorCodes.NO_ERROR, b'{"reason":"Shutdown"}', last_stream_id=max(0, stream - 2)
                )
            case "last":
                # h2 says nothing more after its own GOAWAY, so the answer is made first and put behind it.
                self._reply(push)
                reply = self._h2.data_to_send()
                self._h2.close_connection(ErrorCodes.NO_ERROR, b'{"reason":"Shutdown"}', last_stream_id=stream)
                self.transport.write(self._h2.data_to_send() + reply)
            case _:
                self._reply(push)
        self._open.pop(stream, None)

    def _reply(self, push: Push) -> None:
        found = _FAULT.fullmatch(push.token)
        status = (found["code"] or found["status"]) if found else "200"
        headers = [(":status", status), ("apns-id", push.headers["apns-id"])]
        headers += [("retry-after", found["after"])] if found and found["after"] else []
        body = json.dumps({"reason": found["reason"]}).encode() if found and found["reason"] else b""
        self._h2.send_headers(push.stream, headers, end_stream=not body)
        if body:
            self._h2.send_data(push.stream, body, end_stream=True)
