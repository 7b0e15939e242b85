"""What staff do to a provider that is there: its order, its breaker, asking it how it is. Pages and permissions are in the admin."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from asgiref.sync import async_to_sync
from django.db import transaction
from django.utils import timezone

from deliveries.models import Provider
from deliveries.providers.credentials import CredentialsError, unseal
from deliveries.providers.kinds import KINDS, complete
from deliveries.senders.base import Sender, SendError

CHECK_SECONDS = 10.0
HIDDEN = "•••"


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of a check. `said`: for staff, in the provider's words where it said something."""

    is_ok: bool
    said: str


def provider_last_position(*, provider: Provider) -> int:
    """Return the position behind every other provider of the same tenant and channel."""
    others = Provider.objects.filter(tenant=provider.tenant_id, channel=provider.channel).order_by("-position")
    return 1 + (others.values_list("position", flat=True).first() or 0)


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
    kind = KINDS.get(provider.kind)
    if kind is None:
        return Checked(False, f"This version knows no provider of the kind {provider.kind!r}. Delete it, or upgrade.")
    try:
        secrets = unseal(provider.sealed_credentials)
        sender = kind.make(complete(kind, {**provider.options, **secrets}), CHECK_SECONDS)
    except (CredentialsError, ValueError, SendError) as error:
        return Checked(False, f"It cannot be used as it is stored: {error}")
    checked = async_to_sync(_ask)(sender)
    return Checked(checked.is_ok, _without(secrets.values(), checked.said))


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


def _without(secrets: Iterable[str], said: str) -> str:
    """Return what a provider said, without a secret that it may have repeated."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        said = said.replace(secret, HIDDEN)
    return said
