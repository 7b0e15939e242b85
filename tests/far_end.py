"""A far end for HTTP clients: a real server on loopback that answers with whatever bytes a test gives it, well-formed or not."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field

from tests.smtp import Certificate

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came: `line` without its end, header names in lower case."""

    line: str
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class FarEnd:
    """What the server has seen so far. `hung_up` counts the connections that clients closed between requests."""

    port: int
    scheme: str = "http"
    connections: int = 0
    hung_up: int = 0
    requests: list[Request] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/"


@dataclass(slots=True)
class Line:
    """One connection, for a script of `far_end`: what it may do instead of answering."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def drip(self, data: bytes, *, each_seconds: float = 0.02) -> None:
        """Say one byte after the other, for ever, until the client has enough."""
        while True:
            for byte in data:
                await self.say(bytes([byte]))
                await asyncio.sleep(each_seconds)

    async def flood(self, data: bytes) -> None:
        """Say it again and again, as fast as the client takes it."""
        while True:
            await self.say(data)

    async def hang(self) -> None:
        """Say nothing more until the client goes away."""
        await self.reader.read()

    def reset(self) -> None:
        """End the connection as a crash would."""
        self.writer.transport.abort()


Script = Callable[[Line, Request], Awaitable[bool | None]]
"""Answers one request. True keeps the connection for the next one."""


def says(data: bytes, *, keep: bool = False) -> Script:
    """Answer every request with these bytes, then close the connection or keep it."""

    async def script(line: Line, request: Request) -> bool:
        await line.say(data)
        return keep

    return script


@contextlib.asynccontextmanager
async def listening(
    handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    *,
    tls: ssl.SSLContext | None = None,
    port: int = 0,
) -> AsyncIterator[int]:
    """Listen on 127.0.0.1, on a port of `held_port` or a free one, and yield the port. At the end it waits for every
    connection that is left, so clients must be gone by then."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            try:
                await handle(reader, writer)
            finally:
                writer.close()
                await writer.wait_closed()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sessions.append(asyncio.create_task(serve(reader, writer)))

    sessions: list[asyncio.Task[None]] = []
    server = await asyncio.start_server(accept, "127.0.0.1", port, ssl=tls, reuse_port=port > 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
    await asyncio.gather(*sessions)


@contextlib.asynccontextmanager
async def far_end(script: Script, *, tls: ssl.SSLContext | None = None, port: int = 0) -> AsyncIterator[FarEnd]:
    """Serve HTTP on 127.0.0.1: read each request and run `script` for it."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.connections += 1
        while (request := await _read(reader)) is not None:
            seen.requests.append(request)
            if not await script(Line(reader, writer), request):
                return
        seen.hung_up += 1

    seen = FarEnd(0, "https" if tls else "http")
    async with listening(handle, tls=tls, port=port) as seen.port:
        yield seen


async def _read(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    line, *rest = head.split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (text.partition(":") for text in rest if text)}
    return Request(line, headers, await reader.readexactly(int(headers.get("content-length", "0"))))


def held_port() -> tuple[socket.socket, int]:
    """Reserve a port for addresses that must be known before their server runs. It is ours while the socket lives."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    held.bind(("127.0.0.1", 0))
    return held, held.getsockname()[1]


def server_tls(certificate: Certificate) -> ssl.SSLContext:
    """Return what a server that presents this certificate listens with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.path)
    return context


@contextlib.contextmanager
def far_end_apart(script: Script) -> Iterator[FarEnd]:
    """Serve as `far_end` does, on a loop in a thread of its own, for code that waits for its answer without a loop."""

    async def serve() -> None:
        nonlocal seen
        async with far_end(script) as seen:
            ready.set()
            await over.wait()

    seen, loop = FarEnd(0), asyncio.new_event_loop()
    ready, over = threading.Event(), asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=[serve()])
    thread.start()
    ready.wait()
    try:
        yield seen
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()
