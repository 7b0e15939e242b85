"""The kinds of mail provider with an API, each a row of data: what staff enter, where it goes, and what is the provider's own.

Those that django-anymail supports without a further library, and that need nothing but settings. Amazon SES and SendGrid are reached by
their SMTP servers: anymail wants boto3 for the one and no longer supports the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from django.conf import settings

from deliveries.channels import Channel
from deliveries.providers.options import Kind, Option, OptionError, about, outgoing
from deliveries.senders.anymail import AnymailSender
from deliveries.senders.base import Sender, SendError
from deliveries.senders.codes_mail import POSTMARK, RESEND
from deliveries.senders.mail_api import MailService

MESSAGE_ID: Final = {"Message-ID": "{message_id}"}
WEBHOOK_AUTH: Final = "webhook_auth"
FROM: Final = Option(
    "from_address", "From", "Empty: the address of EMAIL_FROM. It must be one that the provider verified."
)
CONNECTIONS: Final = Option(
    "connections", "Connections", "How many mails each process has under way.", type=int, default=20
)
AUTH: Final = Option(
    WEBHOOK_AUTH,
    "Webhook login",
    "user:password of your choice, which also stands in the webhook's address at the provider. Empty: its reports are refused.",
    is_secret=True,
)


@dataclass(frozen=True, slots=True)
class MailKind:
    """One provider: its service, the host of its API, its own options, and which of them anymail's backend and webhook take.

    `login` names the option that proves reports: `webhook_auth` (in the webhook's address) or a key that signs them.
    """

    service: MailService
    api: str
    options: Sequence[Option]
    login: Option = AUTH

    def kind(self) -> Kind:
        """Return what the registry holds."""
        address = Option("base_url", "API address", default=self.api, is_address=True)
        options = (*self.options, FROM, self.login, CONNECTIONS, address)
        return Kind(self.service.name, self.service.label, Channel.EMAIL, options, self.make)

    def make(self, options: Mapping[str, Any], deadline_seconds: float) -> Sender:
        """Make the sender. Raises: OptionError."""
        parts = urlsplit(options["base_url"])
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise OptionError("base_url", f"Enter a whole address such as {self.api}.")
        if self.login is AUTH and options[WEBHOOK_AUTH] and not all(options[WEBHOOK_AUTH].partition(":")):
            raise OptionError(WEBHOOK_AUTH, "Enter user:password, with a colon between.")
        given = {option.name: options[option.name] for option in self.options if options[option.name] != ""}
        try:
            with about(self.options[0].name):
                return AnymailSender(
                    service=self.service,
                    options={**given, "api_url": options["base_url"]},
                    from_address=options["from_address"] or settings.EMAIL_FROM,
                    message_id_domain=settings.EMAIL_MESSAGE_ID_DOMAIN,
                    connections=options["connections"],
                    **outgoing(deadline_seconds),
                )
        except SendError:
            raise OptionError("from_address", "Enter one address, such as Shop <shop@example.com>.") from None


def _key(name: str = "api_key", label: str = "API key", help_text: str = "From its console.") -> Option:
    return Option(name, label, help_text, is_required=True, is_secret=True)


MAILS: Final = {
    each.service.name: each
    for each in (
        MailKind(
            MailService(
                "postmark",
                "Postmark",
                error_code="ErrorCode",
                error_message="Message",
                codes=POSTMARK,
                # https://postmarkapp.com/support/article/1088-can-i-set-my-own-message-id
                headers={**MESSAGE_ID, "X-PM-KeepID": "true"},
                check_path="server",
            ),
            "https://api.postmarkapp.com/",
            (
                _key("server_token", "Server API token", "From the server's API Tokens."),
                Option("message_stream", "Message stream", "Empty: the default transactional stream."),
            ),
        ),
        MailKind(
            MailService("mailgun", "Mailgun", headers=MESSAGE_ID),
            "https://api.mailgun.net/v3/",
            (
                _key(),
                Option("sender_domain", "Domain", "The sending domain as Mailgun has it.", is_required=True),
            ),
            login=Option("webhook_signing_key", "Webhook signing key", "Its HTTP webhook signing key.", is_secret=True),
        ),
        MailKind(
            MailService(
                "brevo",
                "Brevo",
                error_code="code",
                # https://developers.brevo.com/reference/sendtransacemail
                headers={"idempotencyKey": "{job_id}"},
                # https://developers.brevo.com/docs/heterogenous-versions-batch-emails
                taken_before=frozenset({"duplicate_parameter"}),
                check_path="account",
            ),
            "https://api.brevo.com/v3/",
            (_key(),),
        ),
        MailKind(
            MailService("mailjet", "Mailjet", error_code="ErrorIdentifier", error_message="ErrorMessage"),
            "https://api.mailjet.com/v3.1/",
            (_key(), _key("secret_key", "Secret key")),
        ),
        MailKind(
            MailService(
                "resend",
                "Resend",
                error_code="name",
                codes=RESEND,
                # https://resend.com/docs/dashboard/emails/idempotency-keys
                request_headers={"Idempotency-Key": "{job_id}"},
                taken_before=frozenset({"invalid_idempotent_request"}),
            ),
            "https://api.resend.com/",
            (_key(),),
        ),
        MailKind(
            MailService("sparkpost", "SparkPost", error_code="errors.0.code", error_message="errors.0.message"),
            "https://api.sparkpost.com/api/v1/",
            (_key(), Option("subaccount", "Subaccount", "Its number. Empty: none.")),
        ),
    )
}
MAIL_KINDS: Final = tuple(each.kind() for each in MAILS.values())
