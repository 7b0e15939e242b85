"""APNs: pushes to Apple's devices, over one HTTP/2 connection and with a provider token.

https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns. Here belong the request
and how a reply is read; what its reasons mean is in `codes_apns`, the token in `apple_token`, HTTP/2 in `http2`. No settings, no
retry, no status.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote
from uuid import uuid5

import orjson

from deliveries.channels import Priority
from deliveries.senders.apple_token import ProviderToken
from deliveries.senders.base import Device, Message, Receipt, SendError
from deliveries.senders.codes_apns import REASONS
from deliveries.senders.devices import KEEP_SECONDS, DeviceSender, meaning_of_status, seconds_left, shown
from deliveries.senders.http import Reply
from deliveries.senders.http2 import Http2Client
from deliveries.senders.refusals import json_of

PROVIDER: Final = "apns"
PRODUCTION_URL: Final = "https://api.push.apple.com"
SANDBOX_URL: Final = "https://api.sandbox.push.apple.com"
MOST_REPLY_BYTES: Final = 4_096
#: 10 is immediately, and what APNs does by default; 5 takes the device's battery into account.
PRIORITIES: Final = {Priority.HIGH: "10", Priority.NORMAL: "10", Priority.LOW: "5"}


class ApnsSender(DeviceSender):
    """Sends to the devices of one app. `key`: the .p8 file of `key_id`, which belongs to `team_id`; `topic`: the bundle id.

    The `apns-id` of a job and a device is the same at every attempt, and a copy replaces the first on the screen.
    `timeout_seconds` bounds a whole `send`. Raises on construction: ValueError for settings that cannot work.
    """

    def __init__(
        self,
        *,
        key: str,
        key_id: str,
        team_id: str,
        topic: str,
        base_url: str = PRODUCTION_URL,
        keep_seconds: int = KEEP_SECONDS,
        timeout_seconds: float = 20.0,
        ca_file: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._token = ProviderToken(key=key, key_id=key_id, team_id=team_id, clock=clock)
        self._topic = topic.strip()
        self._keep_seconds = keep_seconds
        self._http = Http2Client(
            base_url=base_url, timeout_seconds=timeout_seconds, most_bytes=MOST_REPLY_BYTES, ca_file=ca_file
        )

    async def send(self, message: Message, device: Device) -> Receipt:
        """Hand the message to APNs. Raises: SendError: those of `codes_apns`, `devices.meaning_of_status` and `Http2Client`."""
        body = orjson.dumps(_payload(message))
        token = self._token.value()
        apns_id = str(uuid5(message.job_id, str(device.id)))
        headers = {
            "authorization": f"bearer {token}",
            "apns-id": apns_id,
            "apns-topic": self._topic,
            "apns-push-type": "alert",
            **wishes(message, self._keep_seconds),
        }
        path = f"/3/device/{quote(device.token, safe='')}"
        reply = await self._http.request("POST", path, headers=headers, body=body, provider=PROVIDER)
        if reply.status == 200:
            return Receipt(PROVIDER, apns_id)
        raise self._refusal(reply, token)

    async def check(self) -> str:
        """Sign a token and open the connection. Raises: SendError: those of `Http2Client`."""
        self._token.value()
        await self._http.connect(provider=PROVIDER)
        return "The key signs, and Apple's server speaks HTTP/2 with us. Whether it takes the key shows with the first push."

    def _refusal(self, reply: Reply, token: str) -> SendError:
        answer = json_of(reply.body)
        reason = str(answer.get("reason", "")) if isinstance(answer, dict) else ""
        if reason == "ExpiredProviderToken":
            self._token.expired(token)
        meaning = REASONS.get(reason) or meaning_of_status(reply.status)
        return meaning.error(PROVIDER, said=reason, retry_after_seconds=reply.retry_after_seconds)

    async def open(self) -> None:
        """Prepare for requests; the first one connects."""
        await self._http.open()

    async def close(self) -> None:
        """Let go of the connection. Idempotent."""
        await self._http.close()


def wishes(message: Message, keep_seconds: int) -> dict[str, str]:
    """Return the headers that say how to deliver: how urgent, until when, and in place of which earlier copy."""
    return {
        "apns-priority": PRIORITIES[Priority(message.priority)],
        "apns-expiration": str(int(time.time()) + seconds_left(message, keep_seconds)),
        "apns-collapse-id": str(message.job_id),
    }


def _payload(message: Message) -> dict[str, Any]:
    content = shown(message)
    alert = {name: text for name, text in content.items() if name in ("title", "body")}
    ours = {name: text for name, text in content.items() if name in ("job_id", "action_url")}
    return {"aps": {"alert": alert, "sound": "default"}, **ours}
