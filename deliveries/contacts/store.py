"""Store contacts, many in one statement. Values come checked; the database's constraints have the last word."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

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
