"""The dashboard's one sentence: how things stand, worst news first. Pure: figures in, words out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from deliveries.admin import words
from deliveries.figures import Balance, ChannelFigures, Figures, OnHold
from deliveries.models import WorkerHeartbeat
from deliveries.notices import Kind
from deliveries.reasons import describe

LATE_AFTER: Final = timedelta(minutes=1)
MOST_NAMED: Final = 2
SEEN_HERE: Final = frozenset({Kind.UNACCOUNTED, Kind.CHANNEL_BEHIND, Kind.WORKER_STUCK})


@dataclass(frozen=True, slots=True)
class Verdict:
    """One sentence, its tone (ok, warn, bad, quiet), what to do about it, and the admin page or runbook heading that helps."""

    tone: str
    sentence: str
    advice: str = ""
    page: str = ""
    anchor: str = ""


def verdict(figures: Figures, *, down_after: timedelta) -> Verdict:
    """Say the most important thing about `figures`. `down_after`: a process silent for longer is gone."""
    alive = [worker for worker in figures.workers if figures.read_at - worker.beat_at <= down_after]
    checks = (
        _unaccounted(figures.balance),
        _no_sender(figures, alive),
        _behind(figures.channels, figures.read_at),
        _stuck(alive),
        _no_helper(figures, alive),
        _noticed(figures),
        _held(figures.holds),
    )
    return next(filter(None, checks), None) or _well(figures)


def _unaccounted(balance: Balance) -> Verdict | None:
    if balance.unaccounted <= 0:
        return None
    verb = "is" if balance.unaccounted == 1 else "are"
    return Verdict(
        "bad",
        f"{words.count(balance.unaccounted, 'accepted job')} {verb} unaccounted for",
        "More was accepted than there are rows. Follow the runbook before anything else.",
        anchor="unaccounted-is-above-zero",
    )


def _no_sender(figures: Figures, alive: Sequence[WorkerHeartbeat]) -> Verdict | None:
    if any(worker.service_type == "sender" for worker in alive):
        return None
    waiting = figures.balance.waiting
    return Verdict(
        "bad",
        "No sender is running" + (f": {words.count(waiting, 'delivery waits', 'deliveries wait')}" if waiting else ""),
        "Nothing is lost: what waits goes out as soon as a sender runs.",
        page="admin:deliveries_workerheartbeat_changelist",
        anchor="no-sender-is-running",
    )


def _behind(channels: Sequence[ChannelFigures], now: datetime) -> Verdict | None:
    late = [(now - row.oldest_due_at, row) for row in channels if row.oldest_due_at is not None]
    late = [(length, row) for length, row in late if length >= LATE_AFTER]
    if not late:
        return None
    length, worst = max(late, key=lambda pair: pair[0])
    return Verdict(
        "bad" if length >= 5 * LATE_AFTER else "warn",
        words.behind(worst.channel, length, worst.late_reason),
        describe(worst.late_reason).fix if worst.late_reason else "More is due than the senders get done.",
        anchor=describe(worst.late_reason).anchor if worst.late_reason else "a-channel-is-behind",
    )


def _stuck(alive: Sequence[WorkerHeartbeat]) -> Verdict | None:
    stuck = [worker for worker in alive if worker.state == WorkerHeartbeat.State.STUCK]
    if not stuck:
        return None
    return Verdict(
        "warn",
        f"{words.count(len(stuck), 'process is', 'processes are')} stuck: alive, but the work does not move",
        f"The first is {words.service(stuck[0].service_type).lower()} {stuck[0].instance_id}.",
        page="admin:deliveries_workerheartbeat_changelist",
        anchor="a-worker-is-stuck",
    )


def _no_helper(figures: Figures, alive: Sequence[WorkerHeartbeat]) -> Verdict | None:
    """Say which kind of process is missing that a service in use needs besides its senders."""
    running = {worker.service_type for worker in alive}
    if figures.is_empty or {"consumer", "periodic"} <= running:
        return None
    page = "admin:deliveries_workerheartbeat_changelist"
    if "consumer" not in running:
        sentence, advice = "No outbox consumer is running: nobody reads Kafka", "Jobs wait in Kafka. HTTP still works."
        return Verdict("warn", sentence, advice, page, "no-consumer-is-running")
    sentence, advice = "No scheduled tasks are running", "What a dead sender left behind is not picked up."
    return Verdict("warn", sentence, advice, page, "no-scheduled-tasks-are-running")


def _noticed(figures: Figures) -> Verdict | None:
    """Say what only a notice knows. The other kinds are above, from figures that are newer."""
    notices = [notice for notice in figures.notices if notice.kind not in SEEN_HERE]
    if not notices:
        return None
    more = len(notices) - 1
    advice = f"{words.count(more, 'more notice')} {'is' if more == 1 else 'are'} open." if more else ""
    return Verdict("warn", notices[0].sentence, advice, "admin:deliveries_notice_changelist", notices[0].anchor)


def _held(holds: Sequence[OnHold]) -> Verdict | None:
    held = [one.hold for one in holds if one.hold.let_go_at is None]
    if not held:
        return None
    names = [words.held(hold) for hold in held[:MOST_NAMED]]
    if len(held) > MOST_NAMED:
        names = [", ".join(names), words.count(len(held) - MOST_NAMED, "other")]
    return Verdict(
        "warn",
        f"{' and '.join(names)} {'is' if len(held) == 1 else 'are'} on hold",
        f"{held[0].held_by}: {held[0].reason}",
        anchor="something-is-on-hold",
    )


def _well(figures: Figures) -> Verdict:
    if figures.is_empty:
        return Verdict("quiet", "Ready to send", "Nothing has come in yet. Hand in a first job below.")
    rate = sum(row.sent_per_minute for row in figures.channels)
    pace = f"{rate:,.0f} a minute" if rate >= 1 else "Quiet at the moment"
    return Verdict("ok", "Sending normally", f"{pace}; nothing is overdue.")
