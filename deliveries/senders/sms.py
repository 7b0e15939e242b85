"""What the SMS senders share: whom a provider is asked to text and with what, and what its refusals can mean.

Here belong the words that do not depend on the provider; a provider's own codes are a table of `Meaning` beside its sender.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from deliveries.phones import BadPhoneNumber, e164
from deliveries.senders.base import Content, Message, SendError
from deliveries.senders.http import Reply

MAX_SAID_CHARACTERS = 300


class Kind(StrEnum):
    """What a refusal says about trying again."""

    TEMPORARY = "temporary"
    """Not taken; the same text may be taken later, or by another provider."""
    PERMANENT = "permanent"
    """Not taken; this text to this person never will be."""
    ACCOUNT = "account"
    """Not taken; the provider refuses us, whatever the text."""
    UNKNOWN = "unknown"
    """May have been taken. It is never tried again, as nobody wants a text twice."""


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
            f"{provider}: {self.sentence}" + (f" It said: {words}" if words else ""),
            provider=provider,
            permanent=self.kind is Kind.PERMANENT,
            ambiguous=self.kind is Kind.UNKNOWN,
            account=self.kind is Kind.ACCOUNT,
            retry_after_seconds=retry_after_seconds,
        )


RATE_LIMITED = Meaning(
    Kind.TEMPORARY, "rate_limited", "We send faster than the account may. It waits and tries again; lower the provider's rate if it lasts."
)
ACCOUNT_REFUSED = Meaning(
    Kind.ACCOUNT, "account_refused", "It refuses our account. Check its credentials, balance and permissions in the provider's settings."
)
WRONG_URL = Meaning(Kind.ACCOUNT, "wrong_url", "Nothing takes texts at its URL. Check the URL in the provider's settings.")
NOT_RECEIVED = Meaning(Kind.TEMPORARY, "request_timeout", "It did not get the whole request. It is tried again by itself.")
TOO_LARGE = Meaning(Kind.PERMANENT, "too_large", "The text is longer than it takes. Shorten the template or the data.")
REFUSED = Meaning(Kind.PERMANENT, "refused_by_provider", "It refuses this text. Read what it said and correct contact or template.")
PROVIDER_ERROR = Meaning(
    Kind.UNKNOWN, "provider_error", "It had an error of its own and may have sent the text. Look into its log before sending again."
)
UNREADABLE_REPLY = Meaning(
    Kind.UNKNOWN, "malformed_reply", "It answered something that we cannot read and may have sent the text. Look into its log before sending again."
)

#: What an HTTP status means where the provider's documentation says nothing else (RFC 9110, section 15; RFC 6585).
_BY_STATUS = {
    **dict.fromkeys((401, 402, 403, 407), ACCOUNT_REFUSED),
    **dict.fromkeys((404, 405, 410), WRONG_URL),
    408: NOT_RECEIVED,
    413: TOO_LARGE,
    429: RATE_LIMITED,
}


def meaning_of_status(status: int) -> Meaning:
    """Return what a status other than success means. A 5xx may come after the text was taken, so nobody knows."""
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status >= 500:
        return PROVIDER_ERROR
    if status >= 400:
        return REFUSED
    return WRONG_URL if status >= 300 else UNREADABLE_REPLY


def text_of(content: Content) -> str:
    """Return what the person reads: the text, or the title where there is only one. What a preview counts, too."""
    return content.text.strip() or content.subject.strip()


def addressed(message: Message, *, region: str, provider: str) -> tuple[str, str]:
    """Return the number (E.164) and the text to hand over. Raises: SendError, permanent, before anything is sent."""
    text = text_of(message.content)
    if not text:
        raise SendError("empty_message", "The text would be empty. Give its template a text.", provider=provider, permanent=True)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise SendError(
            "bad_text", "The text holds half a character. Cut texts between whole characters.", provider=provider, permanent=True
        ) from None
    try:
        return e164(message.to, region=region), text
    except BadPhoneNumber as error:
        raise SendError(error.code, str(error), provider=provider, permanent=True) from error


def json_of(reply: Reply) -> Any:
    """Return a reply's body; None when it is no JSON."""
    try:
        return msgspec.json.decode(reply.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def legible(said: str) -> str:
    """Return a far end's words on one line, without control characters and not too long for a page."""
    words = " ".join("".join(c if c.isprintable() else " " for c in said).split())
    return words if len(words) <= MAX_SAID_CHARACTERS else f"{words[: MAX_SAID_CHARACTERS - 1]}…"
