"""Push: one delivery to all devices of a person, each through the sender of its platform.

Here belongs how the results of the devices become one outcome. What the platforms share is in `devices`, a platform's
protocol in its own file. No settings, no retry, no status.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import ClassVar

from msgspec.structs import replace

from deliveries.channels import Channel
from deliveries.senders.base import Device, DeviceResult, Message, Platform, Receipt, Sender, SendError
from deliveries.senders.devices import DEAD_CODES, DeviceSender, refused, shown


class PushSender(Sender):
    """Sends a message to all its devices at once. One that took it is enough: the person has it."""

    channel: ClassVar[Channel] = Channel.PUSH

    def __init__(self, platforms: Mapping[Platform, DeviceSender], *, capacity: int = 100) -> None:
        self.capacity = capacity
        self._platforms = platforms

    async def send(self, message: Message) -> Receipt:
        """Send to every device and return when each has its result.

        Raises: SendError. Permanent: `no_device`, `empty_message`, `bad_text`, `too_large`, `no_live_device`. Otherwise
        the weightiest of the devices' errors: an ambiguous one, one that may pass, one of the account, a permanent one.
        """
        if not message.devices:
            raise refused(
                "no_device", "The person has no device that takes pushes. They must open the app and allow them."
            )
        shown(message)
        async with asyncio.TaskGroup() as group:
            tries = [group.create_task(self._try(message, device)) for device in message.devices]
        outcomes = [task.result() for task in tries]
        results = [_result(device, outcome) for device, outcome in zip(message.devices, outcomes, strict=True)]
        for outcome in outcomes:
            if isinstance(outcome, Receipt):
                return replace(outcome, devices=results)
        raise _combined([outcome for outcome in outcomes if isinstance(outcome, SendError)], results)

    async def _try(self, message: Message, device: Device) -> Receipt | SendError:
        platform = self._platforms.get(device.platform)
        if platform is None:
            return refused(
                "platform_unavailable", f"Nothing is configured for {device.platform}. Add it to the push provider."
            )
        try:
            return await platform.send(message, device)
        except SendError as error:
            return error

    async def check(self) -> str:
        """Ask every platform and return what each said. Raises: SendError with all of it, when one of them refuses."""
        said: list[str] = []
        refusals: list[SendError] = []
        for name, platform in self._platforms.items():
            try:
                said.append(f"{name}: {await platform.check()}")
            except SendError as error:
                said.append(error.message)
                refusals.append(error)
        if refusals:
            raise SendError(refusals[0].code, " ".join(said), provider="push", account=refusals[0].account)
        return " ".join(said)

    async def open(self) -> None:
        """Open every platform."""
        for platform in self._platforms.values():
            await platform.open()

    async def close(self) -> None:
        """Close every platform."""
        for platform in self._platforms.values():
            await platform.close()


def _result(device: Device, outcome: Receipt | SendError) -> DeviceResult:
    if isinstance(outcome, Receipt):
        return DeviceResult(device.id, ok=True, message_id=outcome.message_id)
    return DeviceResult(device.id, ok=False, code=outcome.code, is_dead=outcome.code in DEAD_CODES)


def _combined(errors: Sequence[SendError], results: Sequence[DeviceResult]) -> SendError:
    """Return what no device taking it means for the delivery."""
    if all(result.is_dead for result in results):
        error = refused(
            "no_live_device", "The app is gone from every device of the person. They must install and open it again."
        )
        error.devices = results
        return error
    worst = min(errors, key=lambda e: (not e.ambiguous, e.permanent, e.account, e.code in DEAD_CODES))
    waits = [e.retry_after_seconds for e in errors if e.retry_after_seconds is not None and not e.permanent]
    return SendError(
        worst.code,
        worst.message if len(errors) == 1 else f"None of {len(errors)} devices took it. {worst.message}",
        provider=worst.provider,
        permanent=worst.permanent,
        ambiguous=worst.ambiguous,
        account=worst.account,
        retry_after_seconds=max(waits, default=None),
        devices=results,
    )
