"""The bytes of a mail, judged by the standard library's parser, and the addresses that we send to."""

from __future__ import annotations

import email
import email.policy
import uuid
from email.message import EmailMessage
from typing import cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from deliveries.senders.base import Content, SendError
from deliveries.senders.mime import MAX_MAIL_BYTES, MailWriter, envelope_address

FROM = "News <news@example.org>"
DOMAIN = "mail.example.org"
GOOD = "ana@example.org"
WRITER = MailWriter(from_address=FROM, message_id_domain=DOMAIN)

texts = st.text(st.characters(exclude_categories=["Cs"]))
one_line = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"))


def write(content: Content, **headers: str) -> bytes:
    return WRITER.write(job_id=uuid.uuid4(), to=GOOD, content=content, headers=headers)


def parse(mail: bytes) -> EmailMessage:
    parsed = email.message_from_bytes(mail, policy=email.policy.default)
    assert not any(part.defects for part in parsed.walk())
    return parsed


def body(parsed: EmailMessage, subtype: str) -> str:
    part = parsed.get_body((subtype,))
    assert part is not None
    return cast(bytes, part.get_payload(decode=True)).decode()


def with_crlf(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")


class TestMail:
    @given(subject=one_line, text=texts.filter(bool), html=texts.filter(bool))
    @example(subject="Grüße", text=".\r\n..\r\nFrom me", html="<p>=_x</p>")
    @example(subject=" =?utf-8?q?no?= ", text="x" * 5000, html="ü" + "x" * 5000 + " ")
    @example(subject="\x1c\x85\u2028 a", text="Привет\n" * 40, html="\t \n.")
    def test_any_text_comes_back_exactly(self, subject: str, text: str, html: str) -> None:
        parsed = parse(write(Content(subject=subject, text=text, html=html)))

        assert parsed["Subject"] == subject
        assert parsed.get_content_type() == "multipart/alternative"
        assert body(parsed, "plain") == with_crlf(text)
        assert body(parsed, "html") == with_crlf(html)

    @given(text=texts, subtype=st.sampled_from(["plain", "html"]))
    def test_a_single_body_comes_back_with_a_last_line_break_at_most(self, text: str, subtype: str) -> None:
        content = Content(text=text) if subtype == "plain" or not text else Content(html=text)

        got = parse(write(content)).get_payload(decode=True)

        assert cast(bytes, got).decode() in (with_crlf(text), with_crlf(text) + "\r\n")

    @given(subject=one_line, text=texts, html=texts)
    def test_every_line_is_ended_by_crlf_and_short_enough(self, subject: str, text: str, html: str) -> None:
        mail = write(Content(subject=subject, text=text, html=html))

        assert mail.endswith(b"\r\n")
        lines = mail.split(b"\r\n")
        assert not any(b"\r" in line or b"\n" in line or len(line) > 998 for line in lines)
        assert mail.isascii()

    def test_headers_are_those_of_the_sender_and_the_job(self) -> None:
        job_id = uuid.uuid4()

        mail = WRITER.write(job_id=job_id, to=GOOD, content=Content(subject="Hi", text="x"), headers={})

        parsed = parse(mail)
        assert parsed["Message-ID"] == f"<{job_id}@{DOMAIN}>"
        assert parsed["From"] == FROM
        assert parsed["To"] == GOOD
        assert parsed["Date"].datetime.tzinfo is not None
        assert parsed["MIME-Version"] == "1.0"

    def test_an_international_sender_name_and_domain_are_encoded(self) -> None:
        writer = MailWriter(from_address="Bücher <post@bücher.example>", message_id_domain=DOMAIN)

        parsed = parse(writer.write(job_id=uuid.uuid4(), to=GOOD, content=Content(text="x"), headers={}))

        (address,) = parsed["From"].addresses
        assert (address.display_name, address.addr_spec) == ("Bücher", "post@xn--bcher-kva.example")

    def test_allowed_headers_are_set_by_their_proper_names(self) -> None:
        parsed = parse(write(Content(text="x"), **{"list-unsubscribe": "<https://example.org/u/x>"}))

        assert parsed["List-Unsubscribe"] == "<https://example.org/u/x>"

    def test_content_says_whom_it_is_from_and_who_is_answered(self) -> None:
        content = Content(
            text="x", from_address="Müllers Läden <shop@bücher.example>", reply_to='"Desk, Ana" <help@example.org>'
        )

        mail = write(content)
        parsed = parse(mail)

        assert mail.isascii()
        for header, name, address in (
            ("From", "Müllers Läden", "shop@xn--bcher-kva.example"),
            ("Reply-To", "Desk, Ana", "help@example.org"),
        ):
            (one,) = parsed[header].addresses
            assert (one.display_name, one.addr_spec) == (name, address)
        assert len(parsed.get_all("From") or []) == len(parsed.get_all("Reply-To") or []) == 1
        assert WRITER.from_address == "news@example.org", "the envelope stays the login's"

    @given(name=st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"])))
    @example(name='Ana "the \\ great" <x>')
    @example(name="=?utf-8?q?no?=")
    def test_any_name_of_an_author_is_one_header_that_names_nobody_else(self, name: str) -> None:
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')

        parsed = parse(write(Content(text="x", from_address=f'"{quoted}" <shop@example.org>')))

        assert [one.addr_spec for one in parsed["From"].addresses] == ["shop@example.org"]

    @pytest.mark.parametrize("field", ["from_address", "reply_to"])
    @pytest.mark.parametrize(
        ("text", "code"),
        [
            ("Shop", "bad_from"),
            ("a@example.org, b@example.org", "bad_from"),
            ("Shop <@example.org>", "bad_from"),
            ("Shop <a@example.org>\r\nBcc: all@example.org", "header_injection"),
            ("a@example.org\n", "header_injection"),
            ("\0@example.org", "header_injection"),
        ],
    )
    def test_an_author_that_cannot_be_is_refused(self, field: str, text: str, code: str) -> None:
        with pytest.raises(SendError) as caught:
            write(Content(text="x", **{field: text}))

        assert (caught.value.code, caught.value.permanent) == (code, True)

    @pytest.mark.parametrize(
        ("content", "headers"),
        [
            (Content(subject="Hi\r\nBcc: all@example.org"), {}),
            (Content(subject="Hi\nthere"), {}),
            (Content(), {"X-Entity-Ref-ID": "1\r\nBcc: all@example.org"}),
            (Content(), {"Reply-To": "a@example.org"}),
            (Content(), {"Bcc": "all@example.org"}),
            (Content(), {"List-Unsubscribe\r\nBcc": "x"}),
        ],
    )
    def test_header_injection_is_refused(self, content: Content, headers: dict[str, str]) -> None:
        with pytest.raises(SendError) as caught:
            write(content, **headers)

        assert (caught.value.code, caught.value.permanent) == ("header_injection", True)

    def test_a_mail_above_the_limit_is_refused(self) -> None:
        with pytest.raises(SendError) as caught:
            write(Content(text="x\n" * (MAX_MAIL_BYTES // 2)))

        assert (caught.value.code, caught.value.permanent) == ("too_large", True)

    def test_a_lone_surrogate_is_refused(self) -> None:
        with pytest.raises(SendError) as caught:
            write(Content(subject="\ud800"))

        assert (caught.value.code, caught.value.permanent) == ("bad_text", True)


class TestAddress:
    @pytest.mark.parametrize("address", [GOOD, "a.b+c@localhost", "x@[127.0.0.1]", "foo..bar.@docomo.example"])
    def test_good_ones_stay_as_they_are(self, address: str) -> None:
        assert envelope_address(address) == address

    @pytest.mark.parametrize(
        "address",
        [
            *("", "ana", "@example.org", "ana@", "an a@example.org", "ana@exa mple.org", "ana@-x.org"),
            *("ünä@example.org", "ana@example..org", "<ana@example.org>", "a,b@example.org"),
            *("a" * 65 + "@example.org", "ana@" + "ü" * 64),
        ],
    )
    def test_bad_ones_are_permanent(self, address: str) -> None:
        with pytest.raises(SendError) as caught:
            envelope_address(address)

        assert (caught.value.code, caught.value.permanent) == ("bad_address", True)

    @pytest.mark.parametrize("address", ["ana@example.org\r\nRCPT TO:<b@example.org>", "a\n@example.org"])
    def test_line_breaks_are_injection(self, address: str) -> None:
        with pytest.raises(SendError) as caught:
            envelope_address(address)

        assert (caught.value.code, caught.value.permanent) == ("header_injection", True)
