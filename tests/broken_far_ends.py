"""Every way an HTTP server can answer that is no answer: scripts for `tests.far_end`, each with the code that our client gives it."""

from __future__ import annotations

import gzip

from tests.far_end import Line, Request, Script, says


def flooding(head: bytes, data: bytes) -> Script:
    async def script(line: Line, request: Request) -> None:
        await line.say(head)
        await line.flood(data)

    return script


async def reset(line: Line, request: Request) -> None:
    line.reset()


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
UNBOUNDED = b"HTTP/1.1 200 OK\r\n\r\n"
BOMB = gzip.compress(bytes(40_000_000))
BOMB_HEAD = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(BOMB)
BROKEN: dict[str, tuple[Script, str]] = {
    "closed at once": (says(b""), "connection_lost"),
    "reset": (reset, "connection_lost"),
    "half a status line": (says(b"HTTP/1.1 20"), "connection_lost"),
    "half a header": (says(b"HTTP/1.1 200 OK\r\nContent-Le"), "connection_lost"),
    "half a body": (says(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"), "malformed_reply"),
    "half a chunk": (says(CHUNKED + b"a\r\nhalf"), "malformed_reply"),
    "no last chunk": (says(CHUNKED + b"4\r\nhalf\r\n"), "malformed_reply"),
    "not HTTP": (says(b"220 mail.example ESMTP\r\n\r\n"), "malformed_reply"),
    "bytes": (says(bytes(range(256)) * 4), "malformed_reply"),
    "status without number": (says(b"HTTP/1.1 abc OK\r\n\r\n"), "malformed_reply"),
    "a header without a colon": (says(b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n"), "malformed_reply"),
    "two lengths": (says(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"), "malformed_reply"),
    "a negative length": (says(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"), "malformed_reply"),
    "a bad chunk": (says(CHUNKED + b"xyz\r\nabc\r\n0\r\n\r\n"), "malformed_reply"),
    "a broken gzip": (
        says(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope"),
        "malformed_reply",
    ),
    "100 MB announced": (says(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\nx"), "reply_too_large"),
    "100 MB sent": (flooding(UNBOUNDED, b"x" * 100_000), "reply_too_large"),
    "endless chunks": (flooding(CHUNKED, b"4\r\nmore\r\n" * 1000), "reply_too_large"),
    "a gzip bomb": (says(BOMB_HEAD + BOMB), "reply_too_large"),
    "endless headers": (flooding(b"HTTP/1.1 200 OK\r\n", b"X-More: and more\r\n" * 1000), "malformed_reply"),
    "an endless header": (flooding(b"HTTP/1.1 200 OK\r\nX: ", b"x" * 10_000), "malformed_reply"),
}
