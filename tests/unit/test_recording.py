"""In which order outcomes go into the database."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from deliveries.channels import Priority, Status
from deliveries.lifecycle import Outcome
from deliveries.recording import Finished, Recording
from deliveries.senders.base import Sender
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
