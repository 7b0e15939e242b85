"""What a person wants to get: categories by channels, read and switched. Who asks is the callers' business: a token in both cases.

The rows behind it are `OptOut`, one for each category and channel that is switched off; everything else is on. They are respected when a
job comes in, at fan-out and at every start (`lifecycle/unwanted.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db import transaction

from deliveries.channels import Channel
from deliveries.lifecycle import unserved
from deliveries.models import Category, Contact, OptOut, Tenant, WebhookEndpoint
from deliveries.unsubscribe import Wish, opt_in, opt_out

#: In the order in which people read them.
CHANNELS: Final = (Channel.EMAIL, Channel.SMS, Channel.PUSH, Channel.WS, Channel.WEBHOOK)


@dataclass(frozen=True, slots=True)
class Choice:
    """One category: by channel, whether it is on. `is_mandatory`: always on."""

    key: str
    name: str
    description: str = ""
    is_mandatory: bool = False
    channels: dict[str, bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Preferences:
    """What a person gets. `channels`: those that there are for them; `opted_out`: those of them over which nothing at all reaches them."""

    channels: list[str]
    opted_out: list[str]
    categories: list[Choice]

    def refusal(self, category: str, channel: str) -> str:
        """Return why a person cannot switch this, or ""."""
        choice = next((each for each in self.categories if each.key == category), None)
        if choice is None:
            return "There is no such category."
        if channel not in choice.channels:
            return f"There is no channel {channel[:32]!r} here. There are: {', '.join(self.channels)}."
        if choice.is_mandatory:
            return "Nobody can switch it off."
        if channel in self.opted_out:
            return "Nothing at all goes out over this channel, as was asked before."
        return ""


class PreferenceRefused(Exception):
    """Nothing was switched. `problems`: why, by category."""

    def __init__(self, problems: Mapping[str, list[str]]) -> None:
        super().__init__("; ".join(f"{key}: {' '.join(told)}" for key, told in problems.items()))
        self.problems = dict(problems)


def preferences_of(*, tenant: Tenant, user_id: UUID, also: str = "") -> Preferences:
    """Return what a person gets: of the tenant's categories, those that they left, and `also`. Five queries at most."""
    named = {each.key: each for each in Category.objects.filter(tenant=tenant)}
    left = set(OptOut.objects.filter(tenant=tenant, user_id=user_id).values_list("category", "channel"))
    contact = Contact.objects.filter(tenant=tenant, user_id=user_id).only("opted_out").first()
    opted_out = set(contact.opted_out) if contact else set()
    channels = _channels(tenant, user_id)
    others = sorted({category for category, _channel in left} | ({also} if also else set()))
    rows = [*named.values(), *(Category(key=key, name=spoken(key)) for key in others if key not in named)]
    categories = []
    for row in rows:
        stays = row.key in settings.MANDATORY_CATEGORIES
        on = {each: each not in opted_out and (stays or (row.key, each) not in left) for each in channels}
        categories.append(Choice(row.key, row.name, row.description, stays, on))
    return Preferences(channels, [each for each in channels if each in opted_out], categories)


@transaction.atomic
def preferences_change(
    *, tenant: Tenant, user_id: UUID, wanted: Mapping[tuple[str, str], bool], also: str = ""
) -> Preferences:
    """Switch (category, channel) on or off, all or none; return what holds then. Idempotent. Raises: PreferenceRefused."""
    before = preferences_of(tenant=tenant, user_id=user_id, also=also)
    problems: dict[str, list[str]] = {}
    for category, channel in wanted:
        if why := before.refusal(category, channel):
            problems.setdefault(category, []).append(why)
    if problems:
        raise PreferenceRefused(problems)
    for (category, channel), is_on in wanted.items():
        wish = Wish(tenant.pk, user_id, channel, category)
        opt_in(wish) if is_on else opt_out(wish)
    return preferences_of(tenant=tenant, user_id=user_id, also=also)


def spoken(key: str) -> str:
    """Return a category's key as people read it, where nobody gave it a name."""
    return key.replace("_", " ").replace("-", " ").strip().capitalize() or key


def _channels(tenant: Tenant, user_id: UUID) -> list[str]:
    """Return the channels over which the tenant sends; webhooks only to whom they mean anything."""
    missing = {channel for _tenant, channel in unserved([(tenant.pk, channel) for channel in CHANNELS])}
    found = [channel.value for channel in CHANNELS if channel not in missing and channel != Channel.WEBHOOK]
    has_endpoint = WebhookEndpoint.objects.filter(tenant=tenant, user_id=user_id, disabled_at=None).exists()
    return [*found, Channel.WEBHOOK.value] if has_endpoint else found
