"""APNs' own: what reaches Apple, the provider token, what each reason means, and every way HTTP/2 can fail.

The far end is the real HTTP/2 server of `tests.apns`; the device's token there chooses the fault.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from msgspec.structs import replace

from deliveries.channels import Priority
from deliveries.senders.apns import ApnsSender
from deliveries.senders.apple_token import ProviderToken
from deliveries.senders.base import Content, Device, Message, Receipt, SendError
from deliveries.senders.codes_apns import REASONS
from deliveries.senders.devices import DEAD_CODES
from tests.apns import ApnsServer, apns_server
from tests.smtp import Certificate
from tests.unit.sender_cases import make_message

KEY = ec.generate_private_key(ec.SECP256R1())
TOPIC = "org.example.app"
MINUTE = 60


def pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    raw = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return raw.decode()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate.make(tmp_path_factory.mktemp("apns"))


@pytest.fixture
async def server(certificate: Certificate) -> AsyncIterator[ApnsServer]:
    async with apns_server(certificate) as running:
        yield running


@contextlib.asynccontextmanager
async def sender_to(server: ApnsServer, **options: Any) -> AsyncIterator[ApnsSender]:
    options = {"base_url": server.url, "ca_file": str(server.certificate.path), "timeout_seconds": 60.0, **options}
    sender = ApnsSender(key=pem(KEY), key_id="KEYID12345", team_id="TEAMID6789", topic=TOPIC, **options)
    await sender.open()
    try:
        yield sender
    finally:
        await sender.close()


async def push(sender: ApnsSender, token: str, message: Message | None = None, *, device_id: int = 1) -> Receipt:
    return await sender.send(message or make_message(token), Device(device_id, "apns", token))


async def error_of(sender: ApnsSender, token: str) -> SendError:
    with pytest.raises(SendError) as caught:
        await push(sender, token)
    return caught.value


class Clock:
    """Seconds of the epoch that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class TestRequest:
    async def test_it_is_what_apple_documents(self, server: ApnsServer) -> None:
        message = make_message("anyone", content=Content(subject="Hi", text="Ünï", action_url="https://example.org/a"))
        async with sender_to(server) as sender:
            before = time.time()
            receipt = await push(sender, "c0ffee", message)

        (got,) = server.pushes
        headers = got.headers
        expiration = int(headers.pop("apns-expiration"))
        assert before + 86_400 - 1 <= expiration <= time.time() + 86_400
        scheme, _, token = headers.pop("authorization").partition(" ")
        assert scheme == "bearer"
        claims = jwt.decode(token, KEY.public_key(), ["ES256"])
        assert claims.keys() == {"iss", "iat"}
        assert claims["iss"] == "TEAMID6789"
        assert before - 1 <= claims["iat"] <= time.time()
        assert jwt.get_unverified_header(token)["kid"] == "KEYID12345"
        assert UUID(headers.pop("apns-id")) == UUID(receipt.message_id)
        assert headers == {
            ":method": "POST",
            ":scheme": "https",
            ":authority": f"127.0.0.1:{server.port}",
            ":path": "/3/device/c0ffee",
            "apns-topic": TOPIC,
            "apns-push-type": "alert",
            "apns-priority": "10",
            "apns-collapse-id": str(message.job_id),
        }
        assert got.body == {
            "aps": {"alert": {"title": "Hi", "body": "Ünï"}, "sound": "default"},
            "job_id": str(message.job_id),
            "action_url": "https://example.org/a",
        }

    async def test_apns_id_is_the_same_at_every_attempt_and_another_for_each_device(self, server: ApnsServer) -> None:
        message = make_message("anyone")
        async with sender_to(server) as sender:
            for device_id in (1, 1, 2):
                await push(sender, "c0ffee", message, device_id=device_id)

        first, again, other = (got.headers["apns-id"] for got in server.pushes)
        assert first == again != other

    async def test_low_priority_spares_the_battery(self, server: ApnsServer) -> None:
        async with sender_to(server) as sender:
            await push(sender, "c0ffee", replace(make_message("anyone"), priority=Priority.LOW))

        assert server.pushes[0].headers["apns-priority"] == "5"

    @pytest.mark.parametrize("seconds", [600, -5], ids=["soon", "over"])
    async def test_nothing_arrives_after_the_messages_time(self, server: ApnsServer, seconds: int) -> None:
        expires_at = datetime.now(UTC) + timedelta(seconds=seconds)
        async with sender_to(server) as sender:
            await push(sender, "c0ffee", replace(make_message("anyone"), expires_at=expires_at))

        expiration = int(server.pushes[0].headers["apns-expiration"])
        assert expiration <= max(expires_at.timestamp(), time.time())

    async def test_a_token_cannot_leave_its_place_in_the_path(self, server: ApnsServer) -> None:
        async with sender_to(server) as sender:
            await push(sender, "../1/x?y#z")

        assert server.pushes[0].headers[":path"] == "/3/device/..%2F1%2Fx%3Fy%23z"


class TestToken:
    async def test_one_token_serves_until_it_is_due(self, server: ApnsServer) -> None:
        clock = Clock()
        async with sender_to(server, clock=clock) as sender:
            for minutes in (0, 20, 19, 2, 39, 2):
                clock.now += minutes * MINUTE
                await push(sender, "c0ffee")

        tokens = [got.headers["authorization"].partition(" ")[2] for got in server.pushes]
        ages = [jwt.decode(token, options={"verify_signature": False})["iat"] - 1_800_000_000 for token in tokens]
        assert ages == [0, 0, 0, 41 * MINUTE, 41 * MINUTE, 82 * MINUTE]

    def test_a_clock_that_was_set_back_makes_a_new_one(self) -> None:
        clock = Clock()
        token = ProviderToken(key=pem(KEY), key_id="k", team_id="t", clock=clock)
        first = token.value()
        clock.now -= 5 * MINUTE

        assert jwt.decode(token.value(), options={"verify_signature": False})["iat"] == clock.now
        assert token.value() != first

    @pytest.mark.parametrize(("minutes", "is_renewed"), [(19, False), (21, True)])
    async def test_one_that_apns_calls_expired_is_renewed_when_apns_allows_it(
        self, server: ApnsServer, minutes: int, is_renewed: bool
    ) -> None:
        clock = Clock()
        async with sender_to(server, clock=clock) as sender:
            await push(sender, "c0ffee")
            clock.now += minutes * MINUTE
            error = await error_of(sender, "reason-403-ExpiredProviderToken")
            await push(sender, "c0ffee")

        first, refused, last = (got.headers["authorization"] for got in server.pushes)
        assert (error.code, error.permanent, error.account) == ("apns_expired_token", False, False)
        assert first == refused
        assert (last != first) is is_renewed

    @pytest.mark.parametrize(
        "key",
        ["", "secret", pem(rsa.generate_private_key(65537, 2048)), pem(ec.generate_private_key(ec.SECP384R1()))],
        ids=["empty", "text", "rsa", "other-curve"],
    )
    def test_a_key_that_is_none_fails_at_construction_and_is_not_told(self, key: str) -> None:
        with pytest.raises(ValueError, match="private key") as caught:
            ApnsSender(key=key, key_id="k", team_id="t", topic=TOPIC)

        assert "secret" not in str(caught.value)
        assert caught.value.__cause__ is None


REFUSALS = [
    # token, code, permanent, account, dead
    ("reason-400-BadDeviceToken", "bad_device", True, False, True),
    ("reason-410-Unregistered", "device_gone", True, False, True),
    ("reason-410-ExpiredToken", "device_gone", True, False, True),
    ("reason-400-DeviceTokenNotForTopic", "apns_wrong_topic", True, False, False),
    ("reason-400-BadMessageId", "apns_bad_request", True, False, False),
    ("reason-400-TopicDisallowed", "apns_bad_topic", False, True, False),
    ("reason-403-InvalidProviderToken", "apns_bad_credentials", False, True, False),
    ("reason-403-Forbidden", "account_refused", False, True, False),
    ("reason-413-PayloadTooLarge", "too_large", True, False, False),
    ("reason-429-TooManyRequests", "rate_limited", False, False, False),
    ("reason-429-TooManyProviderTokenUpdates", "apns_token_updates", False, False, False),
    ("reason-500-InternalServerError", "provider_error", False, False, False),
    ("reason-503-Shutdown", "apns_unavailable", False, False, False),
    ("reason-400-NewAndUnknown", "refused_by_provider", True, False, False),
    ("status-403", "account_refused", False, True, False),
    ("status-503", "provider_error", False, False, False),
    ("status-302", "wrong_url", False, True, False),
]


class TestRefusals:
    @pytest.mark.parametrize(("token", "code", "permanent", "account", "dead"), REFUSALS, ids=[r[0] for r in REFUSALS])
    async def test_what_each_means(
        self, server: ApnsServer, token: str, code: str, permanent: bool, account: bool, dead: bool
    ) -> None:
        async with sender_to(server) as sender:
            error = await error_of(sender, token)
            await push(sender, "c0ffee")

        assert (error.code, error.permanent, error.account, error.ambiguous) == (code, permanent, account, False)
        assert (error.code in DEAD_CODES) is dead
        assert server.connections == 1

    async def test_staff_read_what_apns_said(self, server: ApnsServer) -> None:
        async with sender_to(server) as sender:
            error = await error_of(sender, "reason-400-NewAndUnknown")

        assert "apns" in error.message
        assert "NewAndUnknown" in error.message

    async def test_retry_after_is_passed_on(self, server: ApnsServer) -> None:
        async with sender_to(server) as sender:
            assert (await error_of(sender, "after-7-status-503")).retry_after_seconds == 7

    def test_only_what_apple_says_of_the_device_kills_it(self) -> None:
        """A wrong topic or key in our settings must not cost us every device."""
        dead = {reason for reason, meaning in REASONS.items() if meaning.code in DEAD_CODES}

        assert dead == {"BadDeviceToken", "ExpiredToken", "Unregistered"}


class TestConnection:
    async def test_many_at_once_share_one(self, server: ApnsServer) -> None:
        async with sender_to(server) as sender:
            await asyncio.gather(*(push(sender, f"{n:04x}") for n in range(50)))

        assert server.connections == 1
        assert sorted(server.tokens) == [f"{n:04x}" for n in range(50)]

    async def test_no_more_are_open_than_the_server_allows(self, certificate: Certificate) -> None:
        """Until it has seen a good token, APNs allows one."""
        async with apns_server(certificate, most_streams=1) as server, sender_to(server) as sender:
            await asyncio.gather(*(push(sender, f"{n:04x}") for n in range(10)))

            assert server.busiest == 1
            assert len(server.pushes) == 10

    async def test_the_window_of_the_connection_is_kept_to(self, server: ApnsServer) -> None:
        message = make_message("anyone", content=Content(text="x" * 3_500))
        async with sender_to(server) as sender:
            await asyncio.gather(*(push(sender, f"{n:04x}", message) for n in range(60)))  # three windows' worth

        assert len(server.pushes) == 60

    async def test_a_silent_one_holds_up_nobody(self, server: ApnsServer) -> None:
        async with sender_to(server) as sender:
            stuck = asyncio.create_task(push(sender, "silent"))
            await server.seen(1)
            await push(sender, "c0ffee")

            assert not stuck.done()
            stuck.cancel()
            await asyncio.gather(stuck, return_exceptions=True)
            await push(sender, "c0ffee")

        assert server.connections == 1
        assert len(server.resets) == 1

    async def test_streams_of_cancelled_ones_are_free_again(self, certificate: Certificate) -> None:
        async with apns_server(certificate, most_streams=3) as server, sender_to(server) as sender:
            for _ in range(5):
                stuck = asyncio.create_task(push(sender, "silent"))
                seen = len(server.pushes)
                await server.seen(seen + 1)
                await push(sender, "c0ffee")  # so that the connection is not taken for a dead one
                stuck.cancel()
                await asyncio.gather(stuck, return_exceptions=True)

            assert server.connections == 1

    async def test_one_that_says_nothing_at_all_is_left(self, server: ApnsServer) -> None:
        async with sender_to(server) as sender:
            await push(sender, "c0ffee")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await push(sender, "silent")
            await push(sender, "c0ffee")

        assert server.connections == 2

    async def test_a_restarted_server_is_found_again(self, server: ApnsServer) -> None:
        async with sender_to(server) as sender:
            await push(sender, "c0ffee")
            await server.stop()
            await server.start()
            await push(sender, "c0ffee")

        assert server.tokens == ["c0ffee", "c0ffee"]

    async def test_what_was_begun_before_a_goaway_still_ends(self, server: ApnsServer) -> None:
        async with sender_to(server) as sender:
            server.hold = True
            before = asyncio.create_task(push(sender, "c0ffee"))
            await server.seen(1)
            last = asyncio.create_task(push(sender, "last"))
            await server.seen(2)
            server.release()

            await asyncio.gather(before, last)
            await push(sender, "c0ffee")

        assert server.connections == 2

    async def test_requests_under_way_at_close_end(self, server: ApnsServer) -> None:
        async with sender_to(server) as sender:
            stuck = asyncio.create_task(push(sender, "silent"))
            await server.seen(1)
            await sender.close()
            with pytest.raises(SendError) as caught:
                await stuck

        assert (caught.value.code, caught.value.ambiguous) == ("connection_lost", True)


class TestFaults:
    @pytest.mark.parametrize(
        ("token", "code", "ambiguous"),
        [
            ("refused", "connection_lost", False),
            ("unseen", "connection_lost", False),
            ("reset", "connection_lost", True),
            ("cut", "connection_lost", True),
            ("garbage", "malformed_reply", True),
            ("flood", "reply_too_large", True),
        ],
    )
    async def test_a_broken_answer(self, server: ApnsServer, token: str, code: str, ambiguous: bool) -> None:
        async with sender_to(server) as sender:
            error = await error_of(sender, token)
            await push(sender, "c0ffee")

        assert (error.code, error.ambiguous, error.permanent) == (code, ambiguous, False)
        assert f"127.0.0.1:{server.port}" in error.message

    @pytest.mark.parametrize("token", ["silent", "half"])
    async def test_no_answer_or_half_of_one_is_a_timeout(self, server: ApnsServer, token: str) -> None:
        async with sender_to(server, timeout_seconds=1.0) as sender:
            error = await error_of(sender, token)

        assert (error.code, error.ambiguous) == ("timeout", True)

    async def test_a_wait_for_room_that_takes_too_long_is_not_ambiguous(self, certificate: Certificate) -> None:
        async with apns_server(certificate, window=10) as server, sender_to(server, timeout_seconds=0.3) as sender:
            error = await error_of(sender, "c0ffee")

        assert (error.code, error.ambiguous) == ("timeout", False)
        assert server.pushes == []

    async def test_a_certificate_that_nobody_vouches_for(self, server: ApnsServer) -> None:
        async with sender_to(server, ca_file="") as sender:
            error = await error_of(sender, "c0ffee")

        assert (error.code, error.ambiguous, error.permanent) == ("tls_error", False, False)
        assert server.pushes == []

    async def test_a_server_without_http2(self, certificate: Certificate) -> None:
        async with apns_server(certificate, speaks_h2=False) as server, sender_to(server) as sender:
            error = await error_of(sender, "c0ffee")

        assert (error.code, error.ambiguous) == ("tls_error", False)
        assert server.pushes == []

    async def test_nobody_listens(self, server: ApnsServer) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            url = f"https://127.0.0.1:{taken.getsockname()[1]}"
            async with sender_to(server, base_url=url) as sender:
                error = await error_of(sender, "c0ffee")

        assert (error.code, error.ambiguous) == ("connection_refused", False)

    async def test_an_unknown_host(self, server: ApnsServer) -> None:
        async with sender_to(server, base_url="https://no-such-host.invalid") as sender:
            error = await error_of(sender, "c0ffee")

        assert (error.code, error.ambiguous) == ("dns_failure", False)

    @pytest.mark.parametrize("url", ["http://127.0.0.1", "https://", "api.push.apple.com"])
    def test_an_address_that_is_not_https_fails_at_construction(self, url: str) -> None:
        with pytest.raises(ValueError, match="base_url"):
            ApnsSender(key=pem(KEY), key_id="k", team_id="t", topic=TOPIC, base_url=url)

    async def test_two_that_need_a_connection_at_once_open_one(self, server: ApnsServer) -> None:
        async with sender_to(server) as sender:
            first = asyncio.create_task(push(sender, "c0ffee"))
            second = asyncio.create_task(push(sender, "c0ffee"))
            await asyncio.sleep(0)
            first.cancel()  # whoever waits is not cancelled with the one who asked first
            await second

        assert server.connections == 1
