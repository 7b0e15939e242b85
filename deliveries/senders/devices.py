"""What the platforms of push share: the contract of a platform, what a phone shows, how long it may wait, what refusals can mean.

A platform's protocol is in its own file; several devices become one delivery in `push`. No settings, no retry, no status.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from deliveries.senders.base import UNCHECKABLE, Device, Message, Receipt, SendError
from deliveries.senders.refusals import Kind, Meaning, StatusMeanings

KEEP_SECONDS: Final = 86_400
"""How long a platform keeps a push for a device that is switched off, unless the message expires before."""
MAX_SHOWN_BYTES: Final = 3_800
"""The platforms take 4,096 bytes, of which some are their own: FCM's and APNs' keys, Web Push's encryption (RFC 8291, 4)."""

DEVICE_GONE = Meaning(
    Kind.PERMANENT,
    "device_gone",
    "The app is no longer on this device. The device is forgotten until it registers again.",
)
BAD_DEVICE = Meaning(
    Kind.PERMANENT,
    "bad_device",
    "The device's token or keys are no valid ones. It is forgotten until it registers again.",
)
DEAD_CODES: Final = frozenset({DEVICE_GONE.code, BAD_DEVICE.code})
"""After these nothing will ever arrive at the device."""
RATE_LIMITED = Meaning(
    Kind.TEMPORARY, "rate_limited", "We send faster than it takes. It waits and tries again by itself."
)
TOO_LARGE = Meaning(Kind.PERMANENT, "too_large", "The push is larger than devices get. Shorten its title and text.")
REFUSED = Meaning(
    Kind.PERMANENT, "refused_by_provider", "It refuses this push. Read what it said and correct the template."
)
ACCOUNT_REFUSED = Meaning(
    Kind.ACCOUNT,
    "account_refused",
    "It refuses our credentials. Check them, and what they are allowed, in the provider's settings.",
)
WRONG_URL = Meaning(
    Kind.ACCOUNT, "wrong_url", "Nothing takes pushes at this address. Check project and URL in the provider's settings."
)
PROVIDER_ERROR = Meaning(Kind.TEMPORARY, "provider_error", "It had an error of its own. It is tried again by itself.")
UNREADABLE_REPLY = Meaning(
    Kind.UNKNOWN, "malformed_reply", "It answered something that we cannot read, and may have taken the push."
)
meaning_of_status: Final = StatusMeanings(
    own={
        **dict.fromkeys((401, 403), ACCOUNT_REFUSED),
        **dict.fromkeys((404, 405), WRONG_URL),
        408: PROVIDER_ERROR,
        413: TOO_LARGE,
        429: RATE_LIMITED,
    },
    server_error=PROVIDER_ERROR,
    refused=REFUSED,
    redirected=WRONG_URL,
    unreadable=UNREADABLE_REPLY,
)


class DeviceSender:
    """One platform. Like a `Sender`, for one device of a message: many at once, and a cancelled `send` harms no other."""

    async def open(self) -> None:
        """Prepare for sending on the running event loop; connects lazily."""

    async def send(self, message: Message, device: Device) -> Receipt:
        """Hand the message over for one device. Raises: SendError; with one of `DEAD_CODES` when the device is dead."""
        raise NotImplementedError

    async def check(self) -> str:
        """Ask the platform whether it takes us, sending nothing, and return what it said. Raises: SendError."""
        return UNCHECKABLE

    async def close(self) -> None:
        """Let go of every connection."""


def refused(code: str, message: str) -> SendError:
    """Return the error of a push that no platform was asked to take."""
    return SendError(code, message, provider="push", permanent=True)


def shown(message: Message) -> dict[str, str]:
    """Return what the device shows and where a tap leads; the same on every platform. Raises: SendError, permanent."""
    content = message.content
    fields = {"title": content.subject.strip(), "body": content.text.strip(), "action_url": content.action_url}
    fields = {name: text for name, text in fields.items() if text}
    if not fields.keys() & {"title", "body"}:
        raise refused("empty_message", "The push would have neither title nor text. Give its template one of them.")
    fields["job_id"] = str(message.job_id)
    try:
        size = len(orjson.dumps(fields))
    except orjson.JSONEncodeError:
        raise refused("bad_text", "The text holds half a character. Cut texts between whole characters.") from None
    if size > MAX_SHOWN_BYTES:
        raise refused(TOO_LARGE.code, f"{TOO_LARGE.sentence} It has {size:,} bytes of {MAX_SHOWN_BYTES:,}.")
    return fields


def seconds_left(message: Message, keep_seconds: int) -> int:
    """Return how long a platform may try to reach the device: `keep_seconds`, and not after the message's time is over."""
    if message.expires_at is None:
        return keep_seconds
    left = (message.expires_at - datetime.now(UTC)).total_seconds()
    return max(0, min(keep_seconds, int(left)))


def rsa_key(pem: str) -> rsa.RSAPrivateKey:
    """Read a key of the provider's settings. Raises: ValueError, which says nothing of what is in it."""
    key = _private_key(pem)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ValueError("The private key is no RSA key; enter the key file as it was downloaded.")
    return key


def p256_key(pem: str) -> ec.EllipticCurvePrivateKey:
    """Read a key of the provider's settings. Raises: ValueError, which says nothing of what is in it."""
    key = _private_key(pem)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError("The private key is no P-256 key; enter the key file as it was downloaded.")
    return key


def _private_key(pem: str) -> object:
    try:
        return load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
