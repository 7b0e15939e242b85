"""The dashboard: its context, the fragment that keeps it fresh, Hold, and "Send me a test". Figures come from `deliveries.figures`."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any, Final
from uuid import uuid4

from django import forms
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone

from deliveries import figures, ingest
from deliveries.admin import words
from deliveries.admin.base import may_see_page, staff_name
from deliveries.admin.holds import hold_options, may_hold
from deliveries.admin.panels import panels_of
from deliveries.admin.people import find_people
from deliveries.admin.verdict import verdict
from deliveries.channels import Channel
from deliveries.hints import hint
from deliveries.jobs import parse_job
from deliveries.models import Contact, Hold
from deliveries.reasons import describe

REFRESH_SECONDS: Final = 5
TEST_CHANNELS: Final = (Channel.WS, Channel.EMAIL)
PAGES: Final = {
    "admin:deliveries_workerheartbeat_changelist": "Show the workers",
    "admin:deliveries_notice_changelist": "Show the notices",
}
ICONS: Final = {"ok": "check_circle", "warn": "warning", "bad": "error", "quiet": "hourglass_empty"}


def down_after() -> timedelta:
    """Return the silence after which a process counts as gone."""
    return timedelta(seconds=settings.HEARTBEAT_TTL_SECONDS)


def context(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Fill the admin's first page (UNFOLD["DASHBOARD_CALLBACK"])."""
    return {
        **context,
        "title": "Dashboard",
        "may_see": request.user.has_perm("deliveries.view_delivery"),
        **(_whole_page(request) if request.user.has_perm("deliveries.view_delivery") else {}),
    }


def _whole_page(request: HttpRequest) -> dict[str, Any]:
    """Return what the page and its dialogs show."""
    return {**live_context(request), "hold_options": hold_options() if may_hold(request) else {}}


def live_context(request: HttpRequest) -> dict[str, Any]:
    """Return what the page and its fragment show."""
    now = figures.current()
    answer = verdict(now, down_after=down_after())
    values: dict[str, Any] = {
        "figures": now,
        "verdict": answer,
        "verdict_icon": ICONS[answer.tone],
        "verdict_page": reverse(answer.page) if answer.page and may_see_page(request, answer.page) else "",
        "verdict_page_word": PAGES.get(answer.page, ""),
        "holds": [
            {
                "hold": one.hold,
                "what": words.held(one.hold),
                "waiting": one.waiting,
                "has_more": one.waiting >= figures.COUNT_LIMIT,
            }
            for one in now.holds
        ],
        "channels": [
            {
                "hold": hold_of_channel(row.channel, now),
                "row": row,
                "word": words.channel(row.channel),
                "icon": words.channel_icon(row.channel),
                "late": words.duration(now.read_at - row.oldest_due_at) if row.oldest_due_at else "",
                "is_late": row.oldest_due_at is not None and now.read_at - row.oldest_due_at > timedelta(minutes=1),
                "has_more": row.due >= figures.COUNT_LIMIT,
            }
            for row in now.channels
        ],
        "causes": [(cause, describe(cause.reason), words.channel(cause.channel)) for cause in now.causes],
        "chart": {
            "labels": [f"{timezone.localtime(minute.at):%H:%M}" for minute in now.minutes],
            "sent": [minute.sent for minute in now.minutes],
            "failed": [minute.failed for minute in now.minutes],
        },
        "sent_in_hour": sum(minute.sent for minute in now.minutes),
        "failed_in_hour": sum(minute.failed for minute in now.minutes),
        "refresh_seconds": REFRESH_SECONDS,
        "may_hold": may_hold(request),
        "may_test": request.user.has_perm("deliveries.add_delivery"),
        "test_form": TestForm(),
        "people": Contact.objects.order_by("-id")[:20],
        "panels": panels_of(request),
    }
    if now.is_empty:
        values["first_job"] = first_job(request)
    return values


def hold_of_channel(channel: str, now: figures.Figures) -> Hold | None:
    """Return the hold of a whole channel, whoever's rows wait there."""
    whole = (one.hold for one in now.holds if one.hold.is_of_lanes and one.hold.let_go_at is None)
    return next((hold for hold in whole if hold.channel == channel and hold.tenant_id is None), None)


def fragment(request: HttpRequest) -> HttpResponse:
    """Answer the live request: the dashboard's parts and the bell, without the frame. 403 where the full page would not show them."""
    if not request.user.has_perm("deliveries.view_delivery"):
        return HttpResponse(status=403)
    return render(request, "admin/deliveries/_live.html", live_context(request))


def first_job(request: HttpRequest) -> str:
    """Return a command that hands in a first job, ready to paste but for the key."""
    contact = Contact.objects.order_by("id").first()
    job = {
        "job_id": str(uuid4()),
        "user_id": str(contact.user_id if contact else uuid4()),
        "channel": "ws",
        "content": {"title": "Hello", "body": "My first notification"},
        "created_at": timezone.now().isoformat(timespec="seconds"),
    }
    url = request.build_absolute_uri("/api/jobs/")
    return (
        f'curl -X POST {url} \\\n  -H "X-API-Key: $NOTIFY_KEY" \\\n  -H "Content-Type: application/json" \\\n'
        f"  -d '{json.dumps(job)}'"
    )


class TestForm(forms.Form):
    """Whom to send a test, and over which channel."""

    channel = forms.ChoiceField(choices=[(channel.value, words.channel(channel)) for channel in TEST_CHANNELS])
    person = forms.CharField(max_length=320)

    def clean_person(self) -> Contact:
        """Turn what was typed into the one contact that it means."""
        typed = self.cleaned_data["person"]
        found = find_people(typed, limit=2)
        if not found:
            raise forms.ValidationError(f"Nobody is known as {typed!r}. Type a name, an address or a user id.")
        if len(found) > 1:
            raise forms.ValidationError(f"Several people are known as {typed!r}. Type the address or the user id.")
        return found[0]


def send_test(request: HttpRequest, contact: Contact, channel: str) -> ingest.Verdict:
    """Hand in a job like any other, for `contact`, and say what became of it."""
    sent_by = staff_name(request)
    now = timezone.now()
    job = {
        "job_id": str(uuid4()),
        "user_id": str(contact.user_id),
        "channel": channel,
        "tenant_id": contact.tenant.slug,
        "content": {
            "title": f"Test from {settings.SITE_NAME}",
            "body": f"{sent_by} sent this at {timezone.localtime(now):%H:%M:%S}. If you can read it, the way to you works.",
        },
        "meta": {"event_type": "staff_test", "priority": "high"},
        "created_at": now.isoformat(),
    }
    parsed = parse_job(json.dumps(job).encode(), now=now)
    (answer,) = ingest.ingest([ingest.Incoming(parsed, f"admin:{sent_by}")], entrance=ingest.api_entrance())
    hint([channel])
    return answer
