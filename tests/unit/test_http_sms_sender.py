"""A provider that is described by configuration: what it gets, what its answers mean, and which descriptions are refused."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from deliveries.senders.base import Content, Message, Receipt, SendError
from deliveries.senders.http_sms import HttpSmsSender
from deliveries.senders.http_sms_configuration import BadConfiguration, check
from deliveries.senders.refusals import Kind
from tests.sms import CUT_OFF, SILENCE, Far, Got, serving
from tests.unit.sender_cases import make_message
from tests.unit.test_twilio_sender import kind_of

TO = "+4930123456"
SECRETS = {"key": "s3cr3t", "user": "me"}
FIELDS = {"to": "{to}", "from": "{from}", "text": "{text}", "ref": "{reference}"}
DESCRIPTION: dict[str, Any] = {
    "url": "https://sms.example.com/v1/messages",
    "headers": {"Authorization": "Bearer {secret.key}", "Idempotency-Key": "{reference}"},
    "fields": FIELDS,
    "from": "ACME",
    "message_id": "messages.0.id",
    "error_code": "error.code",
    "error_message": "error.text",
    "errors": {
        "7": {"kind": "permanent", "code": "bad_address", "message": "No such number. Correct the contact."},
        "no_credit": {"kind": "account", "code": "no_credit", "message": "Out of credit. Charge the account."},
        "later": {"kind": "temporary", "code": "try_later", "message": "Busy. It is tried again."},
        "lost": {"kind": "unknown", "code": "lost", "message": "Its database is gone. Ask the provider."},
    },
}
TAKEN = (200, {"messages": [{"id": "m-1"}]})


@contextlib.asynccontextmanager
async def opened(far: Far, *, timeout_seconds: float = 60.0, **changes: Any) -> AsyncIterator[HttpSmsSender]:
    sender = HttpSmsSender(
        description={**DESCRIPTION, "url": f"{far.url}/v1/messages", **changes},
        secrets=SECRETS,
        provider="acme",
        timeout_seconds=timeout_seconds,
        allow_private=True,
    )
    await sender.open()
    try:
        yield sender
    finally:
        await sender.close()


async def exchange(
    answer: tuple[int, Any] = TAKEN, *, message: Message | None = None, **changes: Any
) -> tuple[Receipt, Got]:
    async with serving(lambda got: answer) as far, opened(far, **changes) as sender:
        receipt = await sender.send(message or make_message(TO))
    (got,) = far.got
    return receipt, got


async def error_of(answer: tuple[int, Any], **changes: Any) -> SendError:
    with pytest.raises(SendError) as caught:
        await exchange(answer, **changes)
    assert caught.value.provider == "acme"
    return caught.value


class TestRequest:
    async def test_json(self) -> None:
        message = make_message(TO, content=Content(text='Say "hi" & ☂'))
        receipt, got = await exchange(message=message)

        assert receipt == Receipt("acme", "m-1")
        assert (got.method, got.path, got.query) == ("POST", "/v1/messages", {})
        assert got.headers["Content-Type"] == "application/json"
        assert got.headers["Authorization"] == "Bearer s3cr3t"
        assert got.headers["Idempotency-Key"] == str(message.job_id)
        assert json.loads(got.body) == {"to": TO, "from": "ACME", "text": 'Say "hi" & ☂', "ref": str(message.job_id)}

    async def test_json_of_any_shape(self) -> None:
        fields = {"batch": [{"msisdn": "{to_digits}", "body": "Hi: {text}", "flash": False, "ttl": 60, "tag": None}]}
        _, got = await exchange(fields=fields)

        one = {"msisdn": "4930123456", "body": "Hi: Hello, Ana.", "flash": False, "ttl": 60, "tag": None}
        assert json.loads(got.body) == {"batch": [one]}

    async def test_form(self) -> None:
        message = make_message(TO, content=Content(text="a=1&b=ü"))
        _, got = await exchange(message=message, send_as="form")

        assert got.headers["Content-Type"] == "application/x-www-form-urlencoded"
        assert got.form == {"to": TO, "from": "ACME", "text": "a=1&b=ü", "ref": str(message.job_id)}

    async def test_query(self) -> None:
        async with serving(lambda got: TAKEN) as far:
            changes: dict[str, Any] = {
                "method": "GET",
                "send_as": "query",
                "fields": {"to": "{to}", "text": "{text}", "key": "{secret.key}"},
            }
            async with opened(far, url=f"{far.url}/send?v=2", **changes) as sender:
                await sender.send(make_message(TO, content=Content(text="a=1&b=ü#+ ")))

        (got,) = far.got
        assert (got.method, got.path, got.body) == ("GET", "/send", b"")
        assert got.query == {"v": "2", "to": TO, "text": "a=1&b=ü#+", "key": "s3cr3t"}

    async def test_basic_auth(self) -> None:
        auth = {"username": "{secret.user}", "password": "{secret.key}"}
        _, got = await exchange(headers={}, basic_auth=auth)

        assert got.headers["Authorization"] == f"Basic {base64.b64encode(b'me:s3cr3t').decode()}"

    async def test_placeholders_in_a_text_stay_as_they_are(self) -> None:
        text = "{secret.key} {from} {to} {nothing} {{text}}"
        _, got = await exchange(message=make_message(TO, content=Content(text=text)))

        assert json.loads(got.body)["text"] == text

    @pytest.mark.parametrize("to", ["", "abc", "030 123456"])
    async def test_a_bad_number_is_not_tried(self, to: str) -> None:
        async with serving(lambda got: TAKEN) as far, opened(far) as sender:
            with pytest.raises(SendError) as caught:
                await sender.send(make_message(to))

        assert (caught.value.code, caught.value.permanent, far.got) == ("bad_address", True, [])


class TestAnswers:
    @pytest.mark.parametrize(
        ("changes", "answer", "message_id"),
        [
            ({}, (202, {"messages": [{"id": 17}]}), "17"),
            ({"message_id": "id"}, (200, {"id": "x"}), "x"),
            ({"message_id": ""}, (200, "OK"), ""),
            ({"message_id": "", "sent": [204]}, (204, ""), ""),
            ({"message_id": "id"}, (200, {"id": "x", "error": {"code": 0}}), "x"),  # no code of the table
        ],
    )
    async def test_taken(self, changes: dict[str, Any], answer: tuple[int, Any], message_id: str) -> None:
        receipt, _ = await exchange(answer, **changes)

        assert receipt == Receipt("acme", message_id)

    @pytest.mark.parametrize("status", [200, 400, 500])
    @pytest.mark.parametrize(
        ("value", "code", "kind"),
        [
            (7, "bad_address", Kind.PERMANENT),
            ("no_credit", "no_credit", Kind.ACCOUNT),
            ("later", "try_later", Kind.TEMPORARY),
            ("lost", "lost", Kind.UNKNOWN),
        ],
    )
    async def test_the_table_of_errors_decides_first(self, status: int, value: Any, code: str, kind: Kind) -> None:
        said = {"messages": [{"id": "m-1"}], "error": {"code": value, "text": "so it is"}}
        error = await error_of((status, said))

        assert (error.code, kind_of(error)) == (code, kind)
        assert error.message.startswith(f"acme: {DESCRIPTION['errors'][str(value)]['message']}")
        assert error.message.endswith("It said: so it is")

    @pytest.mark.parametrize(
        ("changes", "status", "code", "kind"),
        [
            ({}, 400, "refused_by_provider", Kind.PERMANENT),
            ({}, 401, "account_refused", Kind.ACCOUNT),
            ({}, 404, "wrong_url", Kind.ACCOUNT),
            ({}, 307, "wrong_url", Kind.ACCOUNT),
            ({}, 429, "rate_limited", Kind.TEMPORARY),
            ({}, 500, "provider_error", Kind.UNKNOWN),
            ({}, 503, "provider_error", Kind.UNKNOWN),
            ({}, 206, "malformed_reply", Kind.UNKNOWN),
            ({"temporary": [503]}, 503, "try_later", Kind.TEMPORARY),
            ({"temporary": [429]}, 429, "rate_limited", Kind.TEMPORARY),
            ({"account": [400]}, 400, "account_refused", Kind.ACCOUNT),
            ({"permanent": [404]}, 404, "refused_by_provider", Kind.PERMANENT),
            ({"sent": [201]}, 200, "malformed_reply", Kind.UNKNOWN),
        ],
    )
    async def test_statuses(self, changes: dict[str, Any], status: int, code: str, kind: Kind) -> None:
        error = await error_of((status, {"messages": [{"id": "m-1"}]}), **changes)

        assert (error.code, kind_of(error)) == (code, kind)

    @pytest.mark.parametrize(
        "said", ["", "OK", "{", [], {}, {"messages": []}, {"messages": [{"id": None}]}, {"messages": "m"}]
    )
    async def test_a_success_without_the_promised_message_id_is_ambiguous(self, said: Any) -> None:
        error = await error_of((200, said))

        assert (error.code, kind_of(error)) == ("malformed_reply", Kind.UNKNOWN)

    @pytest.mark.parametrize(("said", "code"), [(SILENCE, "timeout"), (CUT_OFF, "connection_lost")])
    async def test_no_answer_is_ambiguous(self, said: object, code: str) -> None:
        error = await error_of((0, said), timeout_seconds=1.5 if said is SILENCE else 60.0)

        assert (error.code, kind_of(error)) == (code, Kind.UNKNOWN)

    async def test_a_secret_that_the_provider_repeats_is_hidden(self) -> None:
        error = await error_of((401, "Bad key s3cr3t"))

        assert error.message.endswith("It said: Bad key •••")


def change(**changes: Any) -> Callable[[], dict[str, Any]]:
    return lambda: {**DESCRIPTION, **changes}


class TestCheck:
    def test_a_good_description_passes(self) -> None:
        assert check(DESCRIPTION, secrets=SECRETS).sender == "ACME"

    @pytest.mark.parametrize(
        ("made", "problems"),
        [
            (lambda: "text", ["Expected `object`, got `str`."]),
            (lambda: {"fields": FIELDS}, ["Object missing required field `url`."]),
            (change(urls="x"), ["Object contains unknown field `urls`."]),
            (change(method="BREW"), ["Invalid enum value 'BREW' - at `$.method`."]),
            (change(sent=["200"]), ["Expected `int`, got `str` - at `$.sent[0]`."]),
            (change(url="sms.example.com"), ["url: must be a whole address such as https://sms.example.com/messages."]),
            (change(url="ftp://sms.example.com"), ["url: must be a whole address such as https://sms.example.com/messages."]),
            (change(url="https://sms.example.com:0x/"), ["url: must be a whole address such as https://sms.example.com/messages."]),
            (change(url="https://me:pw@example.com/"), ["url: holds a user name or a fragment; use basic_auth, and leave out all from #."]),
            (change(url="https://example.com/{to}"), ["url: cannot hold placeholders; send_as query puts fields there."]),
            (change(method="GET"), ["send_as: GET has no body; use query."]),
            (change(send_as="form", fields={**FIELDS, "n": 1}), ["fields: as form, every value is a text."]),
            (change(fields={"text": "{text}"}), ["fields: nothing holds {to}, so the text would go nowhere."]),
            (change(fields={"to": "{to}"}), ["fields: nothing holds {text}, so the text would be empty."]),
            (change(**{"from": ""}), ["from: is empty, but fields hold {from}."]),
            (
                change(headers={"X-Key": "{text}"}),
                ["headers.X-Key: {text} is no placeholder here; there are {reference}, {secret.key}, {secret.user}."],
            ),
            (
                change(fields={**FIELDS, "a": [{"b": "{secret.kee}"}]}),
                ["fields.a.0.b: {secret.kee} is no placeholder here; there are "
                 "{from}, {reference}, {secret.key}, {secret.user}, {text}, {to}, {to_digits}."],
            ),
            (change(headers={"X Y": "1"}), ["headers.X Y: is no header that can be set."]),
            (change(headers={"Content-Length": "1"}), ["headers.Content-Length: is no header that can be set."]),
            (change(headers={"X-Key": "a\nb"}), ["headers.X-Key: its value, secrets included, must be printable ASCII on one line."]),
            (change(basic_auth={"username": "u", "password": "p"}), ["basic_auth: headers set Authorization already."]),
            (change(sent=[]), ["sent: is empty, so nothing would ever count as sent."]),
            (change(temporary=[200]), ["temporary: 200 is in sent already."]),
            (change(account=[99]), ["account: 99 is no final HTTP status."]),
            (change(error_code=""), ["error_code: is empty, but errors has a table; say where the code stands in a reply."]),
            (
                change(errors={"1": {"kind": "permanent", "code": "Bad!", "message": " "}}),
                ["errors.1.code: must be a word of a-z, 0-9 and _, such as bad_address.", "errors.1.message: is empty, but staff read it."],
            ),
            (
                change(errors={"1": {"kind": "fatal", "code": "x", "message": "x"}}),
                ["Invalid enum value 'fatal' - at `$.errors[...].kind`."],
            ),
        ],
    )  # fmt: skip
    def test_what_cannot_work_is_refused_with_its_place(self, made: Callable[[], Any], problems: list[str]) -> None:
        with pytest.raises(BadConfiguration) as caught:
            check(made(), secrets=SECRETS)

        assert caught.value.problems == problems

    def test_everything_that_is_wrong_is_said_at_once(self) -> None:
        with pytest.raises(BadConfiguration) as caught:
            check({**DESCRIPTION, "url": "x", "fields": {}, "sent": []}, secrets=SECRETS)

        assert [problem.partition(":")[0] for problem in caught.value.problems] == ["url", "fields", "fields", "sent"]

    def test_a_secret_with_a_line_break_is_refused_and_not_shown(self) -> None:
        with pytest.raises(BadConfiguration, match=r"headers\.Authorization") as caught:
            check(DESCRIPTION, secrets={**SECRETS, "key": "hush\r\nX: y"})

        assert "hush" not in str(caught.value)
