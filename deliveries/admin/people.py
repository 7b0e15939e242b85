"""Finding people by what staff know of them: user id, e-mail address, phone number, the beginning of a name. Indexes only.

Used by the search boxes, the command palette and "Send me a test". Reads only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final, Protocol, TypeVar
from uuid import UUID

from django.db.models import Model, Q, QuerySet
from django.db.models.functions import Lower

from deliveries.models import Contact, Delivery, Tenant

LIMIT: Final = 50
Row = TypeVar("Row", bound=Model)
PHONE: Final = re.compile(r"\+?[\d\s()/.-]{5,}")


def parse_uuid(text: str) -> UUID | None:
    """Return the UUID that `text` is, in any of its spellings, or None."""
    try:
        return UUID(text.strip())
    except ValueError:
        return None


def every_tenant() -> QuerySet[Tenant, Any]:
    """Name every tenant in a condition: the indexes of contacts and deliveries begin with the tenant."""
    return Tenant.objects.order_by().values("id")


def find_people(text: str, *, limit: int = LIMIT, tenant: Tenant | None = None) -> list[Contact]:
    """Return the contacts that `text` may mean, newest first: one query, answered by an index, at most `limit` rows.

    `tenant`: only of this one.
    """
    text = text.strip().replace("\x00", "")
    if not text:
        return []
    rows = Contact.objects.filter(tenant=tenant) if tenant else Contact.objects.filter(tenant__in=every_tenant())
    if (user_id := parse_uuid(text)) is not None:
        rows = rows.filter(user_id=user_id)
    elif "@" in text:
        rows = rows.alias(lower_email=Lower("email")).filter(lower_email=text.lower())
    elif PHONE.fullmatch(text):
        rows = rows.filter(phone__in={text, re.sub(r"[^\d+]", "", text)})
    else:
        rows = rows.filter(name__istartswith=text)
    return list(rows.order_by("-id")[:limit])


class OfAPerson(Protocol):
    """A row that names its person."""

    tenant_id: int
    user_id: UUID


def contacts_of(rows: Iterable[OfAPerson]) -> dict[tuple[int, UUID], Contact]:
    """Return the contacts of rows by (tenant, user id), in one query."""
    wanted = {(row.tenant_id, row.user_id) for row in rows}
    if not wanted:
        return {}
    found = Contact.objects.filter(
        tenant__in={tenant for tenant, _ in wanted}, user_id__in={user for _, user in wanted}
    )
    return {(contact.tenant_id, contact.user_id): contact for contact in found}


def of_people(text: str, queryset: QuerySet[Row]) -> QuerySet[Row]:
    """Narrow rows that name their person to those of the people that `text` may mean; a user id needs no contact."""
    if (user_id := parse_uuid(text)) is not None:
        return queryset.filter(tenant__in=every_tenant(), user_id=user_id)
    people = find_people(text)
    if not people:
        return queryset.none()
    return queryset.filter(
        Q(tenant__in={person.tenant_id for person in people}), user_id__in={person.user_id for person in people}
    )


def deliveries_about(text: str, queryset: QuerySet[Delivery]) -> QuerySet[Delivery]:
    """Narrow `queryset` to what `text` means: a job id, or the deliveries of the people that it may mean."""
    if (uuid := parse_uuid(text)) is not None:
        jobs = list(Delivery.objects.filter(tenant__in=every_tenant(), job_id=uuid).values_list("pk", flat=True))
        if jobs:
            return queryset.filter(pk__in=jobs)
    return of_people(text, queryset)
