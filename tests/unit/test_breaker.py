"""The circuit breaker as a state machine: when it opens, how long it rests, who may probe, and what closes it."""

from __future__ import annotations

import pytest

from deliveries.providers.breaker import (
    CLEAR,
    FAILURES_TO_OPEN,
    FIRST_REST_SECONDS,
    LONGEST_REST_SECONDS,
    Breaker,
    Forced,
    State,
    Verdict,
)

NOW = 1_000_000.0


def opened(breaker: Breaker, now: float = NOW) -> Verdict:
    verdicts = [breaker.failed(now) for _ in range(FAILURES_TO_OPEN)]
    assert verdicts[:-1] == [None] * (FAILURES_TO_OPEN - 1)
    assert verdicts[-1] is not None
    return verdicts[-1]


def test_it_opens_after_failures_in_a_row_and_rests() -> None:
    breaker = Breaker()
    assert breaker.state(NOW) is State.CLOSED
    assert opened(breaker) == Verdict(1, NOW + FIRST_REST_SECONDS)
    assert breaker.state(NOW + FIRST_REST_SECONDS - 0.01) is State.OPEN
    assert breaker.state(NOW + FIRST_REST_SECONDS) is State.HALF_OPEN


def test_a_success_between_failures_starts_the_count_again() -> None:
    breaker = Breaker()
    for _ in range(3):
        for _ in range(FAILURES_TO_OPEN - 1):
            assert breaker.failed(NOW) is None
        assert breaker.succeeded(NOW) is None
    assert breaker.state(NOW) is State.CLOSED


def test_one_probe_is_taken_once_and_its_success_closes() -> None:
    breaker = Breaker()
    until = opened(breaker).until
    breaker.reserve_probe()
    assert [breaker.take_probe(), breaker.take_probe()] == [True, False]
    assert breaker.succeeded(until) == CLEAR
    assert breaker.state(until) is State.CLOSED


def test_a_failed_probe_doubles_the_rest_up_to_the_longest() -> None:
    breaker = Breaker()
    until, rest = opened(breaker).until, FIRST_REST_SECONDS
    for trips in range(2, 12):
        rest = min(LONGEST_REST_SECONDS, 2 * rest)
        verdict = breaker.failed(until)
        assert verdict == Verdict(trips, until + rest)
        until = verdict.until


def test_what_was_under_way_when_it_opened_changes_nothing() -> None:
    breaker = Breaker()
    verdict = opened(breaker)
    assert breaker.failed(NOW + 1) is None
    assert breaker.succeeded(NOW + 1) is None
    assert breaker.verdict == verdict


def test_a_providers_own_wish_lengthens_the_rest() -> None:
    breaker = Breaker()
    for _ in range(FAILURES_TO_OPEN - 1):
        breaker.failed(NOW)
    assert breaker.failed(NOW, rest_seconds=60) == Verdict(1, NOW + 60)


def test_what_another_process_found_out_is_taken_over() -> None:
    breaker = Breaker()
    breaker.adopt(Verdict(2, NOW + 10))
    assert breaker.state(NOW) is State.OPEN
    breaker.adopt(CLEAR)
    assert breaker.state(NOW) is State.CLOSED


@pytest.mark.parametrize(("forced", "state"), [(Forced.OPEN, State.OPEN), (Forced.CLOSED, State.CLOSED)])
def test_what_staff_decided_stands(forced: Forced, state: State) -> None:
    breaker = Breaker(forced=forced)
    opened(breaker)
    assert breaker.state(NOW) is state
    assert breaker.state(NOW + 10_000) is state
