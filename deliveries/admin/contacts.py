"""Contacts and tenants: the list that finds people by index, and a person's page with their latest deliveries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase
from django.urls import URLPattern, path
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from deliveries.admin import words
from deliveries.admin.base import StaffAdmin, chip, many_tenants, two_lines, when
from deliveries.admin.contact_import import import_page
from deliveries.admin.filters import TenantFilter
from deliveries.admin.paging import KeysetAdmin
from deliveries.admin.people import find_people
from deliveries.channels import Channel
from deliveries.models import Contact, Delivery, OptOut, Tenant
from deliveries.phones import BadPhoneNumber, e164
from deliveries.senders.base import SendError
from deliveries.senders.mime import author
from deliveries.suppressions import suppressions_of

RECENT = 10


class ContactForm(forms.ModelForm):  # type: ignore[type-arg]  # the plain class takes no argument when it runs
    """A person, with the channels they do not want as boxes to tick."""

    opted_out = forms.MultipleChoiceField(
        label="Does not want",
        required=False,
        choices=[(channel.value, words.channel(channel)) for channel in Channel],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="Nothing is sent over these channels; the job is recorded as not sent.",
    )

    class Meta:
        model = Contact
        fields = ("tenant", "user_id", "name", "email", "phone", "locale", "time_zone", "attributes", "opted_out")

    def clean_phone(self) -> str:
        """Spell a number as it is dialled and as the suppression list has it. One that was there already is left as it is."""
        phone = str(self.cleaned_data["phone"]).strip()
        if not phone or phone == self.initial.get("phone"):
            return phone
        try:
            return e164(phone)
        except BadPhoneNumber as error:
            raise forms.ValidationError(str(error)) from None


@admin.register(Contact)
class ContactAdmin(KeysetAdmin):
    """People, newest first."""

    form = ContactForm
    list_display = ("person", "phone", "locale", "unwanted", "added")
    list_display_links = ("person",)
    list_filter = (TenantFilter,)
    search_fields = ("user_id",)
    search_help_text = "Name, address, phone or user id"
    list_before_template = "admin/deliveries/_contact_list.html"
    change_form_outer_before_template = "admin/deliveries/_contact_unwanted.html"
    change_form_outer_after_template = "admin/deliveries/_contact_deliveries.html"

    def get_urls(self) -> list[URLPattern]:
        """Add the import."""
        view = self.admin_site.admin_view(self.import_contacts)
        return [path("import/", view, name="deliveries_contact_import"), *super().get_urls()]

    def import_contacts(self, request: HttpRequest) -> HttpResponseBase:
        """Read contacts from a CSV file."""
        return import_page(self, request)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Offer the import to who may add and change contacts."""
        may_import = self.has_add_permission(request) and self.has_change_permission(request)
        return super().changelist_view(request, {"may_import": may_import, **(extra_context or {})})

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Contact], search_term: str
    ) -> tuple[QuerySet[Contact], bool]:
        """Find by index; a term that means more people than fit a page shows the newest of them."""
        if not search_term.strip():
            return queryset, False
        return queryset.filter(pk__in=[person.pk for person in find_people(search_term)]), False

    def get_fields(self, request: HttpRequest, obj: Contact | None = None) -> list[str]:
        """Hide the tenant while there is only one."""
        tenant = ["tenant"] if many_tenants() else []
        fields = ["user_id", "name", "email", "phone", "locale", "time_zone", "opted_out", "attributes"]
        return [*tenant, *fields]

    def get_list_display(self, request: HttpRequest) -> Sequence[str]:
        """Show the tenant where there is more than one."""
        return (*self.list_display, "tenant") if many_tenants() else self.list_display

    def get_readonly_fields(self, request: HttpRequest, obj: Contact | None = None) -> list[str]:
        """Keep who a person is: deliveries name them by it."""
        return ["tenant", "user_id"] if obj else []

    def save_model(self, request: HttpRequest, obj: Contact, form: forms.ModelForm[Contact], change: bool) -> None:
        """Put a new contact under the only tenant where nobody chose one."""
        if obj.tenant_id is None:
            obj.tenant = Tenant.objects.get()
        super().save_model(request, obj, form, change)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> Any:
        """Add what this person is not sent, and the latest deliveries."""
        contact = Contact.objects.filter(pk=object_id).first() if object_id.isdigit() else None
        rows: Sequence[Delivery] = []
        if contact is not None and request.user.has_perm("deliveries.view_delivery"):
            mine = Delivery.objects.filter(tenant=contact.tenant_id, user_id=contact.user_id)
            rows = list(mine.select_related("lane").order_by("-id")[:RECENT])
        recent = [(row, words.message(row), words.status(row), words.channel(row.channel)) for row in rows]
        unwanted = {}
        if contact is not None:
            out_of = OptOut.objects.filter(tenant=contact.tenant_id, user_id=contact.user_id).order_by("category")
            unwanted = {
                "suppressed": [(row, words.channel(row.channel)) for row in suppressions_of(contact)],
                "unsubscribed": [(row, words.channel(row.channel)) for row in out_of],
                "may_see_suppressions": request.user.has_perm("deliveries.view_suppression"),
            }
        values = {"contact": contact, "recent": recent, **unwanted, **(extra_context or {})}
        return super().change_view(request, object_id, form_url, values)

    @admin.display(description="Person")
    def person(self, row: Contact) -> SafeString:
        """Name the person and where mail reaches them."""
        return two_lines(str(row), row.email or str(row.user_id))

    @admin.display(description="Does not want")
    def unwanted(self, row: Contact) -> SafeString | str:
        """List the channels they opted out of."""
        return chip(", ".join(words.channel(name) for name in row.opted_out), "warn") if row.opted_out else ""

    @admin.display(description="Added")
    def added(self, row: Contact) -> SafeString:
        """Say when they were added."""
        return when(row.created_at)


class TenantForm(forms.ModelForm):  # type: ignore[type-arg]  # the plain class takes no argument when it runs
    """A tenant, whose From and Reply-To must be such that mail can be sent with them."""

    class Meta:
        model = Tenant
        fields = ("slug", "name", "default_locale", "from_address", "reply_to")

    def clean_from_address(self) -> str:
        """Refuse what cannot stand in a mail's From."""
        return self._author("from_address", "From")

    def clean_reply_to(self) -> str:
        """Refuse what cannot stand in a mail's Reply-To."""
        return self._author("reply_to", "Reply-To")

    def _author(self, name: str, header: str) -> str:
        text = str(self.cleaned_data[name]).strip()
        try:
            return text and author(text, header) and text
        except SendError:
            raise ValidationError("Enter one address, such as Shop <shop@example.com>.") from None


@admin.register(Tenant)
class TenantAdmin(StaffAdmin):
    """Customers of the service. In the navigation as tenants from the second one on; the only one is who e-mails are from."""

    form = TenantForm
    list_display = ("name", "slug", "default_locale", "from_address", "reply_to", "created_at")

    def get_readonly_fields(self, request: HttpRequest, obj: Tenant | None = None) -> list[str]:
        """Keep the slug: jobs and tokens name the tenant by it."""
        return ["slug"] if obj else []

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Deliveries point at tenants for as long as they are kept."""
        return False
