"""The guarded HTTP client: where it never goes, what it takes, and every way in which a far end can fail.

The far end is a real server on loopback that says whatever bytes a test wants. Where an address must look public, the
test's own network leads it to that server; nothing leaves this machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import gzip
import socket
import traceback
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Iterator
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from deliveries.senders.base import SendError
from deliveries.senders.http import HttpClient, Reply, is_public
from tests.broken_far_ends import BOMB, BOMB_HEAD, BROKEN, CHUNKED, UNBOUNDED
from tests.far_end import OK, Line, Request, Script, far_end, listening, says, server_tls
from tests.smtp import Certificate

MOST_BYTES = 65_536
LONG_SECONDS = 60.0
PUBLIC = "93.184.216.34"


@contextlib.asynccontextmanager
async def client_of(**options: Any) -> AsyncIterator[HttpClient]:
    client = HttpClient(**{"connections": 5, "timeout_seconds": LONG_SECONDS, "allow_private": True, **options})
    await client.open()
    try:
        yield client
    finally:
        await client.close()


async def post(client: HttpClient, url: str, **options: Any) -> Reply:
    return await client.request("POST", url, **{"headers": {}, "body": b"{}", "provider": "acme", **options})


async def error_of(client: HttpClient, url: str, **options: Any) -> SendError:
    with pytest.raises(SendError) as caught:
        await post(client, url, **options)
    return caught.value


class Network:
    """Names and public addresses of a test: look-ups are answered from `names`, one answer each, and every public
    address is the loopback server of the port. Keeps what was looked up and dialled."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: dict[str, list[list[str]]] = {}
        self.looked_up: list[str] = []
        self.dialled: list[str] = []
        loop = asyncio.get_running_loop()
        real = loop.sock_connect

        def getaddrinfo(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
            self.looked_up.append(host)
            answer = self.names[host].pop(0)
            return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (ip, port)) for ip in answer]

        async def sock_connect(sock: socket.socket, address: tuple[str, int]) -> None:
            self.dialled.append(address[0])
            await real(sock, ("127.0.0.1", address[1]))

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        monkeypatch.setattr(loop, "sock_connect", sock_connect)


@pytest.fixture
async def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    return Network(monkeypatch)


class TestAddresses:
    @pytest.mark.parametrize(
        ("host", "code"),
        [
            ("127.0.0.1", "blocked_address"),
            ("localhost", "blocked_address"),
            ("127.1", "bad_url"),
            ("127.0.0.1.", "bad_url"),
            ("2130706433", "bad_url"),
            ("017700000001", "bad_url"),
            ("0x7f.1", "blocked_address"),
            ("0x7f000001", "blocked_address"),
            ("0177.0.0.1", "bad_url"),
            ("".join(chr(ord(c) + 0xFEE0) if c != "." else c for c in "127.0.0.1"), "blocked_address"),  # full width
            ("[::1]", "blocked_address"),
            ("[::]", "blocked_address"),
            ("[::ffff:127.0.0.1]", "blocked_address"),
            ("[0:0:0:0:0:ffff:7f00:1]", "blocked_address"),
            ("[64:ff9b::7f00:1]", "blocked_address"),
            ("[2002:7f00:1::]", "blocked_address"),
            ("[fe80::1]", "blocked_address"),
            ("[fe80::1%25lo]", "blocked_address"),
            ("[fc00::1]", "blocked_address"),
            ("169.254.169.254", "blocked_address"),
            ("100.64.0.1", "blocked_address"),
            ("10.0.0.1", "blocked_address"),
            ("172.16.0.1", "blocked_address"),
            ("192.168.0.1", "blocked_address"),
            ("0.0.0.0", "blocked_address"),  # noqa: S104
            ("[v1.a:b]", "blocked_address"),
        ],
    )
    async def test_no_spelling_of_a_private_address_is_dialled(self, host: str, code: str) -> None:
        async with far_end(says(OK)) as server, client_of(allow_private=False) as client:
            error = await error_of(client, f"http://{host}:{server.port}/hook")

        assert (error.code, error.permanent, error.ambiguous) == (code, True, False)
        assert error.provider == "acme"
        assert server.connections == 0

    @pytest.mark.parametrize(
        "address",
        [
            *(
                "10.1.2.3",
                "224.0.0.1",
                "255.255.255.255",
                "240.0.0.1",
                "198.18.0.1",
                "192.0.2.1",
                "ff02::1",
                "2001:db8::1",
            ),
            *(
                "64:ff9b::a9fe:a9fe",
                "64:ff9b:1::1",
                "::ffff:10.0.0.1",
                "::7f00:1",
                "fd12::1",
                "fec0::1",
                "2001::1",
                "example",
            ),
        ],
    )
    def test_addresses_that_are_not_public(self, address: str) -> None:
        assert not is_public(address)

    @pytest.mark.parametrize(
        "address",
        [PUBLIC, "2606:2800:220:1:248:1893:25c8:1946", f"::ffff:{PUBLIC}", "64:ff9b::5db8:d822", "172.32.0.1"],
    )
    def test_addresses_that_are_public(self, address: str) -> None:
        assert is_public(address)

    async def test_a_name_of_a_public_address_is_reached_on_its_port(self, network: Network) -> None:
        network.names["hooks.example"] = [[PUBLIC]]
        async with far_end(says(OK)) as server, client_of(allow_private=False) as client:
            reply = await post(client, f"http://hooks.example:{server.port}/a?b=c")

        assert reply.status == 200
        (request,) = server.requests
        assert request.line == "POST /a?b=c HTTP/1.1"
        assert request.headers["host"] == f"hooks.example:{server.port}"
        assert network.dialled == [PUBLIC]

    @pytest.mark.parametrize("answer", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "100.64.0.1"])
    async def test_a_name_of_a_private_address_is_blocked(self, network: Network, answer: str) -> None:
        network.names["hooks.example"] = [[answer]]
        async with far_end(says(OK)) as server, client_of(allow_private=False) as client:
            error = await error_of(client, f"http://hooks.example:{server.port}/")

        assert (error.code, error.permanent, error.ambiguous) == ("blocked_address", True, False)
        assert f"hooks.example:{server.port}" in error.message
        assert network.dialled == []

    @pytest.mark.parametrize("answer", [["10.0.0.1", PUBLIC], [PUBLIC, "10.0.0.1"]])
    async def test_of_several_addresses_only_public_ones_are_dialled(self, network: Network, answer: list[str]) -> None:
        network.names["hooks.example"] = [answer]
        async with far_end(says(OK)) as server, client_of(allow_private=False) as client:
            reply = await post(client, f"http://hooks.example:{server.port}/")

        assert reply.status == 200
        assert network.dialled == [PUBLIC]

    async def test_a_name_that_rebinds_is_looked_up_once_and_what_was_checked_is_dialled(
        self, network: Network
    ) -> None:
        network.names["rebind.example"] = [[PUBLIC], ["127.0.0.1"]]
        async with far_end(says(OK, keep=True)) as server:
            url = f"http://rebind.example:{server.port}/"
            async with client_of(allow_private=False) as client:
                for _ in range(3):
                    await post(client, url)
                assert (network.looked_up, network.dialled) == (["rebind.example"], [PUBLIC])
            async with client_of(allow_private=False) as later:
                assert (await error_of(later, url)).code == "blocked_address"

        assert network.dialled == [PUBLIC]

    @pytest.mark.parametrize("where", ["absolute", "relative", "localhost", "file"])
    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    async def test_a_redirect_is_returned_and_not_followed(self, status: int, where: str) -> None:
        async with far_end(says(OK)) as inside:
            target = {
                "absolute": inside.url,
                "relative": "/elsewhere",
                "localhost": f"http://localhost:{inside.port}/",
                "file": "file:///etc/passwd",
            }[where]
            answer = f"HTTP/1.1 {status} Look\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode()
            async with far_end(says(answer)) as server, client_of() as client:
                reply = await post(client, server.url)

        assert (reply.status, reply.headers["location"]) == (status, target)
        assert (inside.connections, len(server.requests)) == (0, 1)

    @pytest.mark.parametrize(
        "url",
        [
            *(
                "",
                "x",
                "/hook",
                "//127.0.0.1/",
                "http://",
                "http:///x",
                "http://?x",
                "http://:80/",
                "file:///etc/passwd",
            ),
            *(
                "ftp://127.0.0.1/",
                "gopher://127.0.0.1/",
                "tcp://127.0.0.1/",
                "ws://127.0.0.1/",
                "unix:///run/x",
                "data:,x",
            ),
            *(
                "http://user@127.0.0.1/",
                "http://user:pw@127.0.0.1/",
                "http://example.com@127.0.0.1/",
                "http://:@127.0.0.1/",
            ),
            *(
                "http://127.0.0.1:99999/",
                "http://127.0.0.1:x/",
                "http://[::1/",
                "http://a..b/",
                "http://a b/",
                "http://a%20b/",
            ),
            *(f"http://{'a' * 64}.example/", "http://a\r\nX-Header: b/", "http://127.0.0.1/\r\nX: y", "http://\0/"),
            *("http://%00/", "http://a,b/", "http://a\\b/"),
        ],
    )
    async def test_what_is_no_url_to_call_is_refused(self, url: str) -> None:
        async with client_of() as client:
            error = await error_of(client, url)

        assert (error.code, error.permanent, error.ambiguous) == ("bad_url", True, False)
        assert error.message.endswith(".")

    async def test_proxies_of_the_environment_are_not_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async with far_end(says(OK)) as proxy, far_end(says(OK)) as server, client_of() as client:
            for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
                monkeypatch.setenv(name, proxy.url)
            await post(client, server.url)

        assert (proxy.connections, server.connections) == (0, 1)


class TestExchange:
    async def test_what_was_asked_arrives_and_what_was_answered_comes_back(self) -> None:
        answer = (
            b"HTTP/1.1 404 No\r\nContent-Type: text/x\r\nX-Two: a\r\nx-two: b\r\nContent-Length: 5\r\n\r\n\x00\xffabc"
        )
        async with far_end(says(answer)) as server, client_of() as client:
            reply = await post(client, f"{server.url}p?q=1", headers={"X-Mine": "yes"}, body=b"\x00\xffbody")

        (request,) = server.requests
        assert (request.line, request.body) == ("POST /p?q=1 HTTP/1.1", b"\x00\xffbody")
        assert request.headers["x-mine"] == "yes"
        assert (reply.status, reply.body) == (404, b"\x00\xffabc")
        assert (reply.headers["content-type"], reply.headers["x-two"]) == ("text/x", "b")

    async def test_a_request_without_a_body(self) -> None:
        async with far_end(says(b"HTTP/1.1 204 Done\r\n\r\n")) as server, client_of() as client:
            reply = await client.request("GET", server.url, headers={}, body=b"", provider="acme")

        assert (reply.status, reply.body) == (204, b"")
        assert (server.requests[0].line, server.requests[0].body) == ("GET / HTTP/1.1", b"")

    async def test_connections_are_kept(self) -> None:
        async with far_end(says(OK, keep=True)) as server, client_of() as client:
            for _ in range(3):
                await post(client, server.url)

        assert (len(server.requests), server.connections) == (3, 1)

    async def test_no_more_connections_than_allowed(self) -> None:
        async with far_end(says(OK, keep=True)) as server, client_of(connections=3) as client:
            await asyncio.gather(*(post(client, server.url) for _ in range(20)))

        assert len(server.requests) == 20
        assert server.connections <= 3

    async def test_cookies_are_not_kept(self) -> None:
        answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"
        async with far_end(says(answer, keep=True)) as server, client_of() as client:
            for _ in range(2):
                await post(client, server.url)

        assert ["cookie" in request.headers for request in server.requests] == [False, False]

    @pytest.mark.parametrize("encoding", ["gzip", "deflate", "GZIP"])
    async def test_a_packed_reply_is_unpacked(self, encoding: str) -> None:
        packed = zlib.compress(b"hello") if encoding == "deflate" else gzip.compress(b"hello")
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: {len(packed)}\r\n\r\n"
        async with far_end(says(head.encode() + packed)) as server, client_of() as client:
            reply = await post(client, server.url)

        assert reply.body == b"hello"
        assert server.requests[0].headers["accept-encoding"] == "identity"

    async def test_a_reply_of_just_the_limit_is_taken(self) -> None:
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % MOST_BYTES + b"x" * MOST_BYTES
        async with far_end(says(answer)) as server, client_of() as client:
            assert len((await post(client, server.url)).body) == MOST_BYTES

    async def test_a_cancelled_request_closes_its_connection_and_harms_no_other(self) -> None:
        started, gone = asyncio.Event(), asyncio.Event()

        async def script(line: Line, request: Request) -> bool:
            if request.line.startswith("POST /silent"):
                started.set()
                await line.hang()
                gone.set()
                return False
            await line.say(OK)
            return True

        async with far_end(script) as server, client_of(connections=1) as client:
            asked = asyncio.create_task(post(client, f"{server.url}silent"))
            await started.wait()
            asked.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asked
            await gone.wait()
            assert (await post(client, server.url)).status == 200

    async def test_open_and_close_can_be_repeated(self) -> None:
        client = HttpClient(connections=1, timeout_seconds=LONG_SECONDS, allow_private=True)
        async with far_end(says(OK, keep=True)) as server:
            for _ in range(2):
                await client.open()
                await client.open()
                assert (await post(client, server.url)).status == 200
                await client.close()
                await client.close()

        assert (server.connections, server.hung_up) == (2, 2)


class TestFailures:
    @pytest.mark.parametrize(("script", "code"), BROKEN.values(), ids=BROKEN.keys())
    async def test_a_broken_reply_is_told_apart_and_harms_no_other_request(self, script: Script, code: str) -> None:
        async with far_end(script) as server, far_end(says(OK)) as neighbour, client_of(connections=2) as client:
            error, reply = await asyncio.gather(error_of(client, server.url), post(client, neighbour.url))
            after = await post(client, neighbour.url)

        assert (error.code, error.permanent, error.ambiguous) == (code, False, True)
        assert f"127.0.0.1:{server.port}" in error.message
        assert len(server.requests) == 1
        assert (reply.status, after.status) == (200, 200)

    @pytest.mark.parametrize("data", [OK, CHUNKED, b"HTTP/1.1 100 Continue\r\n\r\n"], ids=["body", "head", "continue"])
    async def test_a_reply_that_drips_is_cut_by_the_total_time(self, data: bytes) -> None:
        """A byte comes well within the limit, again and again: only a limit for the whole request ends it."""

        async def script(line: Line, request: Request) -> None:
            await line.drip(UNBOUNDED + b"x" if data is OK else data)

        async with far_end(script) as server, client_of(timeout_seconds=1.5) as client:
            error = await error_of(client, server.url)

        assert (error.code, error.permanent, error.ambiguous) == ("timeout", False, True)

    async def test_silence_is_ambiguous(self) -> None:
        async def script(line: Line, request: Request) -> None:
            await line.hang()

        async with far_end(script) as server, client_of(timeout_seconds=1.5) as client:
            error = await error_of(client, server.url)

        assert (error.code, error.ambiguous) == ("timeout", True)
        assert "has the request" in error.message
        assert len(server.requests) == 1

    async def test_a_wait_for_a_connection_that_never_comes_is_not_ambiguous(self) -> None:
        asked = asyncio.Event()

        async def script(line: Line, request: Request) -> None:
            asked.set()
            await line.hang()

        async with far_end(script) as server, client_of(connections=1) as client:
            first = asyncio.create_task(post(client, server.url))
            await asked.wait()  # it has the only connection
            client.timeout_seconds = 0.2
            error = await error_of(client, server.url)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first

        assert (error.code, error.ambiguous) == ("timeout", False)
        assert len(server.requests) == 1

    async def test_a_reply_before_the_whole_request_was_read_counts(self) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 413 Too big\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await reader.read()

        async with listening(serve) as port, client_of() as client:
            assert (await post(client, f"http://127.0.0.1:{port}/", body=b"x" * 100_000)).status == 413

    async def test_refused(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else gets the port meanwhile
            async with client_of() as client:
                error = await error_of(client, f"http://127.0.0.1:{taken.getsockname()[1]}/")

        assert (error.code, error.permanent, error.ambiguous) == ("connection_refused", False, False)

    async def test_unknown_name(self) -> None:
        async with client_of() as client:
            error = await error_of(client, "https://no-such-host.invalid/")

        assert (error.code, error.permanent, error.ambiguous) == ("dns_failure", False, False)
        assert "no-such-host.invalid:443" in error.message

    async def test_unreachable_network(self) -> None:
        async with client_of() as client:
            error = await error_of(client, "http://255.255.255.255/")  # no route makes TCP connections there

        assert (error.code, error.permanent, error.ambiguous) == ("connection_failed", False, False)

    async def test_memory_for_a_gzip_bomb_is_bounded(self) -> None:
        async with far_end(says(BOMB_HEAD + BOMB)) as server, client_of() as client:
            with tracing_memory():
                assert (await error_of(client, server.url)).code == "reply_too_large"
                assert tracemalloc.get_traced_memory()[1] < 4_000_000

    async def test_errors_keep_what_we_sent_to_themselves(self) -> None:
        """aiohttp's errors carry the request's headers; a logged chain of errors would write the key down."""
        async with far_end(says(b"nonsense\r\n\r\n")) as server, client_of() as client:
            error = await error_of(client, f"{server.url}hooks/path-secret", headers={"Authorization": "Bearer key"})

        told = "".join(traceback.format_exception(error, chain=True)) + repr(
            (error, error.__cause__, error.__context__)
        )
        assert "Bearer key" not in told
        assert "path-secret" not in error.message
        assert (error.__cause__, error.__context__) == (None, None)


@contextlib.contextmanager
def tracing_memory() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()


class TestKeptConnections:
    @pytest.mark.parametrize("is_idempotent", [True, False])
    async def test_one_that_ends_under_a_request(self, is_idempotent: bool) -> None:
        """The far end closes a connection just as its second request comes: nobody can see that before it is sent."""

        async def script(line: Line, request: Request) -> bool:
            if request.headers["x-number"] == "2" and server.connections == 1:
                return False
            await line.say(OK)
            return True

        async with far_end(script) as server, client_of() as client:
            await post(client, server.url, headers={"x-number": "1"})
            second = post(client, server.url, headers={"x-number": "2"}, is_idempotent=is_idempotent)
            if is_idempotent:
                assert (await second).status == 200
            else:
                with pytest.raises(SendError) as caught:
                    await second
                assert (caught.value.code, caught.value.ambiguous) == ("connection_lost", True)

        assert [request.headers["x-number"] for request in server.requests] == ["1", "2", "2"][: 2 + is_idempotent]

    async def test_a_new_one_that_ends_is_not_tried_again(self) -> None:
        async with far_end(says(b"")) as server, client_of() as client:
            error = await error_of(client, server.url, is_idempotent=True)

        assert error.code == "connection_lost"
        assert len(server.requests) == 1


class TestTls:
    async def test_a_certificate_of_the_given_authority_is_believed(self, tmp_path: Path) -> None:
        certificate = Certificate.make(tmp_path)
        async with (
            far_end(says(OK), tls=server_tls(certificate)) as server,
            client_of(ca_file=str(certificate.path)) as client,
        ):
            assert (await post(client, server.url)).status == 200

    @pytest.mark.parametrize("wrong", ["authority", "name"])
    async def test_a_wrong_certificate(self, tmp_path: Path, wrong: str) -> None:
        certificate = Certificate.make(tmp_path)
        ca_file = str(certificate.path) if wrong == "name" else ""
        async with far_end(says(OK), tls=server_tls(certificate)) as server, client_of(ca_file=ca_file) as client:
            host = "localhost" if wrong == "name" else "127.0.0.1"
            error = await error_of(client, f"https://{host}:{server.port}/")

        assert (error.code, error.permanent, error.ambiguous) == ("tls_error", False, False)
        assert ("Hostname mismatch" if wrong == "name" else "self-signed certificate") in error.message
        assert server.requests == []

    async def test_a_far_end_without_tls(self) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            writer.write(b"HTTP/1.1 400 What?\r\n\r\n")

        async with listening(serve) as port, client_of() as client:
            error = await error_of(client, f"https://127.0.0.1:{port}/")

        assert (error.code, error.permanent, error.ambiguous) == ("tls_error", False, False)

    async def test_a_handshake_that_never_ends(self) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()

        async with listening(serve) as port, client_of(timeout_seconds=0.2) as client:
            error = await error_of(client, f"https://127.0.0.1:{port}/")

        assert (error.code, error.ambiguous) == ("timeout", False)


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("value", "seconds"),
        [("0", 0.0), ("120", 120.0), (" 7 ", 7.0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("9" * 400, float("inf"))]
        + [(value, None) for value in ("", "soon", "-1", "1.5", "1e3", "٣", "nan", "Wed, 21 Oct 99999 07:28:00 GMT")],
    )
    def test_seconds_and_dates(self, value: str, seconds: float | None) -> None:
        assert Reply(503, {"retry-after": value}, b"").retry_after_seconds == seconds

    def test_a_date_to_come(self) -> None:
        at = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
        seconds = Reply(503, {"retry-after": format_datetime(at, usegmt=True)}, b"").retry_after_seconds

        assert seconds is not None
        assert 3000 < seconds <= 3600

    def test_none(self) -> None:
        assert Reply(503, {}, b"").retry_after_seconds is None
