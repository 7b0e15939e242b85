"""Webhook endpoints: added here with a secret that is shown once, rotated, disabled, enabled. Services: `deliveries/endpoints.py`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminTextInputWidget

from deliveries.admin.base import audit, chip, many_tenants, post_only, say, two_lines, when
from deliveries.admin.filters import TenantFilter
from deliveries.admin.paging import KeysetAdmin
from deliveries.admin.people import contacts_of, of_people
from deliveries.endpoints import (
    NewSecret,
    endpoint_add,
    endpoint_disable,
    endpoint_drop_old_secret,
    endpoint_enable,
    endpoint_has_old_secret,
    endpoint_rotate_secret,
    endpoint_url_problem,
)
from deliveries.models import Tenant, WebhookEndpoint
from deliveries.providers.credentials import CredentialsError

PAGE = "deliveries_webhookendpoint_change"


class EndpointForm(forms.ModelForm):  # type: ignore[type-arg]  # the plain class takes no argument when it runs
    """Whose webhooks go where."""

    class Meta:
        model = WebhookEndpoint
        fields = ("tenant", "user_id", "url")
        field_classes = {"url": forms.CharField}  # nothing is guessed: an address without https:// is refused
        widgets = {"url": UnfoldAdminTextInputWidget}
        labels = {"user_id": "User id", "url": "Address"}
        help_texts = {
            "user_id": "The id your own systems know the person by.",
            "url": "Takes a POST with JSON, such as https://example.com/hooks.",
        }

    def clean_url(self) -> str:
        """Refuse an address that no webhook could be sent to."""
        url = str(self.cleaned_data["url"])
        if problem := endpoint_url_problem(url):
            raise ValidationError(problem)
        return url

    def clean(self) -> dict[str, Any]:
        """Refuse a second endpoint of one person."""
        values = super().clean() or {}
        if self.instance.pk is None and "user_id" in values and ("tenant" not in self.fields or "tenant" in values):
            tenant = values.get("tenant") or Tenant.objects.get()
            if WebhookEndpoint.objects.filter(tenant=tenant, user_id=values["user_id"]).exists():
                self.add_error("user_id", "This person has an endpoint already. Change the address of that one.")
        return values


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(KeysetAdmin):
    """Endpoints, newest first."""

    form = EndpointForm
    list_display = ("person", "server", "state", "failing", "added")
    list_display_links = ("person",)
    list_filter = (TenantFilter,)
    list_select_related = ("tenant",)
    search_fields = ("user_id",)
    search_help_text = "Person: name, address, phone or user id"
    change_form_outer_before_template = "admin/deliveries/_endpoint_actions.html"

    def get_urls(self) -> list[URLPattern]:
        """Add what is done to one endpoint."""
        actions: dict[str, Callable[..., Any]] = {
            "rotate": self.rotate,
            "drop-old-secret": self.drop_old_secret,
            "disable": self.disable,
            "enable": self.enable,
        }
        ours = [
            path(
                f"<int:pk>/{name}/",
                self.admin_site.admin_view(view),
                name=f"deliveries_webhookendpoint_{name.replace('-', '_')}",
            )
            for name, view in actions.items()
        ]
        return [*ours, *super().get_urls()]

    def get_list_display(self, request: HttpRequest) -> Sequence[str]:
        """Show the tenant where there is more than one."""
        return (*self.list_display, "tenant") if many_tenants() else self.list_display

    def get_queryset(self, request: HttpRequest) -> QuerySet[WebhookEndpoint]:
        """Leave the secrets where they are."""
        rows: QuerySet[WebhookEndpoint] = super().get_queryset(request).defer("sealed_secrets")
        return rows

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[WebhookEndpoint], search_term: str
    ) -> tuple[QuerySet[WebhookEndpoint], bool]:
        """Find by person."""
        return (of_people(search_term, queryset) if search_term.strip() else queryset), False

    def decorate(self, request: HttpRequest, rows: Sequence[Any]) -> None:
        """Add the people, in one query."""
        people = contacts_of(rows)
        for row in rows:
            row.contact = people.get((row.tenant_id, row.user_id))

    def get_fields(self, request: HttpRequest, obj: WebhookEndpoint | None = None) -> list[str]:
        """Hide the tenant while there is only one."""
        return [*(["tenant"] if many_tenants() else []), "user_id", "url"]

    def get_readonly_fields(self, request: HttpRequest, obj: WebhookEndpoint | None = None) -> list[str]:
        """Keep whose it is."""
        return ["tenant", "user_id"] if obj else []

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None) -> Any:
        """Offer one button: the next page shows the secret, whatever the other buttons would promise."""
        buttons = {"show_save_and_add_another": False, "show_save_and_continue": False}
        return super().add_view(request, form_url, {**buttons, **(extra_context or {})})

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> Any:
        """Add how it is, and what may be done about it."""
        endpoint = WebhookEndpoint.objects.filter(pk=object_id).first() if object_id.isdigit() else None
        values: dict[str, Any] = {"show_save_and_add_another": False}
        if endpoint is not None:
            try:
                values["is_rotating"] = endpoint_has_old_secret(endpoint=endpoint)
            except CredentialsError as error:
                values["problem"] = f"Nothing can be signed. {error}"
            values |= {
                "endpoint": endpoint,
                "state": self.state(endpoint),
                "may_act": self.has_change_permission(request),
            }
        return super().change_view(request, object_id, form_url, {**values, **(extra_context or {})})

    def save_model(self, request: HttpRequest, obj: Any, form: forms.ModelForm[WebhookEndpoint], change: bool) -> None:
        """Add an endpoint by its service; of one that is there, the address is all that changes."""
        if change:
            obj.save(update_fields=["url"])
            return
        tenant = form.cleaned_data.get("tenant") or Tenant.objects.get()
        new = endpoint_add(tenant=tenant, user_id=form.cleaned_data["user_id"], url=form.cleaned_data["url"])
        obj.__dict__.update(new.endpoint.__dict__)
        obj.new_secret = new

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        """Show the secret, this once."""
        return self._show_once(request, obj.new_secret, title="New webhook endpoint")

    @post_only("change")
    def rotate(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Make a new secret beside the present one, and show it, this once."""
        endpoint = self._get(pk)
        with transaction.atomic():
            new = endpoint_rotate_secret(endpoint=endpoint)
            audit(request, [endpoint], "Made a new secret; the one before stays valid.")
        return self._show_once(request, new, title="New secret")

    @post_only("change")
    def drop_old_secret(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Sign with the newest secret alone."""
        endpoint = self._get(pk)
        try:
            with transaction.atomic():
                done = endpoint_drop_old_secret(endpoint=endpoint)
                if done:
                    audit(request, [endpoint], "Removed the old secret.")
        except CredentialsError as error:
            say(request, str(error), bad=True)
        else:
            say(
                request,
                "Only the newest secret signs from now on." if done else "There is only one secret.",
                bad=not done,
            )
        return self.back(request, PAGE, pk)

    @post_only("change")
    def disable(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Send nothing there any more."""
        endpoint, why = self._get(pk), request.POST.get("why", "").strip()
        if not why:
            say(request, "Say why, so that others know when it may be enabled again.", bad=True)
            return self.back(request, PAGE, pk)
        with transaction.atomic():
            done = endpoint_disable(endpoint=endpoint, why=why)
            if done:
                audit(request, [endpoint], f"Disabled: {why}")
        say(request, "Disabled. Nothing is sent there." if done else "It was disabled before.", bad=not done)
        return self.back(request, PAGE, pk)

    @post_only("change")
    def enable(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Send there again."""
        endpoint = self._get(pk)
        with transaction.atomic():
            done = endpoint_enable(endpoint=endpoint)
            if done:
                audit(request, [endpoint], "Enabled.")
        text = "Enabled. What failed meanwhile can be sent again from Undeliverable." if done else "It was enabled."
        say(request, text, bad=not done)
        return self.back(request, PAGE, pk)

    def _get(self, pk: int) -> WebhookEndpoint:
        endpoint = WebhookEndpoint.objects.filter(pk=pk).first()
        if endpoint is None:
            raise Http404("There is no such endpoint.")
        return endpoint

    def _show_once(self, request: HttpRequest, new: NewSecret, *, title: str) -> HttpResponse:
        """Show a secret in the answer itself, so that it is in no session, cookie or cache."""
        page = self.page(
            request, "admin/deliveries/secret_created.html", title=title, endpoint=new.endpoint, plain=new.plain
        )
        page["Cache-Control"] = "no-store"
        return page

    @admin.display(description="Person")
    def person(self, row: Any) -> SafeString:
        """Name the person."""
        return (
            two_lines(str(row.contact), str(row.user_id)) if row.contact else two_lines(str(row.user_id), "no contact")
        )

    @admin.display(description="Server")
    def server(self, row: WebhookEndpoint) -> str:
        """Name the server; the path, which may be a secret, stands on the endpoint's own page only."""
        return str(row)

    @admin.display(description="State")
    def state(self, row: WebhookEndpoint) -> SafeString:
        """Say if webhooks are sent there, and taken."""
        if row.disabled_at is not None:
            return chip(f"Disabled: {row.disabled_why}" if row.disabled_why else "Disabled")
        return chip("Failing", "bad") if row.failing_since is not None else chip("Enabled", "ok")

    @admin.display(description="Failing since")
    def failing(self, row: WebhookEndpoint) -> SafeString:
        """Say since when it has taken nothing."""
        return when(row.failing_since)

    @admin.display(description="Added")
    def added(self, row: WebhookEndpoint) -> SafeString:
        """Say when it was added."""
        return when(row.created_at)
