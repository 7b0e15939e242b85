"""Mail providers' reports, verified and read by django-anymail's webhook views, which know each provider's form. No rows here.

What a bounce means for good each provider says in its own way; anymail does not tell it from a soft one, so that is said here.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, Final

from anymail.exceptions import AnymailError
from anymail.signals import AnymailTrackingEvent, EventType, RejectReason
from django.core.exceptions import SuspiciousOperation
from django.core.handlers.wsgi import WSGIRequest
from django.http.multipartparser import MultiPartParserError

from deliveries.callbacks.base import BadCallback, EventKind, ProviderEvent
from deliveries.dotted import text_at
from deliveries.senders.mail_api import JOB
from deliveries.senders.refusals import json_of

MAX_EVENTS: Final = 5000
MAX_AGE_SECONDS: Final = 12 * 3600
"""How far from now a proof's own time may lie, where it has one. Mailgun repeats a report for eight hours."""
KINDS: Final = {
    EventType.DELIVERED: EventKind.DELIVERED,
    EventType.OPENED: EventKind.OPENED,
    EventType.CLICKED: EventKind.OPENED,
    EventType.COMPLAINED: EventKind.COMPLAINED,
    EventType.UNSUBSCRIBED: EventKind.UNSUBSCRIBED,
    EventType.BOUNCED: EventKind.FAILED,
    EventType.REJECTED: EventKind.FAILED,
    EventType.FAILED: EventKind.FAILED,
}
#: Whether a bounce is for good, by the provider's own report.
IS_HARD: Final[dict[str, Callable[[Any], bool]]] = {
    # https://postmarkapp.com/developer/api/bounce-api#bounce-types
    "postmark": lambda event: bool(
        {text_at(event, "Type"), text_at(event, "SuppressionReason")} & {"HardBounce", "BadEmailAddress"}
    ),
    # https://documentation.mailgun.com/docs/mailgun/user-manual/events/events: for good, and by the receiver, not by a rule of the account
    "mailgun": lambda event: (
        text_at(event, "event-data.severity") == "permanent"
        and text_at(event, "event-data.reason") in ("bounce", "suppress-bounce")
    ),
    # https://developers.brevo.com/docs/transactional-webhooks
    "brevo": lambda event: text_at(event, "event") in ("hard_bounce", "invalid_email"),
    # https://dev.mailjet.com/email/guides/webhooks/
    "mailjet": lambda event: bool(event.get("hard_bounce")),
    # https://resend.com/docs/webhooks/emails/bounced
    "resend": lambda event: text_at(event, "data.bounce.type") == "Permanent",
    # https://support.sparkpost.com/docs/deliverability/bounce-classification-codes
    "sparkpost": lambda event: text_at(event, "msys.message_event.bounce_class") in ("10", "30", "90"),
}
_UNREADABLE: Final = (
    AnymailError, SuspiciousOperation, MultiPartParserError, ValueError, LookupError, TypeError, AttributeError, RecursionError,
)  # fmt: skip


class NotVerifiedError(Exception):
    """The provider did not make this request, or not with the login that was agreed on."""


def read(name: str, *, secrets: Mapping[str, str], headers: Mapping[str, str], body: bytes) -> list[ProviderEvent]:
    """Return what a provider reports, once it proved itself; what only says that a mail is on its way is left out.

    `secrets`: the keyword arguments of anymail's view. Raises: NotVerifiedError; BadCallback for what is verified and cannot be read.
    """
    module = import_module(f"anymail.webhooks.{name}")
    (view_class,) = (each for at, each in vars(module).items() if at.lower() == f"{name}trackingwebhookview")
    if not secrets or not all(secrets.values()):  # without any the view would believe everybody
        raise NotVerifiedError
    request = _request(headers, body)
    try:
        view = view_class(**secrets)
        view.run_validators(request)
        if (
            name in SIGNED_AT and not abs(time.time() - float(SIGNED_AT[name](request))) <= MAX_AGE_SECONDS
        ):  # nor is NaN
            raise NotVerifiedError
    except _UNREADABLE:  # also before any proof, where that stands in the body
        raise NotVerifiedError from None
    try:
        events = view.parse_events(request)
        if len(events) > MAX_EVENTS:
            raise BadCallback(f"There are {len(events)} reports at once; at most {MAX_EVENTS} are read.")
        return [read_event for event in events if (read_event := _event(name, event)) is not None]
    except BadCallback:
        raise
    except _UNREADABLE as error:
        raise BadCallback(f"It is no report that {name} documents: {type(error).__name__}.") from None


def _mailgun_signed_at(request: WSGIRequest) -> str:
    if request.content_type == "application/json":
        return text_at(json_of(request.body), "signature.timestamp")
    return request.POST.get("timestamp", "")


#: When a proof was made, in seconds, of those that say. Mailgun's covers that and nothing of the report, so it must not count for ever:
#: https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks
SIGNED_AT: Final[dict[str, Callable[[WSGIRequest], str]]] = {"mailgun": _mailgun_signed_at}


def _event(name: str, event: AnymailTrackingEvent) -> ProviderEvent | None:
    kind = KINDS.get(event.event_type)
    if kind is None:
        return None
    is_bounce = event.event_type == EventType.BOUNCED or event.reject_reason == RejectReason.INVALID
    if kind is EventKind.FAILED and is_bounce and IS_HARD[name](event.esp_event):
        kind = EventKind.BOUNCED
    said = " ".join(str(text) for text in (event.description, event.mta_response) if text)
    metadata = event.metadata if isinstance(event.metadata, Mapping) else {}
    return ProviderEvent(
        str(event.message_id or "").strip("<>"),
        kind,
        at=event.timestamp,
        code=str(event.reject_reason or "") if kind in (EventKind.FAILED, EventKind.BOUNCED) else "",
        message=said if kind in (EventKind.FAILED, EventKind.BOUNCED) else "",
        address=str(event.recipient or ""),
        reference=str(metadata.get(JOB, "")),
    )


def _request(headers: Mapping[str, str], body: bytes) -> WSGIRequest:
    """Return the request as Django knows it, with nothing of the server's in it but what the provider sent."""
    given = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
    return WSGIRequest(
        {
            **given,
            "REQUEST_METHOD": "POST",
            "PATH_INFO": "/",
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "CONTENT_TYPE": headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
        }
    )
