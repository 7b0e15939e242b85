"""Web Push's own: what reaches the push service and what only the browser can read. The far end is `tests.webpush`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec.structs import replace

from deliveries.channels import Priority
from deliveries.senders.base import Content, Device, Message, Receipt, SendError
from deliveries.senders.devices import DEAD_CODES, MAX_SHOWN_BYTES
from deliveries.senders.webpush import WebPushSender
from tests.far_end import FarEnd
from tests.smtp import Certificate
from tests.unit.sender_cases import make_message
from tests.webpush import Browser, base64url, point, push_service

KEY = ec.generate_private_key(ec.SECP256R1())
RAW_KEY = base64url(KEY.private_numbers().private_value.to_bytes(32))
PEM_KEY = KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()
CONTACT = "mailto:ops@example.org"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate.make(tmp_path_factory.mktemp("webpush"))


@pytest.fixture
async def service(certificate: Certificate) -> AsyncIterator[FarEnd]:
    async with push_service(certificate) as running:
        yield running


@pytest.fixture
async def sender(certificate: Certificate) -> AsyncIterator[WebPushSender]:
    async with opened(certificate) as made:
        yield made


@contextlib.asynccontextmanager
async def opened(certificate: Certificate, **options: Any) -> AsyncIterator[WebPushSender]:
    options = {"key": RAW_KEY, "allow_private": True, "timeout_seconds": 60.0, **options}
    sender = WebPushSender(contact=CONTACT, ca_file=str(certificate.path), **options)
    await sender.open()
    try:
        yield sender
    finally:
        await sender.close()


async def push(sender: WebPushSender, endpoint: str, message: Message | None = None) -> Receipt:
    return await sender.send(message or make_message("anyone"), Browser().device(endpoint))


async def error_of(sender: WebPushSender, device: Device) -> SendError:
    with pytest.raises(SendError) as caught:
        await sender.send(make_message("anyone"), device)
    return caught.value


class TestRequest:
    async def test_the_browser_reads_it(self, service: FarEnd, sender: WebPushSender) -> None:
        browser = Browser()
        message = make_message("anyone", content=Content(subject="Hi", text="Ünï", action_url="https://example.org/a"))

        receipt = await sender.send(message, browser.device(f"{service.url}s/1?x=y"))

        (got,) = service.requests
        assert got.line == "POST /s/1?x=y HTTP/1.1"
        assert browser.read(got.body) == {
            "title": "Hi",
            "body": "Ünï",
            "action_url": "https://example.org/a",
            "job_id": str(message.job_id),
        }
        assert receipt.message_id == "https://push.example/m/1"

    async def test_nobody_else_does(self, service: FarEnd, sender: WebPushSender) -> None:
        browser = Browser()
        await sender.send(make_message("anyone"), browser.device(service.url))

        (got,) = service.requests
        for other in (Browser(), Browser(key=browser.key), Browser(auth=browser.auth)):
            with pytest.raises(InvalidTag):
                other.read(got.body)
        assert b"Hello" not in got.body

    async def test_two_messages_share_neither_salt_nor_key(self, service: FarEnd, sender: WebPushSender) -> None:
        browser = Browser()
        for _ in range(2):
            await sender.send(make_message("anyone"), browser.device(service.url))

        first, second = (got.body for got in service.requests)
        assert first[:16] != second[:16]
        assert first[21:86] != second[21:86]

    async def test_the_largest_push_is_one_record_that_push_services_take(
        self, service: FarEnd, sender: WebPushSender
    ) -> None:
        browser = Browser()
        frame = len('{"body":"","job_id":"00000000-0000-0000-0000-000000000000"}')
        message = make_message("anyone", content=Content(text="x" * (MAX_SHOWN_BYTES - frame)))

        await sender.send(message, browser.device(service.url))

        assert len(service.requests[0].body) <= 4096
        assert browser.read(service.requests[0].body)["body"] == message.content.text

    async def test_headers(self, service: FarEnd, sender: WebPushSender) -> None:
        message = make_message("anyone")
        await push(sender, service.url, message)
        await push(sender, service.url, message)

        first, second = (got.headers for got in service.requests)
        assert {name: first[name] for name in ("content-encoding", "ttl", "urgency", "topic")} == {
            "content-encoding": "aes128gcm",
            "ttl": "86400",
            "urgency": "normal",
            "topic": message.job_id.hex,
        }
        assert second["topic"] == first["topic"]
        assert len(first["topic"]) <= 32

    async def test_high_priority_and_an_end_of_time_are_passed_on(self, service: FarEnd, sender: WebPushSender) -> None:
        expires_at = datetime.now(UTC) + timedelta(minutes=10)
        await push(sender, service.url, replace(make_message("anyone"), priority=Priority.HIGH, expires_at=expires_at))

        (got,) = service.requests
        assert got.headers["urgency"] == "high"
        assert 0 < int(got.headers["ttl"]) <= 600

    @pytest.mark.parametrize("key", [RAW_KEY, RAW_KEY + "=", PEM_KEY], ids=["raw", "padded", "pem"])
    async def test_we_are_who_the_browser_subscribed_with(
        self, service: FarEnd, certificate: Certificate, key: str
    ) -> None:
        async with opened(certificate, key=key) as sender:
            await push(sender, service.url)

        scheme, _, fields = service.requests[0].headers["authorization"].partition(" ")
        signed = dict(field.strip().split("=", 1) for field in fields.split(","))
        assert scheme == "vapid"
        assert signed["k"] == base64url(point(KEY))
        origin = service.url.rstrip("/")
        claims = jwt.decode(signed["t"], KEY.public_key(), ["ES256"], audience=origin)
        assert claims["sub"] == CONTACT
        assert time.time() < claims["exp"] <= time.time() + 86_400


class TestRefusals:
    @pytest.mark.parametrize(
        ("path", "code", "permanent", "dead"),
        [
            ("404", "device_gone", True, True),
            ("410", "device_gone", True, True),
            ("413", "too_large", True, False),
            ("429", "rate_limited", False, False),
            ("400", "refused_by_provider", True, False),
            ("401", "webpush_wrong_key", True, False),
            ("403", "webpush_wrong_key", True, False),
            ("302", "refused_by_provider", True, False),
            ("500", "provider_error", False, False),
            ("503", "provider_error", False, False),
        ],
    )
    async def test_what_each_status_means(
        self, service: FarEnd, sender: WebPushSender, path: str, code: str, permanent: bool, dead: bool
    ) -> None:
        error = await error_of(sender, Browser().device(service.url + path))

        assert (error.code, error.permanent, error.ambiguous) == (code, permanent, False)
        assert not error.account  # whoever registered the endpoint must not be able to stop our pushes to others
        assert (error.code in DEAD_CODES) is dead
        assert f"127.0.0.1:{service.port}" in error.message
        assert f"{path} because" in error.message

    async def test_retry_after_is_passed_on(self, service: FarEnd, sender: WebPushSender) -> None:
        error = await error_of(sender, Browser().device(f"{service.url}429-after-7"))

        assert error.retry_after_seconds == 7

    async def test_a_cut_may_have_been_taken(self, service: FarEnd, sender: WebPushSender) -> None:
        error = await error_of(sender, Browser().device(f"{service.url}cut"))

        assert (error.code, error.ambiguous) == ("connection_lost", True)

    async def test_silence(self, service: FarEnd, certificate: Certificate) -> None:
        async with opened(certificate, timeout_seconds=1.0) as sender:
            error = await error_of(sender, Browser().device(f"{service.url}silent"))

        assert (error.code, error.ambiguous) == ("timeout", True)

    async def test_a_private_address_is_not_called(self, service: FarEnd, certificate: Certificate) -> None:
        async with opened(certificate, allow_private=False) as sender:
            error = await error_of(sender, Browser().device(service.url))

        assert (error.code, error.permanent) == ("blocked_address", True)
        assert service.requests == []


GOOD = Browser().device("https://127.0.0.1:9/s")


class TestSubscription:
    @pytest.mark.parametrize(
        "device",
        [
            replace(GOOD, token="http://127.0.0.1:9/s"),
            replace(GOOD, token="https:///s"),
            replace(GOOD, token="https://[::1"),
            replace(GOOD, token="nonsense"),
            replace(GOOD, keys={}),
            replace(GOOD, keys={**GOOD.keys, "auth": "AAAA"}),
            replace(GOOD, keys={**GOOD.keys, "auth": "ä" * 16}),
            replace(GOOD, keys={**GOOD.keys, "p256dh": "BAAA"}),
            replace(GOOD, keys={**GOOD.keys, "p256dh": base64url(b"\x04" + b"\x01" * 64)}),
        ],
        ids=["http", "no-host", "brackets", "nonsense", "no-keys", "short", "no-ascii", "short-point", "off-curve"],
    )
    async def test_one_that_can_never_work_is_dead(self, sender: WebPushSender, device: Device) -> None:
        error = await error_of(sender, device)

        assert (error.code, error.permanent, error.code in DEAD_CODES) == ("bad_device", True, True)

    @pytest.mark.parametrize("key", ["", "secret", "-----BEGIN secret", base64url(bytes(32))])
    def test_a_key_that_is_none_fails_at_construction_and_is_not_told(self, key: str) -> None:
        with pytest.raises(ValueError, match="key") as caught:
            WebPushSender(key=key, contact=CONTACT)

        assert "secret" not in str(caught.value)
        assert caught.value.__cause__ is None

    def test_a_contact_that_push_services_refuse_fails_at_construction(self) -> None:
        with pytest.raises(ValueError, match="contact"):
            WebPushSender(key=RAW_KEY, contact="ops@example.org")
