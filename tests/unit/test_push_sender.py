"""Push's own: several devices, one delivery. The far ends are those of each platform; a device's token chooses the fault."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec.structs import replace

from deliveries.senders.apns import ApnsSender
from deliveries.senders.base import Content, Device, DeviceResult, Message, SendError
from deliveries.senders.devices import MAX_SHOWN_BYTES
from deliveries.senders.fcm import FcmSender
from deliveries.senders.push import PushSender
from deliveries.senders.webpush import WebPushSender
from tests.apns import apns_server
from tests.fcm import Fcm, fcm_server
from tests.smtp import Certificate
from tests.unit.sender_cases import make_message
from tests.webpush import Browser, push_service

DEAD = "error-404-UNREGISTERED"
BUSY = "after-9-error-503-UNAVAILABLE"
FULL = "after-30-error-429-QUOTA_EXCEEDED"
WRONG = "error-400-INVALID_ARGUMENT"
ACCOUNT = "error-401-THIRD_PARTY_AUTH_ERROR"
UNKNOWN = "cut"


def message_to(*tokens: str, **changes: Any) -> Message:
    devices = [Device(number, "fcm", token) for number, token in enumerate(tokens, start=1)]
    return replace(make_message("anyone"), devices=devices, **changes)


@pytest.fixture
async def server() -> AsyncIterator[Fcm]:
    async with fcm_server() as running:
        yield running


@pytest.fixture
async def sender(server: Fcm) -> AsyncIterator[PushSender]:
    async with opened(server) as made:
        yield made


@contextlib.asynccontextmanager
async def opened(server: Fcm, **options: Any) -> AsyncIterator[PushSender]:
    fcm = FcmSender(service_account=server.service_account(), base_url=server.url, allow_private=True, **options)
    sender = PushSender({"fcm": fcm})
    await sender.open()
    try:
        yield sender
    finally:
        await sender.close()


async def error_of(sender: PushSender, message: Message) -> SendError:
    with pytest.raises(SendError) as caught:
        await sender.send(message)
    return caught.value


class TestSomeTookIt:
    async def test_every_device_has_its_result(self, server: Fcm, sender: PushSender) -> None:
        receipt = await sender.send(message_to("phone", DEAD, BUSY, "tablet", WRONG))

        assert receipt.devices == [
            DeviceResult(1, ok=True, message_id=receipt.devices[0].message_id),
            DeviceResult(2, ok=False, code="device_gone", is_dead=True),
            DeviceResult(3, ok=False, code="fcm_unavailable"),
            DeviceResult(4, ok=True, message_id=receipt.devices[3].message_id),
            DeviceResult(5, ok=False, code="fcm_invalid_argument"),
        ]
        ids = {receipt.devices[0].message_id, receipt.devices[3].message_id}
        assert (receipt.provider, receipt.message_id) == ("fcm", receipt.devices[0].message_id)
        assert all(ids) and len(ids) == 2
        assert sorted(server.taken) == ["phone", "tablet"]

    @pytest.mark.parametrize("token", [DEAD, BUSY, WRONG, ACCOUNT, UNKNOWN])
    async def test_one_is_enough_whatever_the_other_says(self, sender: PushSender, token: str) -> None:
        receipt = await sender.send(message_to(token, "phone"))

        assert [result.ok for result in receipt.devices] == [False, True]
        assert receipt.message_id == receipt.devices[1].message_id

    async def test_the_platforms_are_asked_at_once(self, server: Fcm, tmp_path: Path) -> None:
        """Each of the three gets the same message, and none waits for another."""
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
        certificate = Certificate.make(tmp_path)
        ca_file = str(certificate.path)
        browser = Browser()
        async with apns_server(certificate, hold=True) as apple, push_service(certificate) as service:
            sender = PushSender(
                {
                    "fcm": FcmSender(service_account=server.service_account(), base_url=server.url, allow_private=True),
                    "apns": ApnsSender(
                        key=pem, key_id="k", team_id="t", topic="a.b", base_url=apple.url, ca_file=ca_file
                    ),
                    "webpush": WebPushSender(
                        key=pem, contact="mailto:a@b.example", allow_private=True, ca_file=ca_file
                    ),
                }
            )
            await sender.open()
            devices = [Device(1, "apns", "c0ffee"), Device(2, "fcm", "phone"), browser.device(service.url, device_id=3)]
            sending = asyncio.create_task(sender.send(replace(message_to(), devices=devices)))
            await apple.seen(1)
            while not (server.taken and service.requests):
                await asyncio.sleep(0.005)
            assert not sending.done()
            apple.release()
            receipt = await sending
            await sender.close()

        assert [(result.device_id, result.ok) for result in receipt.devices] == [(1, True), (2, True), (3, True)]
        shown = browser.read(service.requests[0].body)
        assert shown["title"] == apple.pushes[0].body["aps"]["alert"]["title"]
        assert shown["title"] == server.bodies[0]["message"]["notification"]["title"]


class TestNoneTookIt:
    @pytest.mark.parametrize(
        ("tokens", "code", "permanent", "ambiguous", "account", "wait"),
        [
            ([DEAD], "no_live_device", True, False, False, None),
            ([DEAD, DEAD], "no_live_device", True, False, False, None),
            ([DEAD, WRONG], "fcm_invalid_argument", True, False, False, None),
            ([WRONG, BUSY, DEAD], "fcm_unavailable", False, False, False, 9),
            ([BUSY, FULL], "fcm_unavailable", False, False, False, 30),
            ([BUSY, f"after-99-{WRONG}"], "fcm_unavailable", False, False, False, 9),
            ([BUSY, UNKNOWN], "connection_lost", False, True, False, 9),
            ([WRONG, UNKNOWN, ACCOUNT], "connection_lost", False, True, False, None),
            ([ACCOUNT, BUSY], "fcm_unavailable", False, False, False, 9),
            ([DEAD, ACCOUNT, WRONG], "fcm_third_party_auth", False, False, True, None),
        ],
    )
    async def test_what_it_means_for_the_delivery(
        self,
        sender: PushSender,
        tokens: list[str],
        code: str,
        permanent: bool,
        ambiguous: bool,
        account: bool,
        wait: float | None,
    ) -> None:
        error = await error_of(sender, message_to(*tokens))

        assert (error.code, error.permanent, error.ambiguous, error.account) == (code, permanent, ambiguous, account)
        assert error.retry_after_seconds == wait
        assert [result.device_id for result in error.devices] == list(range(1, len(tokens) + 1))
        assert [result.is_dead for result in error.devices] == [token == DEAD for token in tokens]

    async def test_staff_read_how_many_and_why(self, sender: PushSender) -> None:
        error = await error_of(sender, message_to(BUSY, WRONG))

        assert "None of 2 devices" in error.message
        assert "about UNAVAILABLE" in error.message

    async def test_nobody_to_send_to(self, sender: PushSender) -> None:
        error = await error_of(sender, message_to())

        assert (error.code, error.permanent) == ("no_device", True)

    async def test_a_platform_that_nothing_is_configured_for(self, sender: PushSender) -> None:
        devices = [Device(1, "apns", "c0ffee")]
        error = await error_of(sender, replace(message_to(), devices=devices))

        assert (error.code, error.permanent) == ("platform_unavailable", True)
        assert "apns" in error.message
        assert error.devices == [DeviceResult(1, ok=False, code="platform_unavailable")]

    async def test_a_cancelled_send_ends_for_every_device(self, server: Fcm, sender: PushSender) -> None:
        sending = asyncio.create_task(sender.send(message_to("silent", "silent")))
        while len(server.bodies) < 2:
            await asyncio.sleep(0.005)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending

        while server.far.hung_up < 2:
            await asyncio.sleep(0.005)


class TestContent:
    @pytest.mark.parametrize(
        ("content", "code"),
        [
            (Content(action_url="https://example.org"), "empty_message"),
            (Content(subject=" ", text="\n"), "empty_message"),
            (Content(text="\ud83d"), "bad_text"),
            (Content(text="x" * MAX_SHOWN_BYTES), "too_large"),
        ],
        ids=["nothing", "spaces", "half", "large"],
    )
    async def test_what_no_device_can_show_reaches_nobody(
        self, server: Fcm, sender: PushSender, content: Content, code: str
    ) -> None:
        error = await error_of(sender, message_to("phone", content=content))

        assert (error.code, error.permanent) == (code, True)
        assert server.far.requests == []

    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            (Content(subject="Title"), {"title": "Title"}),
            (Content(text="Text"), {"body": "Text"}),
            (Content(subject=" Title\n", text="Text"), {"title": "Title", "body": "Text"}),
        ],
    )
    async def test_what_is_empty_is_left_out(
        self, server: Fcm, sender: PushSender, content: Content, expected: dict[str, str]
    ) -> None:
        await sender.send(message_to("phone", content=content))

        assert server.bodies[0]["message"]["notification"] == expected
        assert "action_url" not in server.bodies[0]["message"]["data"]
