"""Lanes, under Diagnostics: what waits together, and how each is steered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString

from deliveries.admin import words
from deliveries.admin.base import chip, many_tenants, when
from deliveries.admin.paging import KeysetAdmin
from deliveries.holds import hold_of_lane, holds_in_force
from deliveries.models import Lane


@admin.register(Lane)
class LaneAdmin(KeysetAdmin):
    """What waits together. Read-only here: lanes are steered, never edited."""

    list_display = ("channel_word", "priority_word", "source", "tenant", "state", "pace", "since")
    list_select_related = ("tenant",)

    def get_list_display(self, request: HttpRequest) -> list[str]:
        """Show the tenant where there is more than one."""
        return [name for name in self.list_display if name != "tenant" or many_tenants()]

    def decorate(self, request: HttpRequest, rows: Sequence[Any]) -> None:
        """Give each row what it is on hold for, and whether it has its pace together with others."""
        holds = holds_in_force()
        shared = set(Lane.objects.filter(bucket__in=[row.pk for row in rows]).values_list("bucket_id", flat=True))
        for row in rows:
            row.on_hold = hold_of_lane(row, holds)
            row.is_shared = row.bucket_id is not None or row.pk in shared

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Ingest makes lanes."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Rows point at lanes for as long as they are kept."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Let nothing be typed in: a lane's columns belong to the lifecycle."""
        return False

    @admin.display(description="Channel")
    def channel_word(self, row: Lane) -> str:
        """Name the channel."""
        return words.channel(row.channel)

    @admin.display(description="Priority")
    def priority_word(self, row: Lane) -> str:
        """Name the priority."""
        return words.PRIORITIES[row.priority]

    @admin.display(description="State")
    def state(self, row: Any) -> SafeString:
        """Say if it runs."""
        if row.cancelled_at is not None:
            return chip("Cancelled")
        if row.on_hold is not None:
            return chip(f"On hold: {row.on_hold.reason}", "warn")
        return chip(f"Paused: {row.pause_reason}", "warn") if row.paused_at is not None else chip("Running", "ok")

    @admin.display(description="Speed")
    def pace(self, row: Any) -> str:
        """Say how fast it may go."""
        if row.pace_per_minute is None:
            return "As fast as it goes"
        together = " together with others" if row.is_shared else ""
        return f"{row.pace_per_minute:,} a minute{together}"

    @admin.display(description="Since")
    def since(self, row: Any) -> SafeString:
        """Say since when it is on hold, paused or cancelled."""
        return when(row.cancelled_at or (row.on_hold.held_at if row.on_hold else row.paused_at))
