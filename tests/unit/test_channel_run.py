"""A channel's run without a database: how it asks again where a sender takes nothing more, and what a hint during a claim does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from deliveries import claiming
from deliveries.channel_run import ChannelRun
from deliveries.channels import Channel
from deliveries.lifecycle import ClaimedRow, Tenants
from deliveries.rendering import TemplateBook
from deliveries.senders.base import Sender
from tests.claimed import row

LOOKS = 50


class Full(Sender):
    """Takes nothing on."""

    channel = Channel.EMAIL

    async def admit(self, wanted: int) -> int:
        return 0


async def test_however_often_it_looks_it_asks_again_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claiming, "ASK_AGAIN_SECONDS", 0.0)
    nobody: Any = None
    run = ChannelRun(
        "email", Full(), tenants=Tenants(), turn=asyncio.Lock(), pool=nobody, book=TemplateBook(), heartbeat=nobody
    )
    woken: list[int] = []
    wake = run._claims._ask
    monkeypatch.setattr(run._claims, "_ask", lambda: (woken.append(1), wake()))
    for _ in range(LOOKS):
        assert await run.look() is False
    for _ in range(3):
        await asyncio.sleep(0)
    assert woken == [1]
    await run.look()
    for _ in range(3):
        await asyncio.sleep(0)
    assert woken == [1, 1]


async def test_a_hint_during_a_claim_claims_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """The claim under way may have looked before what the hint tells of was committed."""
    nobody: Any = None
    sender = Sender()
    run = ChannelRun(
        "email", sender, tenants=Tenants(), turn=asyncio.Lock(), pool=nobody, book=TemplateBook(), heartbeat=nobody
    )
    claims: list[asyncio.Future[list[ClaimedRow]]] = []
    limits: list[int] = []

    async def claim(limit: int, lowest_priority: int) -> list[ClaimedRow]:
        limits.append(limit)
        claims.append(asyncio.get_running_loop().create_future())
        return await claims[-1]

    async def is_paced() -> bool:
        return False

    monkeypatch.setattr(run._claims, "_claim", claim)
    monkeypatch.setattr(run._claims, "_is_paced", is_paced)
    looking = asyncio.create_task(run.look())
    while not claims:
        await asyncio.sleep(0)
    assert await run.look() is False
    assert await run.look() is False
    claims[0].set_result([row(number) for number in range(limits[0])])
    while len(claims) < 2:
        await asyncio.sleep(0)
    claims[1].set_result([])
    assert await looking is True, "the first claim was full, so others should look too"
    assert len(claims) == 2


async def test_whose_rows_are_claimed_may_change_while_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a tenant gets a provider of its own, the settings' run leaves its rows alone from the next claim on."""
    nobody: Any = None
    run = ChannelRun(
        "email", Sender(), tenants=Tenants(), turn=asyncio.Lock(), pool=nobody, book=TemplateBook(), heartbeat=nobody
    )
    asked: list[Tenants] = []

    async def claim(connection: Any, *, tenants: Tenants, **_asked: Any) -> list[ClaimedRow]:
        asked.append(tenants)
        return []

    async def until_done(pool: Any, work: Any, *, channel: str) -> Any:
        return await work(None)

    async def is_paced(connection: Any, **_asked: Any) -> bool:
        return False

    monkeypatch.setattr(claiming.lifecycle, "claim", claim)
    monkeypatch.setattr(claiming.lifecycle, "is_paced", is_paced)
    monkeypatch.setattr(claiming, "until_done", until_done)
    await run.look()
    run.tenants = Tenants(without=frozenset({7}))
    await run.look()
    assert asked == [Tenants(), Tenants(without=frozenset({7}))]
