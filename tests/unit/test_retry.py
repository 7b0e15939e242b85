"""The retry decision: how often, how long, and what a provider may ask for."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliveries.retry import RetryPolicy, next_delay_seconds

POLICY = RetryPolicy()
FIVE = RetryPolicy(max_attempts=5)


@pytest.mark.parametrize(
    ("policy", "attempts", "delay"),
    [
        (POLICY, 1, 1.0),
        (POLICY, 2, 3.0),
        (POLICY, 3, None),
        (POLICY, 4, None),
        (FIVE, 3, 10.0),
        (FIVE, 4, 10.0),
        (FIVE, 5, None),
        (RetryPolicy(max_attempts=1), 1, None),
        (RetryPolicy(delays_seconds=(0.0,)), 2, 0.0),
    ],
)
def test_the_wait_follows_the_list_and_its_last_value_serves_on(
    policy: RetryPolicy, attempts: int, delay: float | None
) -> None:
    assert next_delay_seconds(policy, attempts=attempts, permanent=False, ambiguous=False) == delay


def test_a_permanent_refusal_is_final() -> None:
    assert next_delay_seconds(POLICY, attempts=1, permanent=True, ambiguous=False, retry_after_seconds=5) is None


@pytest.mark.parametrize(("retry_ambiguous", "delay"), [(True, 1.0), (False, None)])
def test_an_ambiguous_outcome_follows_the_channel(retry_ambiguous: bool, delay: float | None) -> None:
    policy = RetryPolicy(retry_ambiguous=retry_ambiguous)
    assert next_delay_seconds(policy, attempts=1, permanent=False, ambiguous=True) == delay
    assert next_delay_seconds(policy, attempts=1, permanent=False, ambiguous=False) == 1.0


@pytest.mark.parametrize(
    ("asked", "delay"),
    [(None, 1.0), (0, 1.0), (0.5, 1.0), (-60, 1.0), (30, 30), (7200, 3600), (math.inf, 3600), (math.nan, 1.0)],
)
def test_retry_after_only_lengthens_and_within_bounds(asked: float | None, delay: float) -> None:
    assert next_delay_seconds(POLICY, attempts=1, permanent=False, ambiguous=False, retry_after_seconds=asked) == delay


def test_a_low_bound_on_retry_after_never_shortens_the_own_delay() -> None:
    delay = next_delay_seconds(
        POLICY, attempts=2, permanent=False, ambiguous=False, retry_after_seconds=60, most_retry_after_seconds=2
    )
    assert delay == 3.0


@given(
    attempts=st.integers(1, 20),
    permanent=st.booleans(),
    ambiguous=st.booleans(),
    asked=st.none() | st.floats(),
    policy=st.builds(
        RetryPolicy,
        max_attempts=st.integers(1, 10),
        delays_seconds=st.lists(st.floats(0, 1e6), min_size=1, max_size=5).map(tuple),
        retry_ambiguous=st.booleans(),
    ),
)
def test_a_delay_is_finite_and_never_shorter_than_the_policy(
    attempts: int, permanent: bool, ambiguous: bool, asked: float | None, policy: RetryPolicy
) -> None:
    delay = next_delay_seconds(
        policy, attempts=attempts, permanent=permanent, ambiguous=ambiguous, retry_after_seconds=asked
    )
    if delay is None:
        assert permanent or attempts >= policy.max_attempts or ambiguous
    else:
        assert attempts < policy.max_attempts
        assert math.isfinite(delay)
        assert delay >= policy.delays_seconds[min(attempts - 1, len(policy.delays_seconds) - 1)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_attempts": 0},
        {"delays_seconds": ()},
        {"delays_seconds": (1.0, -1.0)},
        {"delays_seconds": (math.nan,)},
        {"delays_seconds": (math.inf,)},
    ],
)
def test_a_policy_that_cannot_be_followed_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RetryPolicy(**wrong)  # type: ignore[arg-type]


def test_a_failure_without_an_attempt_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="attempts is 0"):
        next_delay_seconds(POLICY, attempts=0, permanent=False, ambiguous=False)
