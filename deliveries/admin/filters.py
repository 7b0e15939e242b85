"""The filters of the staff lists: the saved views of deliveries, channel, time, tenant. Each condition leads to an index."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

from django.contrib.admin import SimpleListFilter
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from deliveries.admin import words
from deliveries.channels import Channel, Status
from deliveries.holds import WAITS, holds_in_force, waiting_for
from deliveries.models import Delivery, Tenant

#: Conditions that name the predicate of an index, so that a rare status is found without reading the table.
HAS_REASON = ~Q(reason="")


class SavedView(SimpleListFilter):
    """The tabs above the list."""

    title = "view"
    parameter_name = "view"
    conditions: ClassVar[dict[str, tuple[str, Q]]] = {
        "waiting": ("Waiting", WAITS & Q(status=Status.PENDING)),
        "on-hold": ("On hold", WAITS),
        "retrying": ("Trying again", WAITS & Q(status=Status.RETRYING)),
        "sending": ("In progress", Q(lease_expires_at__isnull=False)),
        "failed": ("Failed", HAS_REASON & Q(status=Status.FAILED)),
        "not-sent": ("Not sent", HAS_REASON & Q(status__in=[Status.EXPIRED, Status.SUPPRESSED, Status.CANCELLED])),
        "sent": ("Sent today", Q(status=Status.SENT)),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer the views in their order."""
        return [(name, title) for name, (title, _) in self.conditions.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> QuerySet[Delivery]:
        """Narrow the list. "Today" begins at midnight, local time."""
        chosen = self.value()
        if chosen not in self.conditions:
            return queryset
        queryset = queryset.filter(self.conditions[chosen][1])
        if chosen == "on-hold":
            queryset = queryset.filter(waiting_for(holds_in_force()))
        if chosen == "sent":
            queryset = queryset.filter(finished_at__gte=timezone.localtime().replace(hour=0, minute=0, second=0))
        return queryset


class ChannelFilter(SimpleListFilter):
    """By channel, in staff's words."""

    title = "channel"
    parameter_name = "channel"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer the declared channels."""
        return [(name.value, words.channel(name)) for name in Channel]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> QuerySet[Delivery]:
        """Narrow the list."""
        return queryset.filter(channel=self.value()) if self.value() else queryset


class AcceptedFilter(SimpleListFilter):
    """By when the job came in."""

    title = "accepted"
    parameter_name = "accepted"
    spans: ClassVar[dict[str, tuple[str, timedelta]]] = {
        "hour": ("In the last hour", timedelta(hours=1)),
        "day": ("In the last 24 hours", timedelta(days=1)),
        "week": ("In the last 7 days", timedelta(days=7)),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer the spans."""
        return [(name, title) for name, (title, _) in self.spans.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> QuerySet[Delivery]:
        """Narrow the list."""
        span = self.spans.get(self.value() or "")
        return queryset.filter(accepted_at__gte=timezone.now() - span[1]) if span else queryset


class TenantFilter(SimpleListFilter):
    """By tenant; hidden while there is only one."""

    title = "tenant"
    parameter_name = "tenant"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer the tenants, if there is a choice."""
        tenants = [(str(tenant.pk), tenant.name) for tenant in Tenant.objects.order_by("name")[:200]]
        return tenants if len(tenants) > 1 else []

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow the list."""
        chosen = self.value()
        return queryset.filter(tenant_id=int(chosen)) if chosen and chosen.isdigit() else queryset


class HoldFilter(SimpleListFilter):
    """By one hold, as the dashboard links it; hidden while nothing is on hold."""

    title = "on hold"
    parameter_name = "hold"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer what is on hold now."""
        self.holds = {str(hold.pk): hold for hold in holds_in_force()}
        return [(pk, words.held(hold)) for pk, hold in self.holds.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow the list. A hold that is over keeps nothing waiting."""
        chosen = self.value()
        if not chosen:
            return queryset
        return queryset.filter(waiting_for([self.holds[chosen]] if chosen in self.holds else []))
