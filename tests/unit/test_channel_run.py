"""A channel's run beside a sender that takes nothing more for now: how it asks again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from deliveries import channel_run
from deliveries.channel_run import ChannelRun
from deliveries.channels import Channel
from deliveries.lifecycle import Tenants
from deliveries.rendering import TemplateBook
from deliveries.senders.base import Sender

LOOKS = 50


class Full(Sender):
    """Takes nothing on."""

    channel = Channel.EMAIL

    async def admit(self, wanted: int) -> int:
        return 0


async def test_however_often_it_looks_it_asks_again_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_run, "ASK_AGAIN_SECONDS", 0.0)
    nobody: Any = None
    run = ChannelRun(
        "email", Full(), tenants=Tenants(), turn=asyncio.Lock(), pool=nobody, book=TemplateBook(), heartbeat=nobody
    )
    woken: list[int] = []
    wake = run._wake
    monkeypatch.setattr(run, "_wake", lambda: (woken.append(1), wake()))
    for _ in range(LOOKS):
        assert await run.look() is False
    for _ in range(3):
        await asyncio.sleep(0)
    assert woken == [1]
    await run.look()
    for _ in range(3):
        await asyncio.sleep(0)
    assert woken == [1, 1]
