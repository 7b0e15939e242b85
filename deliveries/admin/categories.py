"""Categories: the names that people read on their preference page. Which nobody may leave is a setting, shown here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminTextInputWidget

from deliveries.admin.base import StaffAdmin, chip, many_tenants, two_lines
from deliveries.admin.filters import TenantFilter
from deliveries.models import Category, Tenant


class CategoryForm(forms.ModelForm):  # type: ignore[type-arg]  # the plain class takes no argument when it runs
    """A category as people read it."""

    class Meta:
        model = Category
        fields = ("tenant", "key", "name", "description")
        widgets = {
            "key": UnfoldAdminTextInputWidget,
            "name": UnfoldAdminTextInputWidget,
            "description": UnfoldAdminTextInputWidget,
        }

    def clean(self) -> dict[str, Any]:
        """Refuse a key that is there already, also where the only tenant is not asked for."""
        values = super().clean() or {}
        tenant = values.get("tenant") or (None if "tenant" in self.fields else Tenant.objects.get())
        same = Category.objects.filter(tenant=tenant, key=values.get("key", "")).exclude(pk=self.instance.pk)
        if tenant is not None and same.exists():
            self.add_error("key", "There is a category of this key already.")
        return values


@admin.register(Category)
class CategoryAdmin(StaffAdmin):
    """The kinds of messages that people may switch off."""

    form = CategoryForm
    list_display = ("called", "description", "left")
    list_display_links = ("called",)
    list_filter = (TenantFilter,)
    list_select_related = ("tenant",)
    search_fields = ("key", "name")
    search_help_text = "Key or name"

    def get_list_display(self, request: HttpRequest) -> Sequence[str]:
        """Show the tenant where there is more than one."""
        return (*self.list_display, "tenant") if many_tenants() else self.list_display

    def get_fields(self, request: HttpRequest, obj: Category | None = None) -> list[str]:
        """Hide the tenant while there is only one."""
        return [*(["tenant"] if many_tenants() else []), "key", "name", "description"]

    def get_readonly_fields(self, request: HttpRequest, obj: Category | None = None) -> list[str]:
        """Keep tenant and key as they are: jobs name them, and people left them by these."""
        return ["tenant", "key"] if obj else []

    def save_model(self, request: HttpRequest, obj: Any, form: forms.ModelForm[Category], change: bool) -> None:
        """Save it under the only tenant where nobody chose one."""
        if obj.tenant_id is None:
            obj.tenant = Tenant.objects.get()
        super().save_model(request, obj, form, change)

    @admin.display(description="Category", ordering="name")
    def called(self, row: Category) -> SafeString:
        """Name it, with its key."""
        return two_lines(row.name, row.key)

    @admin.display(description="Can be switched off")
    def left(self, row: Category) -> SafeString:
        """Say whether people may leave it."""
        stays = row.key in settings.MANDATORY_CATEGORIES
        return chip("No, mandatory", "warn") if stays else chip("Yes", "quiet")
