"""What staff did to which rows, in the admin's log. Who may do it, and doing it, are the callers' business."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model


def record(*, staff_id: Any, rows: Sequence[Model], message: str) -> None:
    """Write one log entry for each row. Call it in the action's transaction, so that both are there or neither."""
    if rows:
        LogEntry.objects.log_actions(user_id=staff_id, queryset=rows, action_flag=CHANGE, change_message=message)


def latest(row: Model) -> LogEntry | None:
    """Return the newest log entry of a row, with who it was. One query."""
    kind = ContentType.objects.get_for_model(row)
    entries = LogEntry.objects.filter(content_type=kind, object_id=str(row.pk)).select_related("user")
    return entries.order_by("-action_time", "-id").first()
