"""A small SMTP server that keeps what it gets: the demo's mailbox, and the core of the tests' far end.

Here belongs plain SMTP (RFC 5321, with PIPELINING, STARTTLS and AUTH PLAIN) and the file of receipts. Faults that
tests ask for belong in `tests/smtp.py`, which overrides `Session.answer`; nothing here delivers mail to anybody.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import re
import signal
import ssl
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import uvloop

END_OF_DATA = b"\r\n.\r\n"
MAX_LINE_BYTES = 4096
_ADDRESS = re.compile(rb"<([^>]*)>")
_MESSAGE_ID = re.compile(rb"^message-id:[ \t]*(\S+)", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server does about one command. `reply` has no line end; an empty one says nothing."""

    reply: str = "250 OK"
    delay_seconds: float = 0.0
    drip_seconds: float = 0.0
    """Above zero: the reply goes out one byte at a time, this far apart."""
    close: bool = False
    """Close the connection after the reply, if there is one."""


DOWN = Answer("421 4.3.2 This server is broken on purpose", close=True)


@dataclass(slots=True)
class Options:
    """How the server presents itself. `login` is `(user, password)`; `implicit_tls` starts TLS before the greeting."""

    pipelining: bool = True
    tls: ssl.SSLContext | None = None
    implicit_tls: bool = False
    login: tuple[str, str] | None = None
    refuse_while: Path | None = None
    """While this file is there, every command is answered 421, as by a server that goes down."""

    @property
    def refuses(self) -> bool:
        """Say whether the server is down now."""
        return self.refuse_while is not None and self.refuse_while.exists()


class Mailbox:
    """Receipts as JSON lines, each appended in one write, so a reader or a `kill -9` never sees half a line of ours.

    `with_message` stores the whole mail too. `keep` bounds the file: beyond twice as many, only the last `keep` stay.
    """

    def __init__(self, path: Path, *, with_message: bool = False, keep: int | None = None) -> None:
        self.path = path
        self.with_message = with_message
        self.keep = keep
        self._file = self._open()
        with path.open("rb") as lines:
            self._count = sum(1 for _ in lines)

    def _open(self) -> int:
        return os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def add(self, *, sender: str, recipient: str, data: bytes) -> None:
        """Append one receipt before the client hears 250, as an honest server does."""
        found = _MESSAGE_ID.search(data, 0, max(data.find(b"\r\n\r\n"), 0) or len(data))
        record: dict[str, object] = {
            "message_id": found.group(1).decode("ascii", "replace") if found else "",
            "to": recipient,
            "from": sender,
            "at": time.time(),
            "size": len(data),
        }
        if self.with_message:
            record["message"] = data.decode("utf-8", "replace")
        os.write(self._file, json.dumps(record).encode() + b"\n")
        self._count += 1
        if self.keep is not None and self._count > 2 * self.keep:
            self._trim(self.keep)

    def _trim(self, keep: int) -> None:
        with self.path.open("rb") as lines:
            last = deque(lines, maxlen=keep)
        temporary = self.path.with_suffix(".tmp")
        temporary.write_bytes(b"".join(last))
        os.replace(temporary, self.path)
        os.close(self._file)
        self._file = self._open()
        self._count = len(last)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


@dataclass(slots=True)
class Envelope:
    """The transaction that is open: addresses as the client wrote them, without angle brackets."""

    sender: str = ""
    recipients: list[str] = field(default_factory=list)


class Session(asyncio.Protocol):
    """One connection. Commands that arrive together are answered in one write, as RFC 2920 wants."""

    def __init__(self, *, mailbox: Mailbox, options: Options) -> None:
        self.mailbox = mailbox
        self.options = options
        self.envelope = Envelope()
        self._transport: asyncio.Transport | None = None
        self._input = bytearray()
        self._output = bytearray()
        self._in_data = False
        self._busy = False
        self._encrypted = options.implicit_tls
        self._logged_in = options.login is None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self.options.refuses:
            self._transport.write(f"{DOWN.reply}\r\n".encode())
            self._transport.close()
            return
        self._transport.write(b"220 mailbox ESMTP\r\n")

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._input += data
        self._pump()

    def _pump(self) -> None:
        """Work through what has arrived until more is needed or an answer has to wait; then write once."""
        while not self._busy and self._transport is not None:
            if self._in_data:
                body = self._take_body()
                if body is None:
                    break
                self._give(self._end_of_data(body))
            else:
                end = self._input.find(b"\r\n")
                if end < 0:
                    if len(self._input) > MAX_LINE_BYTES:
                        self._give(Answer("500 line too long", close=True))
                    break
                line = bytes(self._input[:end])
                del self._input[: end + 2]
                self._give(self._command(line))
        self._flush()

    def _take_body(self) -> bytes | None:
        if self._input.startswith(b".\r\n"):
            del self._input[:3]
            return b""
        end = self._input.find(END_OF_DATA)
        if end < 0:
            return None
        body = bytes(self._input[: end + 2])
        del self._input[: end + len(END_OF_DATA)]
        return body[1:].replace(b"\r\n.", b"\r\n") if body.startswith(b".") else body.replace(b"\r\n.", b"\r\n")

    def _flush(self) -> None:
        if self._output and self._transport is not None:
            self._transport.write(bytes(self._output))
            self._output.clear()

    def _give(self, answer: Answer) -> None:
        if answer.delay_seconds or answer.drip_seconds:
            self._flush()
            self._busy = True
            asyncio.get_running_loop().call_later(answer.delay_seconds, self._give_slowly, answer, 0)
            return
        if answer.reply:
            self._output += answer.reply.encode() + b"\r\n"
        if answer.close:
            self._flush()
            if self._transport is not None:
                self._transport.close()
            self._transport = None

    def _give_slowly(self, answer: Answer, position: int) -> None:
        if self._transport is None:
            return
        reply = answer.reply.encode() + b"\r\n"
        if answer.drip_seconds and position < len(reply):
            self._transport.write(reply[position : position + 1])
            asyncio.get_running_loop().call_later(answer.drip_seconds, self._give_slowly, answer, position + 1)
            return
        self._busy = False
        self._give(Answer("" if answer.drip_seconds else answer.reply, close=answer.close))
        self._pump()

    def _command(self, line: bytes) -> Answer:
        verb, _, argument = line.partition(b" ")
        name = verb.upper().decode("ascii", "replace")
        if self.options.refuses:
            return DOWN
        handler = _HANDLERS.get(name)
        if handler is None:
            return Answer("500 unknown command")
        usual = handler(self, argument)
        answer = self.answer(name, usual)
        accepted = answer.reply[:1] in ("2", "3")
        if name == "MAIL" and not accepted:
            self.envelope = Envelope()
        elif name == "RCPT" and not accepted and usual.reply.startswith("2"):
            self.envelope.recipients.pop()
        elif name == "DATA":
            self._in_data = answer.reply.startswith("354")
        return answer

    def _end_of_data(self, body: bytes) -> Answer:
        self._in_data = False
        answer = self.answer(".", Answer())
        if answer.reply.startswith("2") or not answer.reply:  # silence after the dot: taken, but never acknowledged
            for recipient in self.envelope.recipients:
                self.mailbox.add(sender=self.envelope.sender, recipient=recipient, data=body)
        self.envelope = Envelope()
        return answer

    def answer(self, verb: str, usual: Answer) -> Answer:
        """Decide on a command, given the usual answer. The end of the data is the verb `.`."""
        return usual

    def _ehlo(self, argument: bytes) -> Answer:
        lines = ["mailbox", "8BITMIME", "SIZE 4194304"]
        if self.options.pipelining:
            lines.append("PIPELINING")
        if self.options.tls is not None and not self._encrypted:
            lines.append("STARTTLS")
        if self.options.login is not None:
            lines.append("AUTH PLAIN")
        self.envelope = Envelope()
        return Answer("\r\n".join(f"250-{line}" for line in lines[:-1]) + f"\r\n250 {lines[-1]}")

    def _mail(self, argument: bytes) -> Answer:
        found = _ADDRESS.search(argument)
        if found is None:
            return Answer("501 MAIL FROM:<address>")
        if not self._logged_in:
            return Answer("530 5.7.0 Authentication required")
        if self.envelope.sender:
            return Answer("503 nested MAIL")
        self.envelope = Envelope(sender=found.group(1).decode("utf-8", "replace"))
        return Answer()

    def _rcpt(self, argument: bytes) -> Answer:
        found = _ADDRESS.search(argument)
        if found is None or not self.envelope.sender:
            return Answer("503 MAIL first" if found else "501 RCPT TO:<address>")
        self.envelope.recipients.append(found.group(1).decode("utf-8", "replace"))
        return Answer()

    def _data(self, argument: bytes) -> Answer:
        return Answer("354 go ahead") if self.envelope.recipients else Answer("503 no recipient")

    def _reset(self, argument: bytes) -> Answer:
        self.envelope = Envelope()
        return Answer()

    def _noop(self, argument: bytes) -> Answer:
        return Answer()

    def _quit(self, argument: bytes) -> Answer:
        return Answer("221 bye", close=True)

    def _auth(self, argument: bytes) -> Answer:
        if self.options.login is None:
            return Answer("503 no AUTH here")
        expected = base64.b64encode("\0".join(("", *self.options.login)).encode())
        self._logged_in = argument == b"PLAIN " + expected
        return Answer("235 welcome") if self._logged_in else Answer("535 5.7.8 user name or password is wrong")

    def _starttls(self, argument: bytes) -> Answer:
        if self.options.tls is None or self._encrypted:
            return Answer("503 no STARTTLS here")
        self._busy = True
        self._upgrade = asyncio.get_running_loop().create_task(self._start_tls(self.options.tls))
        return Answer("220 go ahead")

    async def _start_tls(self, context: ssl.SSLContext) -> None:
        if self._transport is None:
            return
        self._input.clear()  # what came in the clear after STARTTLS was not the client's (RFC 3207, 4.2)
        try:
            upgraded = await asyncio.get_running_loop().start_tls(self._transport, self, context, server_side=True)
        except OSError:  # ssl.SSLError too: the client does not trust us, and has gone
            self._transport = None
            return
        self._transport = upgraded
        self._encrypted = True
        self._busy = False
        self._pump()


_HANDLERS: dict[str, Callable[[Session, bytes], Answer]] = {
    "EHLO": Session._ehlo,
    "HELO": Session._noop,
    "MAIL": Session._mail,
    "RCPT": Session._rcpt,
    "DATA": Session._data,
    "RSET": Session._reset,
    "NOOP": Session._noop,
    "QUIT": Session._quit,
    "AUTH": Session._auth,
    "STARTTLS": Session._starttls,
}


async def serve(*, session: Callable[[], Session], host: str, port: int, options: Options) -> asyncio.Server:
    """Listen on `host:port` (port 0 takes a free one); each connection gets its own `session()`."""
    tls = options.tls if options.implicit_tls else None
    return await asyncio.get_running_loop().create_server(session, host, port, ssl=tls, backlog=512)


def parser() -> argparse.ArgumentParser:
    """Build the command line that the demo's mailbox and the tests' server share."""
    arguments = argparse.ArgumentParser(description="Take mail by SMTP and keep it as JSON lines; deliver none.")
    arguments.add_argument("--host", default="127.0.0.1")
    arguments.add_argument("--port", type=int, default=1025, help="0 takes a free one; it is printed")
    arguments.add_argument("--file", type=Path, required=True, help="JSON lines, one a mail and recipient")
    arguments.add_argument("--messages", action="store_true", help="store the whole mails, not only their receipts")
    arguments.add_argument("--keep", type=int, default=None, help="how many mails the file keeps; all by default")
    arguments.add_argument("--no-pipelining", action="store_true")
    arguments.add_argument("--certificate", type=Path, help="PEM with key and certificate: offers STARTTLS")
    arguments.add_argument("--implicit-tls", action="store_true", help="TLS from the first byte, with --certificate")
    arguments.add_argument("--second-port", type=int, help="listen there too; --refuse-while is not for it")
    arguments.add_argument("--refuse-while", type=Path, help="answer 421 to everything while this file is there")
    arguments.add_argument("--login", help="user:password that AUTH PLAIN asks for")
    return arguments


async def run(arguments: argparse.Namespace, *, session: type[Session] = Session) -> None:
    """Serve until SIGTERM or SIGINT. Prints `Ready: smtp://host:port` once it listens."""
    tls: ssl.SSLContext | None = None
    if arguments.certificate is not None:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(arguments.certificate)
    options = Options(
        pipelining=not arguments.no_pipelining,
        tls=tls,
        implicit_tls=arguments.implicit_tls,
        login=tuple(arguments.login.split(":", 1)) if arguments.login else None,
        refuse_while=arguments.refuse_while,
    )
    mailbox = Mailbox(arguments.file, with_message=arguments.messages, keep=arguments.keep)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    server = await serve(
        session=lambda: session(mailbox=mailbox, options=options),
        host=arguments.host,
        port=arguments.port,
        options=options,
    )
    second: asyncio.Server | None = None
    if arguments.second_port is not None:
        always = replace(options, refuse_while=None)
        second = await serve(
            session=lambda: session(mailbox=mailbox, options=always),
            host=arguments.host,
            port=arguments.second_port,
            options=always,
        )
    host, port = server.sockets[0].getsockname()[:2]
    sys.stdout.write(f"Ready: smtp://{host}:{port}\n")
    sys.stdout.flush()
    await stopped.wait()
    server.close()
    if second is not None:
        second.close()
    mailbox.close()


if __name__ == "__main__":
    uvloop.run(run(parser().parse_args()))
