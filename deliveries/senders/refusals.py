"""What a provider's refusal means for trying again: the type of every table of codes (`codes_*`), and reading replies for it.

Here belongs what all tables share; the codes themselves are data beside each sender. No network, no retry, no status.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from deliveries.senders.base import SendError

MAX_SAID_CHARACTERS = 300
SAID = " It said: "
"""What comes before a far end's own words in an error."""


class Kind(StrEnum):
    """What a refusal says about trying again."""

    TEMPORARY = "temporary"
    """Not taken; the same message may be taken later, or by another provider."""
    PERMANENT = "permanent"
    """Not taken; this message to this person never will be."""
    ACCOUNT = "account"
    """Not taken; the provider refuses us, whatever the message."""
    UNKNOWN = "unknown"
    """May have been taken. The channel's policy says whether a second copy is the lesser evil."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """One refusal: its kind, the stable word that it is grouped by, and what staff read: what is wrong and what to do."""

    kind: Kind
    code: str
    sentence: str

    def error(self, provider: str, *, said: object = "", retry_after_seconds: float | None = None) -> SendError:
        """Return the error that dispatch acts on. `said`: the provider's own words, which may be anything."""
        words = legible(str(said or ""))
        return SendError(
            self.code,
            f"{provider}: {self.sentence}" + (f"{SAID}{words}" if words else ""),
            provider=provider,
            permanent=self.kind is Kind.PERMANENT,
            ambiguous=self.kind is Kind.UNKNOWN,
            account=self.kind is Kind.ACCOUNT,
            retry_after_seconds=retry_after_seconds,
        )


@dataclass(frozen=True, slots=True)
class StatusMeanings:
    """What HTTP statuses other than success mean on one channel, where a provider's documentation says nothing else (RFC 9110, 15)."""

    own: Mapping[int, Meaning]
    """Statuses with a meaning of their own."""
    server_error: Meaning
    refused: Meaning
    redirected: Meaning
    unreadable: Meaning

    def __call__(self, status: int) -> Meaning:
        """Return what a status means."""
        if status in self.own:
            return self.own[status]
        if status >= 500:
            return self.server_error
        if status >= 400:
            return self.refused
        return self.redirected if status >= 300 else self.unreadable


def json_of(body: bytes) -> Any:
    """Return what a reply's body says; None when it is no JSON."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def legible(said: str) -> str:
    """Return a far end's words on one line, without control characters and not too long for a page."""
    words = " ".join("".join(c if c.isprintable() else " " for c in said).split())
    return words if len(words) <= MAX_SAID_CHARACTERS else f"{words[: MAX_SAID_CHARACTERS - 1]}…"
