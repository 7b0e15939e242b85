"""Webhooks' own: what is posted, how it is signed, and what an endpoint's status means. The ways of HTTP: `test_http_client`."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import re
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from msgspec.structs import replace
from standardwebhooks import Webhook, WebhookVerificationError

from deliveries.senders.base import Content, Message, SendError
from deliveries.senders.webhook import WebhookSender, body_of, headers_of, provider_of
from tests.far_end import OK, Line, Request, far_end, says
from tests.unit.sender_cases import make_message

NEW = "whsec_" + base64.b64encode(b"n" * 32).decode()
OLD = "whsec_" + base64.b64encode(b"o" * 32).decode()
OTHER = "whsec_" + base64.b64encode(b"x" * 32).decode()


def make_webhook(url: str, *, secrets: Sequence[str] = (NEW,), **options: Any) -> Message:
    return replace(make_message(url, **options), secrets=secrets)


@contextlib.asynccontextmanager
async def sender_of(**options: Any) -> AsyncIterator[WebhookSender]:
    sender = WebhookSender(**{"allow_private": True, "timeout_seconds": 60.0, **options})
    await sender.open()
    try:
        yield sender
    finally:
        await sender.close()


async def error_of(sender: WebhookSender, url: str, **options: Any) -> SendError:
    with pytest.raises(SendError) as caught:
        await sender.send(make_webhook(url, **options))
    return caught.value


def answer(status: int, *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status} So", "Content-Length: 0", *headers, "", ""]).encode()


def verified(request: Request, secret: str) -> bool:
    """Check a signature as the specification writes it, without the library that made it."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = b".".join(
        [request.headers["webhook-id"].encode(), request.headers["webhook-timestamp"].encode(), request.body]
    )
    expected = "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    return expected in request.headers["webhook-signature"].split(" ")


class TestWhatIsPosted:
    async def test_the_body_says_what_happened_to_whom(self) -> None:
        content = Content(
            subject="Hi \N{SNOWMAN}", text="Hello, Ana.", html="<p>Hello</p>", action_url="https://example.org/a"
        )
        async with far_end(says(OK)) as server, sender_of() as sender:
            message = replace(
                make_webhook(f"{server.url}hook?x=1", content=content),
                data={"order": {"id": 7, "sum": 1.5}, "tags": ["a"], "none": None},
                accepted_at=datetime(2026, 3, 1, 12, 30, 0, 250_000, tzinfo=UTC),
            )
            receipt = await sender.send(message)

        (request,) = server.requests
        assert request.line == "POST /hook?x=1 HTTP/1.1"
        assert request.headers["content-type"] == "application/json"
        assert json.loads(request.body) == {
            "type": "notification",
            "timestamp": "2026-03-01T12:30:00.250000Z",
            "data": {
                "job_id": str(message.job_id),
                "user_id": str(message.user_id),
                "subject": "Hi \N{SNOWMAN}",
                "text": "Hello, Ana.",
                "html": "<p>Hello</p>",
                "action_url": "https://example.org/a",
                "data": {"order": {"id": 7, "sum": 1.5}, "tags": ["a"], "none": None},
            },
        }
        assert (receipt.provider, receipt.message_id) == (f"127.0.0.1:{server.port}", str(message.job_id))
        assert request.body == body_of(message)

    def test_no_html_no_key(self) -> None:
        assert "html" not in json.loads(body_of(make_webhook("https://example.org/")))["data"]

    async def test_every_attempt_has_the_same_id_and_body(self) -> None:
        message = make_webhook("")
        async with far_end(says(answer(503), keep=True)) as server, sender_of() as sender:
            for attempt in (1, 2):
                with pytest.raises(SendError):
                    await sender.send(replace(message, to=server.url, attempt=attempt))

        first, second = server.requests
        assert first.headers["webhook-id"] == second.headers["webhook-id"] == str(message.job_id)
        assert first.body == second.body

    def test_every_attempt_has_its_own_time(self) -> None:
        message = make_webhook("https://example.org/")
        signed = []
        for now in (1_800_000_000, 1_800_000_060):
            with time_machine.travel(now, tick=False):
                signed.append(headers_of(message, body_of(message)))

        first, second = signed
        assert (first["webhook-timestamp"], second["webhook-timestamp"]) == ("1800000000", "1800000060")
        assert first["webhook-signature"] != second["webhook-signature"]

    async def test_headers_of_the_message_are_not_the_endpoints_business(self) -> None:
        async with far_end(says(OK)) as server, sender_of() as sender:
            await sender.send(make_webhook(server.url, headers={"List-Unsubscribe": "<https://example.org/u>"}))

        assert "list-unsubscribe" not in server.requests[0].headers


class TestSignature:
    async def test_it_holds_by_the_specification_and_by_the_library(self) -> None:
        async with far_end(says(OK)) as server, sender_of() as sender:
            await sender.send(make_webhook(server.url))

        (request,) = server.requests
        assert verified(request, NEW)
        assert not verified(request, OTHER)
        assert abs(int(request.headers["webhook-timestamp"]) - time.time()) < 300
        assert Webhook(NEW).verify(request.body, request.headers) == json.loads(request.body)

    async def test_two_secrets_make_two_signatures_and_either_verifies(self) -> None:
        async with far_end(says(OK)) as server, sender_of() as sender:
            await sender.send(make_webhook(server.url, secrets=[NEW, OLD]))

        (request,) = server.requests
        assert re.fullmatch(r"v1,\S{44} v1,\S{44}", request.headers["webhook-signature"])
        for secret in (NEW, OLD):
            assert verified(request, secret)
            Webhook(secret).verify(request.body, request.headers)
        with pytest.raises(WebhookVerificationError):
            Webhook(OTHER).verify(request.body, request.headers)

    @pytest.mark.parametrize("part", ["body", "webhook-id", "webhook-timestamp", "webhook-signature"])
    def test_what_was_altered_is_refused(self, part: str) -> None:
        message = make_webhook("https://example.org/")
        body = body_of(message)
        headers = headers_of(message, body)
        Webhook(NEW).verify(body, headers)
        if part == "body":
            body = body.replace(b"Ana", b"Eva")
        else:
            altered = {"webhook-id": str(uuid.uuid4()), "webhook-timestamp": str(int(headers["webhook-timestamp"]) - 1)}
            headers[part] = altered.get(part, headers_of(message, b"other")["webhook-signature"])

        with pytest.raises(WebhookVerificationError, match="No matching signature"):
            Webhook(NEW).verify(body, headers)

    @pytest.mark.parametrize(("minutes", "refusal"), [(-10, "too old"), (10, "too new")])
    def test_another_time_is_refused(self, minutes: int, refusal: str) -> None:
        message = make_webhook("https://example.org/")
        with time_machine.travel(datetime.now(UTC) + timedelta(minutes=minutes)):
            headers = headers_of(message, body_of(message))

        with pytest.raises(WebhookVerificationError, match=refusal):
            Webhook(NEW).verify(body_of(message), headers)

    @pytest.mark.parametrize("secrets", [[], [""], ["whsec_"], ["whsec_a"], [NEW, "whsec_a"]])
    async def test_without_a_usable_secret_nothing_is_sent(self, secrets: list[str]) -> None:
        async with far_end(says(OK)) as server, sender_of() as sender:
            error = await error_of(sender, server.url, secrets=secrets)

        assert (error.code, error.permanent, error.ambiguous) == ("bad_secret", True, False)
        assert server.connections == 0


class TestAnswers:
    @pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
    async def test_every_2xx_is_a_receipt(self, status: int) -> None:
        async with far_end(says(answer(status))) as server, sender_of() as sender:
            assert (await sender.send(make_webhook(server.url))).message_id

    @pytest.mark.parametrize(
        ("status", "code", "permanent"),
        [
            *((status, "redirect_refused", True) for status in (300, 301, 302, 303, 304, 307, 308)),
            *((status, f"http_{status}", True) for status in (400, 401, 403, 404, 405, 409, 413, 415, 422, 499)),
            *((status, f"http_{status}", False) for status in (408, 425, 429, 500, 501, 502, 503, 504, 599)),
            (410, "endpoint_gone", True),
        ],
    )
    async def test_every_other_status_says_what_to_do(self, status: int, code: str, permanent: bool) -> None:
        async with far_end(says(answer(status, "Location: http://127.0.0.1:1/"))) as server, sender_of() as sender:
            error = await error_of(sender, server.url)

        assert (error.code, error.permanent, error.ambiguous, error.account) == (code, permanent, False, False)
        assert error.provider == f"127.0.0.1:{server.port}"
        assert f"127.0.0.1:{server.port}" in error.message
        assert str(status) in error.message
        assert len(server.requests) == 1

    async def test_a_status_that_http_does_not_know_is_ambiguous(self) -> None:
        async with far_end(says(answer(999))) as server, sender_of() as sender:
            error = await error_of(sender, server.url)

        assert (error.code, error.permanent, error.ambiguous) == ("malformed_reply", False, True)

    @pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
    async def test_retry_after_is_told(self, status: int) -> None:
        async with far_end(says(answer(status, "Retry-After: 120"))) as server, sender_of() as sender:
            assert (await error_of(sender, server.url)).retry_after_seconds == 120

    async def test_the_endpoints_own_words_are_told_and_fit_to_be_stored(self) -> None:
        said = b"no such\r\n\0 \xff hook " + b"x" * 5000
        refusal = b"HTTP/1.1 404 No\r\nContent-Length: %d\r\n\r\n" % len(said) + said
        async with far_end(says(refusal)) as server, sender_of() as sender:
            error = await error_of(sender, server.url)

        assert "It said: no such \N{REPLACEMENT CHARACTER} hook xxx" in error.message
        assert error.message.isprintable()
        assert len(error.message) < 600

    async def test_a_redirect_inwards_is_not_followed(self) -> None:
        async with far_end(says(OK)) as inside:
            redirect = answer(302, f"Location: http://localhost:{inside.port}/")
            async with far_end(says(redirect)) as server, sender_of() as sender:
                assert (await error_of(sender, server.url)).code == "redirect_refused"

        assert inside.connections == 0

    async def test_private_addresses_are_blocked_unless_allowed(self) -> None:
        async with far_end(says(OK)) as server, sender_of(allow_private=False) as sender:
            error = await error_of(sender, server.url)

        assert (error.code, error.permanent) == ("blocked_address", True)
        assert server.connections == 0

    @pytest.mark.parametrize("url", ["", "not a url", "http://[::1", "file:///etc/passwd", "http://user:pw@127.0.0.1/"])
    async def test_an_address_that_is_no_url(self, url: str) -> None:
        async with sender_of() as sender:
            error = await error_of(sender, url)

        assert (error.code, error.permanent) == ("bad_url", True)
        assert "pw" not in error.provider

    async def test_a_cut_after_the_request_is_ambiguous_and_sent_once(self) -> None:
        """The same webhook-id would make a second copy harmless; but no copy leaves without a recorded attempt."""

        async def script(line: Line, request: Request) -> bool:
            if len(server.requests) == 1:
                await line.say(OK)
            return len(server.requests) == 1

        async with far_end(script) as server, sender_of() as sender:
            await sender.send(make_webhook(server.url))
            error = await error_of(sender, server.url)

        assert (error.code, error.permanent, error.ambiguous) == ("connection_lost", False, True)
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("url", "provider"),
    [
        ("https://hooks.example/T0/secret?key=1", "hooks.example"),
        ("http://hooks.example:8080/x", "hooks.example:8080"),
        ("https://me:pw@hooks.example/", "hooks.example"),
        ("http://[::1", "webhook"),
        ("nonsense", "webhook"),
        (f"http://{'a' * 300}/", "a" * 255),
    ],
)
def test_a_provider_is_a_server_and_no_secret(url: str, provider: str) -> None:
    assert provider_of(url) == provider


def test_shown_message_leaves_its_secrets_out() -> None:
    message = replace(make_message("https://shop.example/hook"), secrets=("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",))

    shown = repr(message)

    assert str(message.job_id) in shown
    assert "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" not in shown
