"""The contract of `deliveries.senders.base`, held by every sender. What is one channel's own is tested elsewhere."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from deliveries.channels import Channel
from deliveries.senders.base import SendError
from tests.unit.sender_cases import CASES, SenderCase, make_message

LONG_SECONDS = 60.0


def having(address: str) -> pytest.MarkDecorator:
    """Parametrise over the cases that have this outcome."""
    cases = [case for case in CASES if getattr(case, address) is not None]
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.name)


@having("good")
async def test_success_returns_a_receipt(case: SenderCase, tmp_path: Path) -> None:
    async with case.make(tmp_path, LONG_SECONDS) as rig:
        receipt = await rig.sender.send(make_message(case.good))

        assert receipt.provider
        assert rig.sender.channel in Channel
        if rig.received is not None:
            assert rig.received() == [case.good]


@having("temporary")
async def test_temporary_refusal_is_not_permanent(case: SenderCase, tmp_path: Path) -> None:
    async with case.make(tmp_path, LONG_SECONDS) as rig:
        with pytest.raises(SendError) as caught:
            await rig.sender.send(make_message(case.temporary or ""))

        assert (caught.value.permanent, caught.value.ambiguous) == (False, False)
        assert caught.value.code
        assert caught.value.message
        assert (await rig.sender.send(make_message(case.good))).provider


@having("permanent")
async def test_permanent_refusal_says_so(case: SenderCase, tmp_path: Path) -> None:
    async with case.make(tmp_path, LONG_SECONDS) as rig:
        with pytest.raises(SendError) as caught:
            await rig.sender.send(make_message(case.permanent or ""))

        assert (caught.value.permanent, caught.value.ambiguous) == (True, False)
        assert (await rig.sender.send(make_message(case.good))).provider


@having("silent")
async def test_silence_ends_in_a_timeout(case: SenderCase, tmp_path: Path) -> None:
    async with case.make(tmp_path, 0.3) as rig:
        with pytest.raises(SendError) as caught:
            await rig.sender.send(make_message(case.silent or ""))

        assert caught.value.code.startswith("timeout")
        assert not caught.value.permanent


@having("silent")
async def test_cancelled_send_leaves_the_sender_usable(case: SenderCase, tmp_path: Path) -> None:
    async with case.make(tmp_path, LONG_SECONDS) as rig:
        for _ in range(rig.sender.capacity + 1):  # more often than there are connections to lose
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await rig.sender.send(make_message(case.silent or ""))

        assert (await rig.sender.send(make_message(case.good))).provider


@having("good")
async def test_sends_run_concurrently_up_to_capacity(case: SenderCase, tmp_path: Path) -> None:
    async with case.make(tmp_path, LONG_SECONDS) as rig:
        receipts = await asyncio.gather(*(rig.sender.send(make_message(case.good)) for _ in range(rig.sender.capacity)))

        assert len(receipts) == rig.sender.capacity
        if rig.received is not None:
            assert rig.received() == [case.good] * rig.sender.capacity


@having("silent")
async def test_a_silent_far_end_of_one_holds_up_nobody_else(case: SenderCase, tmp_path: Path) -> None:
    async with case.make(tmp_path, LONG_SECONDS) as rig:
        stuck = [
            asyncio.create_task(rig.sender.send(make_message(case.silent or "")))
            for _ in range(rig.sender.capacity - 1)
        ]
        assert (await rig.sender.send(make_message(case.good))).provider

        assert not any(task.done() for task in stuck)
        for task in stuck:
            task.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)


@having("good")
async def test_close_is_idempotent(case: SenderCase, tmp_path: Path) -> None:
    async with case.make(tmp_path, LONG_SECONDS) as rig:
        await rig.sender.send(make_message(case.good))
        await rig.sender.stored([make_message(case.good)])

        await rig.sender.close()
        await rig.sender.close()
