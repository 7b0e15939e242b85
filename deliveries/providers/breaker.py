"""When to leave a broken provider alone: a circuit breaker as a pure state machine. Clock and sharing between processes come from
outside (`deliveries/providers/shared.py`)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

FAILURES_TO_OPEN = 5
FIRST_REST_SECONDS = 5.0
LONGEST_REST_SECONDS = 300.0


class State(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Forced(StrEnum):
    """What staff decided: stays so until they let go, whatever the provider does."""

    NO = ""
    OPEN = "open"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What all processes know of one provider. `until`: seconds since the epoch, the end of its rest. `trips`: rests in a row."""

    trips: int = 0
    until: float = 0.0


CLEAR = Verdict()


class Breaker:
    """One provider as this process sees it. It opens after FAILURES_TO_OPEN failures in a row, at once and for every process that is
    told; after a rest one probe is let through, and its end closes the breaker or doubles the rest.

    A failure is a refusal that says nothing about the message: away, broken, refusing us. What the provider says about one message
    (no such address) shows that it works.
    """

    def __init__(self, *, forced: Forced = Forced.NO) -> None:
        self.forced = forced
        self.verdict = CLEAR
        self._failures = 0
        self._probing = False

    def state(self, now: float) -> State:
        """Return the state at `now`, seconds since the epoch."""
        if self.forced:
            return State.OPEN if self.forced is Forced.OPEN else State.CLOSED
        if not self.verdict.trips:
            return State.CLOSED
        return State.OPEN if now < self.verdict.until else State.HALF_OPEN

    def adopt(self, verdict: Verdict) -> None:
        """Take over what another process found out."""
        if verdict != self.verdict:
            self.verdict = verdict
            self._failures = 0
            self._probing = False

    def reserve_probe(self) -> None:
        """Note that this process may send the one message that shows whether the provider works again."""
        self._probing = True

    @property
    def is_probing(self) -> bool:
        """Whether the probe is this process's, and not over."""
        return self._probing

    def take_probe(self) -> bool:
        """Use the reserved probe. Only the first caller gets it."""
        taken, self._probing = self._probing, False
        return taken

    def succeeded(self, now: float) -> Verdict | None:
        """Note that the provider did its work. Returns the new verdict when that closes the breaker."""
        self._failures = 0
        if not self.verdict.trips or now < self.verdict.until:  # the latter was under way before it opened
            return None
        self.verdict = CLEAR
        return CLEAR

    def failed(self, now: float, *, rest_seconds: float | None = None) -> Verdict | None:
        """Note a failure. Returns the new verdict when that opens the breaker. `rest_seconds`: the provider's own Retry-After."""
        if self.verdict.trips and now < self.verdict.until:
            return None  # was under way before it opened
        self._failures += 1
        if not self.verdict.trips and self._failures < FAILURES_TO_OPEN:
            return None
        rest = min(LONGEST_REST_SECONDS, FIRST_REST_SECONDS * 2**self.verdict.trips)
        self.verdict = Verdict(self.verdict.trips + 1, now + max(rest, min(rest_seconds or 0.0, LONGEST_REST_SECONDS)))
        self._failures = 0
        return self.verdict
