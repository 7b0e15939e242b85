"""The provider token of APNs: a JWT that our key signed, which names our team and must be neither too old nor too new.

https://developer.apple.com/documentation/usernotifications/establishing-a-token-based-connection-to-apns
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import jwt

from deliveries.senders.devices import p256_key

RENEW_SECONDS: Final = 40 * 60
LEAST_SECONDS: Final = 20 * 60
"""APNs wants a new token at most every 20 minutes, and refuses one older than 60."""


class ProviderToken:
    """The signed token of every request (ES256), renewed in time. `clock` tells the seconds of the epoch."""

    def __init__(self, *, key: str, key_id: str, team_id: str, clock: Callable[[], float] = time.time) -> None:
        self._key = p256_key(key)
        self._key_id = key_id.strip()
        self._team_id = team_id.strip()
        self._clock = clock
        self._value = ""
        self._issued_at = 0

    def value(self) -> str:
        """Return a token that APNs takes."""
        if not self._value or not 0 <= self._clock() - self._issued_at < RENEW_SECONDS:
            self._issued_at = int(self._clock())
            claims = {"iss": self._team_id, "iat": self._issued_at}
            self._value = jwt.encode(claims, self._key, "ES256", headers={"kid": self._key_id})
        return self._value

    def expired(self, value: str) -> None:
        """Learn that APNs finds this token too old. A younger one than it wants to see renewed stays: clocks disagree."""
        if value == self._value and self._clock() - self._issued_at >= LEAST_SECONDS:
            self._value = ""
