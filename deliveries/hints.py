"""Hints: "there is work on this channel". A hint carries no job and may be lost, doubled or late: that costs only time.

At most one hint of a channel waits at any moment: a Redis key stands for it until an actor takes it up, just before it claims.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import redis
import structlog
from django.conf import settings

log = structlog.get_logger(__name__)

#: The queue of all channels' hints.
QUEUE: Final = "hints"
# A hint lost between the key and the queue is given again after this time at the latest.
KEY_SECONDS = 5
TIMEOUT_SECONDS = 2.0

_client: redis.Redis | None = None
_enqueue: Callable[[str], None] | None = None
_names: frozenset[str] = frozenset()


def connect(enqueue: Callable[[str], None], *, names: Iterable[str]) -> None:
    """Set how a hint reaches the senders: `enqueue(name)` puts one message on the broker, for one of `names`.

    The actors' module calls it once.
    """
    global _enqueue, _names
    _enqueue, _names = enqueue, frozenset(names)


def hint(channels: Iterable[str]) -> None:
    """Tell the senders to look at these channels, after the commit.

    Never raises: what cannot be given, the sweeper repeats. A name without an actor is passed over.
    """
    if _enqueue is None:
        raise RuntimeError("deliveries.actors is not imported, so nobody can take a hint")
    wanted = sorted(set(channels))
    if unknown := [channel for channel in wanted if channel not in _names]:
        log.warning(
            "no actor for a hint", channels=unknown, help="rows of a channel that does not exist wait for nobody"
        )
    try:
        for channel in wanted:
            if channel in _names and redis_client().set(_key(channel), "1", nx=True, ex=KEY_SECONDS):
                _enqueue(channel)
    except (redis.RedisError, ConnectionError) as error:
        log.warning(
            "hint not given",
            channels=wanted,
            error=str(error),
            help="check REDIS_URL; the sweeper repeats it",
        )


def take_up(channel: str) -> None:
    """Clear the channel's hint key, before claiming: whatever commits from now on is hinted again."""
    try:
        redis_client().delete(_key(channel))
    except (redis.RedisError, ConnectionError) as error:
        log.warning(
            "hint key not cleared", channel=channel, error=str(error), help=f"it ends by itself within {KEY_SECONDS} s"
        )


def redis_client() -> redis.Redis:
    """Return this process's Redis client, made on first use, so that a fork never inherits a socket."""
    global _client
    if _client is None:
        _client = redis.Redis.from_url(
            settings.REDIS_URL,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            health_check_interval=30,
        )
    return _client


def _key(channel: str) -> str:
    return f"{settings.REDIS_PREFIX}hint:{channel}"
