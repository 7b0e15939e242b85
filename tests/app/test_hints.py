"""Hints: never an exception, whatever is named and whatever is away."""

from __future__ import annotations

import pytest

from deliveries import actors, hints
from deliveries.channels import Channel
from notifyproj.broker import IDLE_POLL_MS, broker


def test_a_name_without_an_actor_is_passed_over(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[str] = []
    monkeypatch.setattr(hints, "_enqueue", given.append)
    hints.take_up("ws")
    hints.hint(["fax", "ws"])
    hints.take_up("ws")
    assert given == ["ws"]
    assert "fax" in caplog.text


def test_all_channels_share_the_one_queue_that_is_asked_often() -> None:
    asked = {name: broker.consume(name).timeout for name in {actor.queue_name for actor in actors.ACTORS.values()}}

    assert {actors.ACTORS[channel].queue_name for channel in Channel} == {hints.QUEUE}
    assert [name for name, timeout in asked.items() if timeout <= IDLE_POLL_MS] == [hints.QUEUE]


def test_every_actor_s_name_is_known() -> None:
    assert set(actors.ACTORS) == hints._names
