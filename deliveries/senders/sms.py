"""What the SMS senders share: whom a provider is asked to text and with what, and what an HTTP status means for a text.

A provider's own codes are a table beside its sender. No network, no settings, no retry, no status.
"""

from __future__ import annotations

from deliveries.phones import BadPhoneNumber, e164
from deliveries.senders.base import Content, Message, SendError
from deliveries.senders.refusals import Kind, Meaning, StatusMeanings

RATE_LIMITED = Meaning(
    Kind.TEMPORARY,
    "rate_limited",
    "We send faster than the account may. It is tried again by itself; lower the provider's rate if it lasts.",
)
TRY_LATER = Meaning(Kind.TEMPORARY, "try_later", "It did not take the text for now. It is tried again by itself.")
ACCOUNT_REFUSED = Meaning(
    Kind.ACCOUNT,
    "account_refused",
    "It refuses our account. Check credentials, balance and permissions in the provider's settings.",
)
WRONG_URL = Meaning(
    Kind.ACCOUNT, "wrong_url", "Nothing takes texts at its URL. Check URL and account id in the provider's settings."
)
TOO_LARGE = Meaning(Kind.PERMANENT, "too_large", "The text is longer than it takes. Shorten the template or the data.")
REFUSED = Meaning(
    Kind.PERMANENT, "refused_by_provider", "It refuses this text. Read what it said and correct contact or template."
)
PROVIDER_ERROR = Meaning(
    Kind.UNKNOWN,
    "provider_error",
    "It had an error of its own and may have sent the text. Look into its log before sending again.",
)
UNREADABLE_REPLY = Meaning(
    Kind.UNKNOWN,
    "malformed_reply",
    "It answered without what its documentation promises and may have sent the text. Look into its log before sending again.",
)

#: A 5xx may come after the text was taken, so nobody knows.
meaning_of_status = StatusMeanings(
    own={
        **dict.fromkeys((401, 402, 403, 407), ACCOUNT_REFUSED),
        **dict.fromkeys((404, 405, 410), WRONG_URL),
        408: TRY_LATER,
        413: TOO_LARGE,
        429: RATE_LIMITED,
    },
    server_error=PROVIDER_ERROR,
    refused=REFUSED,
    redirected=WRONG_URL,
    unreadable=UNREADABLE_REPLY,
)


def text_of(content: Content) -> str:
    """Return what the person reads: the text, or the title where there is only one. What a preview counts, too."""
    return content.text.strip() or content.subject.strip()


def addressed(message: Message, *, region: str, provider: str) -> tuple[str, str]:
    """Return the number (E.164) and the text to hand over. Raises: SendError, permanent, before anything is sent."""
    text = text_of(message.content)
    if not text:
        raise SendError(
            "empty_message", "The text would be empty. Give its template a text.", provider=provider, permanent=True
        )
    try:
        text.encode()
    except UnicodeEncodeError:
        raise SendError(
            "bad_text",
            "The text holds half a character. Correct the data where the job is made: cut between whole characters.",
            provider=provider,
            permanent=True,
        ) from None
    try:
        return e164(message.to, region=region), text
    except BadPhoneNumber as error:
        raise SendError(error.code, str(error), provider=provider, permanent=True) from error
