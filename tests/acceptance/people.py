"""The people that fault tests write to. How their mail fares is in their address, which `tests/smtp.py` reads.

Contacts go straight into the tables by SQL: here belongs nothing that the service under test does itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

import psycopg

DEFAULT_TENANT = "default"

TENANTS = """
INSERT INTO deliveries_tenant (slug, name, default_locale, created_at)
SELECT slug, slug, 'en', now() FROM unnest(%s::text[]) AS slug ON CONFLICT (slug) DO NOTHING
"""

CONTACTS = """
INSERT INTO deliveries_contact
    (tenant_id, user_id, name, email, phone, locale, time_zone, attributes, opted_out, created_at, updated_at)
SELECT t.id, p.user_id, 'Ana', p.email, '', '', '', '{}', '{}', now(), now()
FROM unnest(%s::text[], %s::uuid[], %s::text[]) AS p (tenant, user_id, email) JOIN deliveries_tenant t ON t.slug = p.tenant
"""


@dataclass(frozen=True, slots=True)
class Person:
    """One contact of one tenant."""

    user_id: UUID
    email: str
    tenant: str


def people(count: int, *, manner: str = "", tenant: str = DEFAULT_TENANT) -> list[Person]:
    """Return new people. `manner` begins their addresses: `slow-250ms-`, `dot-451-x1-`; empty: all goes well."""
    ids = [uuid4() for _ in range(count)]
    return [Person(user_id, f"{manner}{user_id.hex}@example.com", tenant) for user_id in ids]


def store(database: psycopg.Connection[tuple[object, ...]], those: Sequence[Person]) -> None:
    """Make them contacts, and their tenants where there are none."""
    database.execute(TENANTS, [sorted({person.tenant for person in those})])
    columns = [[getattr(person, name) for person in those] for name in ("tenant", "user_id", "email")]
    database.execute(CONTACTS, columns)
