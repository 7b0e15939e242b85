"""Where a message goes that has no address among a contact's own fields: the devices of a push, the endpoint of a webhook.

Read for a batch when it starts, and told afterwards what the far ends said of them. One statement a batch each, on an event loop's
connection. Registration by the person's app is in `deliveries/api/devices.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog
from psycopg import AsyncConnection

from deliveries.channels import Channel
from deliveries.lifecycle import ClaimedRow
from deliveries.providers.credentials import CredentialsError, unseal
from deliveries.senders.base import Device, Message

log = structlog.get_logger(__name__)

DEVICES = """
SELECT d.tenant_id, d.user_id, d.id, d.platform, d.token, d.keys
FROM unnest(%(tenants)s::bigint[], %(users)s::uuid[]) AS asked (tenant_id, user_id)
CROSS JOIN LATERAL (SELECT * FROM deliveries_device v WHERE (v.tenant_id, v.user_id) = (asked.tenant_id, asked.user_id) OFFSET 0) d
ORDER BY d.id
"""
ENDPOINTS = """
SELECT e.tenant_id, e.user_id, e.url, e.sealed_secrets
FROM unnest(%(tenants)s::bigint[], %(users)s::uuid[]) AS asked (tenant_id, user_id)
CROSS JOIN LATERAL (SELECT * FROM deliveries_webhookendpoint w WHERE (w.tenant_id, w.user_id) = (asked.tenant_id, asked.user_id)
    OFFSET 0) e WHERE e.disabled_at IS NULL
"""
FORGET = "DELETE FROM deliveries_device WHERE id = ANY (%(ids)s)"
NOTE = """
UPDATE deliveries_webhookendpoint e
SET failing_since = CASE WHEN told.took THEN NULL ELSE coalesce(e.failing_since, statement_timestamp()) END,
    failed_at = CASE WHEN told.took THEN e.failed_at ELSE statement_timestamp() END
FROM (SELECT tenant_id, user_id, bool_or(took) AS took
    FROM unnest(%(tenants)s::bigint[], %(users)s::uuid[], %(took)s::boolean[]) AS one (tenant_id, user_id, took) GROUP BY 1, 2) told
WHERE e.tenant_id = told.tenant_id AND e.user_id = told.user_id AND (NOT told.took OR e.failing_since IS NOT NULL)
"""

Person = tuple[int, UUID]
# The channels whose far ends say something about an address that is worth keeping.
LEARNED = frozenset({Channel.PUSH, Channel.WEBHOOK})


@dataclass(frozen=True, slots=True)
class Address:
    """Where one person's message of this channel goes."""

    to: str = ""
    devices: tuple[Device, ...] = ()
    secrets: tuple[str, ...] = ()


NOWHERE = Address()


@dataclass(frozen=True, slots=True)
class Told:
    """What a far end said of one message. `dead_devices`: nothing will ever arrive there."""

    message: Message
    took: bool
    dead_devices: tuple[int, ...] = ()


async def load(connection: AsyncConnection[Any], *, channel: str, rows: Sequence[ClaimedRow]) -> dict[Person, Address]:
    """Return the addresses of these rows' people. No query for a channel whose address is the contact's own field."""
    found: dict[Person, Address] = {}
    if channel not in (Channel.PUSH, Channel.WEBHOOK):
        return found
    people = {(row.tenant_id, row.user_id) for row in rows}
    asked = {"tenants": [tenant for tenant, _user in people], "users": [user for _tenant, user in people]}
    match channel:
        case Channel.PUSH:
            for tenant, user, *device in await (await connection.execute(DEVICES, asked)).fetchall():
                known = found.get((tenant, user), NOWHERE)
                found[tenant, user] = Address(to=str(user), devices=(*known.devices, Device(*device)))
        case Channel.WEBHOOK:
            for tenant, user, url, sealed in await (await connection.execute(ENDPOINTS, asked)).fetchall():
                found[tenant, user] = Address(to=url, secrets=_secrets(sealed))
    return found


async def learn(connection: AsyncConnection[Any], *, channel: str, told: Sequence[Told]) -> None:
    """Forget devices that are dead, and note since when an endpoint takes nothing. Idempotent."""
    if dead := sorted({device for one in told for device in one.dead_devices}):
        await connection.execute(FORGET, {"ids": dead})
        log.info("dead devices forgotten", count=len(dead))
    if channel == Channel.WEBHOOK and told:
        await connection.execute(
            NOTE,
            {
                "tenants": [one.message.tenant_id for one in told],
                "users": [one.message.user_id for one in told],
                "took": [one.took for one in told],
            },
        )


def _secrets(sealed: bytes) -> tuple[str, ...]:
    """Return an endpoint's signing secrets, newest first; none when they cannot be opened, which the sender then says."""
    try:
        opened = unseal(sealed)
    except CredentialsError as error:
        log.error("webhook secret not opened", error=str(error))
        return ()
    return tuple(secret for name in ("secret", "old_secret") if (secret := opened.get(name)))
