"""What the notices are raised from: facts in the database, and the breakers in Redis, turned into what is wrong now. Reads only.

Each look costs a fixed number of queries, however much is wrong. What cannot be told (Redis away, still within the grace) is unsure,
and its notices stay as they are. Raising and ending is `notices.py`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from deliveries import figures
from deliveries.admin import words
from deliveries.models import Notice, Provider, WebhookEndpoint, WorkerHeartbeat
from deliveries.notices import Found, Kind, Look, Settled, notices_forget, notices_settle
from deliveries.providers.breaker import State
from deliveries.providers.states import UNKNOWN, breaker_states
from deliveries.reasons import describe

WORKERS_PAGE: Final = "admin:deliveries_workerheartbeat_changelist"
#: More was accepted than there are rows for so long, before anybody is told.
UNACCOUNTED_GRACE_SECONDS: Final = 60.0
#: Counting the balance may be slow in a large table, so it is done this rarely, and more rarely the slower it is.
BALANCE_SECONDS: Final = 15.0
#: Of a lane that is behind, so many of its oldest rows say why.
REASON_ROWS: Final = 100
FORGET_SECONDS: Final = 3600.0


class Watcher:
    """One process that looks again and again. Any number may: they raise the same notices, and one incident stays one."""

    def __init__(self) -> None:
        self._unaccounted_since: float | None = None
        self._next_balance = 0.0
        self._next_forgetting = 0.0

    def run(self) -> Settled:
        """Look once at everything; open and end what that shows."""
        looks = [breakers(), endpoints(), channels(), *workers()]
        if (balance := self._balance()) is not None:
            looks.append(balance)
        if time.monotonic() >= self._next_forgetting:
            self._next_forgetting = time.monotonic() + FORGET_SECONDS
            notices_forget(days=settings.RETENTION_DAYS)
        return notices_settle(looks)

    def _balance(self) -> Look | None:
        began = time.monotonic()
        if began < self._next_balance:
            return None
        balance = figures.balance(timezone.now())
        now = time.monotonic()
        self._next_balance = now + max(BALANCE_SECONDS, (now - began) / figures.LOAD_SHARE)
        if balance.unaccounted <= 0:
            self._unaccounted_since = None
            return Look(Kind.UNACCOUNTED)
        if self._unaccounted_since is None:
            self._unaccounted_since = now
        return unaccounted(balance.unaccounted, is_lasting=now - self._unaccounted_since >= UNACCOUNTED_GRACE_SECONDS)


def breakers() -> Look:
    """Find providers that are left alone after failing. Those that staff forced are as staff want them."""
    rows = list(Provider.objects.filter(is_enabled=True).defer("sealed_credentials"))
    states = breaker_states(rows)
    found = [
        Found(
            Kind.BREAKER_OPEN,
            f"provider:{row.pk}",
            f"{row.name} ({words.channel(row.channel)}) is left alone after failing: {_instead_of(row, rows, states)}",
            tenant_id=row.tenant_id,
            page="admin:deliveries_provider_change",
            page_pk=row.pk,
        )
        for row in rows
        if not row.breaker_forced and states[row.pk] in (State.OPEN, State.HALF_OPEN)
    ]
    unsure = [f"provider:{row.pk}" for row in rows if states[row.pk] == UNKNOWN]
    return Look(Kind.BREAKER_OPEN, found, unsure)


def endpoints() -> Look:
    """Leave open what is still disabled. `endpoints_disable_failing` raises these notices; what staff disable needs none."""
    asked = Notice.objects.filter(kind=Kind.ENDPOINT_DISABLED, ended_at=None).values("page_pk")
    still = WebhookEndpoint.objects.filter(pk__in=asked, disabled_at__isnull=False).values_list("pk", flat=True)
    return Look(Kind.ENDPOINT_DISABLED, unsure=[f"endpoint:{pk}" for pk in still])


def channels() -> Look:
    """Find channels whose oldest due row has waited for NOTICE_OLDEST_DUE_SECONDS; what is late on purpose does not count."""
    now = timezone.now()
    longest = timedelta(seconds=settings.NOTICE_OLDEST_DUE_SECONDS)
    queues = figures.queues(limit=REASON_ROWS)
    late = {
        name: queue for name, queue in queues.items() if queue.oldest_due_at and now - queue.oldest_due_at > longest
    }
    return Look(Kind.CHANNEL_BEHIND, [_behind(name, queue, now) for name, queue in late.items()])


def workers() -> Iterator[Look]:
    """Find processes that are silent and did not say that they stop, and those that say that they are stuck."""
    rows = list(
        WorkerHeartbeat.objects.exclude(state=WorkerHeartbeat.State.STOPPED)
        .filter(beat_at__gt=Now() - timedelta(days=1))
        .annotate(silent=Now() - F("beat_at"))
    )
    limit = timedelta(seconds=settings.HEARTBEAT_TTL_SECONDS)
    gone = [row for row in rows if row.silent > limit]
    stuck = [row for row in rows if row.silent <= limit and row.state == WorkerHeartbeat.State.STUCK]
    yield Look(
        Kind.WORKER_GONE,
        [_process(Kind.WORKER_GONE, row, f"is gone: no sign since {words.moment(row.beat_at)}") for row in gone],
    )
    yield Look(
        Kind.WORKER_STUCK,
        [_process(Kind.WORKER_STUCK, row, "is stuck: alive, but its work does not move") for row in stuck],
    )


def unaccounted(number: int, *, is_lasting: bool) -> Look:
    """Find jobs that were accepted and have no row, once that lasts."""
    verb = "is" if number == 1 else "are"
    sentence = f"{words.count(number, 'accepted job')} {verb} unaccounted for"
    found = Found(Kind.UNACCOUNTED, "balance", sentence, page="admin:index")
    return Look(Kind.UNACCOUNTED, [found]) if is_lasting else Look(Kind.UNACCOUNTED, unsure=["balance"])


def _instead_of(broken: Provider, rows: Sequence[Provider], states: dict[int, str]) -> str:
    """Say who carries the messages meanwhile. `rows` are in the order in which they are used."""
    same = (row for row in rows if (row.tenant_id, row.channel) == (broken.tenant_id, broken.channel))
    works = next((row for row in same if states[row.pk] == State.CLOSED), None)
    return f"{works.name} takes over" if works else "its messages wait"


def _behind(channel: str, queue: figures.Queue, now: datetime) -> Found:
    return Found(
        Kind.CHANNEL_BEHIND,
        f"channel:{channel}",
        words.behind(channel, now - (queue.oldest_due_at or now), queue.late_reason),
        page="admin:deliveries_delivery_changelist",
        anchor=describe(queue.late_reason).anchor if queue.late_reason else "",
    )


def _process(kind: Kind, row: WorkerHeartbeat, what: str) -> Found:
    name = f"{words.service(row.service_type)} on {row.host} (pid {row.pid})"
    return Found(kind, f"{row.service_type}:{row.instance_id}", f"{name} {what}", page=WORKERS_PAGE)
