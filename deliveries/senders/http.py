"""The one way out over HTTP: a guarded client for every sender that talks to a provider's API or to a customer's server.

Here belongs what is true of every exchange: which addresses may be dialled, how long and how large a reply may be, and
what a broken one means. What a status or a body means belongs to the sender. No settings, no retry, no secrets in errors.
"""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import re
import socket
import ssl
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from types import SimpleNamespace
from typing import Any

import aiohttp
from yarl import URL

from deliveries.senders.base import SendError

KEEP_SECONDS = 4.0
"""How long a connection is kept without a request. Common servers close theirs after five; whoever closes second loses a request."""
USER_AGENT = "notifications"
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_NAME = re.compile(rb"[A-Za-z0-9._-]+")
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS


@dataclass(frozen=True, slots=True)
class Reply:
    """What the far end answered, whatever the status. Header names are in lower case; of a repeated one the last counts."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def retry_after_seconds(self) -> float | None:
        """The Retry-After header, given as seconds or as a date (RFC 9110, section 10.2.3); None when absent or senseless."""
        value = self.headers.get("retry-after", "").strip()
        if value.isascii() and value.isdigit():
            return float(value)
        try:
            at = parsedate_to_datetime(value)
            wait = at.replace(tzinfo=at.tzinfo or datetime.UTC) - datetime.datetime.now(datetime.UTC)
        except (ValueError, OverflowError):
            return None
        return max(0.0, wait.total_seconds())


class BlockedAddress(OSError):
    """The address is not on the public internet, and nothing was sent there."""


class ReplyTooLarge(Exception):
    """The reply, once unpacked, is larger than we take."""


# The first that fits counts. A failure to connect is looked up by what the system said.
_FAULTS: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str, str], ...] = (
    (BlockedAddress, "blocked_address", "leads to an address that is not on the public internet; nothing was sent. Use a public one."),
    (aiohttp.InvalidURL, "bad_url", "is no host that can be called. Write its name, or its address as four plain numbers."),
    (socket.gaierror, "dns_failure", "is a name that could not be resolved. Check how it is written, and the resolver."),
    (ssl.SSLError, "tls_error", "could not agree on TLS with us. Check its certificate, host name and port"),
    (ConnectionRefusedError, "connection_refused", "refused the connection. Check host and port, and that something listens there."),
    (TimeoutError, "timeout", "gave no complete answer in time. Check that it is up, reachable and fast enough."),
    (ReplyTooLarge, "reply_too_large", "answered with more than we take. Check the address: replies of APIs are short."),
    (aiohttp.ClientConnectionError, "connection_lost", "closed the connection without an answer. If it lasts, look at its log."),
    ((aiohttp.ClientError, zlib.error), "malformed_reply", "sent a reply that is cut short or not HTTP. Check host and port."),
    (OSError, "connection_failed", "could not be connected to. Check host, port, firewall and network."),
)  # fmt: skip
_EXPECTED = (OSError, aiohttp.ClientError, zlib.error, ReplyTooLarge)
_PERMANENT = frozenset({"blocked_address", "bad_url"})


@dataclass(slots=True)
class _Progress:
    """How far one request is. `kept`: it went out on a connection that had carried another one before."""

    handed_over: bool = False
    kept: bool = False


class HttpClient:
    """Makes requests over at most `connections` connections, which it keeps for a while. For one event loop.

    `timeout_seconds` bounds a whole request, from the wait for a connection to the last byte of the reply, however slowly
    it drips. A reply larger than `most_bytes`, after unpacking, is cut off. Redirects are returned, never followed, and
    neither cookies nor proxies of the environment are used. Unless `allow_private` is set, only public addresses are
    dialled: what is checked is the very address that the socket is made for, so no spelling and no second look-up of a
    name gets around it. `ca_file` replaces the system's certificate authorities.
    """

    def __init__(
        self,
        *,
        connections: int,
        timeout_seconds: float,
        most_bytes: int = 65_536,
        allow_private: bool = False,
        ca_file: str = "",
    ) -> None:
        self._connections = connections
        self.timeout_seconds = timeout_seconds
        self._most_bytes = most_bytes
        self._allow_private = allow_private
        self._tls: ssl.SSLContext | bool = ssl.create_default_context(cafile=ca_file) if ca_file else True
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Prepare for requests on the running event loop; the first one connects. Idempotent."""
        if self._session is not None:
            return
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._connections,
                keepalive_timeout=KEEP_SECONDS,
                resolver=aiohttp.ThreadedResolver(),
                socket_factory=None if self._allow_private else _public_socket,
                ssl=self._tls,
            ),
            timeout=aiohttp.ClientTimeout(),  # none: `request` has one for all
            cookie_jar=aiohttp.DummyCookieJar(),
            # Nothing that unpacks to more than it weighs is asked for, and what comes all the same is unpacked up to the limit.
            headers={"Accept-Encoding": "identity", "User-Agent": USER_AGENT},
            auto_decompress=False,
            trace_configs=[_tracing()],
        )

    async def close(self) -> None:
        """Let go of every connection; requests under way fail. Idempotent."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes,
        provider: str,
        is_idempotent: bool = False,
    ) -> Reply:
        """Make one request and return the whole reply, whatever its status. A call that is cancelled closes its connection.

        `is_idempotent`: the far end drops a second copy, so a request that met the end of a kept connection is sent once
        more at once. Without it that is a `connection_lost`.

        Raises: SendError. Permanent: `blocked_address`, `bad_url`. Temporary: `dns_failure`, `connection_refused`,
        `connection_failed`, `tls_error`, `timeout`, `connection_lost`, `malformed_reply`, `reply_too_large`; ambiguous
        when the request was handed over, so that the far end may have taken it.
        """
        target = _target(url, provider)
        progress = _Progress()
        try:
            async with asyncio.timeout(self.timeout_seconds):
                try:
                    return await self._exchange(method, target, headers, body, progress)
                except aiohttp.ClientConnectionError:
                    if not (is_idempotent and progress.kept):
                        raise
                return await self._exchange(method, target, headers, body, progress)
        except _EXPECTED as error:
            fault = failure(error, f"{target.host}:{target.port}", provider, is_ambiguous=progress.handed_over)
        raise fault  # outside: aiohttp's errors know our headers, and whoever logs a chain of errors would write them down

    async def _exchange(
        self, method: str, target: URL, headers: Mapping[str, str], body: bytes, progress: _Progress
    ) -> Reply:
        if self._session is None:
            raise RuntimeError("The client is not open.")
        async with self._session.request(
            method, target, headers=headers, data=body or None, allow_redirects=False, trace_request_ctx=progress
        ) as response:
            received = await self._read(response)
        lowered = {name.lower(): value for name, value in response.headers.items()}
        return Reply(response.status, lowered, self._unpack(received, lowered.get("content-encoding", "")))

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        received = bytearray()
        if (response.content_length or 0) > self._most_bytes:
            raise ReplyTooLarge
        async for chunk in response.content.iter_any():
            received += chunk
            if len(received) > self._most_bytes:
                raise ReplyTooLarge
        return bytes(received)

    def _unpack(self, received: bytes, encoding: str) -> bytes:
        if not received or encoding.lower() not in ("gzip", "x-gzip", "deflate"):
            return received
        unpacked = zlib.decompressobj(_GZIP_OR_ZLIB).decompress(received, self._most_bytes + 1)
        if len(unpacked) > self._most_bytes:
            raise ReplyTooLarge
        return unpacked


def is_public(address: str) -> bool:
    """Whether an IP address is on the public internet. One that carries an IPv4 address inside is what that one is."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ipaddress.IPv4Address(ip.packed[-4:]) if ip in _NAT64 else None)
        if inner is not None:
            return is_public(str(inner))
        if ip not in _GLOBAL_UNICAST:
            return False
    return ip.is_global and not ip.is_multicast


def _public_socket(info: aiohttp.AddrInfoType) -> socket.socket:
    family, kind, protocol, _, address = info
    if not is_public(str(address[0])):
        raise BlockedAddress
    return socket.socket(family, kind, protocol)


def _target(url: str, provider: str) -> URL:
    try:
        target = URL(url)
        host = (target.raw_host or "").encode("idna")  # as the resolver will, for labels that are empty or too long
        usable = (
            target.scheme in ("http", "https")
            and (_NAME.fullmatch(host) or b":" in host)
            and "@" not in target.raw_authority
            and url.isprintable()
        )
    except ValueError:
        usable = False
    if not usable:
        raise SendError(
            "bad_url",
            "The address is no URL that can be called. It needs http:// or https:// and a host, and no user name or password.",
            provider=provider,
            permanent=True,
        )
    return target


def failure(error: Exception, where: str, provider: str, *, is_ambiguous: bool) -> SendError:
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    code, what = next((code, what) for kinds, code, what in _FAULTS if isinstance(cause, kinds))
    if isinstance(cause, ssl.SSLError):
        what += f": {getattr(cause, 'verify_message', '') or cause.reason}."
    if is_ambiguous:
        what += " It has the request and may have acted on it."
    return SendError(code, f"{where} {what}", provider=provider, permanent=code in _PERMANENT, ambiguous=is_ambiguous)


def _tracing() -> aiohttp.TraceConfig:
    """Keep each request's `_Progress`, which aiohttp's errors alone do not tell."""

    async def kept(session: aiohttp.ClientSession, context: SimpleNamespace, _: Any) -> None:
        context.trace_request_ctx.kept = True

    async def handed_over(session: aiohttp.ClientSession, context: SimpleNamespace, _: Any) -> None:
        context.trace_request_ctx.handed_over = True

    tracing = aiohttp.TraceConfig()
    tracing.on_connection_reuseconn.append(kept)
    tracing.on_request_headers_sent.append(handed_over)
    return tracing
