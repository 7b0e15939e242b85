"""API keys: made here and shown once, revoked here. Everything about the secret is in `deliveries/api/keys.py`."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from deliveries.admin.base import audit, chip, many_tenants, post_only, say, two_lines, when
from deliveries.admin.paging import KeysetAdmin
from deliveries.api.keys import api_key_create, api_key_revoke
from deliveries.models import ApiKey, Tenant


class ApiKeyForm(forms.ModelForm):  # type: ignore[type-arg]  # the plain class takes no argument when it runs
    """What a new key is for. With one tenant there is nothing to choose."""

    scopes = forms.MultipleChoiceField(
        label="May",
        choices=ApiKey.Scope.choices,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        initial=[ApiKey.Scope.JOBS],
        help_text="Give only what the caller needs.",
    )

    class Meta:
        model = ApiKey
        fields = ("tenant", "name", "mode", "scopes")
        help_texts = {"mode": "A test key's jobs go all the way, but to no provider."}


@admin.register(ApiKey)
class ApiKeyAdmin(KeysetAdmin):
    """Keys are made and revoked, never edited: nobody could tell what a changed key was allowed when."""

    form = ApiKeyForm
    list_display = ("key", "mode_word", "may", "used", "state")
    list_display_links = ("key",)
    change_form_outer_before_template = "admin/deliveries/_key_actions.html"

    def get_urls(self) -> list[URLPattern]:
        """Add Revoke."""
        revoke = self.admin_site.admin_view(self.revoke)
        return [path("<int:pk>/revoke/", revoke, name="deliveries_apikey_revoke"), *super().get_urls()]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Keys are never edited."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Revoked keys stay, so that old jobs still name somebody."""
        return False

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        """Who may change keys may revoke them."""
        return request.user.has_perm("deliveries.change_apikey")

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiKey]:
        """Leave the hash where it is: nobody needs to see it."""
        keys: QuerySet[ApiKey] = super().get_queryset(request).select_related("tenant").defer("key_hash")
        return keys

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> list[str]:
        """Ask for what is needed; show what there is."""
        tenant = ["tenant"] if many_tenants() else []
        if obj is None:
            return [*tenant, "name", "mode", "scopes"]
        return [*tenant, "name", "prefix", "mode", "may", "created_at", "last_used_at", "revoked_at"]

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> list[str]:
        """Show what a finished key has."""
        return ["prefix", "may", "created_at", "last_used_at", "revoked_at"] if obj else []

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> Any:
        """Tell the page if Revoke is offered."""
        row = ApiKey.objects.filter(pk=object_id).only("revoked_at").first() if object_id.isdigit() else None
        offered = row is not None and row.revoked_at is None and self.has_revoke_permission(request)
        return super().change_view(request, object_id, form_url, {"may_revoke": offered, **(extra_context or {})})

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None) -> Any:
        """Offer one button: the next page shows the key, whatever the other buttons would promise."""
        buttons = {"show_save_and_add_another": False, "show_save_and_continue": False}
        return super().add_view(request, form_url, {**buttons, **(extra_context or {})})

    def save_model(self, request: HttpRequest, obj: Any, form: forms.ModelForm[ApiKey], change: bool) -> None:
        """Make the key by its service; the page after this one shows it."""
        values = form.cleaned_data
        tenant = values.get("tenant") or Tenant.objects.get()
        new = api_key_create(tenant=tenant, name=values["name"], scopes=values["scopes"], mode=values["mode"])
        obj.__dict__.update(new.row.__dict__)
        obj.plain = new.plain

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        """Show the whole key, this once: in the answer itself, so that it is in no session, cookie or cache."""
        page = self.page(request, "admin/deliveries/key_created.html", title="New API key", key=obj, plain=obj.plain)
        page["Cache-Control"] = "no-store"
        return page

    @post_only("revoke")
    def revoke(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Refuse the key from its next request on."""
        key = ApiKey.objects.filter(pk=pk).first()
        if key is None:
            raise Http404("There is no such key.")
        with transaction.atomic():
            done = api_key_revoke(key=key)
            if done:
                audit(request, [key], "Revoked.")
        say(
            request, "Revoked. The next request with it is refused." if done else "It was revoked before.", bad=not done
        )
        return HttpResponseRedirect(reverse("admin:deliveries_apikey_change", args=[pk]))

    @admin.display(description="Key")
    def key(self, row: ApiKey) -> SafeString:
        """Name the key and its public part."""
        return two_lines(row.name, f"{row.prefix}…")

    @admin.display(description="Mode")
    def mode_word(self, row: ApiKey) -> SafeString:
        """Say if it is for tests."""
        return chip(row.get_mode_display(), "busy" if row.mode == ApiKey.Mode.LIVE else "quiet")

    @admin.display(description="May")
    def may(self, row: ApiKey) -> str:
        """List what it may do."""
        return ", ".join(ApiKey.Scope(scope).label for scope in row.scopes)

    @admin.display(description="Last used")
    def used(self, row: ApiKey) -> SafeString:
        """Say when it was last used."""
        return when(row.last_used_at, empty="never")

    @admin.display(description="State")
    def state(self, row: ApiKey) -> SafeString:
        """Say if it still opens the door."""
        return chip("Revoked") if row.revoked_at else chip("Active", "ok")
