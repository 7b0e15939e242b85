"""Kafka clients that nobody answers: what a failed start leaves behind."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from kafka.errors import KafkaError

from deliveries import kafka
from notifyproj.embedded.process import free_port


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(lambda: kafka.admin(bootstrap_timeout_ms=50), id="admin"),
        pytest.param(lambda: kafka.producer(bootstrap_timeout_ms=50), id="producer"),
        pytest.param(
            lambda: kafka.consumer(group="nobody", max_poll_records=1, bootstrap_timeout_ms=50), id="consumer"
        ),
    ],
)
def test_a_client_that_reaches_nobody_leaves_no_thread(start: Callable[[], Any], settings: Any) -> None:
    settings.KAFKA_BOOTSTRAP_SERVERS = [f"127.0.0.1:{free_port()}"]
    before = set(threading.enumerate())
    with pytest.raises(KafkaError):
        start()
    assert {thread.name for thread in threading.enumerate() if thread not in before} == set()
