"""Status callbacks: who may report, and what a report means.

Twilio's signatures are those that its own libraries are tested with, over the example of its documentation
(https://www.twilio.com/docs/usage/security), so they are not made by what they test.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
import json
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliveries.callbacks import generic, twilio
from deliveries.callbacks.base import BadCallback, EventKind, ProviderEvent

URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
TOKEN = "12345"
CALL = [
    ("CallSid", "CA1234567890ABCDE"),
    ("Caller", "+14158675309"),
    ("Digits", "1234"),
    ("From", "+14158675309"),
    ("To", "+18005551212"),
]
SIGNATURE = "RSOYDt4T1cUTdK1PDd93/VVr8B8="


def verified(url: str = URL, fields: list[tuple[str, str]] = CALL, signature: str = SIGNATURE, *tokens: str) -> bool:
    return twilio.verify(
        auth_tokens=tokens or (TOKEN,), url=url, body=urlencode(fields).encode("ascii"), signature=signature
    )


class TestTwilioSignature:
    @pytest.mark.parametrize(
        ("url", "signature"),
        [
            (URL, SIGNATURE),
            (URL, f" {SIGNATURE} "),
            (URL.replace(".com", ".com:1234"), SIGNATURE),  # Twilio left the port out
            (URL.replace(".com", ".com:1234").replace("https", "http"), "Zmvh+3yNM1Phv2jhDCwEM3q5ebU="),
            (URL, "kvajT1Ptam85bY51eRf/AJRuM3w="),  # it put 443 in
            (URL.replace("https", "http"), "0ZXoZLH/DfblKGATFgpif+LLRf4="),  # and 80
            (URL.replace("//", "//user:pass@"), "CukzLTc1tT5dXEDIHm/tKBanW10="),
            (URL.replace("//", "//user@"), "2YRLlVAflCqxaNicjMpJcSTgzSs="),
            (URL.replace("//", "//user:pass@"), "ZQFR1PTIZXF2MXB8ZnKCvnnA+rI="),
        ],
    )
    def test_known_signatures(self, url: str, signature: str) -> None:
        assert verified(url, CALL, signature)
        assert verified(url, CALL[::-1], signature)

    def test_a_field_that_comes_several_times_counts_once_a_value(self) -> None:
        fields = [("Sid", "CA123"), ("SidAccount", "AC123"), ("Digits", "5678"), ("Digits", "1234"), ("Digits", "1234")]

        assert verified(URL, fields, "IK+Dwps556ElfBT0I3Rgjkr1wJU=")

    def test_while_a_token_is_replaced_both_count(self) -> None:
        assert verified(URL, CALL, SIGNATURE, "new", TOKEN)
        assert not verified(URL, CALL, SIGNATURE, "new", "newer")

    @pytest.mark.parametrize(
        ("url", "fields"),
        [
            (f"{URL}&extra=1", CALL),
            (URL.replace("https", "http"), CALL),
            (URL.replace("mycompany", "yourcompany"), CALL),
            (URL, CALL[1:]),
            (URL, [*CALL, ("Extra", "")]),
            (URL, [*CALL[:-1], ("To", "+18005551213")]),
            ("http://[half", CALL),
            ("https://mycompany.com:99999/", CALL),
        ],
    )
    def test_anything_altered_is_refused(self, url: str, fields: list[tuple[str, str]]) -> None:
        assert not verified(url, fields)

    @pytest.mark.parametrize("signature", ["", "x", SIGNATURE.lower(), SIGNATURE[:-1], "ünï\ud83d"])
    def test_another_signature_is_refused(self, signature: str) -> None:
        assert not verified(URL, CALL, signature)

    def test_an_empty_token_fits_nothing(self) -> None:
        signed = URL + "".join(name + value for name, value in CALL)
        forged = base64.b64encode(hmac.new(b"", signed.encode(), hashlib.sha1).digest()).decode()

        assert not verified(URL, CALL, forged, "")
        assert not twilio.verify(auth_tokens=[], url=URL, body=b"", signature=forged)

    @pytest.mark.parametrize("body", [b"\xff=1", b"a=%ff", b"&".join([b"a=1"] * 101)])
    def test_a_body_that_is_no_form_is_refused(self, body: bytes) -> None:
        assert not twilio.verify(auth_tokens=[TOKEN], url=URL, body=body, signature=SIGNATURE)

    @given(st.binary(max_size=200), st.text(max_size=40))
    def test_nothing_else_verifies_or_raises(self, body: bytes, signature: str) -> None:
        assert not twilio.verify(auth_tokens=[TOKEN], url=URL, body=body, signature=signature)


SID = "SM" + "0123456789abcdef" * 2


def report(**fields: str) -> bytes:
    """Return a callback as Twilio documents it, SmsStatus and all."""
    status = fields.get("MessageStatus", "delivered")
    usual = {
        "SmsSid": SID,
        "SmsStatus": status,
        "MessageStatus": status,
        "To": "+15558675310",
        "MessageSid": SID,
        "AccountSid": "AC" + "0" * 32,
        "From": "+15017122661",
        "ApiVersion": "2010-04-01",
        "RawDlrDoneDate": "2302130303",
    }
    return urlencode({**usual, **fields}).encode("ascii")


class TestTwilioReport:
    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            ("delivered", EventKind.DELIVERED),
            ("read", EventKind.OPENED),
            ("failed", EventKind.FAILED),
            ("undelivered", EventKind.FAILED),
            ("canceled", EventKind.FAILED),
        ],
    )
    def test_final_statuses(self, status: str, kind: EventKind) -> None:
        (event,) = twilio.read(report(MessageStatus=status))

        assert (event.provider_message_id, event.kind, event.address) == (SID, kind, "+15558675310")
        assert event.at is None  # RawDlrDoneDate is in whatever zone the network likes

    @pytest.mark.parametrize(
        "status", ["accepted", "scheduled", "queued", "sending", "sent", "receiving", "unheard-of"]
    )
    def test_a_text_on_its_way_reports_nothing(self, status: str) -> None:
        assert twilio.read(report(MessageStatus=status)) == []

    @pytest.mark.parametrize(
        ("number", "code", "words"),
        [
            ("30003", "phone_unreachable", "(Twilio 30003)"),
            ("30005", "unknown_subscriber", "(Twilio 30005)"),
            ("30007", "filtered_as_spam", "(Twilio 30007)"),
            ("39999", "twilio_39999", "https://www.twilio.com/docs/api/errors/39999 says why."),
            ("", "undelivered", "gives no reason."),
            ("<b>", "undelivered", "gives no reason."),
            ("9" * 99, "undelivered", "gives no reason."),
        ],
    )
    def test_failures_say_why(self, number: str, code: str, words: str) -> None:
        (event,) = twilio.read(report(MessageStatus="undelivered", ErrorCode=number))

        assert event.code == code
        assert event.message.endswith(words)

    @pytest.mark.parametrize(
        ("query", "reference"),
        [("?job=j-1", "j-1"), ("?a=b&job=j-1", "j-1"), ("?job=", ""), ("?a=b", ""), ("", ""), ("?job=j-1#rc=5", "j-1")],
    )
    def test_the_address_names_the_job(self, query: str, reference: str) -> None:
        (event,) = twilio.read(report(), url=f"https://n.example.org/api/callbacks/1/{query}")

        assert event.reference == reference

    def test_a_success_has_no_cause(self) -> None:
        (event,) = twilio.read(report(ErrorCode="30003"))

        assert (event.code, event.message) == ("", "")

    def test_the_older_names_are_read_too(self) -> None:
        assert twilio.read(urlencode({"SmsSid": SID, "SmsStatus": "delivered"}).encode()) == [
            ProviderEvent(SID, EventKind.DELIVERED)
        ]

    @pytest.mark.parametrize("body", [b"", b"{}", b"MessageSid=SM1", b"MessageStatus=delivered", b"\xff", b"a=%ff"])
    def test_what_is_no_report_is_refused(self, body: bytes) -> None:
        with pytest.raises(BadCallback):
            twilio.read(body)


BODY = b'{"id": "m-1", "state": "DELIVRD"}'
DIGEST = hmac.new(b"hush", BODY, hashlib.sha256).digest()


class TestGenericSignature:
    @pytest.mark.parametrize(
        "signature",
        [DIGEST.hex(), DIGEST.hex().upper(), f"sha256={DIGEST.hex()}", f" {base64.b64encode(DIGEST).decode()} "],
    )
    def test_every_usual_spelling_is_known(self, signature: str) -> None:
        assert generic.verify(secrets=["hush"], body=BODY, signature=signature)
        assert generic.verify(secrets=["new", "hush"], body=BODY, signature=signature)
        assert not generic.verify(secrets=["new"], body=BODY, signature=signature)
        assert not generic.verify(secrets=["hush"], body=BODY + b" ", signature=signature)

    @pytest.mark.parametrize(
        "signature", ["", "sha256=", DIGEST.hex()[:-1], base64.b64encode(DIGEST).decode().lower(), "ü\ud83d"]
    )
    def test_another_signature_is_refused(self, signature: str) -> None:
        assert not generic.verify(secrets=["hush"], body=BODY, signature=signature)

    def test_an_empty_secret_fits_nothing(self) -> None:
        forged = hmac.new(b"", BODY, hashlib.sha256).hexdigest()

        assert not generic.verify(secrets=["", ""], body=BODY, signature=forged)
        assert not generic.verify(secrets=[], body=BODY, signature=forged)


STATUSES = {"DELIVRD": "delivered", "UNDELIV": "failed"}
FLAT = {"message_id": "id", "status": "state", "statuses": STATUSES}
FULL = {
    **FLAT,
    "message_id": "message.id",
    "events": "reports",
    "code": "err.0.code",
    "message": "err.0.text",
    "address": "message.to",
    "at": "at",
    "reference": "ref",
}
AT = datetime.datetime(2025, 11, 14, 12, tzinfo=datetime.UTC)


def read(description: dict[str, Any], body: bytes) -> list[ProviderEvent]:
    return generic.read(body, generic.check(description))


class TestGenericReport:
    def test_one_report_as_json_or_form(self) -> None:
        expected = [ProviderEvent("m-1", EventKind.DELIVERED)]

        assert read(FLAT, BODY) == expected
        assert read(FLAT, b"id=m-1&state=DELIVRD&other=") == expected

    def test_many_reports_with_everything(self) -> None:
        reports = [
            {"message": {"id": 17, "to": "+4930123456"}, "state": "UNDELIV", "at": "2025-11-14T12:00:00Z",
             "err": [{"code": 5, "text": "Absent subscriber"}], "ref": "j-1"},
            {"message": {"id": "m-2"}, "state": "BUFFERED"},
            {"message": {"id": "m-3"}, "state": "DELIVRD", "at": AT.timestamp()},
        ]  # fmt: skip
        assert read(FULL, json.dumps({"reports": reports}).encode()) == [
            ProviderEvent("17", EventKind.FAILED, AT, "5", "Absent subscriber", "+4930123456", "j-1"),
            ProviderEvent("m-3", EventKind.DELIVERED, AT),
        ]

    def test_a_body_may_be_the_list(self) -> None:
        assert read({**FLAT, "events": "."}, b"[" + BODY + b"]") == [ProviderEvent("m-1", EventKind.DELIVERED)]

    @pytest.mark.parametrize("at", ["2025-11-14T12:00:00", "14.11.2025", "", None, [], 1e30, True, {}])
    def test_a_time_that_says_nothing_certain_is_left_out(self, at: Any) -> None:
        body = json.dumps({"id": "m-1", "state": "DELIVRD", "at": at}).encode()
        (event,) = read({**FLAT, "at": "at"}, body)

        assert event.at is None

    @pytest.mark.parametrize(
        ("description", "body"),
        [
            (FLAT, b""),
            (FLAT, b"{"),
            (FLAT, b"\xff"),
            (FLAT, b"a=%ff"),
            (FLAT, b"[]"),
            (FLAT, b'{"id": "m-1"}'),
            (FLAT, b'{"id": null, "state": "DELIVRD"}'),
            (FLAT, b'{"id": ["m-1"], "state": "DELIVRD"}'),
            (FLAT, b"[" * 100_000),
            (FULL, b"{}"),
            (FULL, b'{"reports": {}}'),
            (FULL, b'{"reports": [7]}'),
            ({**FLAT, "events": "."}, json.dumps([{"id": 1, "state": "x"}] * 1001).encode()),
        ],
    )
    def test_what_is_no_report_is_refused(self, description: dict[str, Any], body: bytes) -> None:
        with pytest.raises(BadCallback):
            read(description, body)

    @pytest.mark.parametrize(
        ("description", "problem"),
        [
            ([], "Expected `object`"),
            ({**FLAT, "statuses": {"X": "gone"}}, r"Invalid enum value 'gone' - at `\$.statuses"),
            ({**FLAT, "statuses": {}}, "statuses: is empty"),
            ({**FLAT, "status": ""}, "message_id and status"),
            ({**FLAT, "state": "x"}, "unknown field `state`"),
            ({**FLAT, "signature_header": ""}, "signature_header: is no name"),
            ({**FLAT, "signature_header": "X Signature"}, "signature_header: is no name"),
        ],
    )
    def test_a_description_that_cannot_work_is_refused(self, description: Any, problem: str) -> None:
        with pytest.raises(ValueError, match=problem):
            generic.check(description)
