"""Workers: every process that reports a heartbeat, the unhealthy ones first. Read-only; rows come from the processes themselves."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Case, IntegerField, QuerySet, Value, When
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from deliveries.admin import words
from deliveries.admin.base import StaffAdmin, chip, two_lines, when
from deliveries.admin.dashboard import down_after
from deliveries.models import WorkerHeartbeat

State = WorkerHeartbeat.State


@admin.register(WorkerHeartbeat)
class WorkerAdmin(StaffAdmin):
    """Processes and how they are."""

    list_display = ("process", "state_word", "breath", "progress", "done", "running_for")
    list_display_links = ("process",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[WorkerHeartbeat]:
        """Put what needs a person first: gone, then stuck; what stopped in order comes last."""
        gone = When(beat_at__lt=timezone.now() - down_after(), then=Value(0))
        rank = Case(
            When(state=State.STOPPED, then=Value(4)),
            gone,
            When(state=State.STUCK, then=Value(1)),
            When(state=State.RUNNING, then=Value(2)),
            default=Value(3),
            output_field=IntegerField(),
        )
        return WorkerHeartbeat.objects.annotate(rank=rank).order_by(*self.get_ordering(request))

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        """Order by how much a person is needed."""
        return ("rank", "service_type", "-beat_at")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Processes add themselves."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Processes write their own rows."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Processes write their own rows."""
        return False

    @admin.display(description="Process")
    def process(self, row: WorkerHeartbeat) -> SafeString:
        """Name the kind of process and where it runs."""
        topic = f" of {row.detail['topic']}" if "topic" in row.detail else ""
        return two_lines(f"{words.service(row.service_type)}{topic}", f"{row.host}, pid {row.pid}")

    @admin.display(description="State")
    def state_word(self, row: WorkerHeartbeat) -> SafeString:
        """Say how it is."""
        state = words.worker_state(row, down_after=down_after())
        return chip(state.text, state.tone)

    @admin.display(description="Last sign")
    def breath(self, row: WorkerHeartbeat) -> SafeString:
        """Say when it last reported."""
        return when(row.beat_at)

    @admin.display(description="Work last moved")
    def progress(self, row: WorkerHeartbeat) -> SafeString:
        """Say when its work last moved, or it was last seen idle."""
        return when(row.progress_at)

    @admin.display(description="Has done")
    def done(self, row: WorkerHeartbeat) -> SafeString:
        """Show the counters that are not zero."""
        counters = (
            ("read", row.messages_consumed),
            ("sent", row.messages_sent),
            ("failed", row.messages_failed),
            ("tried again", row.messages_retried),
        )
        text = ", ".join(f"{value:,} {name}" for name, value in counters if value)
        mean = f" · {row.avg_processing_time_ms:,.0f} ms each" if row.avg_processing_time_ms else ""
        return format_html('<span class="ns-num">{}{}</span>', text or "-", mean)

    @admin.display(description="Running for")
    def running_for(self, row: WorkerHeartbeat) -> str:
        """Say for how long it has run."""
        end = row.beat_at if row.state == State.STOPPED else timezone.now()
        return words.duration(end - row.started_at)
