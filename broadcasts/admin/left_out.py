"""Who was left out of a broadcast, and why: pages in the order of contacts, as their index has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.http import HttpRequest
from django.template.response import TemplateResponse

from broadcasts.models import Broadcast, LeftOut
from deliveries.models import Contact

if TYPE_CHECKING:
    from deliveries.admin.base import StaffAdmin

PAGE: Final = 50


def left_out_page(pages: StaffAdmin, request: HttpRequest, broadcast: Broadcast) -> TemplateResponse:
    """Show one page: of one reason, if `reason` names one, after the contact that `after` names. Two queries of its own."""
    reason = request.GET.get("reason", "")
    after = request.GET.get("after", "")
    rows = LeftOut.objects.filter(broadcast=broadcast).order_by("contact_id", "channel")
    if reason in LeftOut.Reason.values:
        rows = rows.filter(reason=reason)
    if after.isascii() and after.isdigit() and len(after) < 19:
        rows = rows.filter(contact_id__gt=int(after))
    found = list(rows[: PAGE + 1])
    # A contact's rows stay together: what is cut off begins with the next contact.
    shown = found[:PAGE]
    if len(found) > PAGE:
        whole = [row for row in shown if row.contact_id != found[PAGE].contact_id]
        shown = whole or shown
    people = {
        person.pk: person
        for person in Contact.objects.filter(tenant=broadcast.tenant_id, pk__in={row.contact_id for row in shown})
    }
    return pages.page(
        request,
        "admin/broadcasts/left_out.html",
        title="Left out",
        broadcast=broadcast,
        reason=LeftOut.Reason(reason).label if reason in LeftOut.Reason.values else "",
        reason_code=reason,
        reasons=LeftOut.Reason.choices,
        may_download=request.user.has_perm("deliveries.view_delivery"),
        rows=[(row, people.get(row.contact_id), row.get_reason_display()) for row in shown],
        next_after=shown[-1].contact_id if len(found) > PAGE else None,
    )
