"""Hints: never an exception, whatever is named and whatever is away."""

from __future__ import annotations

import pytest

from deliveries import actors, hints


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


def test_every_actor_s_name_is_known() -> None:
    assert set(actors.ACTORS) == hints._names
