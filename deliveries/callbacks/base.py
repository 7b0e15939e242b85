"""What every provider's report comes down to. No request, no row, no provider's own words here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class EventKind(StrEnum):
    """What became of a message after its provider took it."""

    DELIVERED = "delivered"
    BOUNCED = "bounced"
    """A mail came back: the address does not work."""
    COMPLAINED = "complained"
    """The person called it spam."""
    OPENED = "opened"
    FAILED = "failed"
    """It did not arrive; `code` says why."""
    UNSUBSCRIBED = "unsubscribed"
    """The person unsubscribed at the provider, by means of the provider's own."""


@dataclass(frozen=True, slots=True)
class ProviderEvent:
    """One report. `provider_message_id` is that of the Receipt; `at` is None where the provider gives no time that can be
    trusted. `code`: a stable word; `message`: what staff read; `address`: whom the message was for, if the report says.
    `reference`: the job's id, where it went out with the message and the provider signed it when it came back."""

    provider_message_id: str
    kind: EventKind
    at: datetime | None = None
    code: str = ""
    message: str = ""
    address: str = ""
    reference: str = ""


class BadCallback(ValueError):
    """A report that cannot be read, though its sender is known. The message says why; the provider's log should show it."""
