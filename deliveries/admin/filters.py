"""The filters of the staff lists: the saved views of deliveries, channel, time, tenant. Each condition leads to an index."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar
from uuid import UUID

from django.contrib.admin import SimpleListFilter
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from deliveries.admin import words
from deliveries.channels import Channel, Status
from deliveries.holds import WAITS, holds_in_force, waiting_for
from deliveries.models import Delivery, Tenant
from deliveries.reasons import describe

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


class LinkedFilter(SimpleListFilter):
    """A filter that other pages link to. It offers nothing of its own; once it is there, it can be taken away."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer what is chosen."""
        chosen = self.used_parameters.get(self.parameter_name or "")
        return [(chosen, self.words(chosen))] if chosen else []

    def words(self, chosen: str) -> str:
        """Return what the list shows of it."""
        return chosen


class JobsFilter(LinkedFilter):
    """By a range of job ids of one tenant, such as a broadcast's: `TENANT.FIRST.LAST`, as `jobs_range` writes it."""

    title = "jobs"
    parameter_name = "jobs"

    def words(self, chosen: str) -> str:
        """Say what a range is: rows that were made together."""
        return "Of one broadcast"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> QuerySet[Delivery]:
        """Narrow the list. Raises: IncorrectLookupParameters."""
        chosen = self.value()
        if not chosen:
            return queryset
        try:
            tenant, first, last = chosen.split(".")
            if not (tenant.isascii() and tenant.isdigit() and len(tenant) < 19):
                raise ValueError
            return queryset.filter(tenant_id=int(tenant), job_id__range=(UUID(first), UUID(last)))
        except ValueError:
            raise IncorrectLookupParameters("jobs is no range of job ids") from None


def jobs_range(*, tenant_id: int, first: UUID, last: UUID) -> str:
    """Return the value of `jobs` that shows these jobs of a tenant."""
    return f"{tenant_id}.{first}.{last}"


class StatusFilter(LinkedFilter):
    """By statuses, with a comma between them."""

    title = "status"
    parameter_name = "status"

    def words(self, chosen: str) -> str:
        """Name them as the list does."""
        names = {status.value: name for status, (name, _tone) in words.STATUSES.items()}
        return ", ".join(names.get(one, one) for one in chosen.split(","))

    def queryset(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> QuerySet[Delivery]:
        """Narrow the list."""
        chosen = self.value()
        return queryset.filter(status__in=chosen.split(",")) if chosen else queryset


class ReasonFilter(LinkedFilter):
    """By reason code."""

    title = "reason"
    parameter_name = "reason"

    def words(self, chosen: str) -> str:
        """Name it."""
        return describe(chosen).title

    def queryset(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> QuerySet[Delivery]:
        """Narrow the list, by the index of what has a reason."""
        return queryset.filter(HAS_REASON, reason=self.value()) if self.value() else queryset


class OutcomeFilter(LinkedFilter):
    """By what became of it after it was sent."""

    title = "outcome"
    parameter_name = "outcome"

    def words(self, chosen: str) -> str:
        """Name it."""
        return words.OUTCOMES[chosen][0] if chosen in words.OUTCOMES else chosen

    def queryset(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> QuerySet[Delivery]:
        """Narrow the list."""
        return queryset.filter(outcome=self.value()) if self.value() else queryset
