"""A provider's status callback, from its bytes to our rows: whose it is, whether that provider signed it, what it says.

Which kinds of provider report, and which of their secrets signs, is decided here. Signatures and formats are those of
`deliveries/callbacks/`, rows those of `lifecycle`; nothing here answers a request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import structlog

from deliveries.callbacks import anymail, generic, twilio
from deliveries.callbacks.base import ProviderEvent
from deliveries.lifecycle import Recorded, record_outcomes
from deliveries.models import Provider
from deliveries.outcomes import ERROR_LENGTH, MESSAGE_ID_LENGTH, REASON_LENGTH, storable
from deliveries.providers.credentials import CredentialsError, unseal
from deliveries.providers.kinds import HTTP_SMS, KINDS, TWILIO, complete
from deliveries.providers.mail_kinds import AUTH, MAILS, MailKind

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Callback:
    """A request as the provider made it: the address that it called, as the public sees it, and the body untouched."""

    url: str
    headers: Mapping[str, str]
    body: bytes


class NotSignedError(Exception):
    """No provider of ours signed it: there is none of that number, it does not report, or the signature is another's."""


def take(callback: Callback, *, provider_id: int) -> Recorded:
    """Record what a provider reports. Two queries at most, one where nothing is to be recorded. Idempotent.

    A provider that is disabled still reports on what it took before. Raises: NotSignedError, or BadCallback for a signed report that
    cannot be read.
    """
    provider = Provider.objects.filter(pk=provider_id).first()
    if provider is None or (read := READERS.get(provider.kind)) is None:
        raise NotSignedError
    try:
        options = complete(KINDS[provider.kind], {**provider.options, **unseal(provider.sealed_credentials)})
    except (CredentialsError, ValueError) as error:
        log.error("callback not checked", provider=provider.name, channel=provider.channel, error=str(error))
        raise NotSignedError from None
    try:
        events = read(options, callback)
    except NotSignedError:
        log.warning("callback refused: not signed by the provider", provider=provider.name, url=callback.url)
        raise
    recorded = record_outcomes(
        tenant_id=provider.tenant_id,
        channel=provider.channel,
        provider=provider.name,
        events=[_storable(event) for event in events],
    )
    if recorded.unknown:
        log.info("callback on messages that are not here", provider=provider.name, unknown=recorded.unknown)
    return recorded


def _twilio(options: Mapping[str, Any], callback: Callback) -> list[ProviderEvent]:
    """Read Twilio's. The secret of an API key signs nothing: the account's own token does."""
    tokens = [options["signing_token"], "" if options["api_key_sid"] else options["auth_token"]]
    signature = callback.headers.get(twilio.SIGNATURE_HEADER, "")
    if not twilio.verify(auth_tokens=tokens, url=callback.url, body=callback.body, signature=signature):
        raise NotSignedError
    return twilio.read(callback.body, url=callback.url)


def _described(options: Mapping[str, Any], callback: Callback) -> list[ProviderEvent]:
    """Read what the provider's description describes; its signature covers the body alone, so nothing else counts."""
    if not options["callback"]:
        raise NotSignedError
    description = generic.check(options["callback"])
    signature = callback.headers.get(description.signature_header, "")
    if not generic.verify(secrets=[options["callback_secret"]], body=callback.body, signature=signature):
        raise NotSignedError
    return generic.read(callback.body, description)


def _mailed(kind: MailKind, options: Mapping[str, Any], callback: Callback) -> list[ProviderEvent]:
    """Read a mail provider's, which proves itself by the login in its webhook's address or by a key; with neither nobody is believed."""
    # What anymail calls the login that stands in the address is its webhook_secret.
    name = "webhook_secret" if kind.login is AUTH else kind.login.name
    secrets = {name: options[kind.login.name]}
    try:
        return anymail.read(kind.service.name, secrets=secrets, headers=callback.headers, body=callback.body)
    except anymail.NotVerifiedError:
        raise NotSignedError from None


#: The kinds that report, each with what returns a verified callback's events. Raises: NotSignedError, BadCallback.
READERS: Final[dict[str, Callable[[Mapping[str, Any], Callback], list[ProviderEvent]]]] = {
    TWILIO.name: _twilio,
    HTTP_SMS.name: _described,
    **{name: partial(_mailed, kind) for name, kind in MAILS.items()},
}


def _storable(event: ProviderEvent) -> ProviderEvent:
    """Return an event as PostgreSQL takes it, its message id cut as the receipt's was."""
    return replace(
        event,
        provider_message_id=storable(event.provider_message_id, MESSAGE_ID_LENGTH),
        code=storable(event.code, REASON_LENGTH),
        message=storable(event.message, ERROR_LENGTH),
    )
