"""Deliveries: the list with its saved views and search, and the page of one delivery. Decides nothing: actions call the lifecycle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.fields.json import KT
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from deliveries import lifecycle
from deliveries.admin import dashboard, delivery_page, runbook, words
from deliveries.admin.base import audit, chip, many_tenants, post_only, say, staff_name, two_lines, when
from deliveries.admin.filters import (
    AcceptedFilter,
    ChannelFilter,
    HoldFilter,
    JobsFilter,
    OutcomeFilter,
    ReasonFilter,
    SavedView,
    StatusFilter,
    TenantFilter,
)
from deliveries.admin.paging import KeysetAdmin
from deliveries.admin.people import contacts_of, deliveries_about
from deliveries.channels import Channel, Status
from deliveries.hints import hint
from deliveries.holds import hold_of, holds_in_force
from deliveries.ingest import refusal_of
from deliveries.models import Delivery
from deliveries.reasons import describe


@admin.register(Delivery)
class DeliveryAdmin(KeysetAdmin):
    """The list of deliveries and the page of each."""

    list_display = ("person", "channel_word", "message", "state", "note", "accepted")
    list_display_links = ("person",)
    list_filter = (
        *(SavedView, ChannelFilter, AcceptedFilter, TenantFilter, HoldFilter),
        *(JobsFilter, StatusFilter, ReasonFilter, OutcomeFilter),
    )
    list_select_related = ("lane", "tenant")
    list_before_template = "admin/deliveries/_views.html"
    search_fields = ("job_id",)
    search_help_text = "Job id, user id, address or name"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Delivery]:
        """Leave out what only the page of one delivery shows."""
        rows: QuerySet[Delivery] = super().get_queryset(request)
        return rows.annotate(content_title=KT("content__title")).defer(
            "data", "content", "meta", "rendered", "body_hash", "error_message"
        )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Delivery], search_term: str
    ) -> tuple[QuerySet[Delivery], bool]:
        """Find a job id, or the deliveries of a person."""
        return (deliveries_about(search_term, queryset) if search_term.strip() else queryset), False

    def cut_by(self, request: HttpRequest) -> str:
        """Page a range of job ids along its own index."""
        return "job_id" if request.GET.get(JobsFilter.parameter_name) else "pk"

    def decorate(self, request: HttpRequest, rows: Sequence[Any]) -> None:
        """Give each row its contact, and what it is on hold for."""
        holds = holds_in_force()
        contacts = contacts_of(rows)
        for row in rows:
            row.contact = contacts.get((row.tenant_id, row.user_id))
            row.on_hold = hold_of(row, holds)

    def get_list_display(self, request: HttpRequest) -> tuple[str, ...]:
        """Show the tenant where there is more than one."""
        return (*self.list_display, "tenant") if many_tenants() else self.list_display

    def get_urls(self) -> list[URLPattern]:
        """Add the actions."""
        view = self.admin_site.admin_view
        return [
            path("<int:pk>/send-again/", view(self.send_again), name="deliveries_delivery_send_again"),
            path("<int:pk>/cancel/", view(self.cancel), name="deliveries_delivery_cancel"),
            path("live/", self.live, name="deliveries_live"),
            path("send-test/", view(self.send_test), name="deliveries_send_test"),
            path("runbook/", view(self.runbook), name="deliveries_runbook"),
            *super().get_urls(),
        ]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Deliveries come from jobs."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Deliveries end by retention only."""
        return False

    # The list.

    @admin.display(description="Person")
    def person(self, row: Any) -> SafeString:
        """Name the person, and the address of the last attempt or of the channel."""
        address = row.address if row.channel != Channel.WS else ""
        if row.contact is None:
            return two_lines(address or "Unknown person", str(row.user_id))
        return two_lines(str(row.contact), address or row.contact.email or str(row.user_id))

    @admin.display(description="Channel")
    def channel_word(self, row: Delivery) -> SafeString:
        """Name the channel."""
        return format_html(
            '<span class="ns-nowrap"><span class="material-symbols-outlined ns-icon" aria-hidden="true">{}</span> {}</span>',
            words.channel_icon(row.channel),
            words.channel(row.channel),
        )

    @admin.display(description="Message")
    def message(self, row: Any) -> SafeString:
        """Name the template, or the title that came with the job."""
        if row.template_code:
            return format_html("<code>{}</code>", row.template_code)
        return format_html("{}", row.content_title or "Without a template")

    @admin.display(description="Status")
    def state(self, row: Any) -> SafeString:
        """Say the status, and beside it the outcome, or that it is on hold."""
        status, outcome = words.status(row), words.outcome(row)
        if row.on_hold is not None:
            outcome = words.Chip("On hold", "warn")
        first = chip(status.text, status.tone)
        return format_html("{} {}", first, chip(outcome.text, outcome.tone)) if outcome else first

    @admin.display(description="What next")
    def note(self, row: Any) -> SafeString:
        """Say until when and why a row waits, or why it was not sent."""
        if row.status in (Status.FAILED, Status.SUPPRESSED, Status.EXPIRED):
            text = describe(row.reason).title
        elif row.status == Status.SENT:
            text = ""
        else:
            text = words.whats_next(row, hold=row.on_hold)
        return format_html('<span class="ns-muted ns-note">{}</span>', text)

    @admin.display(description="Accepted")
    def accepted(self, row: Delivery) -> SafeString:
        """Say when it came in."""
        return when(row.accepted_at)

    # One delivery.

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponseBase:
        """Show one delivery. Changes nothing, whatever the method."""
        row = self._get(object_id)
        if not self.has_view_permission(request, row):
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)  # type: ignore[no-any-return]
        context = delivery_page.context(row)
        context["may_change"] = self.has_change_permission(request, row)
        context["shows_tenant"] = many_tenants()
        return self.page(request, "admin/deliveries/delivery/detail.html", **context)

    @post_only("change")
    def send_again(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Make a second delivery of a finished one. A repeated click within the page makes one copy: the row is locked and looked at."""
        with transaction.atomic():
            row = self._get(pk, lock=True)
            copy = Delivery.objects.filter(replay_of=row, tenant_id=row.tenant_id, user_id=row.user_id)
            expected = request.POST.get("copies", "")
            if expected.isdigit() and copy.count() > int(expected):
                say(request, "It was sent again already, by an earlier click.", bad=True)
                return HttpResponseRedirect(_url(copy.latest("id").pk))
            made = lifecycle.replay(delivery_ids=[row.pk], by=staff_name(request))
            if made:
                audit(request, [row], f"Sent again as job {made[row.pk]}.")
        if not made:
            say(request, f"Not sent again: {_why_not_again(row)}.", bad=True)
            return HttpResponseRedirect(_url(pk))
        hint([row.channel])
        new = Delivery.objects.only("pk").get(tenant_id=row.tenant_id, job_id=made[row.pk])
        say(request, "Sent again: this is the new delivery.")
        return HttpResponseRedirect(_url(new.pk))

    @post_only("change")
    def cancel(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Cancel a waiting delivery. What is being sent at this moment is not touched."""
        row = self._get(pk)
        with transaction.atomic():
            done = lifecycle.cancel(tenant_id=row.tenant_id, delivery_ids=[row.pk], by=staff_name(request))
            if done:
                audit(request, [row], "Cancelled.")
        if done:
            say(request, "Cancelled. Nobody gets it.")
        else:
            say(request, "Not cancelled: it is no longer waiting.", bad=True)
        return HttpResponseRedirect(_url(pk))

    # Pages that belong to no single row.

    def live(self, request: HttpRequest) -> HttpResponse:
        """Answer the dashboard's live request. A signed-out page gets 403, not the login form, which it would show inside itself."""
        return dashboard.fragment(request) if self.admin_site.has_permission(request) else HttpResponse(status=403)

    @post_only("add_test")
    def send_test(self, request: HttpRequest) -> HttpResponse:
        """Send a test to a contact and show its delivery."""
        form = dashboard.TestForm(request.POST)
        if not form.is_valid():
            say(request, " ".join(str(error) for errors in form.errors.values() for error in errors), bad=True)
            return HttpResponseRedirect(reverse("admin:index"))
        answer = dashboard.send_test(request, form.cleaned_data["person"], form.cleaned_data["channel"])
        if answer.delivery_id is None:
            say(request, answer.message, bad=True)
            return HttpResponseRedirect(reverse("admin:index"))
        audit(request, [self._get(answer.delivery_id)], "Sent as a test.")
        return HttpResponseRedirect(_url(answer.delivery_id))

    def has_add_test_permission(self, request: HttpRequest) -> bool:
        """A test makes a delivery."""
        return request.user.has_perm("deliveries.add_delivery")

    def runbook(self, request: HttpRequest) -> HttpResponse:
        """Show the runbook: symptom to command."""
        return self.page(request, "admin/deliveries/runbook.html", title="Runbook", body=runbook.as_html())

    def _get(self, object_id: Any, *, lock: bool = False) -> Delivery:
        """Return a delivery with what its page needs. Raises Http404."""
        rows = Delivery.objects.select_related("lane", "tenant", "template_version")
        if lock:
            rows = Delivery.objects.select_for_update()
        row = rows.filter(pk=object_id).first() if str(object_id).isdigit() and len(str(object_id)) < 19 else None
        if row is None:
            raise Http404("There is no such delivery.")
        return row


def _why_not_again(row: Delivery) -> str:
    _reason, refusal = refusal_of(row.tenant_id, row.channel)
    if not row.is_terminal:
        return "it is not finished"
    return "its data was removed when it was over" if row.blanked_at else refusal or "its time is over"


def _url(pk: int) -> str:
    return reverse("admin:deliveries_delivery_change", args=[pk])
