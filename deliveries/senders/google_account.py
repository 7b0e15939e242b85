"""A Google service account and its access token (RFC 7523): a JWT that the account signed, exchanged at Google's token URI.

https://developers.google.com/identity/protocols/oauth2/service-account. google-auth would make the request with a client of its
own; ours is guarded and asynchronous, and PyJWT, which signs for APNs and Web Push too, is enough for the rest.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric import rsa

from deliveries.senders.base import SendError
from deliveries.senders.devices import ACCOUNT_REFUSED, PROVIDER_ERROR, rsa_key
from deliveries.senders.http import HttpClient, Reply
from deliveries.senders.refusals import json_of
from deliveries.senders.shared_call import SharedCall

GRANT_TYPE: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
EARLY_SECONDS: Final = 60
"""An access token is renewed this long before its end, so that none ends on its way."""


class _KeyFile(msgspec.Struct, frozen=True):
    project_id: str
    client_email: str
    private_key: str
    private_key_id: str = ""
    token_uri: str = "https://oauth2.googleapis.com/token"  # noqa: S105


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """Who we are for Google, and the key that proves it."""

    project_id: str
    email: str
    key: rsa.RSAPrivateKey
    key_id: str
    token_uri: str

    @classmethod
    def read(cls, key_file: str) -> ServiceAccount:
        """Read the JSON file that Google gives out. Raises: ValueError, which says nothing of what is in the key."""
        try:
            file = msgspec.json.decode(key_file, type=_KeyFile)
        except (msgspec.DecodeError, UnicodeError) as error:
            raise ValueError(
                f"service_account is not the JSON key file of a service account; enter all of it. {error}"
            ) from None
        return cls(
            file.project_id,
            file.client_email,
            rsa_key(file.private_key),
            file.private_key_id,
            file.token_uri,
        )


class AccessToken:
    """The service account's access token: fetched once for all who need it, kept until shortly before its end."""

    def __init__(self, http: HttpClient, account: ServiceAccount, *, scope: str, provider: str) -> None:
        self._http = http
        self._account = account
        self._scope = scope
        self._provider = provider
        self._value = ""
        self._good_until = 0.0
        self._fetching = SharedCall(self._fetch)

    async def value(self) -> str:
        """Return a token that is still good. Raises: SendError, never ambiguous: no message is involved yet."""
        return self._value if time.monotonic() < self._good_until else await self._fetching.result()

    def forget(self, value: str) -> None:
        """Fetch another one for the next who asks, unless that has happened."""
        if value == self._value:
            self._good_until = 0.0

    async def close(self) -> None:
        """Stop fetching."""
        await self._fetching.close()

    async def _fetch(self) -> str:
        asked_at = time.monotonic()
        try:
            reply = await self._http.request(
                "POST",
                self._account.token_uri,
                headers={"Content-Type": "application/x-www-form-urlencoded"},
                body=urlencode({"grant_type": GRANT_TYPE, "assertion": self._assertion()}).encode(),
                provider=self._provider,
                is_idempotent=True,
            )
        except SendError as error:
            error.ambiguous = False
            raise
        answer = json_of(reply.body)
        granted = answer if isinstance(answer, dict) else {}
        value, seconds = granted.get("access_token"), granted.get("expires_in")
        if reply.status != 200 or not isinstance(value, str) or not isinstance(seconds, int | float):
            raise self._refusal(reply, granted)
        self._value, self._good_until = value, asked_at + seconds - EARLY_SECONDS
        return value

    def _assertion(self) -> str:
        account, now = self._account, int(time.time())
        claims = {"iss": account.email, "scope": self._scope, "aud": account.token_uri, "iat": now, "exp": now + 3600}
        return jwt.encode(claims, account.key, "RS256", headers={"kid": account.key_id})

    def _refusal(self, reply: Reply, granted: dict[str, Any]) -> SendError:
        """400 and 401 are about the account (RFC 6749, 5.2); the rest passes."""
        meaning = ACCOUNT_REFUSED if 400 <= reply.status < 500 and reply.status not in (408, 429) else PROVIDER_ERROR
        said = f"{reply.status} {granted.get('error', '')} {granted.get('error_description', '')} when asked for an access token"
        return meaning.error(self._provider, said=said, retry_after_seconds=reply.retry_after_seconds)
