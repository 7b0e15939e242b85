"""One SMTP connection: one transaction after another, and what its replies mean.

Here belongs the protocol (RFC 5321, RFC 2920) and the table that turns replies into SendError.
Mails are made in `mime`, connections are opened in `smtp_opening`, kept and bounded in `email`. No settings, no retry.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import aiosmtplib

from deliveries.senders.base import SendError

MAX_LINE_BYTES = 8192
MAX_LINES = 100
MAX_TEXT_CHARACTERS = 500
MAX_PROVIDER_CHARACTERS = 255
MAX_REPLIES = 8
"""More than one transaction can ask for. Beyond these three the other side is no mail server of good will."""
ACCOUNT_REPLIES = frozenset({530, 534, 535, 538})
"""The server refuses us, whatever the mail: no login, a wrong one, a weak one, one without encryption (RFC 4954)."""
CLOSING_REPLY = 421
_WHOLE_REPLY = re.compile(rb"[2-5][0-9]{2}(?!-)")
_DONE, _GO_AHEAD = b"23"
_ENVELOPE: tuple[tuple[str, int], ...] = (("MAIL", _DONE), ("RCPT", _DONE), ("DATA", _GO_AHEAD))
_ENVELOPE_AFTER_RESET = (("RSET", _DONE), *_ENVELOPE)


class Reply(NamedTuple):
    """A server's reply; `text` joins the lines of a long one and is fit to be stored and shown: see `_legible`."""

    code: int
    text: str

    @classmethod
    def parse(cls, raw: bytes) -> Reply:
        """Read the lines of one reply."""
        return cls(int(raw[:3]), _legible(b" ".join(line[4:] for line in raw.split(b"\n"))))

    @classmethod
    def told(cls, error: aiosmtplib.SMTPResponseException) -> Reply:
        """Take a reply over from aiosmtplib, which keeps bytes that are no UTF-8 as surrogates."""
        return cls(error.code, _legible(error.message.encode("utf-8", "surrogateescape")))


def _legible(said: bytes) -> str:
    """Return a server's words on one line, without control characters, as PostgreSQL and a log can take them. What is
    no UTF-8 becomes U+FFFD (RFC 5321 wants ASCII, and servers say Latin-1 too); cut after MAX_TEXT_CHARACTERS."""
    words = "".join(c if c.isprintable() else " " for c in said.decode("utf-8", "replace"))
    text = " ".join(words.split())
    return text if len(text) <= MAX_TEXT_CHARACTERS else f"{text[: MAX_TEXT_CHARACTERS - 1]}…"


class Dropped(Exception):
    """The connection ended before the mail was handed over; no server can have it."""


class Refused(Exception):
    """The server said no. The connection is still good, unless the reply was 421."""

    def __init__(self, verb: str, reply: Reply) -> None:
        super().__init__(f"{reply.code} {reply.text}")
        self.verb = verb
        self.reply = reply


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the server is and how to greet it. `starttls` None takes it where offered; True insists on it."""

    host: str
    port: int
    helo_name: str
    username: str = ""
    password: str = ""
    use_tls: bool = False
    starttls: bool | None = None
    tls_context: ssl.SSLContext | None = None

    @property
    def provider(self) -> str:
        """Name the server in receipts and errors, within what the table holds."""
        port = f":{self.port}"
        return f"{self.host[: MAX_PROVIDER_CHARACTERS - len(port)]}{port}"


def refusal(endpoint: Endpoint, verb: str, reply: Reply) -> SendError:
    """Turn a negative reply into an error: 4xx is temporary, 5xx permanent, a refused login is the account's fault."""
    account = reply.code in ACCOUNT_REPLIES or (reply.code >= 500 and verb in ("greeting", "EHLO", "AUTH"))
    return SendError(
        f"smtp_{reply.code}" if 400 <= reply.code < 600 else "protocol_error",
        f"{endpoint.provider} answered {verb} with {reply.code} {reply.text}",
        provider=endpoint.provider,
        permanent=500 <= reply.code < 600 and not account,
        account=account,
    )


class Envelope(NamedTuple):
    """The commands that bring a server to wait for a mail, in their order."""

    mail: bytes
    rcpt: bytes
    data: bytes = b"DATA\r\n"

    @classmethod
    def of(cls, sender: str, recipient: str) -> Envelope:
        """Name two addresses, both as `mime.envelope_address` returns them."""
        return cls(b"MAIL FROM:<%b>\r\n" % sender.encode("ascii"), b"RCPT TO:<%b>\r\n" % recipient.encode("ascii"))


def nobody() -> None:
    """Say that no mail is to follow on a connection."""


class SmtpConnection(asyncio.Protocol):
    """A connection that is greeted, encrypted and logged in. Carries one mail at a time.

    `kept` says that a mail before the present one has used it. `handed_over` says that the final dot of the open
    transaction is written: from then on only a reply tells whether the server has the mail. `is_begun` says that the next mail's
    envelope has left with the present one's body: only that mail can use the connection, or nobody.
    """

    def __init__(self, transport: asyncio.Transport, *, pipelining: bool) -> None:
        self.pipelining = pipelining
        self.kept = False
        self.handed_over = False
        self.is_begun = False
        self.expired = False
        self.idle_since = 0.0
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._loop = asyncio.get_running_loop()
        self._deadline: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._transport = transport
        self._input = b""
        self._lines: list[bytes] = []
        self._replies: deque[bytes] = deque()  # parsed only when they refuse
        self._waiter: asyncio.Future[None] | None = None
        self._used = False
        self._needs_reset = False
        transport.set_protocol(self)

    @property
    def usable(self) -> bool:
        """Whether the next mail may try it: open, and silent since the last reply (a server that speaks, ends)."""
        return not (self.lost.done() or self._transport.is_closing() or self._replies or self._input)

    def data_received(self, data: bytes) -> None:
        *lines, self._input = (self._input + data).split(b"\n")
        for line in lines:
            if not self._lines and _WHOLE_REPLY.match(line):
                self._replies.append(line)
                continue
            self._lines.append(line)
            if line[3:4] == b"-":
                continue
            if line[:1] not in b"2345" or not line[:3].isdigit():
                self.abort()  # not SMTP; whatever follows can't be trusted either
                return
            self._replies.append(line if len(self._lines) == 1 else b"\n".join(self._lines))
            self._lines.clear()
        if len(self._input) > MAX_LINE_BYTES or len(self._lines) > MAX_LINES or len(self._replies) > MAX_REPLIES:
            self.abort()
        if self._replies:
            self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self.lost.done():
            self.lost.set_result(None)
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _reply(self) -> bytes:
        while not self._replies:
            if self.lost.done():
                raise Dropped
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._replies.popleft()

    async def transact(
        self, envelope: Envelope, data: bytes, *, deadline: float, follow: Callable[[], Envelope | None] = nobody
    ) -> None:
        """Carry one mail, `data` with CRLF line ends and not dot-stuffed. Returns when the server has taken it.

        Where the server announced PIPELINING the envelope leaves in one write (RFC 2920), and that of the next mail, which
        `follow` returns, in one with the body; otherwise each command waits for its reply. At `deadline` (the loop's time)
        the connection is cut: `expired`. The mail does not leave after it, even if the process slept. Raises: Refused; Dropped.
        When cancelled, or when Dropped is raised, the connection is to be aborted, and `handed_over` tells whether the
        server may have the mail.
        """
        self.handed_over = False
        self.kept, self._used = self._used, True
        self._end_at(deadline)
        try:
            await self._open_envelope(envelope)
            if self._loop.time() >= deadline:  # after a SIGSTOP the go-ahead may be seen before the timer
                self._expire()
                raise Dropped
            self.handed_over = True
            following = follow() if self.pipelining else None
            self.is_begun = following is not None
            self._transport.write(b"".join((_dot_stuffed(data), b".\r\n", *(following or ()))))
            reply = await self._reply()
        finally:
            self._deadline = None
        self._needs_reset = False
        if reply[0] != _DONE:
            raise Refused("the mail", Reply.parse(reply))

    async def noop(self) -> Reply:
        """Ask the server whether it is still there, and return what it says (RFC 5321, 4.1.1.9). Raises: Refused; Dropped."""
        self._transport.write(b"NOOP\r\n")
        raw = await self._reply()
        reply = Reply.parse(raw)
        if raw[0] != _DONE:
            raise Refused("NOOP", reply)
        return reply

    @property
    def is_encrypted(self) -> bool:
        """Whether nobody on the way can listen."""
        return self._transport.get_extra_info("ssl_object") is not None

    def _end_at(self, deadline: float) -> None:
        """Cut the connection at `deadline`. Its one timer stays for the next mails, which mostly end later: one for each costs 5 us."""
        self._deadline = deadline
        if self._timer is not None:
            if self._timer_at <= deadline:
                return
            self._timer.cancel()
        self._timer, self._timer_at = self._loop.call_at(deadline, self._look_at_deadline), deadline

    def _look_at_deadline(self) -> None:
        self._timer = None
        if self._deadline is not None:
            if self._loop.time() >= self._deadline:
                self._expire()
            else:
                self._end_at(self._deadline)

    def _expire(self) -> None:
        self.expired = True
        self.abort()

    async def _open_envelope(self, envelope: Envelope) -> None:
        """Bring the server to wait for the mail. Raises: Refused with the first refusal; Dropped."""
        commands: Sequence[bytes] = envelope
        steps = _ENVELOPE
        if self._needs_reset:
            commands, steps = (b"RSET\r\n", *envelope), _ENVELOPE_AFTER_RESET
        self._needs_reset = True
        if self.pipelining and not self.is_begun:
            self._transport.write(b"".join(commands))
        self.is_begun = False
        refused: Refused | None = None
        for command, (verb, wanted) in zip(commands, steps, strict=True):
            if not self.pipelining:
                self._transport.write(command)
            try:
                reply = self._replies.popleft() if self._replies else await self._reply()
            except Dropped:
                raise refused or Dropped from None
            if refused is not None:
                if reply[0] == _GO_AHEAD:
                    self.abort()  # it waits for a mail to nobody; RFC 2920 would send it a lone dot
            elif reply[0] != wanted:
                refused = Refused(verb, Reply.parse(reply))
                if not self.pipelining:
                    break
        if refused is not None:
            raise refused

    def quit(self) -> None:
        """Say goodbye and close; doesn't wait for the answer."""
        if not self._transport.is_closing():
            self._transport.write(b"QUIT\r\n")
            self._transport.close()

    def abort(self) -> None:
        """Close at once; what is not yet on the wire stays here."""
        self._transport.abort()


def _dot_stuffed(data: bytes) -> bytes:
    stuffed = data.replace(b"\r\n.", b"\r\n..") if b"\r\n." in data else data
    return b"." + stuffed if stuffed.startswith(b".") else stuffed
