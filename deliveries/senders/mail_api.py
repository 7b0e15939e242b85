"""A mail provider's API as django-anymail knows it: a mail becomes a request, an answer a receipt or an error. Sends nothing itself.

anymail's own transport blocks a thread for each mail, follows redirects and reads answers without an end, so it is not used: what it is
good at is each provider's form. Which provider wants what is in `deliveries/providers/mail_kinds.py`. No network, no settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import requests
from anymail.exceptions import AnymailError
from django.core.mail import EmailMultiAlternatives

from deliveries.dotted import text_at
from deliveries.senders.base import Receipt, SendError
from deliveries.senders.codes_mail import ACCOUNT, BY_RECIPIENT, REFUSED, UNREADABLE, meaning_of
from deliveries.senders.http import Reply
from deliveries.senders.refusals import Meaning, json_of

JOB = "job_id"
"""Under which name the job's id goes out as metadata; the provider's reports bring it back."""
_UNREADABLE = (AnymailError, ValueError, LookupError, TypeError, AttributeError)


@dataclass(frozen=True, slots=True)
class MailService:
    """What is one provider's own. `name`: anymail's module of it. `error_code`, `error_message`: where an answer holds them (dotted).

    `headers` (of the mail) and `request_headers` let a second copy be known or kept out; `{message_id}` and `{job_id}` are filled in.
    `taken_before`: the codes of answers that keep a copy out because a mail of the same key was taken. `check_path`: what every key may
    read.
    """

    name: str
    label: str
    error_code: str = ""
    error_message: str = "message"
    codes: Mapping[str, Meaning] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    request_headers: Mapping[str, str] = field(default_factory=dict)
    taken_before: frozenset[str] = frozenset()
    check_path: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that is ready, and what anymail wants to see again with its answer."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    payload: Any
    mail: EmailMultiAlternatives


class MailApi:
    """One account at a service. `options`: what anymail's backend of it takes. Raises on construction: ValueError."""

    def __init__(self, service: MailService, options: Mapping[str, Any]) -> None:
        self.service = service
        try:
            backend = import_module(f"anymail.backends.{service.name}").EmailBackend
            self._backend = backend(**options, ignore_unsupported_features=True)
        except (AnymailError, ImportError) as error:
            raise ValueError(str(error)) from None

    def ask(self, mail: EmailMultiAlternatives, *, names: Mapping[str, str]) -> Asked:
        """Return the request that hands a mail over. `names`: what the service's headers are filled with. Raises: SendError, permanent."""
        mail.extra_headers |= {name: text.format(**names) for name, text in self.service.headers.items()}
        mail.metadata = {JOB: names[JOB]}  # type: ignore[attr-defined]  # anymail reads it
        try:
            payload = self._backend.build_message_payload(mail, self._backend.send_defaults)
            params = payload.get_request_params(self._backend.api_url)
        except AnymailError as error:
            raise REFUSED.error(self.service.label, said=error) from None
        headers = {name: text.format(**names) for name, text in self.service.request_headers.items()}
        return _asked(self._prepared(**params), headers, payload, mail)

    def ask_for_account(self) -> Asked:
        """Return the request that reads what every key may read, logged in as for a mail. Raises: SendError."""
        mail = EmailMultiAlternatives(to=["nobody@example.com"], from_email="nobody@example.com", body="-")
        payload = self._backend.build_message_payload(mail, self._backend.send_defaults)
        params = payload.get_request_params(self._backend.api_url)
        url = self._backend.api_url + self.service.check_path
        request = self._prepared(method="GET", url=url, headers=params["headers"], auth=params["auth"])
        return _asked(request, {}, payload, mail)

    def receipt(self, asked: Asked, reply: Reply) -> Receipt:
        """Return the receipt that an answer is; without an id where an earlier copy was taken. Raises: SendError, by `codes_mail`."""
        if 400 <= reply.status < 500 and self._said(reply)[0] in self.service.taken_before:
            return Receipt(self.service.label)
        if not 200 <= reply.status < 300:
            raise self.refusal(reply)
        response = requests.Response()
        response.status_code, response._content = reply.status, reply.body
        response.headers.update(reply.headers)
        try:
            (status,) = self._backend.parse_recipient_status(response, asked.payload, asked.mail).values()
            state, message_id = status.status, str(status.message_id or "").strip("<>")
        except _UNREADABLE:
            raise UNREADABLE.error(self.service.label) from None
        if state in BY_RECIPIENT:
            raise BY_RECIPIENT[state].error(self.service.label, said=self._said(reply)[1])
        if state not in ("sent", "queued") or not message_id:
            raise UNREADABLE.error(self.service.label)
        return Receipt(self.service.label, message_id)

    def refusal(self, reply: Reply) -> SendError:
        """Return what an answer other than success means."""
        code, said = self._said(reply)
        meaning = meaning_of(reply.status, code, said, self.service.codes)
        words = f"{said} ({self.service.label} {code or reply.status})".strip()
        return meaning.error(self.service.label, said=words, retry_after_seconds=reply.retry_after_seconds)

    def _prepared(self, **params: Any) -> requests.PreparedRequest:
        """Prepare a request. Raises: SendError `account_refused` for credentials that cannot be sent, which requests' own words quote."""
        try:
            return requests.Request(**params).prepare()
        except (requests.RequestException, UnicodeError):
            raise ACCOUNT.error(self.service.label) from None

    def _said(self, reply: Reply) -> tuple[str, str]:
        answer = json_of(reply.body)
        return text_at(answer, self.service.error_code), text_at(answer, self.service.error_message)


def _asked(
    request: requests.PreparedRequest, headers: Mapping[str, str], payload: Any, mail: EmailMultiAlternatives
) -> Asked:
    body = request.body or b""
    if not isinstance(body, str | bytes):
        raise TypeError("anymail streams no mail that has no attachments")
    given = {name: _text(value) for name, value in request.headers.items() if name.lower() != "content-length"}
    raw = body.encode() if isinstance(body, str) else body
    return Asked(request.method or "POST", request.url or "", {**given, **headers}, raw, payload, mail)


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")
