"""What the contract suite has to know of each sender: how to build one, and which address makes its far end do what.

A new channel adds a `SenderCase` to `CASES` here, and nothing to the suite.
"""

from __future__ import annotations

import contextlib
import datetime
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deliveries.channels import Channel
from deliveries.providers.mail_kinds import MAILS
from deliveries.realtime.protocol import Item
from deliveries.senders.anymail import AnymailSender
from deliveries.senders.base import Content, Device, Message, Sender
from deliveries.senders.email import EmailSender
from deliveries.senders.fcm import FcmSender
from deliveries.senders.http_sms import HttpSmsSender
from deliveries.senders.null import NullSender
from deliveries.senders.push import PushSender
from deliveries.senders.twilio import TwilioSender
from deliveries.senders.webhook import WebhookSender
from deliveries.senders.ws import InboxSender
from tests import postmark, sms
from tests.far_end import Line, Request, far_end, held_port
from tests.fcm import fcm_server
from tests.smtp import SmtpServer

_HELD, _ENDPOINT_PORT = held_port()
ENDPOINT = f"http://127.0.0.1:{_ENDPOINT_PORT}"


def make_message(to: str, *, content: Content | None = None, headers: dict[str, str] | None = None) -> Message:
    """Build the smallest message to an address, which is also the token of the person's one device or a webhook's URL."""
    return Message(
        delivery_id=1,
        job_id=uuid.uuid4(),
        tenant_id=1,
        user_id=uuid.uuid4(),
        to=to,
        content=content or Content(subject="Hello", text="Hello, Ana."),
        attempt=1,
        accepted_at=datetime.datetime.now(datetime.UTC),
        headers=headers or {},
        devices=(Device(1, "fcm", to),),
        secrets=("whsec_c2VjcmV0",),
    )


@dataclass(frozen=True, slots=True)
class Rig:
    """A sender with its far end. `received` returns the addresses that the far end took something for."""

    sender: Sender
    received: Callable[[], list[str]] | None


@dataclass(frozen=True, slots=True)
class SenderCase:
    """One sender. An address is None where the sender has no such outcome; `tests` says so for each it leaves out.

    `make(folder, timeout_seconds)` opens a rig: the sender is opened, its far end is running. `good` is an address that
    works; `temporary`, `permanent` and `silent` ones whose far end refuses for now, for good, or never answers.
    """

    name: str
    make: Callable[[Path, float], AbstractAsyncContextManager[Rig]]
    good: str
    temporary: str | None = None
    permanent: str | None = None
    silent: str | None = None


@contextlib.asynccontextmanager
async def opened(sender: Sender) -> AsyncIterator[None]:
    """Open a sender, and close it at the end."""
    await sender.open()
    try:
        yield
    finally:
        await sender.close()


@contextlib.asynccontextmanager
async def email_rig(folder: Path, timeout_seconds: float) -> AsyncIterator[Rig]:
    """Serve a real SMTP server in its own process, and a sender with three connections to it."""
    with SmtpServer(folder) as server:
        sender = EmailSender(
            host=server.host,
            port=server.port,
            from_address="News <news@example.org>",
            message_id_domain="example.org",
            connections=3,
            timeout_seconds=timeout_seconds,
        )
        async with opened(sender):
            yield Rig(sender, lambda: [receipt["to"] for receipt in server.receipts()])


@contextlib.asynccontextmanager
async def postmark_rig(folder: Path, timeout_seconds: float) -> AsyncIterator[Rig]:
    """Serve Postmark's documented API."""
    taken: list[dict[str, Any]] = []
    async with far_end(postmark.postmark(taken)) as end:
        sender = AnymailSender(
            service=MAILS["postmark"].service,
            options={"server_token": postmark.TOKEN, "api_url": end.url},
            from_address="News <news@example.org>",
            message_id_domain="example.org",
            connections=3,
            timeout_seconds=timeout_seconds,
            allow_private=True,
        )
        await sender.open()
        try:
            yield Rig(sender, lambda: [mail["To"] for mail in taken])
        finally:
            await sender.close()


@contextlib.asynccontextmanager
async def null_rig(folder: Path, timeout_seconds: float) -> AsyncIterator[Rig]:
    """Make a sender without a far end."""
    yield Rig(NullSender(Channel.EMAIL), received=None)


@contextlib.asynccontextmanager
async def inbox_rig(folder: Path, timeout_seconds: float) -> AsyncIterator[Rig]:
    """Make the in-app sender: its far end is our own table, which dispatch writes, so nothing can refuse or be silent."""

    async def publish(items: Sequence[Item]) -> None:
        assert items

    yield Rig(InboxSender(publish), received=None)


@contextlib.asynccontextmanager
async def webhook_rig(folder: Path, timeout_seconds: float) -> AsyncIterator[Rig]:
    """Serve endpoints whose path says with which status they answer, or that they never do."""
    received: list[str] = []

    async def script(line: Line, request: Request) -> bool:
        path = request.line.split(" ")[1]
        if path == "/silent":
            await line.hang()
            return False
        if path == "/200":
            received.append(f"{ENDPOINT}{path}")
        await line.say(f"HTTP/1.1 {path[1:]} So\r\nContent-Length: 0\r\n\r\n".encode())
        return True

    sender = WebhookSender(
        connections=3,
        timeout_seconds=timeout_seconds,
        allow_private=True,
    )
    async with far_end(script, port=_ENDPOINT_PORT), opened(sender):
        yield Rig(sender, lambda: received)


@contextlib.asynccontextmanager
async def twilio_rig(folder: Path, timeout_seconds: float) -> AsyncIterator[Rig]:
    """Serve Twilio's documented API."""
    async with sms.serving(sms.twilio) as far:
        sender = TwilioSender(
            account_sid=sms.ACCOUNT_SID,
            auth_token=sms.AUTH_TOKEN,
            from_number=sms.FROM,
            base_url=far.url,
            connections=3,
            timeout_seconds=timeout_seconds,
            allow_private=True,
        )
        async with opened(sender):
            yield Rig(sender, lambda: [to for got in far.got if (to := got.form["To"]) == sms.GOOD])


@contextlib.asynccontextmanager
async def http_sms_rig(folder: Path, timeout_seconds: float) -> AsyncIterator[Rig]:
    """Serve Twilio's API to the sender that knows no provider, as a description of it."""
    async with sms.serving(sms.twilio) as far:
        sender = HttpSmsSender(
            description={
                "url": f"{far.url}/2010-04-01/Accounts/{sms.ACCOUNT_SID}/Messages.json",
                "send_as": "form",
                "fields": {"To": "{to}", "From": "{from}", "Body": "{text}"},
                "from": sms.FROM,
                "basic_auth": {"username": sms.ACCOUNT_SID, "password": "{secret.token}"},
                "sent": [201],
                "message_id": "sid",
            },
            secrets={"token": sms.AUTH_TOKEN},
            connections=3,
            timeout_seconds=timeout_seconds,
            allow_private=True,
        )
        async with opened(sender):
            yield Rig(sender, lambda: [to for got in far.got if (to := got.form["To"]) == sms.GOOD])


@contextlib.asynccontextmanager
async def push_rig(folder: Path, timeout_seconds: float) -> AsyncIterator[Rig]:
    """Serve FCM's documented API; the other platforms share nothing with it that the contract asks about."""
    async with fcm_server() as server:
        fcm = FcmSender(
            service_account=server.service_account(),
            base_url=server.url,
            connections=3,
            timeout_seconds=timeout_seconds,
            allow_private=True,
        )
        sender = PushSender({"fcm": fcm}, capacity=3)
        async with opened(sender):
            yield Rig(sender, lambda: server.taken)


CASES = [
    SenderCase(
        name="email",
        make=email_rig,
        good="ana@example.org",
        temporary="rcpt-451@example.org",
        permanent="rcpt-550@example.org",
        silent="silent-rcpt@example.org",
    ),
    SenderCase(
        name="postmark",
        make=postmark_rig,
        good="ana@example.org",
        temporary="limit@example.org",
        permanent="inactive@example.org",
        silent="silent@example.org",
    ),
    SenderCase(name="inbox", make=inbox_rig, good="anyone"),
    SenderCase(name="null", make=null_rig, good="anyone"),
    SenderCase(
        name="push",
        make=push_rig,
        good="phone",
        temporary="error-503-UNAVAILABLE",
        permanent="error-400-INVALID_ARGUMENT",
        silent="silent",
    ),
    SenderCase(
        name="webhook",
        make=webhook_rig,
        good=f"{ENDPOINT}/200",
        temporary=f"{ENDPOINT}/503",
        permanent=f"{ENDPOINT}/404",
        silent=f"{ENDPOINT}/silent",
    ),
    *(
        SenderCase(
            name=name,
            make=make,
            good=sms.GOOD,
            temporary=sms.BUSY,
            permanent="+15005550001",
            silent=sms.SILENT,
        )
        for name, make in (("twilio", twilio_rig), ("http_sms", http_sms_rig))
    ),
]
