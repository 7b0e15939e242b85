"""Lanes, under Diagnostics, and the Hold of a whole channel that the dashboard offers."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils.safestring import SafeString

from deliveries import lifecycle
from deliveries.admin import words
from deliveries.admin.base import audit, chip, many_tenants, post_only, say, staff_name, when
from deliveries.admin.paging import KeysetAdmin
from deliveries.channels import CHANNELS, Priority
from deliveries.figures import forget
from deliveries.hints import hint
from deliveries.models import Lane, Tenant


@admin.register(Lane)
class LaneAdmin(KeysetAdmin):
    """What waits together. Read-only here: lanes are steered, never edited."""

    list_display = ("channel_word", "priority_word", "source", "tenant", "state", "pace", "since")
    list_select_related = ("tenant",)

    def get_list_display(self, request: HttpRequest) -> list[str]:
        """Show the tenant where there is more than one."""
        return [name for name in self.list_display if name != "tenant" or many_tenants()]

    def get_urls(self) -> list[URLPattern]:
        """Add Hold and Resume."""
        return [path("hold/", self.admin_site.admin_view(self.hold), name="deliveries_lane_hold"), *super().get_urls()]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Ingest makes lanes."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Rows point at lanes for as long as they are kept."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Let nothing be typed in: a lane's columns belong to the lifecycle."""
        return False

    def has_hold_permission(self, request: HttpRequest) -> bool:
        """Who may change lanes may hold them."""
        return request.user.has_perm("deliveries.change_lane")

    @post_only("hold")
    def hold(self, request: HttpRequest) -> HttpResponse:
        """Hold every lane of a channel, or let them go on. Makes the lanes that are missing, so that a Hold comes before the first job."""
        channel = request.POST.get("channel", "")
        if channel not in CHANNELS:
            say(request, "There is no such channel.", bad=True)
            return self.back(request, "index")
        by, word = staff_name(request), words.channel(channel)
        if request.POST.get("do") == "resume":
            with transaction.atomic():
                held = list(Lane.objects.filter(channel=channel, paused_at__isnull=False))
                lifecycle.lane_resume(lane_ids=[lane.pk for lane in held])
                audit(request, held, "Resumed.")
            hint([channel])
            say(request, f"{word} goes on.")
        else:
            reason = request.POST.get("reason", "").strip()
            if not reason:
                say(request, "Say why, so that others know when it may go on.", bad=True)
                return self.back(request, "index")
            with transaction.atomic():
                Lane.objects.bulk_create(_every_lane(channel), ignore_conflicts=True)
                lanes = list(Lane.objects.filter(channel=channel, paused_at=None, cancelled_at=None))
                lifecycle.lane_pause(lane_ids=[lane.pk for lane in lanes], by=by, reason=reason)
                audit(request, lanes, f"Held: {reason}")
            say(request, f"{word} is on hold. What is being sent at this moment still goes out.")
        forget()
        return self.back(request, "index")

    @admin.display(description="Channel")
    def channel_word(self, row: Lane) -> str:
        """Name the channel."""
        return words.channel(row.channel)

    @admin.display(description="Priority")
    def priority_word(self, row: Lane) -> str:
        """Name the priority."""
        return words.PRIORITIES[row.priority]

    @admin.display(description="State")
    def state(self, row: Lane) -> SafeString:
        """Say if it runs."""
        if row.cancelled_at is not None:
            return chip("Cancelled")
        return chip(f"On hold: {row.pause_reason}", "warn") if row.paused_at is not None else chip("Running", "ok")

    @admin.display(description="Speed")
    def pace(self, row: Lane) -> str:
        """Say how fast it may go."""
        return f"{row.pace_per_minute:,} a minute" if row.pace_per_minute else "As fast as it goes"

    @admin.display(description="Since")
    def since(self, row: Lane) -> SafeString:
        """Say since when it is held or cancelled."""
        return when(row.cancelled_at or row.paused_at)


def _every_lane(channel: str) -> list[Lane]:
    """Return a lane of `channel` for each tenant and priority, to be made where missing."""
    return [
        Lane(tenant=tenant, channel=channel, priority=priority)
        for tenant in Tenant.objects.all()
        for priority in Priority
    ]
