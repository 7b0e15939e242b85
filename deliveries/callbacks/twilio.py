"""Twilio's status callbacks: a signed form for each change of a text's status.

Sources: https://www.twilio.com/docs/usage/webhooks/webhooks-security (signature) and
https://www.twilio.com/docs/messaging/guides/outbound-message-status-in-status-callbacks (statuses). Pure.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterator, Sequence
from urllib.parse import parse_qsl, urlsplit

from deliveries.callbacks.base import BadCallback, EventKind, ProviderEvent
from deliveries.senders.codes_twilio import CODES, source

SIGNATURE_HEADER = "X-Twilio-Signature"
JOB_PARAMETER = "job"
MAX_FIELDS = 100
_PORTS = {"http": 80, "https": 443}

#: Every other status (accepted, queued, sending, sent and so on) is on the way to one of these.
KINDS = {
    "delivered": EventKind.DELIVERED,
    "read": EventKind.OPENED,
    "failed": EventKind.FAILED,
    "undelivered": EventKind.FAILED,
    "canceled": EventKind.FAILED,
}


def verify(*, auth_tokens: Sequence[str], url: str, body: bytes, signature: str) -> bool:
    """Say whether Twilio signed this request with one of the tokens (two while one is being replaced).

    `url` is the one that Twilio called, query included, as the public sees it; `body` the form, untouched. Twilio signs
    the URL with its port or without, so both count. An empty token fits nothing. A repeated callback verifies again.
    """
    try:
        urls = set(_spellings(url))
        fields = "".join(name + value for name, value in sorted(set(_fields(body))))
    except ValueError:
        return False
    given = signature.strip().encode("utf-8", "replace")
    expected = [_signature(token, one + fields) for token in auth_tokens if token for one in urls]
    return any(hmac.compare_digest(one, given) for one in expected)


def read(body: bytes, *, url: str = "") -> list[ProviderEvent]:
    """Return what a verified callback reports; nothing while the text is still on its way. Raises: BadCallback.

    `url`: the verified one; its parameter `job` is the reference that the sender put there.
    """
    try:
        fields = dict(_fields(body))
    except ValueError as error:
        raise BadCallback("The body is no form of UTF-8 texts.") from error
    sid = fields.get("MessageSid") or fields.get("SmsSid")
    status = fields.get("MessageStatus") or fields.get("SmsStatus")
    if not sid or not status:
        raise BadCallback(
            "MessageSid or MessageStatus is missing; only Twilio's StatusCallback for messages belongs here."
        )
    kind = KINDS.get(status)
    if kind is None:
        return []
    code, message = _cause(status, fields.get("ErrorCode", "")) if kind is EventKind.FAILED else ("", "")
    reference = dict(parse_qsl(urlsplit(url).query)).get(JOB_PARAMETER, "")
    return [ProviderEvent(sid, kind, code=code, message=message, address=fields.get("To", ""), reference=reference)]


def _cause(status: str, number: str) -> tuple[str, str]:
    if (meaning := CODES.get(number)) is not None:
        return meaning.code, f"{meaning.sentence} (Twilio {number})"
    if number.isascii() and number.isdecimal() and len(number) <= 9:
        return f"twilio_{number}", f"Twilio reports the text as {status}; {source(number)} says why."
    return status, f"Twilio reports the text as {status} and gives no reason."


def _fields(body: bytes) -> list[tuple[str, str]]:
    """Return the form's fields, decoded as they were signed. Raises: ValueError for one that is no UTF-8 or too long."""
    return parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)


def _spellings(url: str) -> Iterator[str]:
    yield url
    parts = urlsplit(url)
    bare = parts.netloc if parts.port is None else parts.netloc.removesuffix(f":{parts.port}")
    yield parts._replace(netloc=bare).geturl()
    if port := parts.port or _PORTS.get(parts.scheme):
        yield parts._replace(netloc=f"{bare}:{port}").geturl()


def _signature(token: str, signed: str) -> bytes:
    # SHA-1 is what Twilio signs with; as the hash of an HMAC it is not broken.
    return base64.b64encode(hmac.new(token.encode(), signed.encode(), hashlib.sha1).digest())
