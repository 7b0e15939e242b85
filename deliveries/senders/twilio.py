"""SMS over Twilio's Messaging API (https://www.twilio.com/docs/messaging/api/message-resource): one form in, one JSON object out.

What its error codes mean is data, in `codes_twilio`; what SMS senders share is in `sms`. No settings, no retry, no status.
"""

from __future__ import annotations

import base64
import re
from typing import Any, ClassVar
from urllib.parse import urlencode

from deliveries.channels import Channel
from deliveries.phones import known_region
from deliveries.senders.base import Message, Receipt, Sender, SendError
from deliveries.senders.codes_twilio import CODES
from deliveries.senders.http import HttpClient, Reply
from deliveries.senders.refusals import json_of, legible
from deliveries.senders.sms import ACCOUNT_REFUSED, UNREADABLE_REPLY, WRONG_URL, addressed, meaning_of_status

PROVIDER = "twilio"
BASE_URL = "https://api.twilio.com"
_ACCOUNT_SID = re.compile(r"AC[0-9a-fA-F]{32}")
REFERENCE = "{reference}"


class TwilioSender(Sender):
    """Texts from one number (`from_number`, also a short code or an alphanumeric id) or one Messaging Service.

    `auth_token` belongs to the account, or to `api_key_sid` where that is given. `status_callback` is where Twilio tells
    what became of a text; `{reference}` in it becomes the job's id, which also finds texts whose receipt never reached us.
    `default_region` (DE) is the country of numbers without a country code.

    Twilio knows no idempotency key, so whatever may have been taken is ambiguous: a time-out or cut after the request
    left, every 5xx, a success without a message id. Raises on construction: ValueError for settings that cannot work.
    """

    channel: ClassVar[Channel] = Channel.SMS

    def __init__(
        self,
        *,
        account_sid: str,
        auth_token: str,
        api_key_sid: str = "",
        from_number: str = "",
        messaging_service_sid: str = "",
        status_callback: str = "",
        default_region: str = "",
        base_url: str = BASE_URL,
        connections: int = 50,
        timeout_seconds: float = 20.0,
        allow_private: bool = False,
        ca_file: str = "",
    ) -> None:
        if not _ACCOUNT_SID.fullmatch(account_sid):
            raise ValueError("account_sid must be AC and 32 hexadecimal digits; copy it from Twilio's console.")
        if not auth_token:
            raise ValueError("auth_token is empty; copy it from Twilio's console.")
        if bool(from_number) == bool(messaging_service_sid):
            raise ValueError("Give either from_number or messaging_service_sid.")
        self.capacity = connections
        self._region = known_region(default_region)
        self._sender = {"From": from_number} if from_number else {"MessagingServiceSid": messaging_service_sid}
        self._status_callback = status_callback
        account = f"{base_url.rstrip('/')}/2010-04-01/Accounts/{account_sid}"
        self._url = f"{account}/Messages.json"
        # https://www.twilio.com/docs/iam/api-keys: only the account itself and main keys may read the account.
        self._check_url = f"{self._url}?PageSize=1" if api_key_sid else f"{account}.json"
        credentials = base64.b64encode(f"{api_key_sid or account_sid}:{auth_token}".encode()).decode()
        self._headers = {
            "Authorization": f"Basic {credentials}",
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
        }
        self._http = HttpClient(
            connections=connections, timeout_seconds=timeout_seconds, allow_private=allow_private, ca_file=ca_file
        )

    async def send(self, message: Message) -> Receipt:
        """Hand one text to Twilio. Returns when Twilio has queued it; what became of it comes as a status callback.

        Raises: SendError. Before anything is sent: `empty_message`, `bad_text`, `bad_address` (permanent) and those of
        `HttpClient`. After Twilio's answer: the codes of `codes_twilio` and of `sms.meaning_of_status`.
        """
        to, text = addressed(message, region=self._region, provider=PROVIDER)
        form = {"To": to, "Body": text, **self._sender}
        if self._status_callback:
            form["StatusCallback"] = self._status_callback.replace(REFERENCE, str(message.job_id))
        body = urlencode(form).encode("ascii")
        reply = await self._http.request("POST", self._url, headers=self._headers, body=body, provider=PROVIDER)
        answer = json_of(reply.body)
        fields: dict[str, Any] = answer if isinstance(answer, dict) else {}
        if not 200 <= reply.status < 300:
            raise _refusal(reply, fields.get("code"), fields.get("message"))
        if fields.get("error_code"):
            raise _refusal(reply, fields["error_code"], fields.get("error_message"))
        if not isinstance(sid := fields.get("sid"), str) or not sid:
            raise UNREADABLE_REPLY.error(PROVIDER)
        return Receipt(PROVIDER, sid)

    async def check(self) -> str:
        """Read the account, or what an API key may read. Raises: SendError, also for an account that is not active."""
        reply = await self._http.request(
            "GET", self._check_url, headers=self._headers, body=b"", provider=PROVIDER, is_idempotent=True
        )
        answer = json_of(reply.body)
        fields: dict[str, Any] = answer if isinstance(answer, dict) else {}
        if reply.status >= 500:
            said = f"{PROVIDER} has an error of its own ({reply.status}). Check again later."
            raise SendError("provider_error", said, provider=PROVIDER)
        if reply.status != 200:
            raise _refusal(reply, fields.get("code"), fields.get("message"))
        if "messages" in fields:
            return "Twilio takes the API key."
        if "status" not in fields:
            raise WRONG_URL.error(PROVIDER)
        name, status = legible(str(fields.get("friendly_name", ""))), legible(str(fields["status"]))
        if status != "active":
            raise ACCOUNT_REFUSED.error(PROVIDER, said=f"the account {name} is {status}")
        return f"Twilio says that the account {name} is {status}."

    async def open(self) -> None:
        """Make the connection pool; the first text opens a connection."""
        await self._http.open()

    async def close(self) -> None:
        """Close every connection. Idempotent."""
        await self._http.close()


def _refusal(reply: Reply, code: object, said: object) -> SendError:
    """Choose what a refusal means: the code's row, else what the status says. No code makes a 5xx certain."""
    meaning = meaning_of_status(reply.status)
    if reply.status < 500:
        meaning = CODES.get(str(code)) or meaning
    words = f"{said or ''} (Twilio {code})" if code else said
    return meaning.error(PROVIDER, said=words, retry_after_seconds=reply.retry_after_seconds)
