"""Who serves a tenant's channel: the sender that the settings name for it, or an enabled provider of the tenant's own."""

from __future__ import annotations

from collections.abc import Collection

from django.conf import settings

from deliveries.models import Provider


def is_served(row: str) -> str:
    """Return the SQL condition that somebody serves `row`, an alias with tenant_id and channel. It takes `asked()` as parameters."""
    return f"""({row}.channel = ANY (%(served)s) OR EXISTS (SELECT FROM deliveries_provider p
        WHERE p.tenant_id = {row}.tenant_id AND p.channel = {row}.channel AND p.is_enabled))"""


def asked() -> dict[str, list[str]]:
    """Return the parameters of `is_served`."""
    return {"served": list(settings.CHANNEL_SENDERS)}


def unserved(pairs: Collection[tuple[int, str]]) -> set[tuple[int, str]]:
    """Return those (tenant id, channel) that nobody serves. At most one query, none when the settings serve all of them."""
    open_pairs = {(tenant, channel) for tenant, channel in pairs if channel not in settings.CHANNEL_SENDERS}
    if not open_pairs:
        return set()
    own = Provider.objects.filter(
        tenant_id__in={tenant for tenant, _channel in open_pairs},
        channel__in={channel for _tenant, channel in open_pairs},
        is_enabled=True,
    )
    return open_pairs - set(own.values_list("tenant_id", "channel"))
