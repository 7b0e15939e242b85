"""A sending process's loop within a test: start it, drive it until nothing is open, end it as a process would."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from deliveries.dispatch import Dispatcher
from deliveries.models import Delivery
from deliveries.senders.base import Sender
from deliveries.senders.email import EmailSender
from deliveries.workers.heartbeat import Heartbeat
from tests.smtp import SmtpServer
from tests.waiting import wait_until


def mailer(smtp: SmtpServer, *, connections: int = 4, timeout_seconds: float = 18) -> EmailSender:
    return EmailSender(
        host="127.0.0.1",
        port=smtp.port,
        from_address="Service <service@example.com>",
        message_id_domain="example.com",
        connections=connections,
        timeout_seconds=timeout_seconds,
    )


@contextmanager
def dispatching(**senders: Sender) -> Iterator[Dispatcher]:
    dispatcher = Dispatcher(senders, heartbeat=Heartbeat("test"))
    dispatcher.start()
    try:
        yield dispatcher
    finally:
        dispatcher.stop()


def look_until(dispatcher: Dispatcher, channel: str, holds: Callable[[], object], what: str) -> None:
    """Look, and look again, until `holds()` is true."""

    def looked() -> object:
        dispatcher.look(channel)
        return holds()

    wait_until(looked, what)


def settle(dispatcher: Dispatcher, *, channel: str = "email") -> None:
    """Look, sweep and bring retries forward until nothing of the channel is open."""

    def is_over() -> bool:
        Delivery.objects.filter(status="RETRYING", lease_token=None).update(next_attempt_at=datetime.now(UTC))
        return not Delivery.objects.filter(channel=channel, status__in=["PENDING", "SENDING", "RETRYING"]).exists()

    look_until(dispatcher, channel, is_over, f"every {channel} row is over")
