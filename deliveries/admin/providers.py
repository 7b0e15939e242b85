"""Providers: who a channel's messages are handed to, in which order, and how each one is. The form is in `provider_form.py`.

What staff do to one goes through `deliveries/providers/steering.py`; how its breaker stands comes from `deliveries/providers/states.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from deliveries.admin import words
from deliveries.admin.base import StaffAdmin, audit, chip, many_tenants, post_only, say, two_lines
from deliveries.admin.filters import ChannelFilter, TenantFilter
from deliveries.admin.provider_form import form_for, stored_secrets
from deliveries.models import Provider, Tenant
from deliveries.models.providers import CARRIED
from deliveries.providers.credentials import CredentialsError
from deliveries.providers.kinds import KINDS, Kind
from deliveries.providers.states import breaker_states
from deliveries.providers.steering import (
    provider_check,
    provider_force,
    provider_last_position,
    provider_move_up,
    provider_places,
    provider_problem,
)

LIST = "deliveries_provider_changelist"


class CarriedChannelFilter(ChannelFilter):
    """By the channels that have providers."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer those channels."""
        return [(channel.value, words.channel(channel)) for channel in CARRIED]


@admin.register(Provider)
class ProviderAdmin(StaffAdmin):
    """Providers in the order in which they are used."""

    list_display = ("title", "channel_word", "tenant", "place", "state", "rate", "enabled", "buttons")
    list_display_links = ("title",)
    list_filter = (CarriedChannelFilter, TenantFilter)
    list_select_related = ("tenant",)
    list_before_template = "admin/deliveries/_provider_list.html"
    change_form_outer_before_template = "admin/deliveries/_provider_actions.html"
    warn_unsaved_form = True

    def get_urls(self) -> list[URLPattern]:
        """Add what is done to one provider."""
        actions: dict[str, Callable[..., Any]] = {"move-up": self.move_up, "force": self.force, "check": self.ask}
        ours = [
            path(
                f"<int:pk>/{name}/",
                self.admin_site.admin_view(view),
                name=f"deliveries_provider_{name.replace('-', '_')}",
            )
            for name, view in actions.items()
        ]
        return [*ours, *super().get_urls()]

    def get_list_display(self, request: HttpRequest) -> list[str]:
        """Show the tenant where there is more than one."""
        return [name for name in self.list_display if name != "tenant" or many_tenants()]

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Add to the page's rows how they are and which place they have: one query, one question to Redis."""
        changelist = super().get_changelist_instance(request)
        rows = list(changelist.result_list)
        states, places = breaker_states(rows), provider_places()
        may_steer = self.has_change_permission(request)
        for row in rows:
            row.state, row.place, row.may_steer = states[row.pk], places.get(row.pk, 1), may_steer
        changelist.result_list = rows
        return changelist

    def has_change_permission(self, request: HttpRequest, obj: Provider | None = None) -> bool:
        """Leave a provider alone whose kind this version does not know."""
        is_known = obj is None or obj.kind in KINDS
        return is_known and bool(super().has_change_permission(request, obj))

    # The form

    def get_fieldsets(
        self, request: HttpRequest, obj: Provider | None = None
    ) -> list[tuple[str | None, dict[str, Any]]]:
        """Ask for the columns and the kind's options; show them where nothing may be changed."""
        first = [*(["tenant"] if many_tenants() else []), "name", "is_enabled"]
        pace = (None, {"fields": ["rate_per_second", "deadline_seconds"]})
        if obj is not None and not self.has_change_permission(request, obj):
            return [(None, {"fields": first}), ("How it is reached", {"fields": ["shown_options"]}), pace]
        form = form_for(self._kind(request, obj), obj)
        names = [name for name in form.base_fields if name not in form.Meta.fields]
        return [(None, {"fields": first}), (form.kind.label, {"fields": names}), ("How fast", pace[1])]

    def get_readonly_fields(self, request: HttpRequest, obj: Provider | None = None) -> list[str]:
        """Keep whose it is: its messages and its attempts belong to that tenant."""
        return ["tenant"] if obj else []

    def get_form(self, request: HttpRequest, obj: Provider | None = None, change: bool = False, **kwargs: Any) -> Any:
        """Build the form from the kind's options."""
        if obj is None or obj.kind in KINDS:
            kwargs["form"] = form_for(self._kind(request, obj), obj)
        return super().get_form(request, obj, change, **kwargs)

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None) -> Any:
        """First let staff choose the channel and the kind, then show that kind's form."""
        kind = KINDS.get(request.GET.get("kind", ""))
        if kind is not None:
            title = f"New provider for {words.channel(kind.channel)}: {kind.label}"
            values = {"title": title, "show_save_and_add_another": False, "show_save_and_continue": False}
            return super().add_view(request, form_url, {**values, **(extra_context or {})})
        if not self.has_add_permission(request):
            raise PermissionDenied
        channels = [(channel, [each for each in KINDS.values() if each.channel == channel]) for channel in CARRIED]
        return self.page(request, "admin/deliveries/provider_kinds.html", title="New provider", channels=channels)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> Any:
        """Add how it is, and what may be done about it."""
        provider = Provider.objects.filter(pk=object_id).first() if object_id.isdigit() else None
        values: dict[str, Any] = {"show_save_and_add_another": False}
        if provider is not None:
            state = breaker_states([provider])[provider.pk]
            values |= {
                "title": f"{provider} ({words.channel(provider.channel)})",
                "state": words.breaker(state, is_forced=bool(provider.breaker_forced)),
                "forced": provider.breaker_forced,
                "choices": words.FORCED.items(),
                "may_steer": self.has_change_permission(request, provider),
                "problem": provider_problem(provider=provider),
            }
        return super().change_view(request, object_id, form_url, {**values, **(extra_context or {})})

    def save_model(self, request: HttpRequest, obj: Provider, form: forms.ModelForm[Provider], change: bool) -> None:
        """Put a new provider behind the others, under the only tenant where nobody chose one."""
        if obj.tenant_id is None:
            obj.tenant = Tenant.objects.get()
        if not change:
            obj.position = provider_last_position(provider=obj)
        super().save_model(request, obj, form, change)

    def response_add(self, request: HttpRequest, obj: Provider, post_url_continue: str | None = None) -> HttpResponse:
        """Go on to the provider's page, where Check is."""
        say(request, f"{obj} is set up. Press Check to hear whether it answers.")
        return HttpResponseRedirect(reverse("admin:deliveries_provider_change", args=[obj.pk]))

    # What is done to one

    @post_only("change")
    def move_up(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Let it be used before the one that is before it."""
        provider = self._get(pk)
        with transaction.atomic():
            place = provider_move_up(provider=provider)
            if place is not None:
                audit(request, [provider], f"Moved up to place {place}.")
        if place is None:
            say(request, f"{provider} is the first already.", bad=True)
        else:
            say(request, f"{provider} is number {place} now. Senders take it up within seconds.")
        return self.back(request, LIST)

    @post_only("change")
    def force(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Force its breaker, or let it decide again."""
        provider = self._get(pk)
        forced = request.POST.get("forced")
        if forced is None or forced not in words.FORCED:
            say(request, "Choose one of the three.", bad=True)
            return self.back(request, "deliveries_provider_change", pk)
        word = words.FORCED[forced]
        with transaction.atomic():
            done = provider_force(provider=provider, forced=forced)
            if done:
                audit(request, [provider], f"Breaker: {word}.")
        say(
            request,
            f"{word}. Senders take it up within seconds." if done else f"It was so already: {word}.",
            bad=not done,
        )
        return self.back(request, "deliveries_provider_change", pk)

    @post_only("change")
    def ask(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask it whether it takes us, and show what it said. Sends nothing."""
        provider = self._get(pk)
        checked = provider_check(provider=provider)
        audit(request, [provider], "Checked: it answered." if checked.is_ok else "Checked: it cannot be used.")
        say(request, f"{provider}: {checked.said}", bad=not checked.is_ok)
        return self.back(request, "deliveries_provider_change", pk)

    def _get(self, pk: int) -> Provider:
        provider = Provider.objects.select_related("tenant").filter(pk=pk).first()
        if provider is None:
            raise Http404("There is no such provider.")
        return provider

    def _kind(self, request: HttpRequest, obj: Provider | None) -> Kind:
        return KINDS[obj.kind if obj is not None else request.GET["kind"]]

    # Columns

    @admin.display(description="Provider")
    def title(self, row: Provider) -> SafeString:
        """Name it, with what it speaks."""
        return two_lines(row.name, KINDS[row.kind].label if row.kind in KINDS else row.kind)

    @admin.display(description="Channel")
    def channel_word(self, row: Provider) -> str:
        """Name the channel."""
        return words.channel(row.channel)

    @admin.display(description="Used")
    def place(self, row: Any) -> str:
        """Say which one it is."""
        return "first" if row.place == 1 else f"as number {row.place}"

    @admin.display(description="Breaker")
    def state(self, row: Any) -> SafeString:
        """Say how its breaker stands."""
        word = words.breaker(row.state, is_forced=bool(row.breaker_forced))
        return chip(word.text, word.tone)

    @admin.display(description="At most")
    def rate(self, row: Provider) -> str:
        """Say how fast it may go."""
        return f"{row.rate_per_second:,g} a second" if row.rate_per_second else "as fast as it goes"

    @admin.display(description="Enabled")
    def enabled(self, row: Provider) -> SafeString:
        """Say if it is used at all."""
        return chip("Enabled", "ok") if row.is_enabled else chip("Off")

    @admin.display(description="Actions")
    def buttons(self, row: Any) -> SafeString | str:
        """Offer what a list is good for. The buttons post the form above the list: a form within the list's own is not allowed."""
        if not row.may_steer:
            return ""
        offered = [("check", "Check")] if row.place == 1 else [("check", "Check"), ("move_up", "Move up")]
        buttons = (
            (reverse(f"admin:deliveries_provider_{name}", args=[row.pk]), f"{word} {row.name}", word)
            for name, word in offered
        )
        one = '<button type="submit" form="ns-provider" formaction="{}" aria-label="{}" class="ns-btn ns-btn--small">{}</button>'
        return format_html('<span class="ns-row">{}</span>', format_html_join("", one, buttons))

    @admin.display(description="Options")
    def shown_options(self, row: Provider) -> SafeString:
        """Show the options to who may only look: secrets only by whether there is one."""
        kind = KINDS.get(row.kind)
        if kind is None:
            return format_html("This version knows no provider of the kind {}.", row.kind)
        try:
            stored = stored_secrets(row)
        except CredentialsError:
            stored = {}
        values = (
            (
                option.label,
                ("stored" if option.name in stored else "none")
                if option.is_secret
                else row.options.get(option.name, option.default),
            )
            for option in kind.options
        )
        return format_html('<dl class="ns-facts">{}</dl>', format_html_join("", "<dt>{}</dt><dd>{}</dd>", values))
