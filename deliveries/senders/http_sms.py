"""SMS over any provider with an HTTP API, as described by configuration: see `http_sms_configuration`. No settings, no retry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from deliveries.channels import Channel
from deliveries.dotted import text_at
from deliveries.phones import known_region
from deliveries.senders.base import Message, Receipt, Sender, SendError
from deliveries.senders.http import HttpClient, Reply
from deliveries.senders.http_sms_configuration import Configuration, Template, check
from deliveries.senders.refusals import Meaning, json_of
from deliveries.senders.sms import (
    ACCOUNT_REFUSED,
    RATE_LIMITED,
    REFUSED,
    TRY_LATER,
    UNREADABLE_REPLY,
    addressed,
    meaning_of_status,
)

HIDDEN = "•••"


class HttpSmsSender(Sender):
    """Texts through the provider that `description` (decoded JSON) describes, with `secrets` put where it names them.

    Nothing is assumed to be idempotent, so whatever may have been taken is ambiguous: a time-out or cut after the request
    left, a 5xx that the description does not call temporary, a success without the message id that it promises.
    Raises on construction: BadConfiguration, or ValueError for a region that does not exist.
    """

    channel: ClassVar[Channel] = Channel.SMS

    def __init__(
        self,
        *,
        description: object,
        secrets: Mapping[str, str],
        provider: str = "sms",
        default_region: str = "",
        connections: int = 20,
        timeout_seconds: float = 20.0,
        allow_private: bool = False,
        ca_file: str = "",
    ) -> None:
        self.capacity = connections
        self._configuration = check(description, secrets=secrets)
        self._template = Template(self._configuration, secrets)
        self._by_status = _meanings(self._configuration)
        self._secrets = [secret for secret in secrets.values() if secret]
        self._provider = provider
        self._region = known_region(default_region)
        self._http = HttpClient(
            connections=connections, timeout_seconds=timeout_seconds, allow_private=allow_private, ca_file=ca_file
        )

    async def send(self, message: Message) -> Receipt:
        """Hand one text to the provider. Returns when its answer counts as sent.

        Raises: SendError. Before anything is sent: `empty_message`, `bad_text`, `bad_address` (permanent) and those of
        `HttpClient`. After the answer: the words of the description's `errors` and of `sms.meaning_of_status`.
        """
        to, text = addressed(message, region=self._region, provider=self._provider)
        configuration = self._configuration
        url, headers, body = self._template.request(
            {
                "to": to,
                "to_digits": to.removeprefix("+"),
                "from": configuration.sender,
                "text": text,
                "reference": str(message.job_id),
            }
        )
        reply = await self._http.request(configuration.method, url, headers=headers, body=body, provider=self._provider)
        answer = json_of(reply.body)
        if row := configuration.errors.get(text_at(answer, configuration.error_code)):
            raise self._refusal(Meaning(row.kind, row.code, row.message), reply, answer)
        if reply.status not in configuration.sent:
            raise self._refusal(self._by_status.get(reply.status) or meaning_of_status(reply.status), reply, answer)
        message_id = text_at(answer, configuration.message_id)
        if configuration.message_id and not message_id:
            raise self._refusal(UNREADABLE_REPLY, reply, answer)
        return Receipt(self._provider, message_id)

    def _refusal(self, meaning: Meaning, reply: Reply, answer: Any) -> SendError:
        """Return the error of a refusal, with what the provider said, but for secrets that it repeats."""
        said = text_at(answer, self._configuration.error_message) or reply.body.decode("utf-8", "replace")
        for secret in self._secrets:
            said = said.replace(secret, HIDDEN)
        return meaning.error(self._provider, said=said, retry_after_seconds=reply.retry_after_seconds)

    async def open(self) -> None:
        """Make the connection pool; the first text opens a connection."""
        await self._http.open()

    async def close(self) -> None:
        """Close every connection. Idempotent."""
        await self._http.close()


def _meanings(configuration: Configuration) -> dict[int, Meaning]:
    return {
        **{status: RATE_LIMITED if status == 429 else TRY_LATER for status in configuration.temporary},
        **dict.fromkeys(configuration.permanent, REFUSED),
        **dict.fromkeys(configuration.account, ACCOUNT_REFUSED),
    }
