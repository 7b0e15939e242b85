"""Store contacts, many in one statement. Values come checked; the database's constraints have the last word."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from django.db import connection

from deliveries.json_text import json_bytes
from deliveries.models import Contact, Tenant

#: What a stored contact is replaced by; a value that is not given becomes its default.
REPLACED: Final = ("name", "email", "phone", "locale", "time_zone", "attributes", "opted_out", "updated_at")


def contacts_store(*, tenant: Tenant, people: Iterable[dict[str, Any]]) -> list[Contact]:
    """Create or replace contacts by `(tenant, user_id)`, all of them or none, in one statement.

    Idempotent. The same user_id twice in one call is the caller's mistake. Raises: django.db.IntegrityError then.
    """
    # Ordered by the unique key, so that two calls that share people wait for each other and never deadlock.
    rows = sorted((Contact(tenant=tenant, **person) for person in people), key=lambda contact: contact.user_id)
    return Contact.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["tenant", "user_id"], update_fields=REPLACED
    )


class Merged(NamedTuple):
    """How many contacts are new, and how many were there and have what was given now."""

    new: int
    changed: int


_MERGE: Final = """
INSERT INTO deliveries_contact AS c (tenant_id, user_id, name, email, phone, locale, time_zone, attributes, opted_out,
    created_at, updated_at)
SELECT %(tenant)s, g.user_id, coalesce(g.name, ''), coalesce(g.email, ''), coalesce(g.phone, ''), coalesce(g.locale, ''),
    coalesce(g.time_zone, ''), coalesce(g.attributes, '{}'), '{}', statement_timestamp(), statement_timestamp()
FROM jsonb_to_recordset(%(people)s::jsonb)
    AS g (user_id uuid, name text, email text, phone text, locale text, time_zone text, attributes jsonb)
ORDER BY g.user_id
ON CONFLICT (tenant_id, user_id) DO UPDATE SET
    name = coalesce(nullif(excluded.name, ''), c.name), email = coalesce(nullif(excluded.email, ''), c.email),
    phone = coalesce(nullif(excluded.phone, ''), c.phone), locale = coalesce(nullif(excluded.locale, ''), c.locale),
    time_zone = coalesce(nullif(excluded.time_zone, ''), c.time_zone), attributes = c.attributes || excluded.attributes,
    updated_at = excluded.updated_at
RETURNING xmax = 0
"""


def contacts_merge(*, tenant: Tenant, people: Sequence[dict[str, Any]]) -> Merged:
    """Create contacts, or put what is given of them over what is stored, in one statement; all of them or none.

    What is not given stays, attributes one by one. Idempotent. The same user_id twice in one call is the caller's
    mistake. Raises: django.db.ProgrammingError then.
    """
    with connection.cursor() as cursor:
        cursor.execute(_MERGE, {"tenant": tenant.pk, "people": json_bytes(people).decode()})
        is_new = [new for (new,) in cursor.fetchall()]
    return Merged(sum(is_new), len(is_new) - sum(is_new))
