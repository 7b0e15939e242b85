"""Turns: a bounded number at once, in the order of asking, and no longer a wait than the deadline."""

from __future__ import annotations

import asyncio

import pytest

from deliveries.senders.turns import Turns


def soon() -> float:
    return asyncio.get_running_loop().time() + 0.01


def later() -> float:
    return asyncio.get_running_loop().time() + 600.0


async def settled() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_no_more_than_there_are_and_the_rest_in_order() -> None:
    turns = Turns(2)
    assert await turns.take(later())
    assert await turns.take(later())
    order: list[str] = []

    async def wait(name: str) -> None:
        assert await turns.take(later())
        order.append(name)

    tasks = [asyncio.create_task(wait(name)) for name in "abc"]
    await settled()
    assert (turns.all_taken, order) == (True, [])
    for _ in range(3):
        turns.give_back()
        await settled()
    assert order == ["a", "b", "c"]
    await asyncio.gather(*tasks)


async def test_who_waits_past_the_deadline_gets_none_and_takes_none() -> None:
    turns = Turns(1)
    assert await turns.take(later())
    assert not await turns.take(soon())
    turns.give_back()
    assert not turns.all_taken
    assert await turns.take(later())


@pytest.mark.parametrize("granted", [False, True])
async def test_who_is_cancelled_while_waiting_takes_none(granted: bool) -> None:
    turns = Turns(1)
    assert await turns.take(later())
    waiting = asyncio.create_task(turns.take(later()))
    await settled()
    if granted:
        turns.give_back()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    if not granted:
        turns.give_back()
    assert await turns.take(soon())
