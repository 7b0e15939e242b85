"""A chain of providers: whom a message is handed to, what a refusal says about the next attempt, and what is not taken on at all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from deliveries.channels import Channel
from deliveries.providers.breaker import CLEAR, FAILURES_TO_OPEN, Breaker, Forced, State, Verdict
from deliveries.providers.chain import Chain, Link
from deliveries.providers.shared import BURST_SECONDS, bucket_size
from deliveries.senders.base import Content, Message, Receipt, Sender, SendError


class Alone:
    """What a process shares when it is the only one: it grants `tokens` and every probe."""

    def __init__(self, tokens: int = 0) -> None:
        self.tokens = tokens
        self.announced: list[tuple[int, Verdict]] = []

    async def take(self, provider: int, wanted: int, *, rate_per_second: float) -> int:
        granted = min(wanted, self.tokens, int(bucket_size(rate_per_second)))
        self.tokens -= granted
        return granted

    async def announce(self, provider: int, verdict: Verdict) -> None:
        self.announced.append((provider, verdict))

    async def reserve_probe(self, provider: int, *, seconds: float) -> bool:
        return True


class Far(Sender):
    """A far end that takes what it is given until `error` is set."""

    channel = Channel.EMAIL
    capacity = 4

    def __init__(self, error: SendError | None = None) -> None:
        self.error = error
        self.got: list[Message] = []

    async def send(self, message: Message) -> Receipt:
        self.got.append(message)
        await asyncio.sleep(0)
        if self.error is not None:
            raise SendError(
                self.error.code,
                self.error.message,
                permanent=self.error.permanent,
                ambiguous=self.error.ambiguous,
                account=self.error.account,
            )
        return Receipt("far.example", "id-1")


DOWN = SendError("connection_refused", "Nobody listens there")
LOCKED = SendError("account_suspended", "Pay the bill", permanent=True, account=True)
NO_SUCH = SendError("smtp_550", "No such user", permanent=True)
CUT = SendError("connection_lost", "Cut after the last byte", ambiguous=True)


def message(refused_by: str = "") -> Message:
    return Message(
        delivery_id=1,
        job_id=uuid4(),
        tenant_id=1,
        user_id=uuid4(),
        to="ana@example.com",
        content=Content("Hi", "There"),
        attempt=1,
        accepted_at=datetime.now(UTC),
        refused_by=refused_by,
    )


def chain(*senders: Sender, shared: Alone | None = None, rate: float | None = None) -> Chain:
    links = [
        Link(number, name, sender, Breaker(), rate if number == 1 else None, 20.0)
        for number, (name, sender) in enumerate(zip("ABCD", senders, strict=False), start=1)
    ]
    return Chain(Channel.EMAIL, links, shared=shared or Alone(), wait_seconds=0.05)  # type: ignore[arg-type]


async def failures(of: Chain, count: int) -> list[SendError]:
    found = []
    for _ in range(count):
        with pytest.raises(SendError) as refused:
            await of.send(message())
        found.append(refused.value)
    return found


async def test_the_first_takes_everything_and_the_receipt_names_it() -> None:
    a, b = Far(), Far()
    both = chain(a, b)
    receipt = await both.send(message())
    assert (receipt.provider, receipt.message_id) == ("A", "id-1")
    assert (len(a.got), len(b.got)) == (1, 0)


@pytest.mark.parametrize(("error", "elsewhere"), [(DOWN, True), (LOCKED, True), (NO_SUCH, False), (CUT, False)])
async def test_only_an_unambiguous_refusal_that_is_not_about_the_message_goes_elsewhere(
    error: SendError, elsewhere: bool
) -> None:
    (refused,) = await failures(chain(Far(error), Far()), 1)
    assert (refused.elsewhere, refused.provider, refused.code) == (elsewhere, "A", error.code)
    (alone,) = await failures(chain(Far(error)), 1)
    assert not alone.elsewhere


async def test_the_next_attempt_avoids_who_refused_unless_nobody_else_is_there() -> None:
    a, b = Far(), Far()
    assert (await chain(a, b).send(message(refused_by="A"))).provider == "B"
    assert (await chain(a).send(message(refused_by="A"))).provider == "A"


async def test_a_message_that_everybody_refused_waits_as_its_policy_says() -> None:
    both = chain(Far(DOWN), Far(DOWN))
    with pytest.raises(SendError) as refused:
        await both.send(message(refused_by="A"))
    assert (refused.value.provider, refused.value.elsewhere) == ("B", False)


async def test_a_refused_message_leaves_the_probe_to_the_next() -> None:
    a = Far(NO_SUCH)
    only = chain(a)
    only.links[0].breaker.adopt(Verdict(1, time.time() - 1))
    assert await only.admit(10) == 1
    await failures(only, 1)
    assert only.links[0].breaker.state(time.time()) is State.HALF_OPEN
    a.error = None
    assert (await only.send(message())).provider == "A"
    assert only.links[0].breaker.state(time.time()) is State.CLOSED


async def test_while_nothing_comes_no_tokens_are_taken_from_others() -> None:
    shared = Alone(tokens=10)
    only = chain(Far(), shared=shared, rate=1.0)
    for _ in range(20):
        only.unused(await only.admit(80))
    assert shared.tokens == 9


async def test_a_probe_that_was_not_needed_is_no_token() -> None:
    only = chain(Far(), shared=Alone(tokens=0), rate=1.0)
    assert await only.admit(1) == 0
    only.links[0].breaker.adopt(Verdict(1, time.time() - 1))
    only.unused(await only.admit(1))
    only.links[0].breaker.adopt(CLEAR)
    assert await only.admit(1) == 0


async def test_a_message_that_is_cut_while_it_waits_was_not_handed_over() -> None:
    only = chain(far := Far())
    only._wait_seconds = 60
    only.links[0].breaker.adopt(Verdict(1, time.time() + 60))
    waiting = asyncio.create_task(only.send(message()))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(SendError) as refused:
        await waiting
    assert (refused.value.code, refused.value.ambiguous) == ("no_provider_free", False)
    assert far.got == []


async def test_failures_open_the_breaker_for_everybody_and_the_next_takes_over() -> None:
    a, b, shared = Far(DOWN), Far(), Alone()
    both = chain(a, b, shared=shared)
    await failures(both, FAILURES_TO_OPEN)
    await both.close()
    ((provider, verdict),) = shared.announced
    assert (provider, verdict.trips) == (1, 1)
    assert [(await both.send(message())).provider for _ in range(20)] == ["B"] * 20
    assert len(a.got) == FAILURES_TO_OPEN


async def test_refusals_of_messages_open_nothing() -> None:
    both = chain(Far(NO_SUCH), Far())
    await failures(both, 5 * FAILURES_TO_OPEN)
    assert both.links[0].breaker.state(time.time()) is State.CLOSED


async def test_after_the_rest_one_probe_goes_to_the_broken_one_and_brings_it_back() -> None:
    a, b = Far(), Far()
    both = chain(a, b)
    both.links[0].breaker.adopt(Verdict(1, time.time() - 1))
    assert await both.admit(10) == 10
    assert [(await both.send(message())).provider for _ in range(3)] == ["A", "A", "A"]

    a.error = DOWN
    both.links[0].breaker.adopt(Verdict(1, time.time() - 1))
    await both.admit(10)
    await failures(both, 1)
    assert [(await both.send(message())).provider for _ in range(3)] == ["B"] * 3
    assert both.links[0].breaker.verdict.trips == 2


async def test_what_waits_for_room_while_the_breaker_opens_goes_to_the_next() -> None:
    a, b = Far(DOWN), Far()
    a.capacity, a.at_once = 40, 2
    both = chain(a, b)
    both._wait_seconds = 60.0
    ends = await asyncio.gather(*(both.send(message()) for _ in range(20)), return_exceptions=True)
    assert len(a.got) < FAILURES_TO_OPEN + a.at_once
    assert len(b.got) == 20 - len(a.got)
    assert sum(isinstance(end, SendError) for end in ends) == len(a.got)


async def test_nothing_is_taken_on_while_all_rest_and_one_probe_when_a_rest_is_over() -> None:
    only = chain(Far())
    only.links[0].breaker.adopt(Verdict(1, time.time() + 60))
    assert await only.admit(100) == 0
    only.links[0].breaker.adopt(Verdict(1, time.time() - 1))
    assert await only.admit(100) == 1


async def test_no_more_is_taken_on_than_the_rate_allows_and_what_did_not_come_is_not_hoarded() -> None:
    shared = Alone(tokens=7)
    only = chain(Far(), shared=shared, rate=7 / BURST_SECONDS)
    assert await only.admit(100) == 7
    assert await only.admit(100) == 0
    await only.send(message())
    only.unused(4)
    assert await only.admit(100) == 4
    only.unused(100)
    assert await only.admit(100) == 7


async def test_what_no_provider_may_take_is_refused_unsent_and_unambiguously() -> None:
    only = chain(far := Far())
    only.links[0].breaker.adopt(Verdict(1, time.time() + 60))
    (refused,) = await failures(only, 1)
    assert (refused.code, refused.ambiguous, refused.permanent) == ("no_provider_free", False, False)
    assert far.got == []


@pytest.mark.parametrize(("forced", "took"), [(Forced.OPEN, "B"), (Forced.CLOSED, "A")])
async def test_what_staff_decided_rules(forced: Forced, took: str) -> None:
    both = chain(Far(), Far())
    both.links[0].breaker.forced = forced
    both.links[0].breaker.adopt(Verdict(1, time.time() + 60))
    assert (await both.send(message())).provider == took


async def test_a_provider_is_given_no_more_at_once_than_it_takes_and_its_deadline_ends_a_send() -> None:
    class Slow(Far):
        busy = most = 0

        async def send(self, message: Message) -> Receipt:
            self.busy += 1
            self.most = max(self.most, self.busy)
            try:
                await asyncio.Event().wait()
            finally:
                self.busy -= 1
            raise AssertionError("unreachable")

    slow = Slow()
    only = chain(slow)
    only.links[0].deadline_seconds = 0.05
    only._wait_seconds = 60
    ended: Iterable[object] = await asyncio.gather(
        *(only.send(message()) for _ in range(FAILURES_TO_OPEN)), return_exceptions=True
    )
    assert slow.most == slow.capacity
    assert {(error.code, error.ambiguous) for error in ended if isinstance(error, SendError)} == {("timeout", True)}
