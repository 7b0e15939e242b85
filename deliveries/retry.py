"""When a failed send is tried again: a pure decision from a policy. No clock, no settings, no status here."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how far apart one channel tries (contracts, section 2).

    `delays_seconds[n-1]` is the wait before attempt n+1; the last one serves for all that follow. `retry_ambiguous`
    says whether to try again when the provider may have taken the message (e-mail yes, sms no).

    Raises: ValueError for a policy that could not be followed.
    """

    max_attempts: int = 3
    delays_seconds: tuple[float, ...] = (1.0, 3.0, 10.0)
    retry_ambiguous: bool = True

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise ValueError(f"max_attempts is {self.max_attempts}; it must be 1 or more.")
        if not self.delays_seconds:
            raise ValueError("delays_seconds is empty; give at least one delay.")
        if any(delay < 0 or not math.isfinite(delay) for delay in self.delays_seconds):
            raise ValueError(f"delays_seconds is {self.delays_seconds}; each must be 0 or more and finite.")


def next_delay_seconds(
    policy: RetryPolicy,
    *,
    attempts: int,
    permanent: bool,
    ambiguous: bool,
    retry_after_seconds: float | None = None,
    most_retry_after_seconds: float = 3600,
) -> float | None:
    """Decide how many seconds after this failure the next attempt may start; None means that there is none.

    `attempts` counts those made so far, this one included. `permanent`: the provider will never take this message.
    `ambiguous`: it may have taken it already. A provider's Retry-After (RFC 9110, section 10.2.3) only ever lengthens
    the wait, and to no more than `most_retry_after_seconds`; one that is not a number of seconds is ignored.

    Raises: ValueError when no attempt was made yet.
    """
    if attempts < 1:
        raise ValueError(f"attempts is {attempts}; a failure is an attempt, so it must be 1 or more.")
    if permanent or attempts >= policy.max_attempts or (ambiguous and not policy.retry_ambiguous):
        return None
    delay = policy.delays_seconds[min(attempts, len(policy.delays_seconds)) - 1]
    if retry_after_seconds is None or math.isnan(retry_after_seconds):
        return delay
    return max(delay, min(retry_after_seconds, most_retry_after_seconds))
