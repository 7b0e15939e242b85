"""What the worker sees of broadcasts that are being sent: the small group is over, or fails; all rows are over."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import structlog
from django.db import transaction
from django.db.models import DurationField, ExpressionWrapper, F, Q, Value
from django.db.models.functions import Greatest, Now
from django.utils import timezone

from broadcasts.actor import WORKER
from broadcasts.changes import WrongState, broadcast_complete, broadcast_pause, broadcast_reopen
from broadcasts.counting import Counts, count_and_keep, has_waiting
from broadcasts.events import event_record
from broadcasts.models import Broadcast
from broadcasts.states import State, status_of_001
from deliveries.channels import Status
from deliveries.notices import Found, Kind, Look, notices_settle

log = structlog.get_logger(__name__)

#: Counting may take this share of one connection's time: what is slow is counted less often.
LOAD_SHARE: Final = 0.1
LEAST_SECONDS: Final = 1.0
#: How long a small group that still waits when its time is over may go on waiting, at least.
GROUP_PATIENCE: Final = timedelta(minutes=10)
#: Ended ones are counted again when their figures are older than this part of the time since, in minutes at least.
LATER_FOR: Final = timedelta(days=3)
LATER_SHARE: Final = 10
LATER_LEAST: Final = timedelta(minutes=1)
LATER_MOST: Final = 10
PAGE: Final = "admin:broadcasts_broadcast_change"


@dataclass(slots=True)
class Watcher:
    """Remembers when each broadcast may be counted again. Any number may watch at once: changes have one winner."""

    _next_count: dict[int, float] = field(default_factory=dict)

    def look(self) -> int:
        """Look once at everything that is being sent; return how many were completed or stopped."""
        active = [
            *Broadcast.objects.select_related("tenant").filter(state__in=[State.SENDING, State.PAUSED]),
            *_told_later(),
        ]
        self._next_count = {each.pk: self._next_count.get(each.pk, 0.0) for each in active}
        return sum(
            self._look_at(broadcast) for broadcast in active if time.monotonic() >= self._next_count[broadcast.pk]
        )

    def _look_at(self, broadcast: Broadcast) -> bool:
        began = time.monotonic()
        counts = count_and_keep(broadcast)
        took = time.monotonic() - began
        self._next_count[broadcast.pk] = began + took + max(LEAST_SECONDS, took / LOAD_SHARE)
        try:
            if broadcast.state == State.COMPLETED and counts.waiting:
                _go_on(broadcast, counts)
            if broadcast.state != State.SENDING:
                return False
            if broadcast.is_group_pass:
                return _look_at_group(broadcast, counts)
            return broadcast.fanned_out_at is not None and not has_waiting(broadcast) and _complete(broadcast, counts)
        except WrongState:  # somebody else was first
            return False


def _told_later() -> list[Broadcast]:
    """Return ended broadcasts whose figures still move: rows being cancelled, and what providers and people tell afterwards.

    The longer ago one ended, the more rarely it is counted, for three days.
    """
    since_end = Now() - F("finished_at")
    ended = Broadcast.objects.filter(
        state__in=[State.COMPLETED, State.CANCELLED], stamp_ms__isnull=False, finished_at__gt=Now() - LATER_FOR
    )
    is_old = Q(
        counted_at__lt=Now() - Greatest(ExpressionWrapper(since_end / LATER_SHARE, DurationField()), Value(LATER_LEAST))
    )
    has_open = Q(counts__waiting__gt=0)
    return list(
        ended.filter(Q(counted_at=None) | has_open | is_old).select_related("tenant").order_by("id")[:LATER_MOST]
    )


def _look_at_group(broadcast: Broadcast, counts: Counts) -> bool:
    """Stop it where too much of the group failed, or nobody can tell; let the rest go once its time is over."""
    if broadcast.group_ends_at is None:
        return False  # the group's rows are still being made
    failed, sent = counts.of(Status.FAILED), counts.of(Status.SENT)
    limit = f"{broadcast.group_failure_percent:g} % is the limit"
    if failed > counts.total * broadcast.group_failure_percent / 100:
        share = 100 * failed / counts.total
        return _stop(
            broadcast, f"Of the small group {failed:,} of {counts.total:,} failed ({share:.0f} %, and {limit})."
        )
    now = timezone.now()
    if now < broadcast.group_ends_at:
        return False
    if counts.waiting:
        patience = max(timedelta(minutes=broadcast.group_minutes), GROUP_PATIENCE)
        if now < broadcast.group_ends_at + patience:
            return False
        return _stop(broadcast, f"Of the small group {counts.waiting:,} of {counts.total:,} still wait to be sent.")
    if not sent:
        return _stop(broadcast, "Nobody of the small group got it.")
    with transaction.atomic():
        rest = Broadcast.objects.filter(pk=broadcast.pk, state=State.SENDING, is_group_pass=True)
        if rest.update(is_group_pass=False, group_ends_at=None, cursor=0, prepared_at=None):
            after = {"failed": failed, "sent": sent}
            event_record(broadcast=broadcast, actor=WORKER, action="group_passed", after=after)
    return False


def _stop(broadcast: Broadcast, why: str) -> bool:
    what_to_do = "Look at the causes; resume to send it to the rest, or cancel it."
    broadcast_pause(broadcast=broadcast, actor=WORKER, reason=f"{why} {what_to_do}")
    return True


def _complete(broadcast: Broadcast, counts: Counts) -> bool:
    if counts.waiting:
        return False
    # What ended between the count and now is counted once more, so that what is kept of a completed broadcast is its last word.
    done = broadcast_complete(broadcast=broadcast)
    counts = count_and_keep(done, is_last=True)
    line = (
        f"broadcast {done.pk} completed status={status_of_001(done.state)} total={counts.total} sent={counts.of(Status.SENT)}"
        f" failed={counts.of(Status.FAILED)}"
    )
    log.info(line)
    if counts.waiting:
        _go_on(done, counts)
    return True


def _go_on(broadcast: Broadcast, counts: Counts) -> None:
    """Have a completed one be sent again: something of it was tried or sent again, elsewhere or at the last moment."""
    note = f"{counts.waiting:,} wait to be sent again"
    broadcast_reopen(broadcast=broadcast, actor=WORKER, note=note, again_from_start=False)


def tell_stopped() -> None:
    """Keep the notices about broadcasts that the worker stopped: open while they are, ended when staff went on."""
    stopped = Broadcast.objects.filter(
        Q(state=State.PAUSED, state_by=WORKER.name) | Q(state=State.FAILED, state_at__gt=Now() - timedelta(days=1))
    )
    found = [
        Found(
            kind=Kind.BROADCAST_STOPPED,
            subject=f"broadcast:{pk}",
            sentence=f"{name}: {why}",
            tenant_id=tenant_id,
            page=PAGE,
            page_pk=pk,
        )
        for pk, name, why, tenant_id in stopped.order_by("-id").values_list("id", "name", "stop_reason", "tenant_id")[
            :100
        ]
    ]
    notices_settle([Look(Kind.BROADCAST_STOPPED, found)])
