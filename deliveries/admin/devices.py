"""Devices: what takes a person's pushes. Registered by the person's own app, so staff only look, and remove."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from deliveries.admin.base import chip, many_tenants, two_lines, when
from deliveries.admin.filters import TenantFilter
from deliveries.admin.paging import KeysetAdmin
from deliveries.admin.people import contacts_of, of_people
from deliveries.models import Device

SHOWN_CHARACTERS = 6


@admin.register(Device)
class DeviceAdmin(KeysetAdmin):
    """Devices, those registered last first. Whoever knows a token and its keys can push there, so neither is shown whole."""

    list_display = ("device", "person", "platform_word", "seen", "registered")
    list_display_links = ("device",)
    list_filter = ("platform", TenantFilter)
    list_select_related = ("tenant",)
    search_fields = ("user_id",)
    search_help_text = "Person: name, address, phone or user id"

    def get_list_display(self, request: HttpRequest) -> Sequence[str]:
        """Show the tenant where there is more than one."""
        return (*self.list_display, "tenant") if many_tenants() else self.list_display

    def get_fields(self, request: HttpRequest, obj: Device | None = None) -> list[str]:
        """Show what helps to recognise it."""
        tenant = ["tenant"] if many_tenants() else []
        return [*tenant, "user_id", "name", "platform", "token_end", "registered", "seen"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Device]:
        """Leave the keys where they are: nobody needs to see them."""
        rows: QuerySet[Device] = super().get_queryset(request).defer("keys")
        return rows

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Device], search_term: str
    ) -> tuple[QuerySet[Device], bool]:
        """Find by person."""
        return (of_people(search_term, queryset) if search_term.strip() else queryset), False

    def decorate(self, request: HttpRequest, rows: Sequence[Any]) -> None:
        """Add the people, in one query."""
        people = contacts_of(rows)
        for row in rows:
            row.contact = people.get((row.tenant_id, row.user_id))

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Apps register devices."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Apps register devices."""
        return False

    @admin.display(description="Device")
    def device(self, row: Device) -> SafeString:
        """Name it, with the end of its token."""
        return two_lines(str(row), self.token_end(row))

    @admin.display(description="Person")
    def person(self, row: Any) -> SafeString:
        """Name the person."""
        return (
            two_lines(str(row.contact), str(row.user_id)) if row.contact else two_lines(str(row.user_id), "no contact")
        )

    @admin.display(description="Platform")
    def platform_word(self, row: Device) -> SafeString:
        """Name the platform."""
        return chip(row.get_platform_display())

    @admin.display(description="Token")
    def token_end(self, row: Device) -> str:
        """Show as much of the token as tells two devices apart."""
        return f"…{row.token[-SHOWN_CHARACTERS:]}"

    @admin.display(description="Last seen")
    def seen(self, row: Device) -> SafeString:
        """Say when its app last registered it."""
        return when(row.seen_at)

    @admin.display(description="Registered")
    def registered(self, row: Device) -> SafeString:
        """Say since when it is this person's."""
        return when(row.created_at)
