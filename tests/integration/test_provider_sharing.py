"""What sending processes share about providers, on a real Redis, and what each does alone while it is away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from deliveries.providers import shared
from deliveries.providers.breaker import CLEAR, Verdict
from deliveries.providers.shared import Shared
from notifyproj.embedded import Valkey

FROZEN = 1e-6


@pytest.fixture
async def two(redis_url: str, unique_prefix: str) -> AsyncIterator[tuple[Shared, Shared]]:
    """Give what two processes have."""
    both = (
        Shared(Redis.from_url(redis_url), prefix=unique_prefix),
        Shared(Redis.from_url(redis_url), prefix=unique_prefix),
    )
    yield both
    for one in both:
        await one.close()


async def test_a_thousand_at_once_get_exactly_what_the_bucket_holds(
    two: tuple[Shared, Shared], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "BURST_SECONDS", 100 / FROZEN)
    granted = await asyncio.gather(*(one.take(1, 1, rate_per_second=FROZEN) for one in two for _ in range(500)))
    assert sum(granted) == 100


async def test_a_bucket_is_shared_and_every_provider_has_its_own(two: tuple[Shared, Shared]) -> None:
    a, b = two
    assert await a.take(1, 5, rate_per_second=FROZEN) == 1
    assert await b.take(1, 5, rate_per_second=FROZEN) == 0
    assert await b.take(2, 5, rate_per_second=FROZEN) == 1


async def test_a_verdict_reaches_the_others_and_so_does_its_end(two: tuple[Shared, Shared]) -> None:
    a, b = two
    verdict = Verdict(3, time.time() + 30)
    await a.announce(7, verdict)
    assert await b.verdicts([7, 8]) == {7: verdict, 8: CLEAR}
    await b.announce(7, CLEAR)
    assert await a.verdicts([7]) == {7: CLEAR}


async def test_one_process_gets_the_probe(two: tuple[Shared, Shared]) -> None:
    got = await asyncio.gather(*(one.reserve_probe(7, seconds=60) for one in two for _ in range(10)))
    assert sum(got) == 1


async def test_while_redis_is_away_each_goes_by_itself_and_comes_back(own_valkey: Valkey, unique_prefix: str) -> None:
    alone = Shared(Redis.from_url(own_valkey.address), prefix=unique_prefix)
    assert await alone.take(1, 5, rate_per_second=FROZEN) == 1
    own_valkey.kill()
    assert await alone.take(1, 5, rate_per_second=50.0) == 0  # an empty bucket, and it fills by its own clock
    assert await alone.reserve_probe(1, seconds=60)
    assert await alone.verdicts([1]) == {}
    await alone.announce(1, Verdict(1, time.time() + 5))
    own_valkey.restart()
    assert await alone.verdicts([1]) == {1: CLEAR}
    await alone.close()
