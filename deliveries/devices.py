"""Devices as their owners' apps register them. Reading them for a send, and forgetting dead ones, is in `deliveries/addresses.py`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from django.db import connection, transaction
from psycopg.types.json import Jsonb

from deliveries.models import Device, Tenant

#: A push goes to all of a person's devices at once; whoever registers more loses those seen longest ago.
MAX_DEVICES: Final = 30

# A device that changes hands begins anew: the new owner learns nothing of the one before.
REGISTER = """
INSERT INTO deliveries_device AS known (tenant_id, user_id, platform, token, keys, name, created_at, seen_at)
VALUES (%(tenant)s, %(user)s, %(platform)s, %(token)s, %(keys)s, %(name)s, statement_timestamp(), statement_timestamp())
ON CONFLICT (tenant_id, platform, token) DO UPDATE
SET user_id = excluded.user_id, keys = excluded.keys, name = excluded.name, seen_at = excluded.seen_at,
    created_at = CASE WHEN known.user_id = excluded.user_id THEN known.created_at ELSE excluded.created_at END
RETURNING id, user_id, platform, name, created_at, seen_at
"""
FORGET_OLDEST = """
DELETE FROM deliveries_device WHERE id IN (
    SELECT id FROM deliveries_device WHERE tenant_id = %(tenant)s AND user_id = %(user)s
    ORDER BY seen_at DESC, id DESC OFFSET %(most)s)
"""


def device_register(
    *, tenant: Tenant, user_id: UUID, platform: str, token: str, keys: Mapping[str, str], name: str
) -> tuple[Device, bool]:
    """Let pushes to this person reach a device, and return it and whether it is new to them.

    Idempotent: the same device again is seen again, with the keys and the name of now. One that was another person's of
    the tenant is this one's from now on: whoever signed in last on a phone gets its pushes.
    """
    person: dict[str, Any] = {"tenant": tenant.pk, "user": user_id}
    asked = {**person, "platform": platform, "token": token, "keys": Jsonb(dict(keys)), "name": name}
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(REGISTER, asked)
        stored = dict(zip((column.name for column in cursor.description), cursor.fetchone(), strict=True))
        cursor.execute(FORGET_OLDEST, {**person, "most": MAX_DEVICES})
    return Device(tenant=tenant, token=token, keys=dict(keys), **stored), stored["created_at"] == stored["seen_at"]
