"""Which sender serves which channel: built from the settings, once for each process. Senders themselves read no settings."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings

from deliveries.channels import Channel
from deliveries.providers.kinds import OWN_LIMIT_SHARE
from deliveries.realtime.publish import publish_items
from deliveries.senders.base import Sender
from deliveries.senders.email import EmailSender
from deliveries.senders.null import NullSender
from deliveries.senders.webhook import WebhookSender
from deliveries.senders.ws import InboxSender


def mail_sender(*, connections: int, timeout_seconds: float) -> EmailSender:
    """Return a new sender for the mail server of the settings."""
    return EmailSender(
        host=settings.EMAIL_HOST,
        port=settings.EMAIL_PORT,
        username=settings.EMAIL_HOST_USER,
        password=settings.EMAIL_HOST_PASSWORD,
        use_tls=settings.EMAIL_USE_SSL,
        starttls=settings.EMAIL_USE_TLS or None,
        from_address=settings.EMAIL_FROM,
        message_id_domain=settings.EMAIL_MESSAGE_ID_DOMAIN,
        connections=connections,
        timeout_seconds=timeout_seconds,
    )


def _smtp(channel: Channel) -> Sender:
    return mail_sender(
        connections=settings.EMAIL_CONNECTIONS, timeout_seconds=settings.SEND_DEADLINE_SECONDS * OWN_LIMIT_SHARE
    )


def _webhook(channel: Channel) -> Sender:
    return WebhookSender(
        connections=settings.WEBHOOK_CONNECTIONS,
        timeout_seconds=settings.SEND_DEADLINE_SECONDS * OWN_LIMIT_SHARE,
        allow_private=settings.PRIVATE_ADDRESSES_ALLOWED,
        ca_file=settings.OUTGOING_CA_FILE,
    )


def _inbox(channel: Channel) -> Sender:
    return InboxSender(publish=publish_items)


# What CHANNEL_SENDERS may name: its own name → the channels it can serve (None: any), and how it is made.
KNOWN_SENDERS: dict[str, tuple[frozenset[Channel] | None, Callable[[Channel], Sender]]] = {
    "smtp": (frozenset({Channel.EMAIL}), _smtp),
    "inbox": (frozenset({Channel.WS}), _inbox),
    "http": (frozenset({Channel.WEBHOOK}), _webhook),
    "null": (None, NullSender),
}


def build_senders() -> dict[str, Sender]:
    """Return a new sender for each channel that CHANNEL_SENDERS names. Whether the names fit is a system check."""
    return {channel: KNOWN_SENDERS[name][1](Channel(channel)) for channel, name in settings.CHANNEL_SENDERS.items()}
