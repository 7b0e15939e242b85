"""The order in which a channel's rows go out: priority first, one person one at a time, and a share kept for the urgent."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliveries.channels import Priority
from deliveries.lifecycle import ClaimedRow
from deliveries.row_queues import RowQueues
from tests.claimed import row


def ids(rows: list[ClaimedRow]) -> list[int]:
    return [one.id for one in rows]


def test_urgent_rows_go_first_and_by_themselves() -> None:
    queues = RowQueues()
    queues.add([row(1, priority=Priority.LOW), row(2), row(3, priority=Priority.HIGH), row(4, priority=Priority.HIGH)])
    assert ids(queues.take(slots=10, ordinary_slots=10)) == [3, 4]
    assert ids(queues.take(slots=10, ordinary_slots=10)) == [2, 1]


@pytest.mark.parametrize("ordinary", [Priority.NORMAL, Priority.LOW])
def test_urgent_rows_go_by_themselves_never_twice_in_a_row(ordinary: Priority) -> None:
    queues = RowQueues()
    queues.add([row(1, priority=ordinary), row(2, priority=Priority.HIGH)])
    assert ids(queues.take(slots=10, ordinary_slots=10)) == [2]
    queues.add([row(3, priority=Priority.HIGH)])
    assert ids(queues.take(slots=10, ordinary_slots=10)) == [3, 1]


def test_ordinary_rows_leave_the_kept_slots_to_the_urgent() -> None:
    queues = RowQueues()
    queues.add([row(number) for number in range(5)])
    assert len(queues.take(slots=5, ordinary_slots=4)) == 4
    queues.add([row(9, priority=Priority.HIGH)])
    assert ids(queues.take(slots=1, ordinary_slots=0)) == [9]


def test_no_slot_takes_nothing() -> None:
    queues = RowQueues()
    queues.add([row(1), row(2, priority=Priority.HIGH)])
    assert queues.take(slots=0, ordinary_slots=-3) == []
    assert len(queues) == 2


def test_a_persons_later_rows_wait_behind_the_first() -> None:
    queues, ana = RowQueues(), uuid4()
    first, second, third = row(1, person=ana), row(2, person=ana), row(3, person=ana)
    queues.add([first, second, row(9), third])
    assert ids(queues.take(slots=10, ordinary_slots=10)) == [1, 9]
    assert queues.let_next_of(first)
    assert ids(queues.take(slots=10, ordinary_slots=10)) == [2]
    assert queues.let_next_of(second)
    assert ids(queues.take(slots=10, ordinary_slots=10)) == [3]
    assert not queues.let_next_of(third)
    assert len(queues) == 0


def test_emptying_gives_out_everything_that_was_not_started() -> None:
    queues, ana = RowQueues(), uuid4()
    queues.add([row(1, person=ana), row(2, person=ana), row(3)])
    queues.take(slots=1, ordinary_slots=1)
    queues.take(slots=1, ordinary_slots=1)
    assert sorted(ids(queues.empty())) == [2]
    assert len(queues) == 0


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), max_size=40), st.integers(1, 5))
def test_every_row_goes_out_once_and_each_persons_in_order(made: list[tuple[int, int]], slots: int) -> None:
    people = [UUID(int=number + 1) for number in range(4)]
    rows = [row(number, person=people[person], priority=priority) for number, (priority, person) in enumerate(made)]
    queues = RowQueues()
    queues.add(rows)
    out: list[ClaimedRow] = []
    while batch := queues.take(slots=slots, ordinary_slots=slots):
        assert len(batch) <= slots
        out += batch
        for one in batch:
            queues.let_next_of(one)
    assert sorted(ids(out)) == list(range(len(rows)))
    for person in people:
        for priority in Priority:
            theirs = [one.id for one in out if (one.user_id, one.priority) == (person, priority)]
            assert theirs == sorted(theirs)


def test_whether_something_urgent_waits() -> None:
    queues = RowQueues()
    queues.add([row(1)])
    assert not queues.has_urgent
    queues.add([row(2, priority=Priority.HIGH)])
    assert queues.has_urgent
    queues.take(slots=1, ordinary_slots=1)
    assert not queues.has_urgent


def test_it_says_whether_a_row_could_go_next() -> None:
    queues, ana = RowQueues(), uuid4()
    first = row(1, person=ana)
    assert not queues.has_next
    queues.add([first, row(2, person=ana)])
    assert queues.has_next
    queues.take(slots=10, ordinary_slots=10)
    assert (queues.has_next, len(queues)) == (False, 1), "the second waits behind the first, which is out"
    queues.let_next_of(first)
    assert (queues.has_next, len(queues)) == (True, 1)
    queues.empty()
    assert (queues.has_next, len(queues)) == (False, 0)
