"""How far ahead rows are started: enough that a fast sender never waits, whatever a commit takes, and in batches worth a statement."""

from __future__ import annotations

import pytest

from deliveries.starting_ahead import LEAST_SECONDS, MOST_SECONDS, StartingAhead

CAPACITY, MOST = 20, 500


def ahead_after(*starts: float) -> StartingAhead:
    ahead = StartingAhead(capacity=CAPACITY, most=MOST)
    for seconds in starts:
        ahead.took(seconds)
    return ahead


def test_a_slow_sender_gets_what_it_takes_and_no_more() -> None:
    assert ahead_after().slots(0) == ahead_after().slots(CAPACITY / LEAST_SECONDS) == CAPACITY


def test_a_fast_sender_gets_what_it_sends_in_a_moment_up_to_a_batch() -> None:
    assert ahead_after().slots(1000) == 1000 * LEAST_SECONDS
    assert ahead_after().slots(1_000_000) == MOST


@pytest.mark.parametrize("start_seconds", [0.05, 0.1, 0.2])
def test_slow_commits_do_not_hold_a_sender_down_that_could_send_more(start_seconds: float) -> None:
    ahead = ahead_after(*[start_seconds] * 50)
    rate = CAPACITY / start_seconds  # what a start at a time of the sender's room comes to
    for _ in range(30):
        started = ahead.slots(rate)
        refilled = started - started // 2
        rate = refilled / start_seconds  # the sender itself takes no time
    assert rate == pytest.approx(MOST / 2 / start_seconds)


def test_a_database_that_hangs_lets_nobody_start_for_the_whole_evening() -> None:
    assert ahead_after(*[60.0] * 50).slots(100) == 100 * MOST_SECONDS


def test_where_nothing_is_to_be_started_ahead_only_the_sender_s_room_is_filled() -> None:
    assert StartingAhead(capacity=CAPACITY, most=CAPACITY).slots(1_000_000) == CAPACITY


def test_a_start_waits_while_more_than_half_is_still_to_be_sent() -> None:
    ahead = ahead_after()
    half = ahead.slots(1000) // 2
    assert [ahead.is_ample(started, 1000) for started in (half, half + 1)] == [False, True]


def test_a_slow_sender_never_waits_for_half_of_its_room() -> None:
    assert not ahead_after().is_ample(CAPACITY, 10)
