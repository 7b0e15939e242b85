"""How far a channel reaches: enough that a fast sender never waits, whatever a commit takes, and in batches worth a statement."""

from __future__ import annotations

import pytest

from deliveries.channels import Priority
from deliveries.reach import LEAST_START_SECONDS, MOST_CLAIMS, MOST_START_SECONDS, MOST_STARTS, Reach

CAPACITY, MOST = 20, 500


def ahead_after(*starts: float) -> Reach:
    ahead = Reach(capacity=CAPACITY, batch=MOST, urgent_share=0.2)
    for seconds in starts:
        ahead.start_took(seconds)
    return ahead


def test_a_slow_sender_gets_what_it_takes_and_no_more() -> None:
    assert ahead_after().slots(0) == ahead_after().slots(CAPACITY / LEAST_START_SECONDS) == CAPACITY


def test_a_fast_sender_gets_what_it_sends_in_a_moment_up_to_some_batches() -> None:
    assert ahead_after().slots(1000) == 1000 * LEAST_START_SECONDS
    assert ahead_after().slots(1_000_000) == MOST_STARTS * MOST


@pytest.mark.parametrize("start_seconds", [0.05, 0.1, 0.2])
def test_slow_commits_do_not_hold_a_sender_down_that_could_send_more(start_seconds: float) -> None:
    ahead = ahead_after(*[start_seconds] * 50)
    rate = CAPACITY / start_seconds  # what a start at a time of the sender's room comes to
    for _ in range(30):
        started = ahead.slots(rate)
        refilled = started - started // 3
        rate = refilled / start_seconds  # the sender itself takes no time
    assert rate == pytest.approx((MOST_STARTS * MOST - MOST_STARTS * MOST // 3) / start_seconds)


def test_a_database_that_hangs_lets_nobody_start_for_the_whole_evening() -> None:
    assert ahead_after(*[60.0] * 50).slots(100) == 100 * MOST_START_SECONDS


def test_where_nothing_is_to_be_started_ahead_only_the_sender_s_room_is_filled() -> None:
    assert Reach(capacity=CAPACITY, batch=MOST, urgent_share=0.2, starts_ahead=False).slots(1_000_000) == CAPACITY


def test_a_start_waits_while_more_than_a_third_is_still_to_be_sent() -> None:
    ahead = ahead_after()
    third = ahead.slots(1000) // 3
    assert [ahead.is_ample(started, 1000) for started in (third, third + 1)] == [False, True]


def test_a_slow_sender_never_waits_for_a_part_of_its_room() -> None:
    assert not ahead_after().is_ample(CAPACITY, 10)


def test_about_a_second_of_work_is_held_and_at_least_twice_the_room() -> None:
    assert [ahead_after().rows(rate) for rate in (0, 1000, 1_000_000)] == [2 * CAPACITY, 1000, MOST_CLAIMS * MOST]


def test_the_room_that_is_kept_is_for_urgent_rows_alone() -> None:
    reach = ahead_after()
    assert [reach.room(held, 1000) for held in (0, 700, 799, 800, 999)] == [
        (MOST, Priority.LOW), (100, Priority.LOW), (1, Priority.LOW), (200, Priority.HIGH), (1, Priority.HIGH),
    ]  # fmt: skip


@pytest.mark.parametrize(("rate", "held"), [(0, 16), (200, 80), (1000, 400), (1_000_000, 2700)])
def test_a_claim_waits_until_half_of_the_ordinary_rows_are_gone(rate: float, held: int) -> None:
    assert [ahead_after().is_worth_a_claim(each, rate) for each in (held + 1, held)] == [False, True]


@pytest.mark.parametrize("urgent_share", [0, 0.2, 0.5, 0.99])
@pytest.mark.parametrize("capacity", [1, 2, CAPACITY])
def test_a_claim_is_worth_it_when_nothing_is_held(capacity: int, urgent_share: float) -> None:
    reach = Reach(capacity=capacity, batch=MOST, urgent_share=urgent_share)
    assert reach.is_worth_a_claim(0, 0)
    assert reach.room(0, 0)[0] > 0
    assert reach.ordinary_slots(0) > 0


def test_slow_claims_do_not_hold_a_sender_down_that_could_send_more() -> None:
    reach, seconds = ahead_after(), 0.1
    rate = CAPACITY / seconds  # what claims of the sender's room come to
    for _ in range(30):
        held = next(held for held in range(MOST_CLAIMS * MOST, -1, -1) if reach.is_worth_a_claim(held, rate))
        rate = reach.room(held, rate)[0] / seconds
    assert rate == MOST / seconds
