"""Webhooks: a signed POST to the endpoint that a customer runs, after the Standard Webhooks specification.

Here belongs what is posted and how it is signed. What an endpoint's answer means stands in `codes_webhook`, which addresses
may be called in `http`; which endpoint has which secrets is the caller's matter.
"""

from __future__ import annotations

import datetime
from typing import ClassVar
from urllib.parse import urlsplit

from standardwebhooks import Webhook
from standardwebhooks.webhooks import EmptyWebhookSecretError

from deliveries.channels import Channel
from deliveries.json_text import json_bytes
from deliveries.senders.base import Message, Receipt, Sender, SendError
from deliveries.senders.codes_webhook import meaning_of
from deliveries.senders.http import HttpClient

EVENT_TYPE = "notification"
MAX_PROVIDER_CHARACTERS = 255


class WebhookSender(Sender):
    """Posts each message to the URL in `message.to`, signed with each of `message.secrets`: the receiver may know either.

    The limits on connections, time and addresses are those of `HttpClient`.
    """

    channel: ClassVar[Channel] = Channel.WEBHOOK

    def __init__(
        self,
        *,
        connections: int = 100,
        timeout_seconds: float = 20.0,
        allow_private: bool = False,
        ca_file: str = "",
    ) -> None:
        self.capacity = connections
        self._http = HttpClient(
            connections=connections, timeout_seconds=timeout_seconds, allow_private=allow_private, ca_file=ca_file
        )

    async def open(self) -> None:
        """Make the connection pool; the first message opens a connection."""
        await self._http.open()

    async def send(self, message: Message) -> Receipt:
        """Post one message. Returns when the endpoint has answered with a 2xx status.

        Raises: SendError. `bad_secret`, `redirect_refused`, `endpoint_gone` and most `http_4xx` are permanent; `http_408`,
        `http_425`, `http_429` and `http_5xx` temporary, with what Retry-After asks; the rest is `HttpClient.request`'s.
        """
        provider = provider_of(message.to)
        body = body_of(message)
        try:
            headers = headers_of(message, body)
        except (ValueError, EmptyWebhookSecretError):
            what = f"The endpoint at {provider} has no signing secret, or one that is broken. Give it a new one."
            raise SendError("bad_secret", what, provider=provider, permanent=True) from None
        reply = await self._http.request("POST", message.to, headers=headers, body=body, provider=provider)
        if 200 <= reply.status < 300:
            return Receipt(provider, headers["webhook-id"])
        said = reply.body.decode("utf-8", "replace")
        raise meaning_of(reply.status).error(provider, said=said, retry_after_seconds=reply.retry_after_seconds)

    async def close(self) -> None:
        """Close every connection. Idempotent."""
        await self._http.close()


def provider_of(url: str) -> str:
    """Name the endpoint's server in receipts and errors. Never the path, which may be a secret."""
    try:
        server = urlsplit(url).netloc.rpartition("@")[2]
    except ValueError:
        server = ""
    return server[:MAX_PROVIDER_CHARACTERS] or "webhook"


def body_of(message: Message) -> bytes:
    """Return the JSON that is posted, the same at every attempt."""
    content = message.content
    data = {
        "job_id": str(message.job_id),
        "user_id": str(message.user_id),
        "subject": content.subject,
        "text": content.text,
        **({"html": content.html} if content.html else {}),
        "action_url": content.action_url,
        "data": message.data,
    }
    return json_bytes({"type": EVENT_TYPE, "timestamp": message.accepted_at, "data": data})


def headers_of(message: Message, body: bytes) -> dict[str, str]:
    """Sign `body`, now. `webhook-id` is the job's id, the same at every attempt; the time is the attempt's.

    Raises: EmptyWebhookSecretError without a secret, ValueError for one that is not base64.
    """
    if not message.secrets:
        raise EmptyWebhookSecretError
    webhook_id, now = str(message.job_id), datetime.datetime.now(datetime.UTC)
    signatures = [Webhook(secret).sign(webhook_id, now, body.decode()) for secret in message.secrets]
    return {
        "content-type": "application/json",
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
