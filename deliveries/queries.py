"""Reading deliveries: the filters that the admin and the API share, and keyset pages. Reads only; nothing here writes.

A filter leads to an index or runs along the primary key, newest first. Nothing counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar
from uuid import UUID

from django.db.models import Exists, Model, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Lower

from deliveries.models import Contact, Delivery, Tenant

Row = TypeVar("Row", bound=Model)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryFilter:
    """What to look for; an empty field asks nothing, and all that is asked must hold.

    `address` finds the deliveries of the people who have this e-mail address or phone number now, those that wait
    included, which have no address of their own yet. `has_problem`: something went wrong or still does (True), or not.
    """

    tenant_id: int | None = None
    statuses: Sequence[str] = ()
    channels: Sequence[str] = ()
    user_id: UUID | None = None
    job_id: UUID | None = None
    address: str = ""
    template_code: str = ""
    reason: str = ""
    accepted_after: datetime | None = None
    accepted_before: datetime | None = None
    has_problem: bool | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Rows newest first, and whether there are newer and older ones."""

    rows: Sequence[Row]
    has_newer: bool
    has_older: bool


def deliveries_matching(wanted: DeliveryFilter) -> QuerySet[Delivery]:
    """Return the deliveries that `wanted` describes, newest first. Lazy; never evaluates."""
    asked = Q()
    if wanted.tenant_id is not None:
        asked &= Q(tenant_id=wanted.tenant_id)
    if wanted.statuses:
        asked &= Q(status__in=wanted.statuses)
    if wanted.channels:
        asked &= Q(channel__in=wanted.channels)
    if wanted.user_id is not None:
        asked &= _in_tenants(wanted) & Q(user_id=wanted.user_id)
    if wanted.job_id is not None:
        asked &= _in_tenants(wanted) & Q(job_id=wanted.job_id)
    if wanted.address:
        asked &= Q(Exists(_people_at(wanted.address)))
    if wanted.template_code:
        asked &= Q(template_code=wanted.template_code)
    if wanted.reason:
        # The second condition is implied; it is the predicate of the index delivery_with_reason.
        asked &= Q(reason=wanted.reason) & ~Q(reason="")
    if wanted.accepted_after is not None:
        asked &= Q(accepted_at__gte=wanted.accepted_after)
    if wanted.accepted_before is not None:
        asked &= Q(accepted_at__lt=wanted.accepted_before)
    if wanted.has_problem is not None:
        asked &= ~Q(reason="") if wanted.has_problem else Q(reason="")
    return Delivery.objects.filter(asked).order_by("-id")


def keyset_page(
    rows: QuerySet[Row],
    *,
    limit: int,
    older_than: int | UUID | None = None,
    newer_than: int | UUID | None = None,
    by: str = "pk",
) -> Page[Row]:
    """Cut one page out of `rows` by id, newest first: the first, or the one beside an id. One query, no count.

    A page stays what it is while rows are added. At most one of `older_than` and `newer_than` may be given. `by`: another unique field
    that has an index which fits the rows' condition.
    """
    if newer_than is not None:
        found = list(rows.filter(**{f"{by}__gt": newer_than}).order_by(by)[: limit + 1])
        more = len(found) > limit
        return Page(found[:limit][::-1], has_newer=more, has_older=True)
    if older_than is not None:
        rows = rows.filter(**{f"{by}__lt": older_than})
    found = list(rows.order_by(f"-{by}")[: limit + 1])
    return Page(found[:limit], has_newer=older_than is not None, has_older=len(found) > limit)


def _in_tenants(wanted: DeliveryFilter) -> Q:
    """Name the tenants even when every one is meant: the indexes of people and of job ids begin with the tenant."""
    return Q() if wanted.tenant_id is not None else Q(tenant_id__in=Tenant.objects.values("id"))


def _people_at(address: str) -> QuerySet[Contact]:
    """Return the delivery's own contact if this is their address, in the form of the indexes of contacts."""
    person = Contact.objects.filter(tenant_id=OuterRef("tenant_id"), user_id=OuterRef("user_id"))
    if "@" not in address:
        return person.filter(phone=address)
    return person.alias(lower_email=Lower("email")).filter(lower_email=Lower(Value(address)))
