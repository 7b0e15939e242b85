"""How providers are, for pages: read from what the sending processes share. Reads only, and waits for Redis no longer than a page may."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final, cast

import redis
import structlog
from django.conf import settings

from deliveries.hints import redis_client
from deliveries.models import Provider
from deliveries.providers.breaker import Breaker, Forced, Verdict
from deliveries.providers.shared import read_verdict, verdict_key

log = structlog.get_logger(__name__)

UNKNOWN: Final = "unknown"


def breaker_states(providers: Sequence[Provider]) -> dict[int, str]:
    """Return a `State` for each provider id, UNKNOWN while Redis is away and staff forced nothing. One round trip, never raises."""
    verdicts = _verdicts([provider.pk for provider in providers])
    now = time.time()
    states: dict[int, str] = {}
    for provider in providers:
        breaker = Breaker(forced=Forced(provider.breaker_forced))
        if verdicts is not None:
            breaker.adopt(verdicts[provider.pk])
        states[provider.pk] = UNKNOWN if verdicts is None and not breaker.forced else breaker.state(now)
    return states


def state_of(provider: Provider) -> str:
    """Return one provider's state."""
    return breaker_states([provider])[provider.pk]


def _verdicts(providers: Sequence[int]) -> dict[int, Verdict] | None:
    """Return what the sending processes found out, None while Redis is away."""
    if not providers:
        return {}
    keys = [verdict_key(provider, prefix=settings.REDIS_PREFIX) for provider in providers]
    try:
        values = cast("list[bytes | None]", redis_client().mget(keys))
    except (redis.RedisError, ConnectionError) as error:
        log.warning("breakers not read", error=str(error), help="check REDIS_URL")
        return None
    return {provider: read_verdict(value) for provider, value in zip(providers, values, strict=True)}
