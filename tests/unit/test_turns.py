"""Turns: a bounded number at once, in the order of asking, and no longer a wait than the deadline."""

from __future__ import annotations

import asyncio

import pytest

from deliveries.senders.turns import Turns, Waiter


def soon() -> float:
    return asyncio.get_running_loop().time() + 0.01


def later() -> float:
    return asyncio.get_running_loop().time() + 600.0


async def settled() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_no_more_than_there_are_and_the_rest_in_order() -> None:
    turns = Turns[Waiter](2)
    assert await turns.take(later(), Waiter())
    assert await turns.take(later(), Waiter())
    order: list[str] = []

    async def wait(name: str) -> None:
        assert await turns.take(later(), Waiter())
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
    turns = Turns[Waiter](1)
    assert await turns.take(later(), Waiter())
    assert not await turns.take(soon(), Waiter())
    turns.give_back()
    assert not turns.all_taken
    assert await turns.take(later(), Waiter())


@pytest.mark.parametrize("granted", [False, True])
async def test_who_is_cancelled_while_waiting_takes_none(granted: bool) -> None:
    turns = Turns[Waiter](1)
    assert await turns.take(later(), Waiter())
    waiting = asyncio.create_task(turns.take(later(), Waiter()))
    await settled()
    if granted:
        turns.give_back()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    if not granted:
        turns.give_back()
    assert await turns.take(soon(), Waiter())


async def test_who_is_called_up_gets_the_very_turn_that_ends_whoever_waits_longer_by_then() -> None:
    turns, called, other = Turns[Waiter](1), Waiter(), Waiter()
    assert await turns.take(later(), Waiter())
    waits = [asyncio.create_task(turns.take(later(), waiter)) for waiter in (called, other)]
    await settled()
    assert turns.call_up() is called
    assert turns.pass_on(called)
    await settled()
    assert [wait.done() for wait in waits] == [True, False]
    turns.give_back()
    assert await waits[1]


@pytest.mark.parametrize("is_free", [False, True])
async def test_who_is_sent_back_is_the_next_or_has_a_free_turn_at_once(is_free: bool) -> None:
    turns, called, other = Turns[Waiter](2), Waiter(), Waiter()
    assert await turns.take(later(), Waiter())
    assert await turns.take(later(), Waiter())
    waits = [asyncio.create_task(turns.take(later(), waiter)) for waiter in (called, other)]
    await settled()
    assert turns.call_up() is called
    if is_free:
        turns.give_back()
        turns.give_back()
        assert await waits[1]
        assert not turns.all_taken
    turns.send_back(called)
    if not is_free:
        turns.give_back()
    assert await waits[0]
    assert turns.all_taken
    if not is_free:
        turns.give_back()
        assert await waits[1]


async def test_who_gave_up_after_being_called_gets_nothing() -> None:
    turns, called = Turns[Waiter](1), Waiter()
    assert await turns.take(later(), Waiter())
    waiting = asyncio.create_task(turns.take(soon(), called))
    await settled()
    assert turns.call_up() is called
    assert await waiting is False
    assert not turns.pass_on(called)
    assert turns.call_up() is None
