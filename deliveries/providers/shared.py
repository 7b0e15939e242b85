"""What all sending processes share about providers, in Redis: how fast each may go, which are left alone, and who sends the probe.

While Redis is away each process goes by what it knows itself: it keeps the whole rate alone and sends its own probes. Two loops of one
process do not share this object.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from deliveries.providers.breaker import CLEAR, Verdict

log = structlog.get_logger(__name__)
T = TypeVar("T")

# How much of a second's messages may go at once after a pause.
BURST_SECONDS = 0.2
# A verdict outlives its rest by this, so that a probe finds how many rests there were.
VERDICT_LIFE_SECONDS = 600
AWAY = (RedisError, OSError, TimeoutError)

# One token bucket, filled by the server's clock. KEYS[1]; rate a second, size, wanted. Returns how many are granted.
TAKE = """
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local rate, size, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local had = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens = math.min(size, (tonumber(had[1]) or size) + math.max(0, now - (tonumber(had[2]) or now)) * rate)
local granted = math.min(wanted, math.floor(tokens))
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens - granted), 'at', string.format('%.6f', now))
redis.call('PEXPIRE', KEYS[1], math.ceil(math.min(size / rate, 86400) * 1000) + 1000)
return granted
"""


def bucket_size(rate_per_second: float) -> float:
    """Return how many tokens a bucket holds, at least one."""
    return max(1.0, rate_per_second * BURST_SECONDS)


class LocalBucket:
    """The same token bucket in this process, for while Redis is away."""

    def __init__(self) -> None:
        self._tokens: float | None = None
        self._at = 0.0

    def take(self, wanted: int, rate_per_second: float, *, now: float) -> int:
        """Return how many of `wanted` are granted at `now`, seconds on any steady clock."""
        size = bucket_size(rate_per_second)
        filled = 0.0 if self._tokens is None else self._tokens + (now - self._at) * rate_per_second
        self._tokens, self._at = min(size, filled), now
        granted = min(wanted, int(self._tokens))
        self._tokens -= granted
        return granted


class Shared:
    """The shared facts of this process's providers, by provider id. No call raises while Redis is away."""

    def __init__(self, redis: Redis, *, prefix: str) -> None:
        self._redis = redis
        self._prefix = prefix
        self._take = redis.register_script(TAKE)
        self._local: dict[int, LocalBucket] = {}
        self._is_away = False

    async def take(self, provider: int, wanted: int, *, rate_per_second: float) -> int:
        """Take up to `wanted` tokens from a provider's bucket and return how many were granted."""

        async def ask() -> int:
            return int(
                await self._take(
                    keys=[f"{self._prefix}provider:{provider}:bucket"],
                    args=[rate_per_second, bucket_size(rate_per_second), wanted],
                )
            )

        granted = await self._ask(ask)
        if granted is None:
            local = self._local.setdefault(provider, LocalBucket())
            return local.take(wanted, rate_per_second, now=time.monotonic())
        return granted

    async def verdicts(self, providers: Iterable[int]) -> dict[int, Verdict]:
        """Return what is known of each provider. Empty while Redis is away."""
        wanted = list(providers)
        if not wanted:
            return {}
        values = await self._ask(
            lambda: self._redis.mget([verdict_key(provider, prefix=self._prefix) for provider in wanted])
        )
        if values is None:
            return {}
        return {provider: read_verdict(value) for provider, value in zip(wanted, values, strict=True)}

    async def announce(self, provider: int, verdict: Verdict) -> None:
        """Tell every process a new verdict."""
        key = verdict_key(provider, prefix=self._prefix)
        if verdict == CLEAR:
            await self._ask(lambda: self._redis.delete(key))
            return
        life = max(0.0, verdict.until - time.time()) + VERDICT_LIFE_SECONDS
        await self._ask(lambda: self._redis.set(key, f"{verdict.trips} {verdict.until!r}", px=int(life * 1000)))

    async def reserve_probe(self, provider: int, *, seconds: float) -> bool:
        """Say whether this process may send the probe. Whoever got it has `seconds`; then another may."""
        key = f"{self._prefix}provider:{provider}:probe"
        got = await self._ask(lambda: self._redis.set(key, "1", nx=True, px=int(seconds * 1000)))
        return self._is_away or bool(got)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._redis.aclose()

    async def _ask(self, command: Callable[[], Awaitable[T]]) -> T | None:
        """Return what Redis says, None while it is away. Says so once."""
        try:
            answer = await command()
        except AWAY as error:
            if not self._is_away:
                log.warning(
                    "Redis away, each process keeps the rates alone",
                    error=str(error) or type(error).__name__,
                    help="check REDIS_URL",
                )
            self._is_away = True
            return None
        self._is_away = False
        return answer


def verdict_key(provider: int, *, prefix: str) -> str:
    """Return where a provider's verdict stands."""
    return f"{prefix}provider:{provider}:breaker"


def read_verdict(value: bytes | None) -> Verdict:
    """Return the verdict that stands there."""
    if value is None:
        return CLEAR
    trips, until = value.decode().split()
    return Verdict(int(trips), float(until))
