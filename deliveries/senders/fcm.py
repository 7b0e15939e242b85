"""FCM, HTTP v1: pushes to Android, and to whatever else registers with Firebase.

https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages/send. Here belong the request and how a reply
is read; what its codes mean is in `codes_fcm`, the access token in `google_account`. No settings, no retry, no status.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

import orjson

from deliveries.channels import Priority
from deliveries.senders import apns, webpush
from deliveries.senders.base import Device, Message, Receipt, SendError
from deliveries.senders.codes_fcm import CODES, QUOTA_SECONDS, STATUSES, UNAUTHENTICATED
from deliveries.senders.devices import KEEP_SECONDS, RATE_LIMITED, DeviceSender, meaning_of_status, seconds_left, shown
from deliveries.senders.google_account import AccessToken, ServiceAccount
from deliveries.senders.http import HttpClient, Reply
from deliveries.senders.refusals import json_of

PROVIDER: Final = "fcm"
BASE_URL: Final = "https://fcm.googleapis.com"
SCOPE: Final = "https://www.googleapis.com/auth/firebase.messaging"
#: https://firebase.google.com/docs/cloud-messaging/android-message-priority; what a phone shows is high by default.
PRIORITIES: Final = {Priority.HIGH: "HIGH", Priority.NORMAL: "HIGH", Priority.LOW: "NORMAL"}


class FcmSender(DeviceSender):
    """Sends to the devices of one Firebase project.

    `service_account`: the key file, as the Firebase console gives it out. `timeout_seconds` bounds a whole `send`: half
    for an access token where one is due, half for the message. FCM knows no idempotency key; a copy replaces the first
    on the phone by its tag. Raises on construction: ValueError for a key file that cannot work.
    """

    def __init__(
        self,
        *,
        service_account: str,
        base_url: str = BASE_URL,
        keep_seconds: int = KEEP_SECONDS,
        connections: int = 50,
        timeout_seconds: float = 20.0,
        allow_private: bool = False,
        ca_file: str = "",
    ) -> None:
        self._account = account = ServiceAccount.read(service_account)
        self._url = f"{base_url.rstrip('/')}/v1/projects/{quote(account.project_id, safe='')}/messages:send"
        self._keep_seconds = keep_seconds
        self._http = HttpClient(
            connections=connections, timeout_seconds=timeout_seconds / 2, allow_private=allow_private, ca_file=ca_file
        )
        self._token = AccessToken(self._http, account, scope=SCOPE, provider=PROVIDER)

    async def send(self, message: Message, device: Device) -> Receipt:
        """Hand the message to FCM. Raises: SendError: those of `codes_fcm`, `devices.meaning_of_status` and `HttpClient`."""
        body = orjson.dumps({"message": self._message(message, device)})
        token = await self._token.value()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        reply = await self._http.request("POST", self._url, headers=headers, body=body, provider=PROVIDER)
        answer = json_of(reply.body)
        if reply.status == 200 and isinstance(answer, dict) and isinstance(answer.get("name"), str):
            return Receipt(PROVIDER, answer["name"])
        error = _refusal(reply, answer)
        if error.code == UNAUTHENTICATED.code:
            self._token.forget(token)
        raise error

    async def check(self) -> str:
        """Fetch an access token. Raises: SendError: those of `google_account` and `HttpClient`."""
        await self._token.value()
        return f"Google gave {self._account.email} an access token for the project {self._account.project_id}."

    def _message(self, message: Message, device: Device) -> dict[str, Any]:
        content = shown(message)
        return {
            "token": device.token,
            "notification": {name: text for name, text in content.items() if name in ("title", "body")},
            "data": {name: text for name, text in content.items() if name in ("job_id", "action_url")},
            "android": {
                "priority": PRIORITIES[Priority(message.priority)],
                "ttl": f"{seconds_left(message, self._keep_seconds)}s",
                "notification": {"tag": content["job_id"]},
            },
            "apns": {"headers": apns.wishes(message, self._keep_seconds)},
            "webpush": {"headers": webpush.wishes(message, self._keep_seconds)},
        }

    async def open(self) -> None:
        """Prepare for requests; the first one fetches an access token."""
        await self._http.open()

    async def close(self) -> None:
        """Let go of every connection. Idempotent."""
        await self._token.close()
        await self._http.close()


def _refusal(reply: Reply, answer: Any) -> SendError:
    error = answer.get("error") if isinstance(answer, dict) else None
    told = error if isinstance(error, dict) else {}
    details = told.get("details")
    codes = (
        [detail.get("errorCode") for detail in details if isinstance(detail, dict)] if isinstance(details, list) else []
    )
    known = (CODES[code] for code in codes if isinstance(code, str) and code in CODES)
    meaning = next(known, None) or STATUSES.get(str(told.get("status"))) or meaning_of_status(reply.status)
    wait = reply.retry_after_seconds
    if wait is None and meaning is RATE_LIMITED:
        wait = QUOTA_SECONDS
    return meaning.error(PROVIDER, said=told.get("message", ""), retry_after_seconds=wait)
