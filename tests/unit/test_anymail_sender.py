"""Mail providers' APIs: Postmark's whole, against a server that speaks it as documented; of the others, the request that they are sent."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from deliveries.providers.mail_kinds import MAILS
from deliveries.reasons import REASONS
from deliveries.senders.anymail import AnymailSender
from deliveries.senders.base import Content, SendError
from tests import postmark
from tests.far_end import FarEnd, Line, Request, far_end, says
from tests.unit.sender_cases import make_message

Rig = tuple[AnymailSender, FarEnd, list[dict[str, Any]]]
JSON = b"HTTP/1.1 %d So\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"


def a_sender(name: str, url: str, **changes: Any) -> AnymailSender:
    keys = {option.name: "k" for option in MAILS[name].options if option.is_required}
    given: dict[str, Any] = {
        "service": MAILS[name].service,
        "options": {**keys, "api_url": url, **({"server_token": postmark.TOKEN} if name == "postmark" else {})},
        "from_address": "News <news@example.org>",
        "message_id_domain": "example.org",
        "timeout_seconds": 30.0,
        "allow_private": True,
    }
    return AnymailSender(**{**given, **changes})


@contextlib.asynccontextmanager
async def opened(sender: AnymailSender) -> AsyncIterator[AnymailSender]:
    await sender.open()
    try:
        yield sender
    finally:
        await sender.close()


@contextlib.asynccontextmanager
async def at_postmark(**changes: Any) -> AsyncIterator[Rig]:
    taken: list[dict[str, Any]] = []
    async with far_end(postmark.postmark(taken)) as end, opened(a_sender("postmark", end.url, **changes)) as sender:
        yield sender, end, taken


async def refused(sender: AnymailSender, to: str, **content: Any) -> SendError:
    with pytest.raises(SendError) as caught:
        await sender.send(make_message(to, content=Content(**content) if content else None))
    return caught.value


@contextlib.asynccontextmanager
async def answering(name: str, status: int, answer: Any) -> AsyncIterator[tuple[AnymailSender, FarEnd]]:
    body = json.dumps(answer).encode()
    async with far_end(says(JSON % (status, len(body), body))) as end, opened(a_sender(name, end.url)) as sender:
        yield sender, end


class TestPostmark:
    async def test_a_mail_arrives_whole(self) -> None:
        content = Content(
            subject="Grüße",
            text="Hallo",
            html="<p>Hallo</p>",
            from_address="Läden <shop@bücher.example>",
            reply_to='"Desk, Ana" <help@example.org>',
        )
        message = make_message("ana@example.org", content=content, headers={"list-unsubscribe": "<https://x.org/u/t>"})
        async with at_postmark() as (sender, _end, taken):
            receipts = [await sender.send(message) for _ in range(2)]

        first, second = taken
        assert first == second, "every attempt is the same mail"
        assert first["From"] == "Läden <shop@xn--bcher-kva.example>" and first["To"] == "ana@example.org"
        assert first["ReplyTo"] == '"Desk, Ana" <help@example.org>'
        assert (first["Subject"], first["TextBody"], first["HtmlBody"]) == ("Grüße", "Hallo", "<p>Hallo</p>")
        assert first["Metadata"] == {"job_id": str(message.job_id)}
        assert {each["Name"]: each["Value"] for each in first["Headers"]} == {
            "List-Unsubscribe": "<https://x.org/u/t>",
            "Message-ID": f"<{message.job_id}@example.org>",
            "X-PM-KeepID": "true",
        }
        assert all(receipt.provider == "Postmark" and len(receipt.message_id) == 36 for receipt in receipts)

    @pytest.mark.parametrize(
        ("to", "code", "kind"),
        [
            ("inactive", "recipient_inactive", "permanent"),
            ("invalid", "bad_address", "permanent"),
            ("metadata", "refused_by_provider", "permanent"),
            ("large", "too_large", "permanent"),
            ("strange", "refused_by_provider", "permanent"),
            ("sender", "sender_not_verified", "account"),
            ("pending", "account_refused", "account"),
            ("credits", "account_refused", "account"),
            ("gone", "wrong_url", "account"),
            ("redirect", "wrong_url", "account"),
            ("maintenance", "try_later", "temporary"),
            ("limit", "rate_limited", "temporary"),
            ("broken", "provider_error", "ambiguous"),
            ("gateway", "provider_error", "ambiguous"),
            ("text", "malformed_reply", "ambiguous"),
            ("empty", "malformed_reply", "ambiguous"),
            ("list", "malformed_reply", "ambiguous"),
            ("anonymous", "malformed_reply", "ambiguous"),
        ],
    )
    async def test_each_refusal_means_what_its_documentation_says(self, to: str, code: str, kind: str) -> None:
        async with at_postmark() as (sender, end, taken):
            error = await refused(sender, f"{to}@example.org")

        assert error.code == code and code in REASONS
        assert [name for name in ("permanent", "account", "ambiguous") if getattr(error, name)] == [
            name for name in [kind] if name != "temporary"
        ]
        assert len(end.requests) == 1 and not taken
        assert error.retry_after_seconds == (7.0 if to in ("limit", "maintenance") else None)
        assert postmark.TOKEN not in str(error)

    async def test_what_it_said_is_told(self) -> None:
        async with at_postmark() as (sender, _end, _taken):
            error = await refused(sender, "sender@example.org")
        assert "is not a Sender Signature on your account. (Postmark 400)" in error.message

    async def test_a_from_of_the_content_s_that_it_does_not_know_is_about_this_mail_alone(self) -> None:
        async with at_postmark() as (sender, _end, _taken):
            error = await refused(sender, "sender@example.org", text="x", from_address="Shop <shop@example.com>")
            assert (error.code, error.permanent, error.account) == ("bad_from", True, False)
            assert "is not a Sender Signature on your account. (Postmark 400)" in error.message
            own = await refused(sender, "sender@example.org", text="x", from_address="News <news@example.org>")
            assert (own.code, own.permanent, own.account) == ("sender_not_verified", False, True)
            other = await refused(sender, "credits@example.org", text="x", from_address="Shop <shop@example.com>")
            assert (other.code, other.account) == ("account_refused", True)

    async def test_a_wrong_token_is_about_the_account(self) -> None:
        async with far_end(postmark.postmark([])) as end:
            options = {"server_token": "wrong", "api_url": end.url}
            async with opened(a_sender("postmark", end.url, options=options)) as sender:
                error = await refused(sender, "ana@example.org")
                with pytest.raises(SendError) as caught:
                    await sender.check()
        assert (error.code, error.account, caught.value.code) == ("account_refused", True, "account_refused")
        assert "wrong" not in error.message

    async def test_a_token_that_cannot_stand_in_a_header_is_not_told(self) -> None:
        options = {"server_token": "hush\nhush", "api_url": "http://127.0.0.1:9/"}
        async with opened(a_sender("postmark", "", options=options)) as sender:
            error = await refused(sender, "ana@example.org")
            with pytest.raises(SendError) as caught:
                await sender.check()
        for each in (error, caught.value):
            assert (each.code, each.account, "hush" in str(each)) == ("account_refused", True, False)

    async def test_check_asks_without_sending(self) -> None:
        async with at_postmark() as (sender, end, taken):
            assert await sender.check() == "Postmark takes the key."
        assert [request.line for request in end.requests] == ["GET /server HTTP/1.1"] and not taken

    async def test_silence_is_ambiguous_and_nobody_there_is_not(self) -> None:
        async with at_postmark(timeout_seconds=1.5) as (sender, _end, _taken):
            error = await refused(sender, "silent@example.org")
            assert (error.code, error.ambiguous) == ("timeout", True)
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            async with opened(a_sender("postmark", f"http://127.0.0.1:{held.getsockname()[1]}/")) as sender:
                error = await refused(sender, "ana@example.org")
        assert (error.code, error.ambiguous, error.permanent) == ("connection_refused", False, False)

    async def test_an_address_that_is_not_public_is_not_dialled(self) -> None:
        async with at_postmark(allow_private=False) as (sender, end, _taken):
            error = await refused(sender, "ana@example.org")
        assert (error.code, error.permanent, end.connections) == ("blocked_address", True, 0)

    @pytest.mark.parametrize(
        ("to", "content", "headers", "code"),
        [
            ("ana@example.org", Content(subject="Hi\r\nBcc: all@x.org"), {}, "header_injection"),
            ("ana@example.org\r\nBcc: b@x.org", Content(text="x"), {}, "header_injection"),
            ("ana@example.org", Content(text="x"), {"Bcc": "all@x.org"}, "header_injection"),
            ("ana@example.org", Content(text="x"), {"Precedence": "bulk\nBcc: b@x.org"}, "header_injection"),
            ("ana@example.org", Content(text="x", from_address="Shop"), {}, "bad_from"),
            ("ana@example.org", Content(text="x", reply_to="a@x.org\nb"), {}, "header_injection"),
            ("ana", Content(text="x"), {}, "bad_address"),
            ("ana@example.org", Content(text="\ud800"), {}, "bad_text"),
        ],
    )
    async def test_what_no_mail_can_be_is_refused_before_it_leaves(
        self, to: str, content: Content, headers: dict[str, str], code: str
    ) -> None:
        async with at_postmark() as (sender, end, _taken):
            with pytest.raises(SendError) as caught:
                await sender.send(make_message(to, content=content, headers=headers))
        assert (caught.value.code, caught.value.permanent, end.requests) == (code, True, [])

    @pytest.mark.parametrize("say", ["flood", "drip", "half"])
    async def test_an_answer_without_an_end_is_cut_off(self, say: str) -> None:
        async def script(line: Line, request: Request) -> None:
            await line.say(
                b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" if say != "flood" else b"HTTP/1.1 200 OK\r\n\r\n"
            )
            if say == "half":
                await line.say(b"{")
                line.reset()
            await (line.flood(b"x" * 65_536) if say == "flood" else line.drip(b"x"))

        async with far_end(script) as end, opened(a_sender("postmark", end.url, timeout_seconds=1.0)) as sender:
            error = await refused(sender, "ana@example.org")
        assert error.code in ("reply_too_large", "timeout", "connection_lost") and error.ambiguous


#: What each takes as success, by its documentation.
SUCCESS: dict[str, tuple[int, Any]] = {
    "mailgun": (200, {"id": "<2026.1@mg.example.org>", "message": "Queued. Thank you."}),
    "brevo": (201, {"messageId": "<2026.1@mg.example.org>"}),
    "mailjet": (200, {"Messages": [{"Status": "success", "To": [{"Email": "ana@example.org", "MessageID": 12}]}]}),
    "resend": (200, {"id": "49a3999c"}),
    "sparkpost": (200, {"results": {"total_rejected_recipients": 0, "total_accepted_recipients": 1, "id": "11668787"}}),
}


class TestOthers:
    async def test_a_key_that_no_login_can_carry_is_not_told(self) -> None:
        options = {"api_key": "hush\u201d", "sender_domain": "mg.example.org", "api_url": "http://127.0.0.1:9/"}
        async with opened(a_sender("mailgun", "", options=options)) as sender:
            error = await refused(sender, "ana@example.org")
        assert (error.code, error.account, "hush" in str(error)) == ("account_refused", True, False)

    @pytest.mark.parametrize("name", sorted(SUCCESS))
    async def test_a_mail_is_handed_over_with_the_job_s_id(self, name: str) -> None:
        status, answer = SUCCESS[name]
        body = json.dumps(answer).encode()
        message = make_message("ana@example.org")
        async with far_end(says(JSON % (status, len(body), body))) as end, opened(a_sender(name, end.url)) as sender:
            receipt = await sender.send(message)
        (request,) = end.requests
        sent = request.body.decode() + str(request.headers)
        assert receipt.message_id in ("2026.1@mg.example.org", "12", "49a3999c", "11668787")
        assert "ana@example.org" in sent.replace("%40", "@") and str(message.job_id) in sent
        assert request.line.startswith("POST /")

    @pytest.mark.parametrize("name", sorted(SUCCESS))
    @pytest.mark.parametrize(
        ("status", "code", "kind"),
        [
            (401, "account_refused", "account"),
            (429, "rate_limited", ""),
            (400, "refused_by_provider", "permanent"),
            (500, "provider_error", "ambiguous"),
        ],
    )
    async def test_statuses_mean_what_http_says(self, name: str, status: int, code: str, kind: str) -> None:
        body = b'{"message": "No.", "code": 1}'
        async with far_end(says(JSON % (status, len(body), body))) as end, opened(a_sender(name, end.url)) as sender:
            error = await refused(sender, "ana@example.org")
        assert error.code == code and (not kind or getattr(error, kind))

    @pytest.mark.parametrize(
        ("name", "status", "answer"),
        [
            ("brevo", 400, {"code": "duplicate_parameter", "message": "The idempotencyKey was used."}),
            (
                "resend",
                409,
                {"name": "invalid_idempotent_request", "message": "The key was used with another payload."},
            ),
        ],
    )
    async def test_a_copy_that_the_provider_keeps_out_was_taken_before(
        self, name: str, status: int, answer: dict[str, str]
    ) -> None:
        async with answering(name, status, answer) as (sender, _end):
            receipt = await sender.send(make_message("ana@example.org"))
        assert (receipt.provider, receipt.message_id) == (MAILS[name].service.label, "")

    async def test_an_error_of_the_provider_s_is_no_receipt_whatever_it_says(self) -> None:
        async with answering("brevo", 500, {"code": "duplicate_parameter"}) as (sender, _end):
            error = await refused(sender, "ana@example.org")
        assert (error.code, error.ambiguous) == ("provider_error", True)

    async def test_a_copy_that_meets_the_first_is_asked_for_again_and_goes_nowhere_else(self) -> None:
        async with answering("resend", 409, {"name": "concurrent_idempotent_requests"}) as (sender, _end):
            error = await refused(sender, "ana@example.org")
        assert (error.code, error.permanent, error.ambiguous, error.account) == ("try_later", False, True, False)

    @pytest.mark.parametrize(
        ("status", "name", "code"),
        [
            (403, "validation_error", "sender_not_verified"),
            (403, "invalid_api_key", "account_refused"),
            (400, "validation_error", "refused_by_provider"),
            (422, "validation_error", "refused_by_provider"),
        ],
    )
    async def test_resend_s_word_means_another_thing_with_another_status(
        self, status: int, name: str, code: str
    ) -> None:
        async with answering("resend", status, {"name": name, "message": "No."}) as (sender, _end):
            error = await refused(sender, "ana@example.org")
        assert error.code == code

    async def test_many_are_under_way_at_once(self) -> None:
        status, answer = SUCCESS["resend"]
        body = json.dumps(answer).encode()
        everybody = asyncio.Barrier(5)

        async def script(line: Line, request: Request) -> None:
            await everybody.wait()
            await line.say(JSON % (status, len(body), body))

        async with far_end(script) as end, opened(a_sender("resend", end.url, connections=5)) as sender:
            receipts = await asyncio.gather(*(sender.send(make_message("ana@example.org")) for _ in range(5)))
        assert len(receipts) == sender.capacity == 5
