"""Suppressions: addresses that get nothing, why, and from which delivery. Added and removed here by `deliveries/suppressions.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from deliveries.admin import words
from deliveries.admin.base import chip, many_tenants, two_lines, when
from deliveries.admin.filters import TenantFilter
from deliveries.admin.paging import KeysetAdmin
from deliveries.admin.people import every_tenant
from deliveries.channels import Channel
from deliveries.models import Delivery, Suppression, Tenant
from deliveries.models.unwanted import SUPPRESSIBLE
from deliveries.suppressions import normal_address, suppression_add


class SuppressionForm(forms.ModelForm):  # type: ignore[type-arg]  # the plain class takes no argument when it runs
    """An address that shall get nothing."""

    channel = forms.ChoiceField(
        choices=[(channel.value, words.channel(channel)) for channel in SUPPRESSIBLE], widget=UnfoldAdminSelectWidget()
    )

    class Meta:
        model = Suppression
        fields = ("tenant", "channel", "address", "note")
        widgets = {"address": UnfoldAdminTextInputWidget, "note": UnfoldAdminTextInputWidget}
        help_texts = {
            "address": "E-mail address, or phone number with its country code.",
            "note": "Why, for those who wonder later.",
        }

    def clean(self) -> dict[str, Any]:
        """Spell the address as the list does; refuse one that is none, or is there already."""
        values = super().clean() or {}
        if "channel" not in values or "address" not in values:
            return values
        address = normal_address(values["channel"], values["address"])
        if values["channel"] == Channel.EMAIL:
            try:
                validate_email(address)
            except ValidationError:
                self.add_error("address", "Enter an e-mail address, such as ana@example.com.")
        elif not address:
            self.add_error("address", "Enter a phone number, such as +4930123456.")
        tenant = values.get("tenant") or (None if "tenant" in self.fields else Tenant.objects.get())
        known = Suppression.objects.filter(tenant=tenant, channel=values["channel"], address=address)
        if tenant is not None and known.exists():
            self.add_error("address", "This address is on the list already.")
        values["address"] = address
        return values


@admin.register(Suppression)
class SuppressionAdmin(KeysetAdmin):
    """The suppression list, newest first. Nothing on it is changed: it is added or removed, both with an entry in the log."""

    form = SuppressionForm
    list_display = ("who", "why", "delivery", "since")
    list_display_links = ("who",)
    list_filter = ("reason", "channel", TenantFilter)
    list_select_related = ("tenant",)
    search_fields = ("address",)
    search_help_text = "Address or phone number"

    def get_list_display(self, request: HttpRequest) -> Sequence[str]:
        """Show the tenant where there is more than one."""
        return (*self.list_display, "tenant") if many_tenants() else self.list_display

    def get_fields(self, request: HttpRequest, obj: Suppression | None = None) -> list[str]:
        """Hide the tenant while there is only one; show where one that is there comes from."""
        tenant = ["tenant"] if many_tenants() else []
        return [*tenant, *(["who", "why", "delivery", "since"] if obj else ["channel", "address", "note"])]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Let nobody change a row: who is on the list for which reason is what happened."""
        return False

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Suppression], search_term: str
    ) -> tuple[QuerySet[Suppression], bool]:
        """Find an address by the unique index, however it is spelled."""
        if not search_term.strip():
            return queryset, False
        spelled = {(channel.value, normal_address(channel, search_term)) for channel in SUPPRESSIBLE}
        found = queryset.filter(
            tenant__in=every_tenant(),
            channel__in=[channel for channel, _ in spelled],
            address__in=[address for _, address in spelled if address],
        )
        return found, False

    def decorate(self, request: HttpRequest, rows: Sequence[Any]) -> None:
        """Add the deliveries that they come from, in one query."""
        _add_deliveries(rows)

    def save_model(self, request: HttpRequest, obj: Any, form: forms.ModelForm[Suppression], change: bool) -> None:
        """Add by the service, under the only tenant where nobody chose one."""
        values = form.cleaned_data
        row, _is_new = suppression_add(
            tenant=values.get("tenant") or Tenant.objects.get(),
            channel=values["channel"],
            address=values["address"],
            note=values["note"],
        )
        obj.__dict__.update(row.__dict__)

    @admin.display(description="Address")
    def who(self, row: Suppression) -> SafeString:
        """Name the address and its channel."""
        return two_lines(row.address, words.channel(row.channel))

    @admin.display(description="Why")
    def why(self, row: Suppression) -> SafeString:
        """Say why, with what staff noted."""
        reason = chip(row.get_reason_display(), "quiet" if row.reason == Suppression.Reason.STAFF else "warn")
        return (
            format_html('<span class="ns-two"><span>{}</span><small>{}</small></span>', reason, row.note)
            if row.note
            else reason
        )

    @admin.display(description="From")
    def delivery(self, row: Any) -> SafeString | str:
        """Lead to the delivery that it comes from, as long as that is there."""
        if row.job_id is None:
            return "-"
        if not hasattr(row, "delivery_pk"):
            _add_deliveries([row])
        if row.delivery_pk is None:
            return "A delivery that is gone"
        url = reverse("admin:deliveries_delivery_change", args=[row.delivery_pk])
        return format_html('<a class="ns-link" href="{}">Delivery</a>', url)

    @admin.display(description="Since")
    def since(self, row: Suppression) -> SafeString:
        """Say since when."""
        return when(row.created_at)


def _add_deliveries(rows: Sequence[Any]) -> None:
    """Give each row the id of the delivery that it comes from, None where that is gone. One query, none where none is named."""
    jobs = {row.job_id for row in rows if row.job_id}
    found: dict[tuple[int, UUID], int] = {}
    if jobs:
        known = Delivery.objects.filter(tenant__in={row.tenant_id for row in rows}, job_id__in=jobs).order_by()
        found = {(tenant, job): pk for tenant, job, pk in known.values_list("tenant_id", "job_id", "pk")}
    for row in rows:
        row.delivery_pk = found.get((row.tenant_id, row.job_id))
