"""A browser's subscription and its push service, as a real server over TLS on loopback. It decrypts on its own.

RFC 8291 is written out here with `cryptography` alone, so that the sender's library is not held to itself. The path of
the endpoint chooses what happens: `/410`, `/503`: that status; `/429-after-7`: with Retry-After; `/silent`; `/cut`;
anything else: 201.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from deliveries.senders.base import Device
from tests.far_end import FarEnd, Line, Request, far_end, server_tls
from tests.smtp import Certificate

_FAULT = re.compile(r"POST /(\d{3})(?:-after-(\d+))? HTTP/1.1")


def base64url(raw: bytes) -> str:
    """Write as Web Push does: without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def point(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a key's public half, uncompressed."""
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


@dataclass(slots=True)
class Browser:
    """One subscription: its keys, and the reading of what comes."""

    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    auth: bytes = field(default_factory=lambda: os.urandom(16))

    def device(self, endpoint: str, *, device_id: int = 1) -> Device:
        """Return what the browser registers."""
        keys = {"p256dh": base64url(point(self.key)), "auth": base64url(self.auth)}
        return Device(device_id, "webpush", endpoint, keys)

    def read(self, body: bytes) -> Any:
        """Decrypt a message (RFC 8291, 3.4; RFC 8188, 2). Raises when a bit is wrong."""
        salt, record_size, id_size = body[:16], *struct.unpack("!LB", body[16:21])
        sender, sealed = body[21 : 21 + id_size], body[21 + id_size :]
        assert len(sender) == 65
        assert len(sealed) <= record_size <= 4096
        shared = self.key.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), sender))
        secret = _hkdf(self.auth, shared, b"WebPush: info\0" + point(self.key) + sender, 32)
        key = _hkdf(salt, secret, b"Content-Encoding: aes128gcm\0", 16)
        nonce = _hkdf(salt, secret, b"Content-Encoding: nonce\0", 12)
        padded = AESGCM(key).decrypt(nonce, sealed, None)
        plain, delimiter, padding = padded.rpartition(b"\x02")  # the last record ends in 2, then zeros
        assert delimiter and not padding.strip(b"\0")
        return json.loads(plain)


def _hkdf(salt: bytes, secret: bytes, info: bytes, size: int) -> bytes:
    return HKDF(hashes.SHA256(), size, salt, info).derive(secret)


async def _serve(line: Line, request: Request) -> bool:
    if request.line == "POST /silent HTTP/1.1":
        await line.hang()
        return False
    if request.line == "POST /cut HTTP/1.1":
        line.reset()
        return False
    if found := _FAULT.fullmatch(request.line):
        wait = f"Retry-After: {found[2]}\r\n" if found[2] else ""
        await line.say(f"HTTP/1.1 {found[1]} -\r\n{wait}Content-Length: 7\r\n\r\nbecause".encode())
    else:
        await line.say(b"HTTP/1.1 201 Created\r\nLocation: https://push.example/m/1\r\nContent-Length: 0\r\n\r\n")
    return True


@contextlib.asynccontextmanager
async def push_service(certificate: Certificate) -> AsyncIterator[FarEnd]:
    """Serve on 127.0.0.1."""
    async with far_end(_serve, tls=server_tls(certificate)) as far:
        yield far
