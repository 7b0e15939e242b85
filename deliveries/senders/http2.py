"""HTTP/2 to one host: many requests at once over one kept connection (RFC 9113, through the h2 library).

Here belong the connection and what its frames mean for each request; what a status or a body means belongs to the sender.

Why not aioapns, or httpx: aioapns sends again by itself after a cut, has its hosts built in, and a send that was cancelled
breaks the connection for the others when its reply comes. httpx (httpcore) never resets the stream of a cancelled request,
so that a far end which is slow for a while runs out of streams; lets one read time-out or a GOAWAY fail every request of the
connection; and does not say how far a request was. None of the three can tell "refused" from "may have been taken".
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from h2.config import H2Configuration
from h2.connection import ConnectionState, H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)
from h2.exceptions import FrameTooLargeError, ProtocolError
from hyperframe.frame import Frame, GoAwayFrame

from deliveries.senders.base import SendError
from deliveries.senders.http import Reply, ReplyTooLarge, failure
from deliveries.senders.shared_call import SharedCall

if TYPE_CHECKING:
    from typing_extensions import Buffer

GOODBYE_SECONDS = 1.0


class Cut(Exception):
    """The request ended without a reply. `may_be_taken`: the far end may have acted on it."""

    def __init__(self, code: str, what: str, *, may_be_taken: bool) -> None:
        super().__init__(what)
        self.code = code
        self.what = what
        self.may_be_taken = may_be_taken


@dataclass(slots=True)
class Exchange:
    """One request that is written, and as much of its reply as has come."""

    stream: int
    done: asyncio.Future[Reply]
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)

    @property
    def has_reply(self) -> bool:
        """Whether the whole reply is there."""
        return self.done.done() and not self.done.cancelled() and self.done.exception() is None

    def fail(self, error: Exception) -> None:
        """End it without a reply."""
        if not self.done.done():
            self.done.set_exception(error)


class _H2(H2Connection):
    """h2, but for two things."""

    def receive_data(self, data: Buffer) -> list[Event]:
        """Refuse a frame that is too long when its first bytes are there, not once all of it is: up to 16 MiB."""
        events = super().receive_data(data)
        if int.from_bytes(self.incoming_buffer._data[:3]) > self.max_inbound_frame_size:
            raise FrameTooLargeError
        return events

    def _receive_goaway_frame(self, frame: GoAwayFrame) -> tuple[list[Frame], list[Event]]:
        """Let what was begun before a GOAWAY end (RFC 9113, 6.8), where h2 takes every later frame for an error."""
        answer = super()._receive_goaway_frame(frame)
        self.state_machine.state = ConnectionState.CLIENT_OPEN
        return answer


class Http2Connection(asyncio.Protocol):
    """A connection. `is_open`: it takes new requests; those under way may end on one that does not."""

    def __init__(self, most_bytes: int) -> None:
        self.is_open = True
        self.heard_at = 0.0
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._most_bytes = most_bytes
        self._h2 = _H2(H2Configuration(client_side=True, header_encoding=None))
        self._exchanges: dict[int, Exchange] = {}
        self._changed = asyncio.Event()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._h2.initiate_connection()
        self._write()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        if not self.ready.done():
            self.ready.set_exception(
                Cut("connection_lost", "closed the connection before HTTP/2 began.", may_be_taken=False)
            )
        self.lost.set_result(None)
        self._fail_all(Cut("connection_lost", "closed the connection without an answer.", may_be_taken=True))

    def data_received(self, data: bytes) -> None:
        try:
            for event in self._h2.receive_data(data):
                self.heard_at = asyncio.get_running_loop().time()
                self._take(event)
        except (ProtocolError, ValueError):
            self.is_open = False
            self._fail_all(Cut("malformed_reply", "sent something that is not HTTP/2.", may_be_taken=True))
            self._write()
            self._transport.abort()
            return
        self._write()
        self._changed.set()

    def _write(self) -> None:
        if (data := self._h2.data_to_send()) and not self._transport.is_closing():
            self._transport.write(data)

    def _take(self, event: Event) -> None:
        if isinstance(event, RemoteSettingsChanged):
            if not self.ready.done():
                self.ready.set_result(None)
        elif isinstance(event, ConnectionTerminated):
            self._refused_after(event.last_stream_id or 0, event.additional_data or b"")
        elif isinstance(event, DataReceived):
            self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        exchange = self._exchanges.get(getattr(event, "stream_id", 0))
        if exchange is None:
            return
        if isinstance(event, ResponseReceived):
            headers = {bytes(name).decode("latin-1"): bytes(value).decode("latin-1") for name, value in event.headers}
            exchange.status = int(headers.pop(":status"))
            exchange.headers = headers
        elif isinstance(event, DataReceived):
            exchange.body += event.data
            if len(exchange.body) > self._most_bytes:
                exchange.fail(ReplyTooLarge())
        elif isinstance(event, StreamEnded) and not exchange.done.done():
            exchange.done.set_result(Reply(exchange.status, exchange.headers, bytes(exchange.body)))
        elif isinstance(event, StreamReset):
            refused = event.error_code == ErrorCodes.REFUSED_STREAM
            exchange.fail(Cut("connection_lost", "dropped the request without an answer.", may_be_taken=not refused))

    def _refused_after(self, last_stream: int, said: bytes) -> None:
        self.retire()
        what = f"is shutting the connection down. {said[:200].decode('ascii', 'replace')}".strip()
        for stream, exchange in self._exchanges.items():
            if stream > last_stream:
                exchange.fail(Cut("connection_lost", what, may_be_taken=False))

    def _fail_all(self, error: Cut) -> None:
        for exchange in self._exchanges.values():
            exchange.fail(error)
        self._changed.set()

    async def room_for(self, body: bytes) -> bool:
        """Wait until a request may be written at once. False: this connection takes no more."""
        while self.is_open:
            streams = self._h2.remote_settings.max_concurrent_streams
            window = min(self._h2.outbound_flow_control_window, self._h2.remote_settings.initial_window_size)
            if self._h2.open_outbound_streams < streams and len(body) <= window:
                return True
            self._changed.clear()
            await self._changed.wait()
        return False

    def begin(self, headers: Mapping[str, str], body: bytes) -> Exchange:
        """Write a request, for which there must be room."""
        exchange = Exchange(self._h2.get_next_available_stream_id(), asyncio.get_running_loop().create_future())
        self._h2.send_headers(exchange.stream, list(headers.items()), end_stream=not body)
        if body:
            self._h2.send_data(exchange.stream, body, end_stream=True)
        self._exchanges[exchange.stream] = exchange
        if exchange.stream >= H2Connection.HIGHEST_ALLOWED_STREAM_ID:
            self.retire()
        self._write()
        return exchange

    def end(self, exchange: Exchange) -> None:
        """Be done with a request. One without a reply is taken back: the far end need not go on, and its stream is free."""
        del self._exchanges[exchange.stream]
        if not exchange.has_reply:
            with contextlib.suppress(ProtocolError):  # the far end has ended it already, or the whole connection
                self._h2.reset_stream(exchange.stream, ErrorCodes.CANCEL)
            self._write()
        self._changed.set()
        if not self.is_open and not self._exchanges:
            self._transport.close()

    def retire(self) -> None:
        """Take no new requests; close when the last one has ended."""
        self.is_open = False
        self._changed.set()
        if not self._exchanges:
            self._transport.close()

    async def close(self) -> None:
        """Say goodbye; requests under way fail. Waits a moment for the far end to have heard it."""
        self.is_open = False
        if not self.lost.done():
            self._h2.close_connection()
            self._write()
            self._transport.close()
            await asyncio.wait([self.lost], timeout=GOODBYE_SECONDS)
            self._transport.abort()


class Http2Client:
    """Makes requests to the host of `base_url` over one connection, opened for the first one and kept as long as it lives.

    `timeout_seconds` bounds a whole request. A connection on which nothing came while a request was given up takes no new
    ones: it may be dead without anybody having said so. A reply larger than `most_bytes` is cut off. `ca_file`
    replaces the system's certificate authorities. Raises on construction: ValueError for a `base_url` that is not https.
    """

    def __init__(self, *, base_url: str, timeout_seconds: float, most_bytes: int = 65_536, ca_file: str = "") -> None:
        url = urlsplit(base_url)
        if url.scheme != "https" or not url.hostname:
            raise ValueError(f"base_url must be https:// and a host, not {base_url!r}.")
        self._host, self._port, self._authority = url.hostname, url.port or 443, url.netloc
        self._timeout_seconds = timeout_seconds
        self._most_bytes = most_bytes
        self._tls = ssl.create_default_context(cafile=ca_file or None)
        self._tls.set_alpn_protocols(["h2"])
        self._connection: Http2Connection | None = None
        self._alive: set[Http2Connection] = set()
        self._connecting = SharedCall(self._connect)

    async def open(self) -> None:
        """Prepare for requests on the running event loop; the first one connects."""

    async def close(self) -> None:
        """Let go of every connection; requests under way fail. Idempotent."""
        await self._connecting.close()
        await asyncio.gather(*(connection.close() for connection in self._alive))

    async def request(self, method: str, path: str, *, headers: Mapping[str, str], body: bytes, provider: str) -> Reply:
        """Make one request and return the whole reply, whatever its status. `headers` in lower case, `body` at most 16 KiB.

        Raises: SendError, temporary: `dns_failure`, `connection_refused`, `connection_failed`, `tls_error`, `timeout`,
        `connection_lost`, `malformed_reply`, `reply_too_large`; ambiguous when the far end may have taken the request.
        """
        fields = {":method": method, ":scheme": "https", ":authority": self._authority, ":path": path, **headers}
        is_written = False
        try:
            async with asyncio.timeout(self._timeout_seconds):
                connection = await self._with_room(body)
                is_written = True
                return await _exchange(connection, fields, body)
        except (Cut, OSError, ReplyTooLarge) as error:
            fault = self._fault(error, provider, is_written=is_written)
        raise fault

    async def connect(self, *, provider: str) -> None:
        """Open the connection, unless it is open. Raises: SendError, as `request`, never ambiguous."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await self._with_room(b"")
                return
        except (Cut, OSError) as error:
            fault = self._fault(error, provider, is_written=False)
        raise fault

    def _fault(self, error: Exception, provider: str, *, is_written: bool) -> SendError:
        if isinstance(error, Cut):
            return SendError(error.code, f"{self._where} {error.what}", provider=provider, ambiguous=error.may_be_taken)
        return failure(error, self._where, provider, is_ambiguous=is_written)

    @property
    def _where(self) -> str:
        return f"{self._host}:{self._port}"

    async def _with_room(self, body: bytes) -> Http2Connection:
        while True:
            if self._connection is None or not self._connection.is_open:
                self._connection = await self._connecting.result()
            if await self._connection.room_for(body):
                return self._connection

    async def _connect(self) -> Http2Connection:
        """Return a connection on which HTTP/2 has begun. Raises: OSError; Cut."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self._timeout_seconds):
            transport, connection = await loop.create_connection(
                lambda: Http2Connection(self._most_bytes), self._host, self._port, ssl=self._tls
            )
            self._alive.add(connection)
            connection.lost.add_done_callback(lambda _: self._alive.discard(connection))
            try:
                if transport.get_extra_info("ssl_object").selected_alpn_protocol() != "h2":
                    raise Cut("tls_error", "does not speak HTTP/2. Check host and port.", may_be_taken=False)
                await connection.ready
            except BaseException:
                connection.ready.cancel()
                transport.abort()
                raise
        return connection


async def _exchange(connection: Http2Connection, fields: Mapping[str, str], body: bytes) -> Reply:
    loop = asyncio.get_running_loop()
    exchange = connection.begin(fields, body)
    written_at = loop.time()
    try:
        return await exchange.done
    except asyncio.CancelledError:
        if connection.heard_at < written_at:
            connection.retire()
        raise
    finally:
        connection.end(exchange)
