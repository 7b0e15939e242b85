"""The embedded servers: each serves, keeps its port and what it promised to keep, and none outlives its owner."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
import redis
from kafka import KafkaConsumer, KafkaProducer

from notifyproj.embedded import ApacheKafka, Postgres, Server, ServerError, Tansu, Valkey, start_all
from notifyproj.embedded.process import HOST
from tests.waiting import GENEROUS_SECONDS

OWNER = """
import sys
from pathlib import Path
from notifyproj.embedded import Postgres, Tansu, Valkey, start_all
folder = Path(sys.argv[1])
servers = [Postgres(folder / "postgres"), Valkey(folder / "valkey"), Tansu(folder / "kafka")]
start_all(servers)
print(*(server.pid for server in servers), flush=True)
sys.stdin.read()
"""


class Failing(Server):
    """A server that says why it cannot start."""

    name = "failing"

    def command(self) -> list[str]:
        return ["sh", "-c", "echo the disk is on fire; exit 1"]

    def is_serving(self) -> bool:
        return False


@pytest.fixture
def occupied_port() -> Iterator[int]:
    """Return a port that somebody else listens on."""
    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        yield other.getsockname()[1]


def value_of(server: Valkey, key: str) -> bytes | None:
    with redis.Redis.from_url(server.url) as client:
        return client.get(key)  # type: ignore[no-any-return]


@pytest.mark.parametrize("end", [Postgres.stop, Postgres.stop_immediately, Postgres.kill])
def test_a_commit_outlives_every_end_of_postgres(own_postgres: Postgres, end: object) -> None:
    url = own_postgres.url
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
    end(own_postgres)  # type: ignore[operator]
    assert not own_postgres.is_running
    own_postgres.start()
    assert own_postgres.url == url
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT number FROM kept").fetchone() == (7,)


def test_valkey_forgets_and_keeps_its_address(own_valkey: Valkey) -> None:
    url = own_valkey.url
    with redis.Redis.from_url(url) as client:
        client.set("key", "value")
    assert value_of(own_valkey, "key") == b"value"
    own_valkey.kill()
    own_valkey.restart()
    assert own_valkey.url == url
    assert value_of(own_valkey, "key") is None


def test_a_paused_server_is_silent_until_it_is_resumed(own_valkey: Valkey) -> None:
    own_valkey.pause()
    with (
        redis.Redis(host=HOST, port=own_valkey.port, socket_timeout=0.2, retry=None) as client,
        pytest.raises(redis.exceptions.TimeoutError),
    ):
        client.ping()
    own_valkey.resume()
    assert value_of(own_valkey, "key") is None


@pytest.mark.kafka
def test_a_killed_broker_serves_again_at_its_address(own_kafka: Tansu | ApacheKafka) -> None:
    bootstrap = own_kafka.bootstrap
    own_kafka.kill()
    own_kafka.start()
    assert own_kafka.bootstrap == bootstrap
    with KafkaProducer(bootstrap_servers=bootstrap, acks="all") as producer:
        producer.send("topic", b"after").get(timeout=GENEROUS_SECONDS)
    with KafkaConsumer("topic", bootstrap_servers=bootstrap, auto_offset_reset="earliest") as consumer:
        assert next(consumer).value == b"after"


def test_starting_twice_is_starting_once(own_valkey: Valkey) -> None:
    pid = own_valkey.pid
    own_valkey.start()
    assert own_valkey.pid == pid


def test_a_server_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    server = Valkey(tmp_path)
    thread = threading.Thread(target=server.start)
    thread.start()
    thread.join()
    with pytest.raises(psutil.TimeoutExpired):
        psutil.Process(server.pid).wait(timeout=0.5)
    assert value_of(server, "key") is None
    server.stop()


def test_servers_die_with_an_owner_killed_by_sigkill(tmp_path: Path) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert owner.stdout
    assert owner.stdin
    servers = [psutil.Process(int(pid)) for pid in owner.stdout.readline().split()]
    family = servers + [child for server in servers for child in server.children(recursive=True)]
    assert len(servers) == 3
    assert all(process.is_running() for process in servers)
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    owner.stdout.close()
    owner.stdin.close()
    _, alive = psutil.wait_procs(family, timeout=GENEROUS_SECONDS)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []


def test_a_server_that_cannot_start_names_its_log_and_shows_it(tmp_path: Path) -> None:
    with pytest.raises(ServerError) as raised:
        Failing(tmp_path).start()
    assert str(tmp_path / "failing.log") in str(raised.value)
    assert "the disk is on fire" in str(raised.value)


def test_when_one_server_fails_the_others_are_stopped(tmp_path: Path) -> None:
    valkey = Valkey(tmp_path / "valkey")
    with pytest.raises(ServerError):
        start_all([valkey, Failing(tmp_path / "failing")])
    assert not valkey.is_running


def test_a_port_that_was_asked_for_and_is_taken_is_an_error(tmp_path: Path, occupied_port: int) -> None:
    with pytest.raises(ServerError, match=f":{occupied_port} cannot start: another process listens there"):
        Valkey(tmp_path, port=occupied_port).start()


def test_a_chosen_port_that_was_taken_meanwhile_is_chosen_again(tmp_path: Path, occupied_port: int) -> None:
    server = Valkey(tmp_path)
    server._port = occupied_port
    with server:
        assert server.port != occupied_port
        assert value_of(server, "key") is None
