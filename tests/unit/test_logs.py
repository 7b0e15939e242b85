"""The log thins only what kafka-python says over and over, and says how much it left out."""

from __future__ import annotations

import logging

import pytest

from notifyproj import logs


def record(text: str, *args: object, logger: str = "kafka.cluster") -> logging.LogRecord:
    return logging.LogRecord(logger, logging.ERROR, "", 1, text, args, None)


def test_a_thing_said_again_soon_is_left_out_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("notifyproj.logs.time.monotonic", lambda: now)
    thinned = logs.Thinned()
    assert thinned.filter(record("Topic %s not found", "outbox"))
    assert not thinned.filter(record("Topic %s not found", "outbox"))
    assert not thinned.filter(record("Topic %s not found", "other"))
    assert thinned.filter(record("Connection failed: %s", "ECONNREFUSED"))
    now += logs.REPEAT_AFTER_SECONDS
    said = record("Topic %s not found", "outbox")
    assert thinned.filter(said)
    assert said.getMessage() == "Topic outbox not found (and 2 more like it)"


def test_what_is_remembered_has_an_end() -> None:
    thinned = logs.Thinned()
    for number in range(2 * logs.REMEMBERED):
        assert thinned.filter(record(f"Closing connection {number}"))
    assert not thinned.filter(record(f"Closing connection {2 * logs.REMEMBERED - 1}"))
    assert thinned.filter(record("Closing connection 0"))
    assert len(thinned._said) <= logs.REMEMBERED


def test_our_own_words_are_all_written() -> None:
    thinned = logs.Thinned()
    assert all(thinned.filter(record("senders drained", logger="deliveries.dispatch")) for _ in range(3))


def test_the_tokens_of_unsubscribe_links_are_in_no_line() -> None:
    for event in ({"event": "Bad Request: /u/AbC-_9"}, {"event": "request_started", "request": "POST /u/AbC-_9"}):
        told = logs.without_tokens(None, "info", dict(event))
        assert "AbC" not in str(told)
        assert "/u/…" in str(told)
    assert logs.SHARED[0] is logs.without_tokens
