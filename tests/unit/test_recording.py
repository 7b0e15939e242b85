"""In which order outcomes go into the database."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from deliveries import recording
from deliveries.channels import Priority, Status
from deliveries.lifecycle import Outcome
from deliveries.recording import NEWEST_SHARE_OF_RATE, Finished, Recording
from deliveries.senders.base import Sender
from deliveries.workers.heartbeat import Heartbeat
from tests.claimed import row


def finished(number: int, priority: Priority) -> Finished:
    outcome = Outcome(id=number, lease_token=uuid4(), status=Status.SENT)
    return Finished(row(number, priority=priority), outcome, None, None)


def test_what_is_urgent_is_recorded_first_and_by_itself() -> None:
    nobody: Any = None
    records = Recording("email", Sender(), pool=nobody, heartbeat=nobody)
    for number, priority in enumerate([Priority.LOW, Priority.HIGH, Priority.NORMAL, Priority.HIGH]):
        records.add(finished(number, priority))
    assert [one.row.id for one in records.take()] == [1, 3]
    assert (records.waiting, len(records)) == (2, 4)
    records.done()
    assert [one.row.id for one in records.take()] == [0, 2]
    records.done()
    assert len(records) == 0


def test_what_was_passed_over_for_the_urgent_goes_next_whatever_is_urgent_by_then() -> None:
    nobody: Any = None
    records = Recording("email", Sender(), pool=nobody, heartbeat=nobody)
    records.add(finished(0, Priority.NORMAL))
    records.add(finished(1, Priority.HIGH))
    assert [one.row.id for one in records.take()] == [1]
    assert records.was_passed_over
    records.add(finished(2, Priority.HIGH))
    assert [one.row.id for one in records.take()] == [0, 2]
    assert not records.was_passed_over


async def test_a_speed_that_rises_is_believed_at_once_and_one_that_falls_slowly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr(recording.time, "monotonic", lambda: now)
    nobody: Any = None
    records = Recording("email", Sender(), pool=nobody, heartbeat=Heartbeat("test"))

    async def finish(outcomes: list[Outcome]) -> dict[int, Outcome]:
        return {outcome.id: outcome for outcome in outcomes}

    monkeypatch.setattr(records, "_finish", finish)
    seen = []
    for rows in (50, 400, 200):
        for number in range(rows):
            records.add(finished(number, Priority.NORMAL))
        now += 0.5
        await records.record(records.take())
        seen.append(records.rows_per_second)
    assert seen == [100, 800, 800 - NEWEST_SHARE_OF_RATE * 400]


async def test_outcomes_that_were_counted_already_are_no_slow_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is urgent goes first, the rest right after it; between the two nothing ended, since all had."""
    now = 100.0
    monkeypatch.setattr(recording.time, "monotonic", lambda: now)
    nobody: Any = None
    records = Recording("email", Sender(), pool=nobody, heartbeat=Heartbeat("test"))

    async def finish(outcomes: list[Outcome]) -> dict[int, Outcome]:
        return {outcome.id: outcome for outcome in outcomes}

    monkeypatch.setattr(records, "_finish", finish)
    for number in range(50):
        records.add(finished(number, Priority.HIGH if number < 5 else Priority.NORMAL))
    now += 0.5
    seen = []
    while records.waiting:
        await records.record(records.take())
        records.done()
        seen.append(records.rows_per_second)
    assert seen == [100, 100]


async def test_outcomes_that_bunch_up_behind_a_slow_commit_are_no_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred a second, of which three seconds' worth wait for the database, and then go together."""
    now, commit_seconds = 100.0, 0.0
    monkeypatch.setattr(recording.time, "monotonic", lambda: now)
    nobody: Any = None
    records = Recording("email", Sender(), pool=nobody, heartbeat=Heartbeat("test"))

    def end(rows: int) -> None:
        nonlocal now
        for number in range(rows):
            now += 0.01
            records.add(finished(number, Priority.NORMAL))

    async def finish(outcomes: list[Outcome]) -> dict[int, Outcome]:
        end(int(commit_seconds * 100))
        return {outcome.id: outcome for outcome in outcomes}

    monkeypatch.setattr(records, "_finish", finish)
    for seconds in (0.0, 0.0, 0.0, 3.0, 0.0, 0.0, 0.05, 0.05, 0.05, 0.0):
        commit_seconds = seconds
        end(10)
        await records.record(records.take())
        records.done()
        assert records.rows_per_second <= 110
    assert records.rows_per_second > 90
