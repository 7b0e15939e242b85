"""Unsubscribing from a category: the link that says who does not want what, the headers that carry it, and what it does.

A token is sealed with AES-SIV (RFC 5297) under SECRET_KEY, so nothing in it can be read or changed, and the same wish always has the same
token. It does not expire: people unsubscribe from old mails. SECRET_KEY_FALLBACKS open what older keys sealed. The page is
`deliveries/unsubscribe_page.py`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from django.conf import settings
from django.db.models import QuerySet

from deliveries.channels import Channel
from deliveries.models import OptOut

PURPOSE: Final = b"deliveries.unsubscribe.1"
MAX_TOKEN_CHARACTERS: Final = 600
ONE_CLICK: Final = "List-Unsubscribe=One-Click"
_HEAD: Final = struct.Struct(">Q16sB")


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody does not want: one category of one channel's messages of a tenant."""

    tenant_id: int
    user_id: UUID
    channel: str
    category: str


class BadTokenError(ValueError):
    """No key of ours sealed it, or it was altered."""


def token_of(wish: Wish) -> str:
    """Return the token of a wish, as it may stand in a URL: always the same while SECRET_KEY is."""
    channel = wish.channel.encode()
    clear = _HEAD.pack(wish.tenant_id, wish.user_id.bytes, len(channel)) + channel + wish.category.encode()
    sealed = _cipher(settings.SECRET_KEY).encrypt(clear, [PURPOSE])
    return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()


def wish_of(token: str) -> Wish:
    """Return the wish that a token names. Raises: BadTokenError."""
    if not token.isascii() or len(token) > MAX_TOKEN_CHARACTERS:
        raise BadTokenError
    try:
        sealed = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise BadTokenError from None
    if base64.urlsafe_b64encode(sealed).rstrip(b"=").decode() != token:  # another spelling of the same bytes
        raise BadTokenError
    for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS):
        try:
            clear = _cipher(key).decrypt(sealed, [PURPOSE])
        except (InvalidTag, ValueError):
            continue
        tenant_id, user, length = _HEAD.unpack_from(clear)
        rest = clear[_HEAD.size :]
        return Wish(tenant_id, UUID(bytes=user), rest[:length].decode(), rest[length:].decode())
    raise BadTokenError


def link_of(wish: Wish) -> str:
    """Return the address of the wish's page; empty where nobody can unsubscribe: no category, a mandatory one, or no PUBLIC_URL."""
    if not wish.category or is_mandatory(wish) or not settings.PUBLIC_URL:
        return ""
    return f"{settings.PUBLIC_URL.rstrip('/')}/u/{token_of(wish)}"


def is_mandatory(wish: Wish) -> bool:
    """Say whether nobody can unsubscribe from the category, whatever an older link or an older wish says."""
    return wish.category in settings.MANDATORY_CATEGORIES


def headers_for(channel: str, link: str) -> Mapping[str, str]:
    """Return the headers by which a mail program unsubscribes (RFC 2369), with one click over HTTPS (RFC 8058); none without a link."""
    if channel != Channel.EMAIL or not link:
        return {}
    one_click = {"List-Unsubscribe-Post": ONE_CLICK} if link.startswith("https://") else {}
    return {"List-Unsubscribe": f"<{link}>", **one_click}


def opt_out(wish: Wish) -> None:
    """Let nothing of the category reach the person any more. Idempotent."""
    OptOut.objects.bulk_create([_row(wish)], ignore_conflicts=True)


def opt_in(wish: Wish) -> None:
    """Take `opt_out` back. Idempotent."""
    _rows(wish).delete()


def is_opted_out(wish: Wish) -> bool:
    """Say whether `opt_out` holds."""
    return _rows(wish).exists()


def _row(wish: Wish) -> OptOut:
    return OptOut(tenant_id=wish.tenant_id, user_id=wish.user_id, channel=wish.channel, category=wish.category)


def _rows(wish: Wish) -> QuerySet[OptOut]:
    return OptOut.objects.filter(
        tenant=wish.tenant_id, user_id=wish.user_id, channel=wish.channel, category=wish.category
    )


@lru_cache(maxsize=8)
def _cipher(secret: str) -> AESSIV:
    return AESSIV(hashlib.sha512(PURPOSE + b":" + secret.encode()).digest())
