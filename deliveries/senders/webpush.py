"""Web Push: to browsers, through whatever push service the browser chose (RFC 8030).

Here belong the request and how a reply is read. What a status means is in `codes_webpush`, signature and encryption in
`webpush_crypto`. No settings, no retry, no status.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

import orjson

from deliveries.channels import Priority
from deliveries.senders.base import Device, Message, Receipt
from deliveries.senders.codes_webpush import STATUSES
from deliveries.senders.devices import (
    BAD_DEVICE,
    KEEP_SECONDS,
    PROVIDER_ERROR,
    REFUSED,
    DeviceSender,
    seconds_left,
    shown,
)
from deliveries.senders.http import HttpClient
from deliveries.senders.refusals import legible
from deliveries.senders.webpush_crypto import Vapid, encrypted

PROVIDER: Final = "webpush"
#: RFC 8030, 5.3
URGENCIES: Final = {Priority.HIGH: "high", Priority.NORMAL: "normal", Priority.LOW: "low"}


class WebPushSender(DeviceSender):
    """Sends to browsers that subscribed with our VAPID key.

    `key`: its private half, as 32 bytes in base64url or as PEM. `contact`: whom a push service may ask about us, a
    mailto: or https: address. The service worker gets what `devices.shown` returns, as JSON. A copy of a job replaces the
    first while the push service still keeps that one. Raises on construction: ValueError for settings that cannot work.
    """

    def __init__(
        self,
        *,
        key: str,
        contact: str,
        keep_seconds: int = KEEP_SECONDS,
        connections: int = 50,
        timeout_seconds: float = 20.0,
        allow_private: bool = False,
        ca_file: str = "",
    ) -> None:
        self._vapid = Vapid(key=key, contact=contact)
        self._keep_seconds = keep_seconds
        self._http = HttpClient(
            connections=connections, timeout_seconds=timeout_seconds, allow_private=allow_private, ca_file=ca_file
        )

    async def send(self, message: Message, device: Device) -> Receipt:
        """Hand the message to the subscription's push service. Raises: SendError: those of `STATUSES` and `HttpClient`."""
        try:
            origin = _origin(device.token)
            body = encrypted(orjson.dumps(shown(message)), p256dh=device.keys["p256dh"], auth=device.keys["auth"])
        except (KeyError, ValueError) as error:
            raise BAD_DEVICE.error(PROVIDER) from error
        headers = {
            "Authorization": self._vapid.authorization(origin),
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            **wishes(message, self._keep_seconds),
        }
        reply = await self._http.request("POST", device.token, headers=headers, body=body, provider=PROVIDER)
        if 200 <= reply.status < 300:
            return Receipt(PROVIDER, legible(reply.headers.get("location", "")))
        meaning = STATUSES.get(reply.status) or (PROVIDER_ERROR if reply.status >= 500 else REFUSED)
        said = f"{reply.status} {reply.body[:200].decode('utf-8', 'replace')}"
        raise meaning.error(f"{PROVIDER} ({origin})", said=said, retry_after_seconds=reply.retry_after_seconds)

    async def open(self) -> None:
        """Prepare for requests."""
        await self._http.open()

    async def close(self) -> None:
        """Let go of every connection. Idempotent."""
        await self._http.close()


def wishes(message: Message, keep_seconds: int) -> dict[str, str]:
    """Return the headers that say how to deliver: until when, how urgent, and in place of which earlier copy (RFC 8030, 5)."""
    return {
        "TTL": str(seconds_left(message, keep_seconds)),
        "Urgency": URGENCIES[Priority(message.priority)],
        "Topic": message.job_id.hex,  # at most 32 characters
    }


def _origin(endpoint: str) -> str:
    url = urlsplit(endpoint)
    if url.scheme != "https" or not url.hostname:
        raise ValueError("a push service has an https: address")
    return f"https://{url.netloc.lower()}"
