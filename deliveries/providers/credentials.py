"""Providers' secrets at rest: one sealed JSON object a provider, under keys that only the environment holds.

The first key of CREDENTIALS_KEYS seals, all of them open, so a new key is put in front and `manage.py rotate_credentials` seals anew.
Opened secrets go to senders and nowhere else.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping

import orjson
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings


class CredentialsError(Exception):
    """Sealed credentials cannot be opened. The message says what to do and holds no secret."""


def seal(secrets: Mapping[str, str]) -> bytes:
    """Return secrets sealed under the newest key (Fernet: AES-128-CBC and HMAC-SHA-256, with the time of sealing)."""
    return _keys().encrypt(orjson.dumps(dict(secrets)))


def unseal(sealed: bytes | memoryview) -> dict[str, str]:
    """Return sealed secrets. Raises: CredentialsError when no key of CREDENTIALS_KEYS fits."""
    if not sealed:
        return {}
    try:
        opened: dict[str, str] = orjson.loads(_keys().decrypt(bytes(sealed)))
    except InvalidToken:
        raise CredentialsError(
            "No key of CREDENTIALS_KEYS opens these credentials. Put the key that sealed them behind the newest, or enter them again."
        ) from None
    return opened


def reseal(sealed: bytes) -> bytes:
    """Return the same secrets under the newest key. Raises: CredentialsError."""
    return seal(unseal(sealed))


def _keys() -> MultiFernet:
    """Return the keys, newest first. Any text of enough length serves as one, since it is hashed; a system check asks for 32 characters.

    Without CREDENTIALS_KEYS, SECRET_KEY stands in: then it cannot be changed without entering all credentials again.
    """
    texts = settings.CREDENTIALS_KEYS or [settings.SECRET_KEY]
    return MultiFernet(
        [Fernet(base64.urlsafe_b64encode(hashlib.sha256(b"credentials:" + text.encode()).digest())) for text in texts]
    )
