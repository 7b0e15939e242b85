"""Twilio's own: the request it documents, and what each of its answers means. The far end is the server of `tests.sms`."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import re
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from deliveries.senders.base import Content, SendError
from deliveries.senders.codes_twilio import CODES, source
from deliveries.senders.refusals import Kind
from deliveries.senders.twilio import TwilioSender
from tests.sms import (
    ACCOUNT_SID,
    API_KEY_SID,
    AUTH_TOKEN,
    BUSY,
    CUT,
    FROM,
    GOOD,
    SERVICE_SID,
    SILENT,
    Far,
    created,
    serving,
    twilio,
)
from tests.unit.sender_cases import make_message


def make_sender(url: str, **options: Any) -> TwilioSender:
    options = {"account_sid": ACCOUNT_SID, "auth_token": AUTH_TOKEN, "timeout_seconds": 60.0, **options}
    if "messaging_service_sid" not in options:
        options.setdefault("from_number", FROM)
    return TwilioSender(base_url=url, allow_private=True, connections=3, **options)


@contextlib.asynccontextmanager
async def opened(url: str, **options: Any) -> AsyncIterator[TwilioSender]:
    sender = make_sender(url, **options)
    await sender.open()
    try:
        yield sender
    finally:
        await sender.close()


@pytest.fixture
async def far() -> AsyncIterator[Far]:
    async with serving(twilio) as running:
        yield running


async def error_of(far: Far, to: str = GOOD, *, content: Content | None = None, **options: Any) -> SendError:
    async with opened(far.url, **options) as sender:
        with pytest.raises(SendError) as caught:
            await sender.send(make_message(to, content=content))
    assert caught.value.provider == "twilio"
    assert caught.value.message
    return caught.value


def basic(user: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{AUTH_TOKEN}'.encode()).decode()}"


def kind_of(error: SendError) -> Kind:
    flags = {Kind.PERMANENT: error.permanent, Kind.UNKNOWN: error.ambiguous, Kind.ACCOUNT: error.account}
    (kind,) = [kind for kind, is_set in flags.items() if is_set] or [Kind.TEMPORARY]
    return kind


class TestRequest:
    async def test_the_request_is_the_documented_one(self, far: Far) -> None:
        content = Content(subject="unused", text=" Ваш код: 42 & ☂ \n")
        async with opened(far.url) as sender:
            receipt = await sender.send(make_message("+1 (500) 555-0010", content=content))

        (got,) = far.got
        assert (got.method, got.path) == ("POST", f"/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json")
        assert got.form == {"To": GOOD, "From": FROM, "Body": "Ваш код: 42 & ☂"}
        assert got.headers["Authorization"] == basic(ACCOUNT_SID)
        assert receipt.provider == "twilio"
        assert re.fullmatch(r"SM[0-9a-f]{32}", receipt.message_id)

    async def test_a_messaging_service_takes_the_place_of_a_number(self, far: Far) -> None:
        async with opened(far.url, messaging_service_sid=SERVICE_SID) as sender:
            await sender.send(make_message(GOOD))

        assert far.got[0].form == {"To": GOOD, "MessagingServiceSid": SERVICE_SID, "Body": "Hello, Ana."}

    async def test_the_status_callback_can_name_the_job(self, far: Far) -> None:
        message = make_message(GOOD)
        async with opened(far.url, status_callback="https://n.example.org/t/1?job={reference}") as sender:
            await sender.send(message)

        assert far.got[0].form["StatusCallback"] == f"https://n.example.org/t/1?job={message.job_id}"

    async def test_an_api_key_signs_in_for_the_account(self, far: Far) -> None:
        async with opened(far.url, api_key_sid=API_KEY_SID) as sender:
            await sender.send(make_message(GOOD))

        assert far.got[0].headers["Authorization"] == basic(API_KEY_SID)

    async def test_a_number_without_country_code_is_one_of_the_default_region(self, far: Far) -> None:
        async with opened(far.url, default_region="US") as sender:
            await sender.send(make_message("(500) 555-0010"))

        assert far.got[0].form["To"] == GOOD

    async def test_the_title_stands_in_for_a_missing_text(self, far: Far) -> None:
        async with opened(far.url) as sender:
            await sender.send(make_message(GOOD, content=Content(subject="Only a title")))

        assert far.got[0].form["Body"] == "Only a title"

    @pytest.mark.parametrize(
        ("to", "text", "code"),
        [("12", "x", "bad_address"), (GOOD, " \n", "empty_message"), (GOOD, "half \ud83d", "bad_text")],
    )
    async def test_what_cannot_be_sent_is_not_tried(self, far: Far, to: str, text: str, code: str) -> None:
        error = await error_of(far, to, content=Content(text=text))

        assert (error.code, error.permanent) == (code, True)
        assert far.got == []


class TestRefusals:
    @pytest.mark.parametrize(
        ("options", "to", "code", "kind"),
        [
            ({}, "+15005550001", "bad_address", Kind.PERMANENT),
            ({}, "+15005550002", "no_route", Kind.PERMANENT),
            ({}, "+15005550003", "region_not_enabled", Kind.PERMANENT),
            ({}, "+15005550004", "recipient_opted_out", Kind.PERMANENT),
            ({}, "+15005550009", "not_a_mobile", Kind.PERMANENT),
            ({}, BUSY, "rate_limited", Kind.TEMPORARY),
            ({"from_number": "+15005550001"}, GOOD, "bad_sender", Kind.ACCOUNT),
            ({"from_number": "+15005550007"}, GOOD, "bad_sender", Kind.ACCOUNT),
            ({"from_number": "+15005550008"}, GOOD, "queue_full", Kind.TEMPORARY),
            ({"auth_token": "wrong"}, GOOD, "account_refused", Kind.ACCOUNT),
        ],
    )
    async def test_documented_errors(self, far: Far, options: dict[str, Any], to: str, code: str, kind: Kind) -> None:
        error = await error_of(far, to, **options)

        assert (error.code, kind_of(error)) == (code, kind)
        assert re.search(r"It said: .+ \(Twilio 2\d{4}\)$", error.message)

    async def test_a_text_that_is_too_long(self, far: Far) -> None:
        assert (await error_of(far, content=Content(text="x" * 1601))).code == "too_large"

    async def test_a_wrong_url_is_the_accounts_fault(self, far: Far) -> None:
        async with opened(f"{far.url}/elsewhere") as sender:
            with pytest.raises(SendError) as caught:
                await sender.send(make_message(GOOD))

        assert (caught.value.code, caught.value.account) == ("wrong_url", True)

    async def test_credentials_are_in_no_message(self, far: Far) -> None:
        error = await error_of(far, auth_token="a-very-secret-token")

        assert "secret" not in f"{error}{error.message}{error.__cause__!r}{error.__context__!r}"

    async def test_retry_after_is_passed_on(self, far: Far) -> None:
        far.headers["Retry-After"] = "7"

        assert (await error_of(far, BUSY)).retry_after_seconds == 7.0

    @pytest.mark.parametrize(
        ("status", "said", "code", "kind"),
        [
            (
                400,
                {"code": 29999, "message": "Some\nthing\u0000 new", "status": 400},
                "refused_by_provider",
                Kind.PERMANENT,
            ),
            (400, "<html>no JSON</html>", "refused_by_provider", Kind.PERMANENT),
            (401, "", "account_refused", Kind.ACCOUNT),
            (403, {"code": "not a number"}, "account_refused", Kind.ACCOUNT),
            (404, [], "wrong_url", Kind.ACCOUNT),
            (408, "", "try_later", Kind.TEMPORARY),
            (413, "", "too_large", Kind.PERMANENT),
            (429, {"code": None}, "rate_limited", Kind.TEMPORARY),
            (302, "", "wrong_url", Kind.ACCOUNT),
        ],
    )
    async def test_without_a_known_code_the_status_decides(self, status: int, said: Any, code: str, kind: Kind) -> None:
        async with serving(lambda got: (status, said)) as far:
            error = await error_of(far)

        assert (error.code, kind_of(error)) == (code, kind)
        assert error.message.isprintable()


class TestAmbiguity:
    """Whatever may have been taken is ambiguous, and nothing else is: nobody gets a text twice, and none is given up early."""

    @pytest.mark.parametrize("status", [500, 502, 503, 504, 599])
    @pytest.mark.parametrize("said", ["", {"code": 20503, "message": "Service unavailable"}, {"code": 21211}])
    async def test_a_5xx_says_nothing_certain(self, status: int, said: Any) -> None:
        async with serving(lambda got: (status, said)) as far:
            error = await error_of(far)

        assert (error.code, kind_of(error)) == ("provider_error", Kind.UNKNOWN)

    @pytest.mark.parametrize("said", ["", "queued", "[]", '{"sid": 7}', '{"sid": ""}', '{"sid"', {"status": "queued"}])
    async def test_a_success_without_a_message_id(self, said: Any) -> None:
        async with serving(lambda got: (201, said)) as far:
            error = await error_of(far)

        assert (error.code, kind_of(error)) == ("malformed_reply", Kind.UNKNOWN)

    async def test_a_message_that_failed_at_once_was_not_sent(self) -> None:
        failed = {"status": "failed", "error_code": 30001, "error_message": "Queue overflow"}
        async with serving(lambda got: (201, {**created(got.form), **failed})) as far:
            error = await error_of(far)

        assert (error.code, kind_of(error)) == ("queue_full", Kind.TEMPORARY)

    async def test_a_cut_after_the_request(self, far: Far) -> None:
        error = await error_of(far, CUT)

        assert (error.code, kind_of(error)) == ("connection_lost", Kind.UNKNOWN)
        assert len(far.got) == 1

    async def test_no_answer_in_time(self, far: Far) -> None:
        error = await error_of(far, SILENT, timeout_seconds=1.5)

        assert (error.code, kind_of(error)) == ("timeout", Kind.UNKNOWN)
        assert len(far.got) == 1

    async def test_a_refused_connection_took_nothing(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else gets the port meanwhile
            error = await error_of(Far(twilio, url=f"http://127.0.0.1:{taken.getsockname()[1]}"))

        assert (error.code, kind_of(error)) == ("connection_refused", Kind.TEMPORARY)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"account_sid": "SK" + "0" * 32}, "account_sid"),
        ({"account_sid": f"{ACCOUNT_SID}/x"}, "account_sid"),
        ({"auth_token": ""}, "auth_token"),
        ({"from_number": ""}, "either from_number or messaging_service_sid"),
        ({"from_number": FROM, "messaging_service_sid": SERVICE_SID}, "either from_number or messaging_service_sid"),
        ({"default_region": "Germany"}, "Germany"),
    ],
)
def test_settings_that_cannot_work_fail_at_construction(options: dict[str, str], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        make_sender("https://api.twilio.com", **options)


@pytest.mark.parametrize("code", CODES)
def test_each_code_has_a_word_a_sentence_and_a_source(code: str) -> None:
    meaning = CODES[code]

    assert re.fullmatch(r"[a-z_]{3,40}", meaning.code)
    assert re.fullmatch(r"[A-Z].+\. [A-Z].+\.", meaning.sentence), "what is wrong, then what to do"
    assert source(code) == f"https://www.twilio.com/docs/api/errors/{code}"


def test_a_word_means_one_thing() -> None:
    meanings = {dataclasses.astuple(meaning) for meaning in CODES.values()}

    assert len({code for _, code, _ in meanings}) == len(meanings)
