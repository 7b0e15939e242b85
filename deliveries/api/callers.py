"""The caller as the views see one: whose rows are visible, who did it, into which tenant a new row goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from django.conf import settings
from django.db.models import Model, QuerySet
from rest_framework.request import Request

from deliveries.api.errors import ApiError
from deliveries.audit import record
from deliveries.models import ApiKey, Tenant

Row = TypeVar("Row", bound=Model)


@dataclass(frozen=True, slots=True)
class Caller:
    """`tenant` is None for staff who did not narrow the request by `?tenant=`; they see every tenant.

    `is_test`: a test key, by which nothing reaches a provider. `staff_id`: the member of staff, None for keys.
    """

    by: str
    tenant: Tenant | None
    is_test: bool = False
    staff_id: int | None = None

    def visible(self, rows: QuerySet[Row]) -> QuerySet[Row]:
        """Narrow rows that have a `tenant` to those the caller may see."""
        return rows if self.tenant is None else rows.filter(tenant=self.tenant)

    def note(self, row: Model, message: str) -> None:
        """Write into the admin's log what staff did to a row; a key's doings are told by the rows. Call it in the transaction."""
        if self.staff_id is not None:
            record(staff_id=self.staff_id, rows=[row], message=message)

    def home(self) -> Tenant:
        """Return the tenant that a new row of this caller belongs to: the key's, the chosen one, or the default."""
        return self.tenant or Tenant.objects.get(slug=settings.DEFAULT_TENANT)


def caller_of(request: Request) -> Caller:
    """Tell who is calling. Raises: ApiError 404 when `?tenant=` names none that the caller may see."""
    wanted = request.query_params.get("tenant")
    if isinstance(request.auth, ApiKey):
        tenant = request.auth.tenant
        if wanted is not None and wanted != tenant.slug:
            raise _unknown_tenant()
        return Caller(f"key:{request.auth.prefix}", tenant, is_test=request.auth.mode == ApiKey.Mode.TEST)
    if wanted is None:
        return Caller(request.user.get_username(), None, staff_id=request.user.pk)
    chosen = Tenant.objects.filter(slug=wanted).first() if "\0" not in wanted else None
    if chosen is None:
        raise _unknown_tenant()
    return Caller(request.user.get_username(), chosen, staff_id=request.user.pk)


def _unknown_tenant() -> ApiError:
    return ApiError(404, "unknown_tenant", "There is no such tenant. Leave `tenant` out or name your own.")
