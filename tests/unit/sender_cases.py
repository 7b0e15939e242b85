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

from deliveries.channels import Channel
from deliveries.realtime.protocol import Item
from deliveries.senders.base import Content, Message, Sender
from deliveries.senders.email import EmailSender
from deliveries.senders.null import NullSender
from deliveries.senders.ws import InboxSender
from tests.smtp import SmtpServer


def make_message(to: str, *, content: Content | None = None, headers: dict[str, str] | None = None) -> Message:
    """Build the smallest message to an address."""
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
        await sender.open()
        try:
            yield Rig(sender, lambda: [receipt["to"] for receipt in server.receipts()])
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


CASES = [
    SenderCase(
        name="email",
        make=email_rig,
        good="ana@example.org",
        temporary="rcpt-451@example.org",
        permanent="rcpt-550@example.org",
        silent="silent-rcpt@example.org",
    ),
    SenderCase(name="inbox", make=inbox_rig, good="anyone"),
    SenderCase(name="null", make=null_rig, good="anyone"),
]
