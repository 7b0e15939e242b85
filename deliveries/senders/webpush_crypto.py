"""Web Push's cryptography: who we are for a push service (VAPID, RFC 8292), and what only the browser can read (RFC 8291)."""

from __future__ import annotations

import base64
import time
from typing import Final

import http_ece  # type: ignore[import-untyped]
import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from deliveries.senders.devices import p256_key

CURVE: Final = ec.SECP256R1()
VAPID_SECONDS: Final = 12 * 3600
"""How long a signature is good; at most 24 hours (RFC 8292, 2)."""


class Vapid:
    """Our key, and whom a push service may ask about us: a mailto: or https: address. Raises: ValueError for either.

    `public_key` is what a page subscribes with: its `applicationServerKey`.
    """

    def __init__(self, *, key: str, contact: str) -> None:
        if not contact.startswith(("mailto:", "https:")):
            raise ValueError("contact must be a mailto: or https: address; push services refuse others.")
        self._contact = contact
        self._key = _read(key)
        raw = self._key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        self.public_key = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    def authorization(self, origin: str) -> str:
        """Return the Authorization header for a push service."""
        claims = {"aud": origin, "exp": int(time.time()) + VAPID_SECONDS, "sub": self._contact}
        return f"vapid t={jwt.encode(claims, self._key, 'ES256')}, k={self.public_key}"


def encrypted(plain: bytes, *, p256dh: str, auth: str) -> bytes:
    """Encrypt for a subscription, in one record (RFC 8291, 4). Raises: ValueError for keys that are none."""
    theirs = ec.EllipticCurvePublicKey.from_encoded_point(CURVE, _decoded(p256dh, 65))
    ours = ec.generate_private_key(CURVE)
    secret = _decoded(auth, 16)
    body: bytes = http_ece.encrypt(plain, private_key=ours, dh=theirs, auth_secret=secret, version="aes128gcm")
    return body


def _read(key: str) -> ec.EllipticCurvePrivateKey:
    if "-----BEGIN" in key:
        return p256_key(key)
    try:
        return ec.derive_private_key(int.from_bytes(_decoded(key.strip(), 32)), CURVE)
    except ValueError:
        raise ValueError("key is no VAPID key: 32 bytes in base64url, or a PEM file.") from None


def _decoded(text: str, size: int) -> bytes:
    """Read base64url, with padding or without."""
    bare = text.rstrip("=").encode()
    raw = base64.b64decode(bare + b"=" * (-len(bare) % 4), altchars=b"-_", validate=True)
    if len(raw) != size:
        raise ValueError(f"{len(raw)} bytes instead of {size}")
    return raw
