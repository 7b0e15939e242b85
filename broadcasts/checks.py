"""System checks of this app's settings, as `deliveries/checks.py` has them for its own. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error, register

from deliveries.checks import TAG, not_positive

POSITIVE = (
    "AUDIENCES_REFRESH_INTERVAL_SECONDS", "AUDIENCE_COUNT_TIMEOUT_SECONDS", "BROADCAST_APPROVAL_FROM", "BROADCAST_CHUNK_SIZE",
    "NOTIFICATIONS_BROADCAST_INTERVAL", "NOTIFICATIONS_BROADCAST_BATCH_LIMIT",
)  # fmt: skip


@register(TAG)
def check_settings(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Return an error for each setting that cannot be right, with what to set instead."""
    return [
        Error(message, hint=hint, id=f"broadcasts.E{number:03}") for number, message, hint in not_positive(POSITIVE)
    ]
