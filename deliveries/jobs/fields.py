"""One field of a decoded object → a checked value. Each function takes the object, the key and the path to report.

Nothing here knows a whole format; null means absent everywhere.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, Final, NoReturn
from uuid import UUID

import msgspec

from deliveries.jobs.reasons import InvalidJob
from deliveries.jobs.strict_json import kind

MAX_CODE: Final = 100
MAX_LOCALE: Final = 35  # the longest tag that RFC 5646, section 4.4.1, asks readers to take
MAX_TITLE: Final = 200
MAX_CHANNEL: Final = 32
FIRST_YEAR: Final = 1970
LAST_YEAR: Final = 2199

UUID_PATTERN: Final = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
JOB_ID_PATTERN: Final = "[0-9a-f]{8}-[0-9a-f]{4}-[0-79a-f][0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"
#: The version digit of ids that only the service makes (RFC 9562, 5.8): the rows of one fan-out are found by a range of them.
RESERVED_VERSION: Final = 8
CHANNEL_PATTERN: Final = f"[a-z0-9_-]{{1,{MAX_CHANNEL}}}"
LOCALE_PATTERN: Final = "[A-Za-z]{1,8}(?:[-_][A-Za-z0-9]{1,8})*"
#: RFC 3339 with T and Z in upper case (section 5.6 asks for it), up to nanoseconds, no leap second.
TIMESTAMP_PATTERN: Final = (
    "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-5][0-9](?:[.][0-9]{1,9})?(?:Z|[+-][0-9]{2}:[0-5][0-9])"
)

_is_channel: Final = re.compile(CHANNEL_PATTERN).fullmatch
_is_locale: Final = re.compile(LOCALE_PATTERN).fullmatch
_is_timestamp: Final = re.compile(TIMESTAMP_PATTERN).fullmatch
_is_date: Final = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}").fullmatch
_is_zoneless: Final = re.compile(
    "[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.][0-9]+)?)?"
).fullmatch

_NIL: Final = UUID(int=0)


def take_uuid(fields: dict[str, Any], key: str, path: str) -> UUID:
    """Take a required canonical lower-case UUID other than the nil UUID.

    Raises: InvalidJob.
    """
    value = fields.get(key)
    if type(value) is not str:
        _refuse_type(value, path, "a UUID as text")
    try:
        # Reads 36 characters only as 8-4-4-4-12 hex digits, and three times as fast as UUID(value) would.
        found = msgspec.convert(value, UUID) if len(value) == 36 and value == value.lower() else None
    except msgspec.ValidationError:
        found = None
    if found is None:
        raise InvalidJob("invalid_uuid", f"{_show(value)} is no canonical lower-case UUID.", path=path)
    if found == _NIL:
        raise InvalidJob("nil_uuid", "the nil UUID names nobody; send the real id.", path=path)
    return found


def take_job_id(fields: dict[str, Any], key: str, path: str) -> UUID:
    """Take a required UUID as `take_uuid` does, but none of version 8: the service makes those itself, for many people at once.

    Raises: InvalidJob.
    """
    found = take_uuid(fields, key, path)
    if found.int >> 76 & 0xF == RESERVED_VERSION:
        problem = f"{str(found)!r} is of version 8, which the service keeps for itself; use version 4 or 7."
        raise InvalidJob("reserved_uuid", problem, path=path)
    return found


def take_code(fields: dict[str, Any], key: str, path: str) -> str:
    """Take an optional code: visible text of 1 to MAX_CODE characters; "" when absent.

    Raises: InvalidJob.
    """
    value = fields.get(key)
    if value is None:
        return ""
    if type(value) is str and 0 < len(value) <= MAX_CODE and value.isprintable():
        return value
    text = _text(value, path, MAX_CODE)
    raise InvalidJob("not_printable", f"{_show(text)} holds invisible characters; remove them.", path=path)


def take_locale(fields: dict[str, Any], key: str, path: str) -> str:
    """Take an optional language tag such as `ru` or `pt-BR`; "" when absent.

    Raises: InvalidJob.
    """
    value = fields.get(key)
    if value is None:
        return ""
    text = _text(value, path, MAX_LOCALE)
    if not _is_locale(text):
        raise InvalidJob("invalid_locale", f"{_show(text)} is no language tag; write it like ru or pt-BR.", path=path)
    return text


def take_title(fields: dict[str, Any], key: str, path: str) -> str:
    """Take an optional title of up to MAX_TITLE characters; "" when absent, and "" may be sent too.

    Raises: InvalidJob.
    """
    value = fields.get(key)
    if value is None or value == "":
        return ""
    return _text(value, path, MAX_TITLE)


def take_body(fields: dict[str, Any], key: str, path: str) -> str:
    """Take a required text that is not empty; the limit on the message is its only limit of length.

    Raises: InvalidJob.
    """
    return _text(fields.get(key), path, None)


def take_object(fields: dict[str, Any], key: str, path: str) -> dict[str, Any] | None:
    """Take an optional object; None when absent.

    Raises: InvalidJob.
    """
    value = fields.get(key)
    if value is None or type(value) is dict:
        return value
    _refuse_type(value, path, "an object")


def take_timestamp(fields: dict[str, Any], key: str, path: str) -> datetime | None:
    """Take an optional RFC 3339 time as UTC, between FIRST_YEAR and LAST_YEAR; None when absent.

    Digits past microseconds are cut off.

    Raises: InvalidJob.
    """
    value = fields.get(key)
    if value is None:
        return None
    if type(value) is not str:
        _refuse_type(value, path, "a time as text, like 2025-11-14T12:00:00Z")
    if not _is_timestamp(value):
        _refuse_timestamp(value, path)
    try:
        moment = datetime.fromisoformat(value)
        if value[-1] != "Z":
            moment = moment.astimezone(UTC)
    except OverflowError:  # an offset that leads out of the years 1 to 9999
        moment = datetime.min.replace(tzinfo=UTC)
    except ValueError as error:
        raise InvalidJob("invalid_timestamp", f"{_show(value)} is no time: {error}.", path=path) from None
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        problem = f"{_show(value)} lies outside the years {FIRST_YEAR} to {LAST_YEAR}."
        raise InvalidJob("timestamp_out_of_range", problem, path=path)
    return moment


def check_channel(value: object, path: str) -> str:
    """Check that a value could be the name of a channel; whether there is such a channel is judged later.

    Raises: InvalidJob.
    """
    if type(value) is str and _is_channel(value):
        return value
    text = _text(value, path, MAX_CHANNEL)
    problem = f"{_show(text)} is no channel name (a-z, 0-9, _ and - only); use email, push, ws, sms or webhook."
    raise InvalidJob("invalid_channel", problem, path=path)


def _text(value: object, path: str, most: int | None) -> str:
    if type(value) is not str:
        _refuse_type(value, path, "text")
    if not value:
        raise InvalidJob("empty_text", "the text is empty; fill it or leave the field out.", path=path)
    if most is not None and len(value) > most:
        raise InvalidJob("too_long", f"the text has {len(value):,} characters; send at most {most}.", path=path)
    return value


def _refuse_type(value: object, path: str, wanted: str) -> NoReturn:
    if value is None:
        raise InvalidJob("missing", f"this field is required; send {wanted}.", path=path)
    raise InvalidJob("wrong_type", f"this is {kind(value)}; send {wanted}.", path=path)


def _refuse_timestamp(value: str, path: str) -> NoReturn:
    shown = _show(value)
    if not value:
        raise InvalidJob("empty_text", "the time is empty; send one, or null when it is optional.", path=path)
    if _is_date(value):
        raise InvalidJob("date_without_time", f"{shown} is only a date; add time and zone.", path=path)
    if _is_zoneless(value):
        raise InvalidJob("timestamp_without_zone", f"{shown} has no zone; add Z or an offset like +03:00.", path=path)
    raise InvalidJob("invalid_timestamp", f"{shown} is not RFC 3339; write it like 2025-11-14T12:00:00Z.", path=path)


def _show(value: str) -> str:
    """Quote a text in one short line for a person."""
    return ascii(value if len(value) <= 60 else value[:60] + "...")
