"""Who a socket belongs to: finds the JWT of a connection, takes it out of sight, and verifies it.

Here: tokens. Not here: sockets, the database (whether the tenant exists is asked of `inbox.py`), or making tokens: the
application that embeds the inbox signs them.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode
from uuid import UUID

import jwt
import structlog
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from deliveries.realtime.protocol import Code

log = structlog.get_logger(__name__)

SUBPROTOCOL = "bearer"
MAX_TOKEN_CHARACTERS = 8192
MIN_KEY_BYTES = 32
KEY_TYPES = {"HS256": "oct", "RS256": "RSA", "ES256": "EC"}
SCOPE_KEY = "notify.token"

_IN_TEXT = re.compile(r"(token(?:=|%3D))[^&\s\"']+|eyJ[\w-]+\.[\w-]+\.[\w-]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a valid token names. `tenant` is the tenant's slug; `expires_at` is Unix time in seconds."""

    tenant: str
    user_id: UUID
    expires_at: float


class TokenError(Exception):
    """A token is refused. `code` may be told to the client; the token itself is in neither text."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Verifier:
    """Verifies tokens by one pinned algorithm: HS256 with a shared key, RS256 or ES256 with the public keys of a JWKS.

    What a token's header says about its algorithm or where to fetch a key is never followed.
    """

    def __init__(
        self, *, algorithm: str, key: str = "", jwks: Mapping[str, Any] | None = None, audience: str = ""
    ) -> None:
        """Raises: ImproperlyConfigured, naming the setting."""
        if algorithm not in KEY_TYPES:
            raise ImproperlyConfigured(f"JWT_ALGORITHM is {algorithm!r}; it may be {', '.join(KEY_TYPES)}.")
        if algorithm == "HS256" and 0 < len(key.encode()) < MIN_KEY_BYTES:
            raise ImproperlyConfigured(f"JWT_KEY must have at least {MIN_KEY_BYTES} bytes for HS256 (RFC 7518, 3.2).")
        self._algorithm = algorithm
        self._audience = audience
        self._secret = key if algorithm == "HS256" else ""
        self._public = {} if algorithm == "HS256" else _public_keys(algorithm, jwks or {})

    @property
    def has_keys(self) -> bool:
        """Whether any token can be valid at all."""
        return bool(self._secret or self._public)

    def verify(self, token: str) -> Identity:
        """Return whom the token names. Raises: TokenError."""
        if not token:
            raise TokenError(Code.TOKEN_MISSING, "The connection carries no token.")
        if len(token) > MAX_TOKEN_CHARACTERS or not self.has_keys:
            raise token_invalid()
        try:
            claims = jwt.decode(
                token,
                self._key_for(token),
                algorithms=[self._algorithm],
                audience=self._audience or None,
                # `iat` in the near future is two clocks that differ, and no reason to refuse (RFC 7519, 4.1.6).
                options={
                    "require": ["exp", "sub", "tenant_id"],
                    "verify_aud": bool(self._audience),
                    "verify_iat": False,
                },
            )
        except jwt.ExpiredSignatureError:
            raise TokenError(Code.TOKEN_EXPIRED, "The token has expired.") from None
        except (jwt.PyJWTError, ValueError, OverflowError, RecursionError):
            # Beyond its own errors, PyJWT lets these through from numbers and texts that no honest issuer writes.
            raise token_invalid() from None
        return _identity(claims)

    def _key_for(self, token: str) -> Any:
        if self._algorithm == "HS256":
            return self._secret
        key_id = jwt.get_unverified_header(token).get("kid")
        if key_id is None and len(self._public) == 1:
            return next(iter(self._public.values()))
        if key_id not in self._public:
            raise jwt.InvalidKeyError("no such kid")
        return self._public[key_id]


def verifier_from_settings() -> Verifier:
    """Build the verifier that the JWT_* settings describe. Raises: ImproperlyConfigured."""
    verifier = Verifier(
        algorithm=settings.JWT_ALGORITHM,
        key=settings.JWT_KEY,
        jwks=settings.JWT_JWKS,
        audience=settings.JWT_AUDIENCE,
    )
    if not verifier.has_keys:
        log.warning("every inbox connection will be refused", help="set JWT_KEY, or JWT_JWKS for RS256 and ES256")
    return verifier


def conceal_token(scope: MutableMapping[str, Any]) -> None:
    """Move the connection's token out of the scope's headers and query to a key of its own, in place.

    Servers, middleware and tracers that print a scope's query or headers then print none. Of several tokens the header's
    counts, then the subprotocol's, then the query's. Call it before anything else sees the scope.
    """
    found: list[str] = []
    for name, value in scope["headers"]:
        if name == b"authorization":
            kind, _, token = value.decode("latin-1").partition(" ")
            found += [token.strip()] if kind.lower() == "bearer" else []
    offered = scope.get("subprotocols", [])
    if offered and offered[0] == SUBPROTOCOL:
        found += offered[1:2]
        scope["subprotocols"] = [SUBPROTOCOL]
    query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    found += [value for name, value in query if name == "token"]
    scope["query_string"] = urlencode([pair for pair in query if pair[0] != "token"]).encode("ascii")
    scope["headers"] = [
        pair for pair in scope["headers"] if pair[0] not in (b"authorization", b"sec-websocket-protocol")
    ]
    scope[SCOPE_KEY] = found[0] if found else ""


class HideTokens(logging.Filter):
    """Cuts tokens out of log lines. A net under `conceal_token`: at DEBUG, servers print a handshake before any application sees it."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every line through, without tokens."""
        text = record.getMessage()
        clean = _IN_TEXT.sub(lambda match: f"{match[1] or ''}[hidden]", text)
        if clean != text:
            record.msg, record.args = clean, None
        return True


def _identity(claims: Mapping[str, Any]) -> Identity:
    tenant, subject, expires_at = claims["tenant_id"], claims["sub"], claims["exp"]
    if not isinstance(tenant, str) or not isinstance(subject, str) or type(expires_at) not in (int, float):
        raise token_invalid()
    try:
        return Identity(tenant, UUID(subject), min(float(expires_at), time.time() + 366 * 86_400))
    except (ValueError, OverflowError):
        raise token_invalid() from None


def token_invalid() -> TokenError:
    """Return the one answer for every fault of a token, so that nobody can feel their way to a valid one."""
    return TokenError(Code.TOKEN_INVALID, "The token is not valid here.")


def _public_keys(algorithm: str, jwks: Mapping[str, Any]) -> dict[str | None, Any]:
    keys: dict[str | None, Any] = {}
    for entry in jwks.get("keys", []):
        is_ours = entry.get("kty") == KEY_TYPES[algorithm] and entry.get("alg", algorithm) == algorithm
        if not is_ours or entry.get("use", "sig") != "sig":
            continue  # a JWKS may well hold keys of other uses
        try:
            keys[entry.get("kid")] = jwt.PyJWK(entry, algorithm=algorithm).key
        except jwt.PyJWTError as error:
            raise ImproperlyConfigured(
                f"JWT_JWKS: the key {entry.get('kid')!r} does not fit {algorithm}: {error}"
            ) from None
    return keys
