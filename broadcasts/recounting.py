"""How many contacts each saved audience has: counted from the rows, kept beside it with the time. Nothing sends by these figures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import structlog
from django.db.models import F
from django.utils import timezone

from broadcasts.audience import AudienceError, AudienceTooSlowError, audience_count
from broadcasts.models import Audience

log = structlog.get_logger(__name__)

BATCH: Final = 50
#: Below STUCK_AFTER_SECONDS: a worker whose work does not move for so long would be called stuck.
REFRESH_TIMEOUT_SECONDS: Final = 15.0


class Recounted(NamedTuple):
    """What a round did; `failed` have no count now, because it took too long or their rules are no longer understood."""

    counted: int
    failed: int


def audience_recount(row: Audience, *, timeout_seconds: float) -> bool:
    """Count an audience's contacts and keep the figure; False, and none is kept, where that cannot be done in time.

    Idempotent. A figure of rules that were changed meanwhile is thrown away; who changed them counts anew.
    """
    count: int | None = None
    try:
        count = audience_count(
            {"type": "audience", "id": row.pk}, tenant_id=row.tenant_id, timeout_seconds=timeout_seconds
        )
    except (AudienceError, AudienceTooSlowError) as error:
        log.warning("audience not counted", audience=row.pk, error=str(error))
    counted_at = timezone.now()
    unchanged = Audience.objects.filter(pk=row.pk, updated_at=row.updated_at)
    if unchanged.update(contact_count=count, counted_at=counted_at):
        row.contact_count, row.counted_at = count, counted_at
    return count is not None


def audiences_recount(*, stopping: Callable[[], bool], moved: Callable[[], object]) -> Recounted:
    """Count the audiences again whose figures are the oldest, `BATCH` at most. Two at once do some of it twice, which harms nothing."""
    oldest = Audience.objects.order_by(F("counted_at").asc(nulls_first=True), "id")[:BATCH]
    counted = failed = 0
    for row in oldest:
        if stopping():
            break
        if audience_recount(row, timeout_seconds=REFRESH_TIMEOUT_SECONDS):
            counted += 1
        else:
            failed += 1
        moved()
    return Recounted(counted, failed)
