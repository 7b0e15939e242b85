"""What the page that watches a broadcast shows: figures, links to their rows, causes, who was left out. Reads only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from broadcasts.admin.base import broadcast_url
from broadcasts.admin.words import state_chip
from broadcasts.counting import row_range
from broadcasts.models import Broadcast, LeftOut
from broadcasts.progress import NOT_SENT, Chart, Progress
from broadcasts.states import ACTIVE, ENDED, State
from deliveries.admin import words
from deliveries.admin.filters import jobs_range
from deliveries.channels import OPEN, Channel, Outcome, Status
from deliveries.reasons import MAY_HAVE_BEEN_SENT, Reason, describe

ROWS: Final = "admin:deliveries_delivery_changelist"


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the sum: its name, how many, its tone, and the address of its rows ("" where there are none to see)."""

    name: str
    count: int
    tone: str
    url: str = ""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why messages failed: how many on which channel, what it means, and the address of the rows."""

    reason: Reason
    channel: str
    channel_code: str
    count: int
    url: str
    may_have_been_sent: bool


@dataclass(frozen=True, slots=True)
class Rights:
    """What somebody may do on the page; what does not change while they look at it."""

    may_send: bool
    may_change: bool
    may_see_rows: bool

    @classmethod
    def of(cls, request: HttpRequest) -> Rights:
        """Return those of the signed-in person."""
        has = request.user.has_perm
        return cls(
            has("broadcasts.send_broadcast"), has("broadcasts.change_broadcast"), has("deliveries.view_delivery")
        )


def live_context(now: Progress, rights: Rights) -> dict[str, Any]:
    """Return what the parts of the page show that are renewed while it is open. No queries."""
    broadcast = now.broadcast
    rows = Rows(broadcast, rights)
    return {
        "broadcast": broadcast,
        "now": now,
        "rights": rights,
        "state": state_chip(broadcast.state),
        "is_scheduled": broadcast.state == State.SCHEDULED,
        "is_sending": broadcast.state == State.SENDING,
        "is_paused": broadcast.state == State.PAUSED,
        "is_active": broadcast.state in ACTIVE,
        "is_ended": broadcast.state in ENDED,
        "is_completed": broadcast.state == State.COMPLETED,
        "is_failed": broadcast.state == State.FAILED,
        "began": broadcast.stamp_ms is not None,
        "is_preparing": broadcast.state in ACTIVE and not now.counts.total,
        "is_fanning_out": broadcast.state in ACTIVE and broadcast.fanned_out_at is None and not broadcast.group_ends_at,
        "is_looking": broadcast.state == State.SENDING and broadcast.group_ends_at is not None,
        "is_countdown": broadcast.state == State.SCHEDULED and broadcast.scheduled_at is None,
        "parts": parts(now, rows),
        "waiting_url": rows.url(status=OPEN),
        "all_url": rows.url(),
        "outcomes": outcomes(now, rows),
        "channels": channels(now, rows),
        "causes": causes(now, rows),
        "may_retry": broadcast.state in (State.SENDING, State.COMPLETED),
        "left_out": left_out(now),
        "chart": chart_data(now.chart),
        "step_minutes": now.chart.step_minutes,
        "actions": {name: broadcast_url(broadcast, name) for name in ACTIONS},
        "may_recall": broadcast.stamp_ms is not None and Channel.WS in broadcast.channels,
    }


ACTIONS: Final = (
    *("undo", "pause", "resume", "cancel", "speed", "retry", "recall", "go_on", "edit_again"),
    *("look_for_missing", "send_missing", "left_out", "results"),
)


class Rows:
    """Addresses of the list of deliveries, narrowed to the rows of one broadcast. "" for who may not see them."""

    def __init__(self, broadcast: Broadcast, rights: Rights) -> None:
        rows = row_range(broadcast)
        self._jobs = jobs_range(tenant_id=rows["tenant"], first=rows["first"], last=rows["last"])
        self._may_see = rights.may_see_rows and broadcast.stamp_ms is not None

    def url(self, *, status: Any = (), **narrowed: str) -> str:
        """Return the address of those with one of these statuses (all, when none is named) and the other values."""
        if not self._may_see:
            return ""
        asked = {"jobs": self._jobs, **({"status": ",".join(sorted(status))} if status else {}), **narrowed}
        return f"{reverse(ROWS)}?{urlencode(asked)}"


def parts(now: Progress, rows: Rows) -> list[Part]:
    """Return the parts that make the sum, in the order of the bar."""
    found = [
        Part("Sent", now.sent, "ok", rows.url(status=[Status.SENT])),
        Part("Failed", now.failed, "bad", rows.url(status=[Status.FAILED])),
        Part("Not sent", now.not_sent, "quiet", rows.url(status=NOT_SENT)),
        Part("Cancelled", now.cancelled, "quiet", rows.url(status=[Status.CANCELLED])),
    ]
    if now.waiting or now.broadcast.state in ACTIVE:
        found.append(Part("Waiting", now.waiting, "busy", rows.url(status=OPEN)))
    return found


def outcomes(now: Progress, rows: Rows) -> list[Part]:
    """Return what providers and people told of what was sent."""
    told = now.counts.outcomes
    return [
        Part(*words.OUTCOMES[outcome][:1], told[outcome], words.OUTCOMES[outcome][1], rows.url(outcome=outcome))
        for outcome in Outcome
        if outcome in told and outcome in words.OUTCOMES
    ]


def channels(now: Progress, rows: Rows) -> list[dict[str, Any]]:
    """Return a line for each channel."""
    return [
        {
            "name": words.channel(channel),
            "icon": words.channel_icon(channel),
            "total": Part("Messages", now.counts.of(channel=channel), "", rows.url(channel=channel)),
            "cells": [
                Part(name, now.counts.of(*statuses, channel=channel), "", rows.url(channel=channel, status=statuses))
                for name, statuses in COLUMNS
            ],
        }
        for channel in sorted({*now.broadcast.channels, *now.counts.by_channel})
    ]


COLUMNS: Final = (
    ("Sent", (Status.SENT,)),
    ("Failed", (Status.FAILED,)),
    ("Not sent", NOT_SENT),
    ("Cancelled", (Status.CANCELLED,)),
    ("Waiting", tuple(OPEN)),
)


def causes(now: Progress, rows: Rows) -> list[Cause]:
    """Return why messages failed, the commonest first."""
    return [
        Cause(
            describe(code),
            words.channel(channel),
            channel,
            count,
            rows.url(status=[Status.FAILED], reason=code, channel=channel),
            code in MAY_HAVE_BEEN_SENT,
        )
        for code, channel, count in now.counts.causes
    ]


def left_out(now: Progress) -> list[dict[str, Any]]:
    """Return who gets nothing, by reason, the commonest first."""
    found = sorted(now.counts.left_out.items(), key=lambda each: -each[1])
    url = broadcast_url(now.broadcast, "left_out")
    return [
        {"reason": LeftOut.Reason(reason).label, "count": count, "url": f"{url}?{urlencode({'reason': reason})}"}
        for reason, count in found
    ]


def chart_data(chart: Chart) -> dict[str, Any]:
    """Return the chart as staff.js draws it."""
    return {
        "labels": [f"{timezone.localtime(at):%H:%M}" for at in chart.labels],
        "sets": [
            *({"label": words.channel(name), "values": values} for name, values in chart.sent.items()),
            {"label": "Failed", "values": chart.failed, "tone": "bad"},
        ],
    }
