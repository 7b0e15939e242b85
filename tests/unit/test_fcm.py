"""FCM's own: what reaches Google, the access token, and what each error code means. The far end is `tests.fcm`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from msgspec.structs import replace

from deliveries.channels import Priority
from deliveries.senders.base import Content, Device, Message, Receipt, SendError
from deliveries.senders.codes_fcm import CODES, STATUSES
from deliveries.senders.devices import DEAD_CODES
from deliveries.senders.fcm import FcmSender
from tests.fcm import EMAIL, KEY, KEY_ID, PROJECT, SCOPE, Fcm, fcm_server
from tests.unit.sender_cases import make_message


@pytest.fixture
async def server() -> AsyncIterator[Fcm]:
    async with fcm_server() as running:
        yield running


@contextlib.asynccontextmanager
async def sender_to(server: Fcm, *, account: dict[str, Any] | None = None, **options: Any) -> AsyncIterator[FcmSender]:
    options = {"base_url": server.url, "allow_private": True, "timeout_seconds": 60.0, **options}
    sender = FcmSender(service_account=server.service_account(**account or {}), **options)
    await sender.open()
    try:
        yield sender
    finally:
        await sender.close()


async def push(sender: FcmSender, token: str, message: Message | None = None) -> Receipt:
    return await sender.send(message or make_message(token), Device(1, "fcm", token))


async def error_of(sender: FcmSender, token: str) -> SendError:
    with pytest.raises(SendError) as caught:
        await push(sender, token)
    return caught.value


class TestRequest:
    async def test_it_is_what_google_documents(self, server: Fcm) -> None:
        message = make_message("anyone", content=Content(subject="Hi", text="Ünï", action_url="https://example.org/a"))
        async with sender_to(server) as sender:
            receipt = await push(sender, "device-token", message)

        assert receipt.message_id == f"projects/{PROJECT}/messages/1"
        ((sent,),) = [body.values() for body in server.bodies]
        job_id = str(message.job_id)
        assert {name: sent[name] for name in ("token", "notification", "data", "android")} == {
            "token": "device-token",
            "notification": {"title": "Hi", "body": "Ünï"},
            "data": {"job_id": job_id, "action_url": "https://example.org/a"},
            "android": {"priority": "HIGH", "ttl": "86400s", "notification": {"tag": job_id}},
        }
        assert sent["apns"]["headers"]["apns-collapse-id"] == job_id
        assert sent["webpush"]["headers"]["TTL"] == "86400"

    async def test_low_priority_and_an_end_of_time_are_passed_on(self, server: Fcm) -> None:
        message = replace(
            make_message("anyone"), priority=Priority.LOW, expires_at=datetime.now(UTC) + timedelta(minutes=10)
        )
        async with sender_to(server) as sender:
            await push(sender, "device-token", message)

        android = server.bodies[0]["message"]["android"]
        assert android["priority"] == "NORMAL"
        assert 0 < int(android["ttl"].removesuffix("s")) <= 600

    async def test_the_project_cannot_leave_its_place_in_the_path(self, server: Fcm) -> None:
        async with sender_to(server, account={"project_id": "../x?y"}) as sender:
            await error_of(sender, "device-token")

        assert server.far.requests[-1].line == "POST /v1/projects/..%2Fx%3Fy/messages:send HTTP/1.1"


class TestAccessToken:
    async def test_the_service_account_signs_for_it(self, server: Fcm) -> None:
        async with sender_to(server) as sender:
            await push(sender, "device-token")

        (assertion,) = server.assertions
        claims = jwt.decode(assertion, KEY.public_key(), ["RS256"], audience=f"{server.url}/token")
        assert claims == {
            "iss": EMAIL,
            "scope": SCOPE,
            "aud": f"{server.url}/token",
            "iat": claims["iat"],
            "exp": claims["iat"] + 3600,
        }
        assert abs(claims["iat"] - time.time()) < 3600
        assert jwt.get_unverified_header(assertion)["kid"] == KEY_ID

    async def test_it_is_fetched_once_for_all(self, server: Fcm) -> None:
        async with sender_to(server) as sender:
            await asyncio.gather(*(push(sender, f"device-{n}") for n in range(20)))
            await push(sender, "device-token")

        assert len(server.granted) == 1
        assert len(server.taken) == 21

    async def test_it_is_fetched_again_shortly_before_its_end(self, server: Fcm) -> None:
        server.lifetime_seconds = 59  # less than what is kept in reserve
        async with sender_to(server) as sender:
            await push(sender, "device-token")
            await push(sender, "device-token")

        assert len(server.granted) == 2

    async def test_one_that_was_revoked_is_replaced_at_the_next_attempt(self, server: Fcm) -> None:
        async with sender_to(server) as sender:
            await push(sender, "device-token")
            server.revoked.update(server.granted)
            error = await error_of(sender, "device-token")
            await push(sender, "device-token")

        assert (error.code, error.permanent, error.account) == ("fcm_unauthenticated", False, False)
        assert len(server.granted) == 2

    async def test_who_waits_is_not_cancelled_with_the_one_who_asked_first(self, server: Fcm) -> None:
        async with sender_to(server) as sender:
            first = asyncio.create_task(push(sender, "first"))
            second = asyncio.create_task(push(sender, "second"))
            await asyncio.sleep(0)
            first.cancel()
            await second

        assert server.taken == ["second"]
        assert len(server.assertions) == 1

    @pytest.mark.parametrize(
        ("answer", "code", "account"),
        [
            ((400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}), "account_refused", True),
            ((401, {"error": "invalid_client"}), "account_refused", True),
            ((429, "slow down"), "provider_error", False),
            ((503, "later"), "provider_error", False),
            ((200, "no JSON"), "provider_error", False),
            ((200, {"access_token": 1, "expires_in": "x"}), "provider_error", False),
        ],
        ids=["grant", "client", "429", "503", "text", "types"],
    )
    async def test_when_there_is_none(self, server: Fcm, answer: tuple[int, Any], code: str, account: bool) -> None:
        server.token_answer = answer
        async with sender_to(server) as sender:
            error = await error_of(sender, "device-token")
            server.token_answer = None
            await push(sender, "device-token")

        assert (error.code, error.permanent, error.ambiguous, error.account) == (code, False, False, account)

    async def test_a_silent_endpoint_is_no_ambiguous_push(self, server: Fcm) -> None:
        server.silent_token = True
        async with sender_to(server, timeout_seconds=0.6) as sender:
            error = await error_of(sender, "device-token")

        assert (error.code, error.ambiguous) == ("timeout", False)
        assert server.bodies == []

    @pytest.mark.parametrize(
        "key_file",
        ["", "[]", "{}", '{"project_id": "p", "client_email": "e", "private_key": "secret"}', "\ud800"],
        ids=["empty", "list", "object", "key", "surrogate"],
    )
    def test_a_key_file_that_is_none_fails_at_construction_and_is_not_told(self, key_file: str) -> None:
        with pytest.raises(ValueError, match="key") as caught:
            FcmSender(service_account=key_file)

        assert "secret" not in str(caught.value)
        assert caught.value.__cause__ is None


REFUSALS = [
    # token, code, permanent, account, dead
    ("error-400-INVALID_ARGUMENT", "fcm_invalid_argument", True, False, False),
    ("error-404-UNREGISTERED", "device_gone", True, False, True),
    ("error-403-SENDER_ID_MISMATCH", "fcm_sender_id_mismatch", True, False, False),
    ("error-429-QUOTA_EXCEEDED", "rate_limited", False, False, False),
    ("error-503-UNAVAILABLE", "fcm_unavailable", False, False, False),
    ("error-500-INTERNAL", "provider_error", False, False, False),
    ("error-401-THIRD_PARTY_AUTH_ERROR", "fcm_third_party_auth", False, True, False),
    ("error-400-SOMETHING_NEW", "refused_by_provider", True, False, False),
    ("status-403-PERMISSION_DENIED", "fcm_permission_denied", False, True, False),
    ("status-404-NOT_FOUND", "fcm_unknown_project", False, True, False),
    ("status-418-", "refused_by_provider", True, False, False),
    ("status-502-", "provider_error", False, False, False),
    ("status-302-", "wrong_url", False, True, False),
]


class TestRefusals:
    @pytest.mark.parametrize(("token", "code", "permanent", "account", "dead"), REFUSALS, ids=[r[0] for r in REFUSALS])
    async def test_what_each_means(
        self, server: Fcm, token: str, code: str, permanent: bool, account: bool, dead: bool
    ) -> None:
        async with sender_to(server) as sender:
            error = await error_of(sender, token)
            await push(sender, "device-token")

        assert (error.code, error.permanent, error.account, error.ambiguous) == (code, permanent, account, False)
        assert (error.code in DEAD_CODES) is dead
        assert len(server.granted) == 1  # none of these says anything about the access token

    @pytest.mark.parametrize(
        ("token", "seconds"),
        [
            ("after-7-error-429-QUOTA_EXCEEDED", 7),
            ("error-429-QUOTA_EXCEEDED", 60),
            ("after-9-error-503-UNAVAILABLE", 9),
            ("error-503-UNAVAILABLE", None),
        ],
    )
    async def test_how_long_to_wait(self, server: Fcm, token: str, seconds: float | None) -> None:
        async with sender_to(server) as sender:
            assert (await error_of(sender, token)).retry_after_seconds == seconds

    async def test_staff_read_what_fcm_said(self, server: Fcm) -> None:
        async with sender_to(server) as sender:
            error = await error_of(sender, "error-400-INVALID_ARGUMENT")

        assert "about INVALID_ARGUMENT" in error.message

    def test_only_what_google_says_of_the_device_kills_it(self) -> None:
        """A wrong project in our settings must not cost us every device."""
        dead = {code for code, meaning in (CODES | STATUSES).items() if meaning.code in DEAD_CODES}

        assert dead == {"UNREGISTERED"}


class TestFaults:
    @pytest.mark.parametrize(
        ("token", "code"),
        [("text", "malformed_reply"), ("nameless", "malformed_reply"), ("cut", "connection_lost")],
    )
    async def test_what_may_have_been_taken(self, server: Fcm, token: str, code: str) -> None:
        async with sender_to(server) as sender:
            error = await error_of(sender, token)
            await push(sender, "device-token")

        assert (error.code, error.ambiguous, error.permanent) == (code, True, False)

    async def test_silence(self, server: Fcm) -> None:
        async with sender_to(server, timeout_seconds=2.0) as sender:
            error = await error_of(sender, "silent")

        assert (error.code, error.ambiguous) == ("timeout", True)

    async def test_nobody_listens(self, server: Fcm) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            async with sender_to(server, base_url=f"http://127.0.0.1:{taken.getsockname()[1]}") as sender:
                error = await error_of(sender, "device-token")

        assert (error.code, error.ambiguous) == ("connection_refused", False)

    async def test_a_private_address_is_not_called(self, server: Fcm) -> None:
        async with sender_to(server, allow_private=False) as sender:
            error = await error_of(sender, "device-token")

        assert (error.code, error.permanent) == ("blocked_address", True)
        assert server.far.requests == []

    @pytest.mark.parametrize(
        "reply", [{"error": "text"}, {"error": {"details": "text"}}, {"error": {"details": [1, {"errorCode": []}]}}, []]
    )
    async def test_an_error_of_another_shape_still_has_its_status(self, reply: Any) -> None:
        from deliveries.senders.fcm import _refusal
        from deliveries.senders.http import Reply

        assert _refusal(Reply(503, {}, json.dumps(reply).encode()), reply).code == "provider_error"
