"""Topics: which there are, how many people each has, and who they are. A topic is there as soon as somebody is subscribed to it."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Any, Final
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse

from broadcasts.admin.people_panel import Circle, panel, people_change
from broadcasts.audience import AudienceTooSlowError, at_most
from broadcasts.members import subscribers_add, subscribers_counted, subscribers_remove, topic_problem, topics_of
from broadcasts.models import TopicSubscription
from deliveries.admin.base import StaffAdmin, many_tenants, post_only, say
from deliveries.models import Tenant

PAGE: Final = 50
LIST: Final = "admin:broadcasts_topicsubscription_changelist"


@admin.register(TopicSubscription)
class TopicAdmin(StaffAdmin):
    """The topics of a tenant, and the people of one. Rows are added and removed many at once, by the panel."""

    def get_urls(self) -> list[URLPattern]:
        """Add a topic's page and its people."""
        view = self.admin_site.admin_view
        return [
            path("topic/", view(self.topic), name="broadcasts_topicsubscription_topic"),
            path("people/", view(self.people), name="broadcasts_topicsubscription_people"),
            *super().get_urls(),
        ]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Let nobody add a single row by the stock form."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Let nobody delete a single row by the stock form."""
        return False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Show fifty topics with how many people each has, after the one that `after` names."""
        self._must_view(request)
        tenant = _tenant(request)
        found = topics_of(tenant_id=tenant.pk, after=request.GET.get("after", ""), limit=PAGE + 1)
        shown = found[:PAGE]
        counts: dict[str, int] = {}
        with suppress(AudienceTooSlowError), at_most(settings.AUDIENCE_COUNT_TIMEOUT_SECONDS):
            counts = subscribers_counted(tenant_id=tenant.pk, topics=shown)
        last = {"tenant": tenant.pk, "after": shown[-1]} if len(found) > PAGE else None
        return self.page(
            request,
            "admin/broadcasts/topics.html",
            title="Topics",
            topics=[(name, counts.get(name), _address("topic", tenant, name)) for name in shown],
            tenant=tenant,
            tenants=Tenant.objects.order_by("name") if many_tenants() else None,
            first_url=f"{reverse(LIST)}?{urlencode({'tenant': tenant.pk})}" if request.GET.get("after") else "",
            next_url=f"{reverse(LIST)}?{urlencode(last)}" if last else "",
            may_change=self.has_change_permission(request),
            typed=request.GET.get("typed", ""),
        )

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> Any:
        """Lead from a single subscription to its topic. Raises: Http404."""
        self._must_view(request)
        row = self.get_object(request, object_id)
        if row is None:
            raise Http404("There is no such subscription.")
        return HttpResponseRedirect(_address("topic", row.tenant, row.topic))

    def topic(self, request: HttpRequest) -> HttpResponse:
        """Show one topic and its people; nobody yet where its name is new."""
        self._must_view(request)
        tenant, name = _tenant(request), request.GET.get("topic", "").strip()
        if problem := topic_problem(name):
            say(request, problem, bad=True)
            return HttpResponseRedirect(f"{reverse(LIST)}?{urlencode({'tenant': tenant.pk, 'typed': name})}")
        shown = panel(self, request, _circle(tenant, name))
        return self.page(request, "admin/broadcasts/people_page.html", title=name, **shown)

    @post_only("change")
    def people(self, request: HttpRequest) -> HttpResponse:
        """Check, subscribe or unsubscribe people. Raises: Http404."""
        tenant, name = _tenant(request), request.GET.get("topic", "")
        if topic_problem(name):
            raise Http404("There is no such topic.")
        return people_change(self, request, _circle(tenant, name))

    def _must_view(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied


def _circle(tenant: Tenant, name: str) -> Circle:
    return Circle(
        name=name,
        tenant_id=tenant.pk,
        url=_address("topic", tenant, name),
        people_url=_address("people", tenant, name),
        logged=tenant,
        rows=TopicSubscription.objects.filter(tenant=tenant, topic=name),
        add=partial(subscribers_add, tenant_id=tenant.pk, topic=name),
        remove=partial(subscribers_remove, tenant_id=tenant.pk, topic=name),
        add_word="Subscribe",
        added="Subscribed",
        inside="subscribed already",
        remove_word="Unsubscribe",
        removed="Unsubscribed",
        outside="not subscribed",
        of_what=f" (topic “{name}”)",
    )


def _address(page: str, tenant: Tenant, name: str) -> str:
    return f"{reverse(f'admin:broadcasts_topicsubscription_{page}')}?{urlencode({'tenant': tenant.pk, 'topic': name})}"


def _tenant(request: HttpRequest) -> Tenant:
    """Return the tenant that the address names, else the first one. Raises: Http404."""
    named = request.GET.get("tenant", "")
    if not named:
        return Tenant.objects.order_by("pk")[:1].get()
    tenant = Tenant.objects.filter(pk=named).first() if named.isdecimal() and len(named) < 19 else None
    if tenant is None:
        raise Http404("There is no such tenant.")
    return tenant
