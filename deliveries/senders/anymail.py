"""E-mail over providers' APIs: mails in the form that each provider wants (`mail_api`), over our own HTTP client.

Nothing blocks a thread, many mails are under way at once, and what is dialled, followed and read is bounded as for every other sender.
No settings, no retry, no status.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django.core.mail import EmailMultiAlternatives

from deliveries.channels import Channel
from deliveries.senders.base import Message, Receipt, Sender, SendError
from deliveries.senders.codes_mail import SENDER
from deliveries.senders.http import HttpClient, Reply
from deliveries.senders.mail_api import JOB, Asked, MailApi, MailService
from deliveries.senders.mime import MailWriter, author, checked_headers, envelope_address


class AnymailSender(Sender):
    """Sends mails through one account at a mail provider.

    No provider is known to drop every second copy, so a cut or time-out after the request left is ambiguous; the copies carry one
    Message-ID where the service lets us set it. Raises on construction: ValueError, or SendError for a From that cannot be.
    """

    channel: ClassVar[Channel] = Channel.EMAIL

    def __init__(
        self,
        *,
        service: MailService,
        options: Mapping[str, Any],
        from_address: str,
        message_id_domain: str,
        connections: int = 20,
        timeout_seconds: float = 20.0,
        allow_private: bool = False,
        ca_file: str = "",
    ) -> None:
        self.capacity = connections
        self._from = from_address
        self._names = MailWriter(from_address=from_address, message_id_domain=message_id_domain)
        self._api = MailApi(service, options)
        self._http = HttpClient(
            connections=connections, timeout_seconds=timeout_seconds, allow_private=allow_private, ca_file=ca_file
        )

    async def send(self, message: Message) -> Receipt:
        """Hand one mail to the provider. What became of it comes as its reports.

        Raises: SendError. Before anything is sent: `header_injection`, `bad_address`, `bad_from`, `bad_text` (permanent) and those of
        `HttpClient`. After the answer: those of `codes_mail`, and `bad_from` where it does not know the content's own From: that is about
        this mail and not about the account.
        """
        names = {"message_id": self._names.message_id(message.job_id), JOB: str(message.job_id)}
        asked = self._api.ask(self._mail(message), names=names)
        try:
            return self._api.receipt(asked, await self._exchange(asked))
        except SendError as error:
            if error.code == SENDER.code and message.content.from_address not in ("", self._from):
                raise SendError("bad_from", error.message, provider=error.provider, permanent=True) from None
            raise

    async def check(self) -> str:
        """Read what every key may read, where there is such a thing. Raises: SendError."""
        if not self._api.service.check_path:
            return await super().check()
        reply = await self._exchange(self._api.ask_for_account())
        if reply.status != 200:
            raise self._api.refusal(reply)
        return f"{self._api.service.label} takes the key."

    async def open(self) -> None:
        """Make the connection pool; the first mail opens a connection."""
        await self._http.open()

    async def close(self) -> None:
        """Close every connection. Idempotent."""
        await self._http.close()

    def _mail(self, message: Message) -> EmailMultiAlternatives:
        content = message.content
        mail = EmailMultiAlternatives(
            subject=content.subject,
            body=content.text,
            from_email=author(content.from_address or self._from, "From"),
            to=[envelope_address(message.to)],
            reply_to=[author(content.reply_to, "Reply-To")] if content.reply_to else None,
            headers=checked_headers(content, message.headers),
        )
        if content.html:
            mail.attach_alternative(content.html, "text/html")
        return mail

    async def _exchange(self, asked: Asked) -> Reply:
        return await self._http.request(
            asked.method, asked.url, headers=asked.headers, body=asked.body, provider=self._api.service.label
        )
