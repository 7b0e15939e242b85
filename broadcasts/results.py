"""What became of everybody of a broadcast's audience, person by person: for downloads. Reads only, in pieces, each by an index.

A row that was tried again is told by its newest replay, as `counting.py` counts it: replays lie right behind it in the range of ids.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any, Final
from uuid import UUID

from broadcasts import job_ids
from broadcasts.models import Broadcast, LeftOut
from deliveries.models import Delivery

CHUNK: Final = 5_000
LEFT_OUT: Final = "LEFT_OUT"
_FIELDS: Final = (
    "job_id", "user_id", "channel", "status", "reason", "outcome", "address", "provider", "attempts", "accepted_at", "finished_at",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Result:
    """One recipient. `status` is a delivery's, or LEFT_OUT with the reason and nothing else."""

    job_id: UUID | None
    user_id: UUID
    channel: str
    status: str
    reason: str
    outcome: str = ""
    address: str = ""
    provider: str = ""
    attempts: int = 0
    accepted_at: datetime | None = None
    finished_at: datetime | None = None


def results(broadcast: Broadcast) -> Iterator[Result]:
    """Yield everybody who has a row, then who was left out. At most `CHUNK` are held; no snapshot is kept open meanwhile."""
    if broadcast.stamp_ms is not None:
        for _recipient, tries in groupby(_rows(broadcast), key=lambda row: row[0].int >> 8):
            yield Result(*list(tries)[-1])
    yield from _left_out(broadcast)


def _rows(broadcast: Broadcast) -> Iterator[tuple[Any, ...]]:
    first, last = job_ids.bounds(stamp_ms=broadcast.stamp_ms or 0, broadcast_id=broadcast.pk)
    rows = Delivery.objects.filter(tenant=broadcast.tenant_id, job_id__lte=last).order_by("job_id")
    chunk = list(rows.filter(job_id__gte=first).values_list(*_FIELDS)[:CHUNK])
    while chunk:
        yield from chunk
        chunk = list(rows.filter(job_id__gt=chunk[-1][0]).values_list(*_FIELDS)[:CHUNK])


def _left_out(broadcast: Broadcast) -> Iterator[Result]:
    rows = LeftOut.objects.filter(broadcast=broadcast).order_by("contact_id", "channel")
    after = -1
    while chunk := list(rows.filter(contact_id__gt=after)[:CHUNK]):
        # Somebody who was left out of several channels may be cut in two: the last one is told with the next chunk.
        whole = chunk if len(chunk) < CHUNK else [each for each in chunk if each.contact_id != chunk[-1].contact_id]
        for each in whole:
            yield Result(None, each.user_id, each.channel, LEFT_OUT, each.reason)
        after = whole[-1].contact_id
