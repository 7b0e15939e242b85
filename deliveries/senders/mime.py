"""The bytes of a mail: headers, parts and encodings (RFC 5322, 2045 to 2047). Pure: no network, no settings.

`email.message.EmailMessage` costs 2.3 ms a mail; what our mails need of it is little enough to be written here and
held to the standard library's parser by a test. Lines end in CRLF; dot-stuffing is SMTP's and happens there.
"""

from __future__ import annotations

import binascii
import re
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime, getaddresses
from functools import lru_cache
from uuid import UUID

from deliveries.senders.base import Content, SendError

MAX_MAIL_BYTES = 1024 * 1024
MAX_LINE_BYTES = 998
"""RFC 5322, 2.1.1, without the CRLF."""

ALLOWED_HEADERS = {
    name.lower(): name
    for name in (
        "Auto-Submitted",
        "List-Unsubscribe",
        "List-Unsubscribe-Post",
        "Precedence",
        "X-Entity-Ref-ID",
    )
}
"""What a job or template may set beside the headers made here. Anything else is refused as header injection."""

_LINE_BREAK_OR_NUL = re.compile(r"[\r\n\0]")
_PLAIN_HEADER = re.compile(r"[!-~](?:[ -~]{0,900}[!-~])?")
_7BIT = b"\t\n" + bytes(range(0x20, 0x7F))
_LOCAL_PART = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}")
_DOMAIN = re.compile(
    r"(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
)
_DOMAIN_LITERAL = re.compile(r"\[[0-9A-Za-z.:]{2,80}\]")
_BOUNDARY_MARK = b"=_"
"""Starts every boundary. It can't occur in quoted-printable or base64, and 7bit text that has it is encoded."""


def envelope_address(address: str) -> str:
    """Check one address and return it as SMTP wants it: an international domain becomes punycode.

    Raises: SendError `header_injection` for line breaks, `bad_address` for what no server can be asked about: no `@`,
    spaces, a local part beyond ASCII (we do not speak SMTPUTF8) or a quoted one, a malformed domain. Both permanent.
    """
    if _LINE_BREAK_OR_NUL.search(address):
        raise SendError("header_injection", f"The address {address!r} contains a line break.", permanent=True)
    local, at, domain = address.rpartition("@")
    if not domain.isascii():
        try:
            domain = domain.encode("idna").decode("ascii")
        except UnicodeError:
            domain = ""
    known = _DOMAIN.fullmatch(domain) or _DOMAIN_LITERAL.fullmatch(domain)
    if not at or not known or not _LOCAL_PART.fullmatch(local) or len(local) + len(domain) > 253:
        raise SendError(
            "bad_address", f"{address!r} is not an e-mail address we can send to; correct the contact.", permanent=True
        )
    return f"{local}@{domain}"


def named(text: str) -> tuple[str, str]:
    """Split `Name <address>` or a bare address into name and address. Raises: SendError, as `envelope_address`."""
    if _LINE_BREAK_OR_NUL.search(text):
        raise SendError("header_injection", f"The address {text!r} contains a line break.", permanent=True)
    found = getaddresses([text])
    name, address = found[0] if len(found) == 1 else ("", text)
    return name, envelope_address(address)


def mailbox(text: str) -> tuple[str, str]:
    """Return the header's value and the envelope's address of `Name <address>` or a bare address. Raises: SendError, as `named`."""
    name, address = named(text)
    if not name:
        return address, address
    if _PLAIN_HEADER.fullmatch(name):
        return f"{_quoted(name)} <{address}>", address
    return f"{_encoded_words(name)} <{address}>", address


def author(text: str, header: str) -> str:
    """Return whom a mail is from, or who is answered, as APIs take it: the name unencoded. Raises: SendError, as `_author`."""
    name, address = _author(named, text, header)
    return f"{_quoted(name)} <{address}>" if name else address


def checked_headers(content: Content, headers: Mapping[str, str]) -> dict[str, str]:
    """Return what a mail sets beside its own headers, unencoded. Raises: SendError `header_injection`, `bad_text`, for subject too."""
    for name, value in (("Subject", content.subject), *headers.items()):
        _refuse_line_breaks(name, value)
    for text in (content.subject, content.text, content.html):
        _utf8(text)
    return {_allowed_name(name): value for name, value in headers.items()}


def _quoted(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _author(parse: Callable[[str], tuple[str, str]], text: str, header: str) -> tuple[str, str]:
    """Parse From or Reply-To. Raises: SendError, permanent: `header_injection`, `bad_from`."""
    try:
        return parse(text)
    except SendError as error:
        if error.code != "bad_address":
            raise
        what = f"{text!r} cannot be the {header} of a mail. Correct it in the template, or on the tenant."
        raise SendError("bad_from", what, permanent=True) from None


@lru_cache(maxsize=256)
def _author_line(text: str, header: str) -> str:
    return f"{header}: {_author(mailbox, text, header)[0]}\r\n"


class MailWriter:
    """Writes the mails of one sender address. Content may name another From; `from_address` stays the envelope's.

    The envelope's sender is what the login of the server may use, what SPF is checked for, and where bounces come back; a From of a
    tenant or a template changes none of that, so it is aligned by DKIM.

    Raises on construction: SendError when `from_address` or `message_id_domain` could not stand in a header.
    """

    def __init__(self, *, from_address: str, message_id_domain: str) -> None:
        from_header, self.from_address = mailbox(from_address)
        self.domain = envelope_address(f"x@{message_id_domain}").partition("@")[2]
        self._from_line = f"From: {from_header}\r\n"

    def message_id(self, job_id: UUID) -> str:
        """Name the mail of a job: the same for every attempt, so that receivers can tell copies."""
        return f"<{job_id}@{self.domain}>"

    def write(self, *, job_id: UUID, to: str, content: Content, headers: Mapping[str, str]) -> bytes:
        """Return the mail to `to` (an address that `envelope_address` returned).

        Raises: SendError, permanent: `header_injection`, `bad_from` (From, Reply-To), `bad_text`, `too_large`.
        """
        head = (
            f"Date: {_date(int(time.time()))}\r\n"
            f"Message-ID: {self.message_id(job_id)}\r\n"
            f"{_author_line(content.from_address, 'From') if content.from_address else self._from_line}"
            f"To: {to}\r\n"
            f"{_header_line('Subject', content.subject)}"
            f"{_author_line(content.reply_to, 'Reply-To') if content.reply_to else ''}"
            f"{''.join(_extra_lines(headers)) if headers else ''}"
            "MIME-Version: 1.0\r\n"
        )
        if content.html and content.text:
            boundary = _BOUNDARY_MARK + job_id.hex.encode()
            mail = b"".join((
                head.encode("ascii"),
                b'Content-Type: multipart/alternative; boundary="', boundary, b'"\r\n\r\n--', boundary, b"\r\n",
                _part("plain", content.text), b"\r\n--", boundary, b"\r\n",
                _part("html", content.html), b"\r\n--", boundary, b"--\r\n",
            ))  # fmt: skip
        else:
            part = _part("html", content.html) if content.html else _part("plain", content.text)
            mail = b"".join((head.encode("ascii"), part, b"" if part.endswith(b"\r\n") else b"\r\n"))
        if len(mail) > MAX_MAIL_BYTES:
            raise SendError(
                "too_large",
                f"The mail has {len(mail)} bytes and the limit is {MAX_MAIL_BYTES}; shorten the template or its data.",
                permanent=True,
            )
        return mail


@lru_cache(maxsize=4)
def _date(second: int) -> str:
    return format_datetime(datetime.fromtimestamp(second, UTC))


def _extra_lines(headers: Mapping[str, str]) -> Iterator[str]:
    for given, value in headers.items():
        yield _header_line(_allowed_name(given), value)


def _allowed_name(given: str) -> str:
    name = ALLOWED_HEADERS.get(given.lower())
    if name is None:
        allowed = ", ".join(ALLOWED_HEADERS.values())
        raise SendError("header_injection", f"The header {given!r} may not be set; {allowed} may.", permanent=True)
    return name


def _header_line(name: str, value: str) -> str:
    _refuse_line_breaks(name, value)
    if not value or (_PLAIN_HEADER.fullmatch(value) and "=?" not in value):
        return f"{name}: {value}\r\n"
    return f"{name}: {_encoded_words(value)}\r\n"


def _refuse_line_breaks(name: str, value: str) -> None:
    if _LINE_BREAK_OR_NUL.search(value):
        raise SendError("header_injection", f"The value of {name} contains a line break.", permanent=True)


def _encoded_words(text: str) -> str:
    """Encode as RFC 2047 words of at most 75 characters, none of which cuts a character in two."""
    raw = _utf8(text)
    words: list[str] = []
    start = 0
    while start < len(raw):
        end = min(start + 45, len(raw))  # 45 bytes are 60 of base64; the frame takes 12
        while end < len(raw) and raw[end] & 0xC0 == 0x80:
            end -= 1
        words.append(f"=?utf-8?b?{binascii.b2a_base64(raw[start:end], newline=False).decode()}?=")
        start = end
    return "\r\n ".join(words)


def _part(subtype: str, text: str) -> bytes:
    """One part with its own header: 7bit where the text allows it, otherwise the shorter of the two encodings."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    raw = _utf8(text)
    if not raw.translate(None, _7BIT) and _BOUNDARY_MARK not in raw and _longest_line(raw) <= MAX_LINE_BYTES:
        encoding = b"7bit"
        body = raw.replace(b"\n", b"\r\n")
    elif (len(raw) - len(text)) * 12 <= len(raw):  # mostly ASCII: a byte beyond it takes three, base64 4/3 of all
        encoding = b"quoted-printable"
        body = binascii.b2a_qp(raw).replace(b"\n", b"\r\n")
    else:
        encoding = b"base64"
        raw = raw.replace(b"\n", b"\r\n")
        body = b"\r\n".join(binascii.b2a_base64(raw[at : at + 57], newline=False) for at in range(0, len(raw), 57))
    return b"".join((
        b"Content-Type: text/", subtype.encode(), b'; charset="utf-8"\r\nContent-Transfer-Encoding: ', encoding,
        b"\r\n\r\n", body,
    ))  # fmt: skip


def _longest_line(raw: bytes) -> int:
    return max(map(len, raw.split(b"\n"))) if len(raw) > MAX_LINE_BYTES else len(raw)


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise SendError(
            "bad_text", f"The text has a lone surrogate at {error.start}; correct the template's data.", permanent=True
        ) from error
