"""A tenant's providers of one channel as one sender: it hands each message to the first that may be used, and learns from how that ended.

It never sends a message twice: a refusal goes back to the caller as SendError, with `elsewhere` set where another provider could take it
at once, and the next attempt avoids the one that refused.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import structlog
from msgspec.structs import replace

from deliveries.channels import Channel
from deliveries.providers.breaker import Breaker, State, Verdict
from deliveries.providers.shared import Shared, bucket_size
from deliveries.senders.base import Message, Receipt, Sender, SendError

log = structlog.get_logger(__name__)

LOOK_SECONDS = 0.1


@dataclass(slots=True)
class Link:
    """One provider of the chain.

    `credit`: messages that its rate allows and that nobody took on yet, never more than its bucket holds.
    """

    id: int
    name: str
    sender: Sender
    breaker: Breaker
    rate_per_second: float | None
    deadline_seconds: float
    credit: int = 0
    room: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        # Who waits, waits out here, where another provider can still be chosen.
        self.room = asyncio.Semaphore(self.sender.at_once or self.sender.capacity)


class Chain(Sender):
    """Providers in order of preference. A message that none may take within `wait_seconds` is refused as `no_provider_free`."""

    def __init__(self, channel: Channel, links: Sequence[Link], *, shared: Shared, wait_seconds: float) -> None:
        self.channel = channel  # type: ignore[misc]
        self.links = list(links)
        self.capacity = max((link.sender.capacity for link in links), default=1)
        self._shared = shared
        self._wait_seconds = wait_seconds
        # For whom messages were taken on last, and whom its unused tokens go back to: nobody where a probe was admitted.
        self._admitting: Link | None = None
        self._owes: Link | None = None
        self._announcing: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        for link in self.links:
            await link.sender.open()

    async def close(self) -> None:
        await asyncio.gather(*self._announcing)
        for link in self.links:
            await link.sender.close()

    async def stored(self, messages: Sequence[Message]) -> None:
        for link in self.links:
            await link.sender.stored(messages)

    async def admit(self, wanted: int) -> int:
        """Return how many of `wanted` more messages may be taken on now: none while every provider rests, no more than the rate allows."""
        now = time.time()
        probes = 0
        self._owes = None
        for link in self.links:
            match link.breaker.state(now):
                case State.OPEN:
                    continue
                case State.HALF_OPEN:
                    if not link.breaker.is_probing and await self._shared.reserve_probe(
                        link.id, seconds=2 * link.deadline_seconds
                    ):
                        link.breaker.reserve_probe()
                    probes += link.breaker.is_probing
                    continue
            self._admitting = link
            if link.rate_per_second is None:
                return wanted
            self._owes = link
            if not link.credit:  # what an idle process was granted once is enough: others send meanwhile
                link.credit = await self._shared.take(link.id, wanted, rate_per_second=link.rate_per_second)
            granted = min(wanted, link.credit)
            link.credit -= granted
            return granted
        return min(wanted, probes)

    def unused(self, count: int) -> None:
        link = self._owes
        if link is not None and link.rate_per_second is not None:
            link.credit = min(link.credit + count, int(bucket_size(link.rate_per_second)))

    def is_resting(self) -> bool:
        now = time.time()
        states = [(link.breaker.state(now), link.breaker.is_probing) for link in self.links]
        return not any(state is State.CLOSED or (state is State.HALF_OPEN and probing) for state, probing in states)

    async def send(self, message: Message) -> Receipt:
        link = await self._place(message)
        try:
            async with asyncio.timeout(link.deadline_seconds):
                receipt = await link.sender.send(message)
        except TimeoutError:
            raise self._learn(link, _too_late(link), message) from None
        except SendError as error:
            raise self._learn(link, error, message) from error.__cause__
        finally:
            link.room.release()
        if (verdict := link.breaker.succeeded(time.time())) is not None:
            self._announce(link, verdict)
        return replace(receipt, provider=link.name)

    async def _place(self, message: Message) -> Link:
        """Return the provider for one message, with room for it. Raises: SendError `no_provider_free`, also when the caller cuts the
        wait, since only here it is known that nobody has the message."""
        link: Link | None = None
        try:
            async with asyncio.timeout(self._wait_seconds):
                while True:
                    link = await self._pick(avoid=message.refused_by)
                    was = link.breaker.state(time.time())
                    await link.room.acquire()
                    if was is not State.CLOSED or link.breaker.state(time.time()) is State.CLOSED:
                        return link
                    link.room.release()  # the breaker opened meanwhile
        except (TimeoutError, asyncio.CancelledError):
            if link is not None:
                _put_back(link)
            waited = f"No provider could take it within {self._wait_seconds:g} s; it was not handed over"
            raise SendError("no_provider_free", waited) from None

    async def _pick(self, *, avoid: str) -> Link:
        """Return the provider for one message; wait while none may be used, which only comes up between a claim and a send.

        What was taken on counts against the rate of the provider that it was taken on for; another one's rate is asked here.
        """
        while True:
            for link in self._usable(avoid):
                if link.rate_per_second is None or link is self._admitting:
                    return link
                if await self._shared.take(link.id, 1, rate_per_second=link.rate_per_second):
                    return link
                _put_back(link)
                break
            await asyncio.sleep(LOOK_SECONDS)

    def _usable(self, avoid: str) -> Iterator[Link]:
        """Go through the providers that may be used now, one that refused this very message before at the end."""
        now = time.time()
        for link in sorted(self.links, key=lambda link: link.name == avoid):
            match link.breaker.state(now):
                case State.CLOSED:
                    yield link
                case State.HALF_OPEN if link.breaker.take_probe():
                    yield link

    def _learn(self, link: Link, error: SendError, message: Message) -> SendError:
        """Tell the breaker how a send ended and return the error as the caller is to see it.

        A refusal of one message says nothing of the provider, which may not even have been asked: the next message probes in its place.
        """
        error.provider = link.name
        now = time.time()
        is_refusal = error.account or not error.permanent
        if is_refusal:
            verdict = link.breaker.failed(now, rest_seconds=error.retry_after_seconds)
            if verdict is not None:
                self._announce(link, verdict)
        else:
            _put_back(link)
        others = (other for other in self.links if other is not link and other.name != message.refused_by)
        error.elsewhere = (
            is_refusal and not error.ambiguous and any(other.breaker.state(now) is State.CLOSED for other in others)
        )
        return error

    def _announce(self, link: Link, verdict: Verdict) -> None:
        log.warning(
            "breaker opened" if verdict.trips else "breaker closed",
            provider=link.name,
            channel=self.channel,
            rest_seconds=round(max(0.0, verdict.until - time.time()), 1),
        )
        task = asyncio.create_task(self._shared.announce(link.id, verdict))
        self._announcing.add(task)
        task.add_done_callback(self._announcing.discard)


def _put_back(link: Link) -> None:
    """Leave a probe that showed nothing to the next message."""
    if link.breaker.state(time.time()) is State.HALF_OPEN:
        link.breaker.reserve_probe()


def _too_late(link: Link) -> SendError:
    return SendError(
        "timeout",
        f"{link.name} did not answer within {link.deadline_seconds:g} s; it may have taken the message",
        ambiguous=True,
    )
