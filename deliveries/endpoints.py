"""Webhook endpoints as staff keep them: where a person's webhooks go and what signs them. Sending is `deliveries/senders/webhook.py`.

A secret is whole only in the answer of the call that makes it; at rest it is sealed. During a rotation two are valid, so that the
receiver may change over when it suits.
"""

from __future__ import annotations

import base64
import ipaddress
import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from deliveries.models import Tenant, WebhookEndpoint
from deliveries.notices import Found, Kind, notices_raise
from deliveries.providers.credentials import CredentialsError, seal, unseal
from deliveries.senders.http import is_public

#: Standard Webhooks: the prefix of a secret, and between 24 and 64 random bytes.
SECRET_PREFIX: Final = "whsec_"  # noqa: S105
SECRET_BYTES: Final = 32
DISABLED_AT_ONCE: Final = 1000


@dataclass(frozen=True, slots=True)
class NewSecret:
    """An endpoint with a secret at the only moment when that is whole. `plain` goes to the receiver and nowhere else."""

    endpoint: WebhookEndpoint
    plain: str = field(repr=False)


def endpoint_url_problem(url: str) -> str:
    """Return what is wrong with an endpoint's address, "" for nothing. Names are resolved, and checked again, at every send."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "Enter a whole address such as https://example.com/hooks."
    if parts.scheme not in ("http", "https") or not host or port == 0 or not url.isprintable() or " " in url:
        return "Enter a whole address such as https://example.com/hooks."
    if parts.username is not None or parts.password is not None:
        return "Leave out user name and password: the signature says who sends."
    if parts.fragment:
        return "Leave out # and what follows: it never reaches a server."
    if settings.PRIVATE_ADDRESSES_ALLOWED:
        return ""
    if parts.scheme != "https":
        return "Enter an address that begins with https://."
    if _is_address(host) and not is_public(host):
        return "Enter an address on the public internet."
    return ""


def endpoint_add(*, tenant: Tenant, user_id: UUID, url: str) -> NewSecret:
    """Add a person's endpoint, with a new secret. The answer is the only time that the secret is known: show it once.

    Raises: ValueError for an address that cannot be called; django.db.IntegrityError where the person has an endpoint.
    """
    if problem := endpoint_url_problem(url):
        raise ValueError(problem)
    plain = _new_secret()
    row = WebhookEndpoint.objects.create(
        tenant=tenant, user_id=user_id, url=url, sealed_secrets=seal({"secret": plain})
    )
    return NewSecret(row, plain)


@transaction.atomic
def endpoint_rotate_secret(*, endpoint: WebhookEndpoint) -> NewSecret:
    """Give an endpoint a new secret beside the present one: from now on every webhook is signed by both. Show it once.

    Of three the oldest goes. A present one that cannot be opened any more goes too.
    """
    row = WebhookEndpoint.objects.select_for_update().get(pk=endpoint.pk)
    try:
        present = unseal(row.sealed_secrets).get("secret")
    except CredentialsError:
        present = None
    plain = _new_secret()
    row.sealed_secrets = seal({"secret": plain, **({"old_secret": present} if present else {})})
    row.save(update_fields=["sealed_secrets"])
    return NewSecret(row, plain)


@transaction.atomic
def endpoint_drop_old_secret(*, endpoint: WebhookEndpoint) -> bool:
    """End a rotation: only the newest secret signs from now on. False when there was only one. Raises: CredentialsError."""
    row = WebhookEndpoint.objects.select_for_update().get(pk=endpoint.pk)
    opened = unseal(row.sealed_secrets)
    if opened.pop("old_secret", None) is None:
        return False
    row.sealed_secrets = seal(opened)
    row.save(update_fields=["sealed_secrets"])
    return True


def endpoint_has_old_secret(*, endpoint: WebhookEndpoint) -> bool:
    """Say whether a rotation is under way. Raises: CredentialsError."""
    return "old_secret" in unseal(endpoint.sealed_secrets)


def endpoint_disable(*, endpoint: WebhookEndpoint, why: str) -> bool:
    """Send nothing there any more; its webhooks become FAILED `no_contact`. False when it was disabled before."""
    enabled = WebhookEndpoint.objects.filter(pk=endpoint.pk, disabled_at=None)
    return bool(enabled.update(disabled_at=timezone.now(), disabled_why=why[:300]))


@transaction.atomic
def endpoints_disable_failing(*, days: float) -> int:
    """Disable endpoints that took nothing for so many days, with a notice each, and return how many: up to DISABLED_AT_ONCE.

    Safe to repeat and to run many times at once. Between its first and its last failure, so that one bad moment before a quiet week
    costs nothing.
    """
    failing = WebhookEndpoint.objects.filter(
        disabled_at=None, failing_since__isnull=False, failed_at__gt=F("failing_since") + timedelta(days=days)
    )
    rows = list(failing.select_for_update(skip_locked=True).order_by("failing_since")[:DISABLED_AT_ONCE])
    why = f"took nothing for {days:g} {'day' if days == 1 else 'days'}"
    disabled = WebhookEndpoint.objects.filter(pk__in=[row.pk for row in rows])
    disabled.update(disabled_at=timezone.now(), disabled_why=f"It {why}.")
    notices_raise([_disabled_notice(row, why) for row in rows])
    return len(rows)


def endpoint_enable(*, endpoint: WebhookEndpoint) -> bool:
    """Send there again, with its past failures forgotten. False when it was enabled."""
    disabled = WebhookEndpoint.objects.filter(pk=endpoint.pk, disabled_at__isnull=False)
    return bool(disabled.update(disabled_at=None, disabled_why="", failing_since=None, failed_at=None))


def _disabled_notice(endpoint: WebhookEndpoint, why: str) -> Found:
    return Found(
        Kind.ENDPOINT_DISABLED,
        f"endpoint:{endpoint.pk}",
        f"The webhook endpoint at {endpoint} is disabled: it {why}",
        tenant_id=endpoint.tenant_id,
        page="admin:deliveries_webhookendpoint_change",
        page_pk=endpoint.pk,
    )


def _new_secret() -> str:
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
