"""What the compose page offers to choose from: templates, channels, categories, saved audiences, topics, time zones. Reads only."""

from __future__ import annotations

import zoneinfo
from typing import Any, Final

from broadcasts.members import topics_of
from broadcasts.models import Audience, Broadcast
from deliveries.admin import words
from deliveries.channels import Channel
from deliveries.lifecycle import unserved
from deliveries.models import Contact, Template, TemplateVersion, Tenant

OFFERED: Final = 200
PEOPLE: Final = 20
#: In the order in which most reach people.
CHANNELS: Final = (Channel.EMAIL, Channel.WS, Channel.PUSH, Channel.SMS, Channel.WEBHOOK)
LATEST: Final = 500


def options(tenant: Tenant, broadcast: Broadcast) -> dict[str, Any]:
    """Return the page's choices. Six queries."""
    return {
        "templates": _templates(tenant, broadcast.template_code),
        "channel_rows": _channels(tenant, broadcast.channels),
        "audiences": Audience.objects.filter(tenant=tenant).order_by("name")[:OFFERED],
        "topics": topics_of(tenant_id=tenant.pk, limit=OFFERED),
        "categories": _categories(tenant),
        "zones": sorted(zoneinfo.available_timezones()),
    }


def people(tenant: Tenant) -> Any:
    """Return some contacts for "Preview as"."""
    return Contact.objects.filter(tenant=tenant).order_by("-id")[:PEOPLE]


def _templates(tenant: Tenant, chosen: str) -> list[tuple[str, str]]:
    published = TemplateVersion.objects.filter(state=TemplateVersion.State.PUBLISHED).values("template")
    rows = Template.objects.filter(tenant=tenant, pinned_for="", pk__in=published).order_by("name")
    found = list(rows.values_list("code", "name")[:OFFERED])
    return found if not chosen or chosen in dict(found) else [(chosen, f"{chosen} (not published)"), *found]


def _channels(tenant: Tenant, chosen: list[str]) -> list[dict[str, Any]]:
    """Return the channels, the chosen ones first and in their order: the first that reaches a person may be the only one."""
    missing = {channel for _tenant, channel in unserved([(tenant.pk, each.value) for each in CHANNELS])}
    order = [*chosen, *(each.value for each in CHANNELS if each.value not in chosen)]
    return [
        {
            "name": name,
            "word": words.channel(name),
            "icon": words.channel_icon(name),
            "is_chosen": name in chosen,
            "is_unserved": name in missing,
        }
        for name in order
    ]


def _categories(tenant: Tenant) -> list[str]:
    """Return the categories of the latest broadcasts."""
    latest = Broadcast.objects.filter(tenant=tenant).order_by("-id").values_list("category", flat=True)[:LATEST]
    return sorted({category for category in latest if category})
