"""What staff do to a provider that is there: its order, its breaker, asking it how it is. Pages and permissions are in the admin."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from asgiref.sync import async_to_sync
from django.db import transaction
from django.utils import timezone

from deliveries.models import Provider
from deliveries.providers.credentials import CredentialsError, unseal
from deliveries.providers.kinds import KINDS, complete
from deliveries.senders.base import Sender, SendError

CHECK_SECONDS = 10.0
HIDDEN = "•••"


class UnusableError(Exception):
    """No sender can be made of a provider as it is stored. The text says what to do."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of a check. `said`: for staff, in the provider's words where it said something."""

    is_ok: bool
    said: str


def provider_last_position(*, provider: Provider) -> int:
    """Return the position behind every other provider of the same tenant and channel."""
    others = Provider.objects.filter(tenant=provider.tenant_id, channel=provider.channel).order_by("-position")
    return 1 + (others.values_list("position", flat=True).first() or 0)


def provider_places() -> dict[int, int]:
    """Return, for each provider id, which one of its tenant's and channel's it is, counted from 1. One query."""
    places: dict[int, int] = {}
    in_order = Provider.objects.order_by("tenant_id", "channel", "position", "id")
    for _group, rows in groupby(in_order.values_list("tenant_id", "channel", "pk"), key=itemgetter(0, 1)):
        places.update({pk: place for place, (_tenant, _channel, pk) in enumerate(rows, 1)})
    return places


@transaction.atomic
def provider_move_up(*, provider: Provider) -> int | None:
    """Put a provider one place before the one that is used before it. Returns its new place, counted from 1; None when it was the first.

    Numbers all of its tenant's providers of that channel anew, without gaps.
    """
    same = Provider.objects.filter(tenant=provider.tenant_id, channel=provider.channel)
    rows = list(same.select_for_update().order_by("position", "id"))
    before = next((place for place, row in enumerate(rows[1:]) if row.pk == provider.pk), None)
    if before is None:
        return None
    rows.insert(before, rows.pop(before + 1))
    for position, row in enumerate(rows, 1):
        row.position = position
    Provider.objects.bulk_update(rows, ["position"])
    return before + 1


def provider_force(*, provider: Provider, forced: str) -> bool:
    """Force a provider's breaker open or closed, or let it decide again. False when it was so already."""
    others = Provider.objects.filter(pk=provider.pk).exclude(breaker_forced=forced)
    return bool(others.update(breaker_forced=forced, updated_at=timezone.now()))


def provider_check(*, provider: Provider) -> Checked:
    """Ask a provider whether it takes us, within CHECK_SECONDS. Sends nothing and stores nothing; the answer holds no secret.

    Not to be called in a transaction.
    """
    try:
        sender, secrets = _made(provider)
    except UnusableError as error:
        return Checked(False, str(error))
    checked = async_to_sync(_ask)(sender)
    return Checked(checked.is_ok, _without(secrets, checked.said))


def provider_problem(*, provider: Provider) -> str:
    """Say why senders leave a provider out as it is stored, "" when they do not. Connects to nothing."""
    try:
        _made(provider)
    except UnusableError as error:
        return str(error)
    return ""


def _made(provider: Provider) -> tuple[Sender, Collection[str]]:
    """Return a provider's sender, not yet open, and its secrets. Raises: UnusableError."""
    kind = KINDS.get(provider.kind)
    if kind is None:
        raise UnusableError(f"This version knows no provider of the kind {provider.kind!r}. Delete it, or upgrade.")
    try:
        secrets = unseal(provider.sealed_credentials)
        return kind.make(complete(kind, {**provider.options, **secrets}), CHECK_SECONDS), secrets.values()
    except (CredentialsError, ValueError) as error:
        raise UnusableError(f"It cannot be used as it is stored. {error}") from None


async def _ask(sender: Sender) -> Checked:
    await sender.open()
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return Checked(True, await sender.check())
    except SendError as error:
        return Checked(False, error.message)
    except TimeoutError:
        return Checked(False, f"It did not answer within {CHECK_SECONDS:g} seconds.")
    finally:
        await sender.close()


def _without(secrets: Collection[str], said: str) -> str:
    """Return what a provider said, without a secret that it may have repeated."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        said = said.replace(secret, HIDDEN)
    return said
