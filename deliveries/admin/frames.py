"""Mail frames: what stands around a tenant's mails, with a sample beside it. The service is `deliveries/templating.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import admin
from django.forms.models import model_to_dict
from django.http import HttpRequest
from django.utils.html import escape
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminURLInputWidget

from deliveries.admin.base import StaffAdmin, chip, many_tenants, when
from deliveries.models import Brand, Tenant
from deliveries.previews import frame as sandboxed
from deliveries.rendering import Frame, RenderError, framed_sample
from deliveries.templating import brand_save, frame_problems

LOOK = ("logo_url", "accent_colour", "background_colour", "text_colour", "header", "footer", "legal", "frame_html")


class BrandForm(forms.ModelForm):  # type: ignore[type-arg]  # the plain class takes no argument when it runs
    """A frame, rendered around a sample before it is saved."""

    logo_url = forms.URLField(
        label="Logo",
        required=False,
        max_length=2000,
        assume_scheme="https",
        widget=UnfoldAdminURLInputWidget,
        help_text="Public and https. Empty: the tenant's name.",
    )

    class Meta:
        model = Brand
        fields = ("tenant", *LOOK)
        labels = {"legal": "Legal line", "frame_html": "HTML"}

    def clean_logo_url(self) -> str:
        """Refuse what a mail program would not load."""
        url = str(self.cleaned_data["logo_url"])
        if url and not url.startswith("https://"):
            raise forms.ValidationError("The logo's address must start with https://.")
        return url

    def clean(self) -> dict[str, Any]:
        """Say what keeps the frame from being put around a mail."""
        values = super().clean() or {}
        if not self.errors:
            look = {name: values.get(name) or "" for name in LOOK}
            tenant = values.get("tenant") or getattr(self.instance, "tenant", None) or Tenant.objects.get()
            for problem in frame_problems(Frame.of(look), tenant=tenant):
                self.add_error("frame_html" if look["frame_html"] else None, f"{problem.locale}: {problem.message}")
        return values


@admin.register(Brand)
class BrandAdmin(StaffAdmin):
    """One frame for each tenant."""

    form = BrandForm
    list_display = ("of_tenant", "kind", "changed")
    list_select_related = ("tenant",)
    change_form_outer_after_template = "admin/deliveries/_frame_sample.html"

    def get_fieldsets(self, request: HttpRequest, obj: Brand | None = None) -> list[Any]:
        """Hide the tenant while there is only one."""
        tenant = ("tenant",) if many_tenants() else ()
        whole = "In place of all above: a document with {{ body }} where the words go. It may name subject, locale and tenant."
        return [
            (None, {"fields": (*tenant, *LOOK[:4])}),
            ("Lines around the words", {"fields": LOOK[4:7]}),
            ("A whole frame", {"fields": LOOK[7:], "description": whole, "classes": ["collapse"]}),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Brand | None = None) -> Sequence[str]:
        """Keep the tenant."""
        return ("tenant",) if obj else ()

    def has_add_permission(self, request: HttpRequest) -> bool:
        """A tenant has one frame."""
        free = Tenant.objects.filter(brand=None).exists()
        return free and bool(super().has_add_permission(request))

    def save_model(self, request: HttpRequest, obj: Brand, form: forms.ModelForm[Brand], change: bool) -> None:
        """Put a new frame under the only tenant where nobody chose one."""
        if obj.tenant_id is None:
            obj.tenant = Tenant.objects.get()
        brand_save(brand=obj)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> Any:
        """Add the sample, as it was saved."""
        brand = Brand.objects.select_related("tenant").filter(pk=object_id).first() if object_id.isdigit() else None
        values = {"sample": _sample(brand)} if brand else {}
        return super().change_view(request, object_id, form_url, {**values, **(extra_context or {})})

    @admin.display(description="Tenant")
    def of_tenant(self, row: Brand) -> str:
        """Name the tenant."""
        return str(row.tenant)

    @admin.display(description="Frame")
    def kind(self, row: Brand) -> SafeString:
        """Say how it is made."""
        return chip("HTML of its own" if row.frame_html else "Logo, colours and lines")

    @admin.display(description="Changed")
    def changed(self, row: Brand) -> SafeString:
        """Say when it was saved."""
        return when(row.updated_at)


def _sample(brand: Brand) -> str:
    tenant = {"name": brand.tenant.name, "slug": brand.tenant.slug}
    try:
        return sandboxed(
            framed_sample(Frame.of(model_to_dict(brand)), locale=brand.tenant.default_locale, tenant=tenant)
        )
    except RenderError as error:
        return sandboxed(f"<p>{escape(error.message)}</p>")
