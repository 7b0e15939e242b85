"""Hold and Let go: the actions that the dashboard offers, what its list of holds says, and the history of all holds."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlencode

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from deliveries import lifecycle
from deliveries.admin import words
from deliveries.admin.base import audit, chip, many_tenants, post_only, say, staff_name, when
from deliveries.admin.paging import KeysetAdmin
from deliveries.channels import CHANNELS, Channel
from deliveries.figures import forget
from deliveries.hints import hint
from deliveries.models import Delivery, Hold, Template, Tenant

#: How many of the latest deliveries are looked at for categories to offer, and how many template codes are offered.
LATEST: Final = 1000
OFFERED: Final = 500
#: What of a refused field comes back to be mended.
MOST_TYPED: Final = 500


class HoldForm(forms.Form):
    """What to hold, and why. What is named together must all apply; what is left open asks nothing."""

    tenant = forms.ModelChoiceField(Tenant.objects.order_by("name"), required=False, empty_label="Any tenant")
    channel = forms.ChoiceField(
        choices=[("", "Any channel"), *((channel.value, words.channel(channel)) for channel in Channel)],
        required=False,
        error_messages={"invalid_choice": "There is no such channel."},
    )
    template_code = forms.CharField(max_length=100, required=False)
    category = forms.CharField(max_length=100, required=False)
    reason = forms.CharField(
        max_length=300, error_messages={"required": "Say why, so that others know when it may go on."}
    )

    def clean(self) -> dict[str, Any]:
        """Refuse a hold of nothing, and of a template that does not exist: it would hold nothing, and nobody would notice."""
        values: dict[str, Any] = super().clean() or {}
        code, tenant = values.get("template_code"), values.get("tenant")
        if not self.errors and not (tenant or values["channel"] or code or values["category"]):
            raise ValidationError("Say what to hold: a channel, a template or a category.")
        if code:
            known = Template.objects.filter(code=code, **({"tenant": tenant} if tenant else {}))
            if not known.exists():
                raise ValidationError(f"There is no template {code!r}{f' of {tenant}' if tenant else ''}.")
        return values


def hold_options() -> dict[str, Any]:
    """Return what the Hold dialog offers. Three queries, four with many tenants."""
    latest = Delivery.objects.order_by("-id").values_list("category", flat=True)[:LATEST]
    return {
        "form": HoldForm(),
        "shows_tenant": many_tenants(),
        "templates": Template.objects.order_by("code").values_list("code", flat=True).distinct()[:OFFERED],
        "categories": sorted({category for category in latest if category}),
    }


@admin.register(Hold)
class HoldAdmin(KeysetAdmin):
    """All holds, also those that were let go. Read-only: they are placed and let go, never edited."""

    list_display = ("what", "why", "by", "held", "state")
    fields = (
        *("tenant", "channel", "template_code", "category", "reason"),
        *("held_by", "held_at", "let_go_by", "let_go_at", "ended_at"),
    )
    list_select_related = ("tenant",)

    def get_urls(self) -> list[URLPattern]:
        """Add Hold and Let go."""
        view = self.admin_site.admin_view
        return [
            path("place/", view(self.place), name="deliveries_hold_place"),
            path("<int:pk>/let-go/", view(self.let_go), name="deliveries_hold_let_go"),
            *super().get_urls(),
        ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Hold]:
        """Bring the tenant's name along."""
        rows: QuerySet[Hold] = super().get_queryset(request).select_related("tenant")
        return rows

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """Show the tenant where there is more than one."""
        return [name for name in self.fields if name != "tenant" or many_tenants()]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """The dashboard's dialog places holds."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """What was on hold stays on record."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Let nothing be typed in: a hold belongs to the lifecycle."""
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who sees lanes sees holds."""
        return bool(super().has_view_permission(request, obj)) or request.user.has_perm("deliveries.view_lane")

    def has_hold_permission(self, request: HttpRequest) -> bool:
        """Who may change lanes may hold what waits in them."""
        return may_hold(request)

    @post_only("hold")
    def place(self, request: HttpRequest) -> HttpResponse:
        """Hold what the form names. A second hold of the same changes nothing and says whose the first is."""
        form = HoldForm(request.POST)
        if not form.is_valid():
            say(request, " ".join(str(error) for errors in form.errors.values() for error in errors), bad=True)
            typed = {name: request.POST[name] for name in form.fields if request.POST.get(name)}
            query = {"open": "ns-hold-dialog", **{name: text[:MOST_TYPED] for name, text in typed.items()}}
            return HttpResponseRedirect(f"{reverse('admin:index')}?{urlencode(query)}")
        values = dict(form.cleaned_data)
        tenant = values.pop("tenant")
        with transaction.atomic():
            hold, is_new = lifecycle.hold_place(
                by=staff_name(request), tenant_id=tenant.pk if tenant else None, **values
            )
            if is_new:
                audit(request, [hold], f"Held: {hold.reason}")
        what = words.held(hold)
        if is_new:
            say(request, f"{what} is on hold. What is being sent at this moment still goes out.")
        else:
            say(request, f"{what} is on hold already, by {hold.held_by}: {hold.reason}", bad=True)
        forget()
        return self.back(request, "index")

    @post_only("hold")
    def let_go(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Let a hold go. A second click changes nothing and says so."""
        hold = Hold.objects.select_related("tenant").filter(pk=pk).first()
        if hold is None:
            raise Http404("There is no such hold.")
        with transaction.atomic():
            gone = lifecycle.hold_let_go(hold_ids=[pk], by=staff_name(request))
            audit(request, gone, "Let go.")
        if gone:
            hint([hold.channel] if hold.channel else sorted(CHANNELS))
            say(request, f"{words.held(hold)} goes on, no faster than its providers' rates and its speed allow.")
        else:
            say(request, f"{words.held(hold)} was let go already, by {hold.let_go_by}.", bad=True)
        forget()
        return self.back(request, "index")

    @admin.display(description="What")
    def what(self, row: Hold) -> str:
        """Name what waits."""
        return words.held(row)

    @admin.display(description="Why")
    def why(self, row: Hold) -> SafeString:
        """Say why."""
        return format_html('<span class="ns-note">{}</span>', row.reason)

    @admin.display(description="Held by")
    def by(self, row: Hold) -> str:
        """Name who holds it."""
        return row.held_by

    @admin.display(description="Since")
    def held(self, row: Hold) -> SafeString:
        """Say since when."""
        return when(row.held_at)

    @admin.display(description="State")
    def state(self, row: Hold) -> SafeString:
        """Say if it is in force, or who let it go and when."""
        if row.let_go_at is None:
            return chip("On hold", "warn")
        return format_html("Let go {} by {}", when(row.let_go_at), row.let_go_by)


def may_hold(request: HttpRequest) -> bool:
    """Say whether the signed-in person may hold and let go."""
    return request.user.has_perm("deliveries.change_lane")
