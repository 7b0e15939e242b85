"""Lanes: one UPDATE steers every row that waits there, effective at the next claim.

Lanes are locked by their ids first, as claims lock the buckets that they pay from, so that none waits for the other in a circle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from django.db import transaction
from django.db.models import Case, QuerySet, Value, When
from django.db.models.functions import Coalesce, Now

from deliveries.channels import Priority
from deliveries.models import Lane


def lanes_open(
    *,
    tenant_id: int,
    source: str,
    priority: Priority,
    paces: Mapping[str, int | None],
    bucket_id: int | None = None,
) -> dict[str, int]:
    """Make the lanes of a source, one for each channel of `paces` (rows a minute; None: as fast as it goes). Returns ids by channel.

    `bucket_id`: the lane whose bucket and pace those without a pace of their own share. Idempotent: a lane that is there stays as it is.
    """
    shared = None if bucket_id is None else Lane.objects.get(id=bucket_id)
    Lane.objects.bulk_create(
        [
            Lane(
                tenant_id=tenant_id,
                channel=channel,
                priority=priority,
                source=source,
                pace_per_minute=shared.pace_per_minute if shared and pace is None else pace,
                bucket=shared if pace is None else None,
                tokens_at=Now() if pace else None,
            )
            for channel, pace in sorted(paces.items())
        ],
        ignore_conflicts=True,
    )
    lanes = Lane.objects.filter(tenant_id=tenant_id, priority=priority, source=source, channel__in=paces)
    return dict(lanes.values_list("channel", "id"))


@transaction.atomic
def lane_pause(*, lane_ids: Sequence[int], by: str, reason: str) -> int:
    """Hold lanes: what waits there stays and costs no attempt. Returns how many were not held before. Idempotent."""
    return _locked(Lane.objects.filter(id__in=lane_ids, paused_at=None)).update(
        paused_at=Now(), paused_by=by[:150], pause_reason=reason[:300]
    )


@transaction.atomic
def lane_resume(*, lane_ids: Sequence[int]) -> int:
    """Let held lanes go on, from an empty token bucket, so that nothing bursts. Returns how many were held. Idempotent."""
    held = Lane.objects.filter(id__in=lane_ids, paused_at__isnull=False)
    lanes_empty_buckets(held)
    return _locked(held).update(paused_at=None, paused_by="", pause_reason="")


@transaction.atomic
def lane_cancel(*, lane_ids: Sequence[int]) -> int:
    """Cancel everything that waits in lanes, now and later. The sweeper settles the rows in chunks. Cannot be undone. Idempotent."""
    return _locked(Lane.objects.filter(id__in=lane_ids, cancelled_at=None)).update(cancelled_at=Now())


@transaction.atomic
def lane_set_pace(*, lane_ids: Sequence[int], pace_per_minute: int | None) -> int:
    """Set how many rows a minute each of these lanes may send; None: as fast as the channel goes. Returns how many lanes there are."""
    return _locked(Lane.objects.filter(id__in=lane_ids)).update(
        pace_per_minute=pace_per_minute, bucket=None, tokens=0, tokens_at=Now()
    )


@transaction.atomic
def lanes_share_pace(*, lane_ids: Sequence[int], pace_per_minute: int | None) -> int:
    """Set how many rows a minute these lanes may send together, whichever of them has any; None: as fast as their channels go.

    The oldest of them keeps the bucket for all. Returns how many lanes there are.
    """
    if not lane_ids:
        return 0
    oldest = min(lane_ids)
    return _locked(Lane.objects.filter(id__in=lane_ids)).update(
        pace_per_minute=pace_per_minute,
        bucket=Case(When(id=oldest, then=None), default=Value(oldest)),
        tokens=0,
        tokens_at=Now(),
    )


@transaction.atomic
def lanes_empty_buckets(lanes: QuerySet[Lane]) -> None:
    """Let lanes begin from an empty bucket, their own or the one that they share, so that nothing bursts."""
    buckets = lanes.order_by().values_list(Coalesce("bucket_id", "id"), flat=True)
    _locked(Lane.objects.filter(id__in=buckets, pace_per_minute__isnull=False)).update(tokens=0, tokens_at=Now())


def _locked(lanes: QuerySet[Lane]) -> QuerySet[Lane]:
    """Lock lanes in the order of their ids until the transaction ends, and return them."""
    ids = lanes.order_by("id").select_for_update(no_key=True).values_list("id", flat=True)
    return Lane.objects.filter(id__in=list(ids))
