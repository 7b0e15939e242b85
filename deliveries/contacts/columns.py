"""Columns of a file → fields of a contact: what each column is taken for, guessed from its name, and how a row is read and judged.

Pure: no ORM, no settings. A row comes out as a person, or with everything that is wrong with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from math import isfinite
from typing import Any, Final, NamedTuple
from uuid import UUID
from zoneinfo import available_timezones

from django.core.exceptions import ValidationError
from django.core.validators import EmailValidator

from deliveries.jobs import fields
from deliveries.phones import BadPhoneNumber, e164

MAX_NAME: Final = 200
MAX_EMAIL: Final = 320
MAX_TEXT: Final = 1000
MAX_KEY: Final = 100
LARGEST: Final = 2**63
FIELDS: Final = {
    "user_id": "User id",
    "email": "E-mail",
    "name": "Name",
    "phone": "Phone",
    "locale": "Language",
    "time_zone": "Time zone",
}
KINDS: Final = {"text": "text", "number": "number", "boolean": "yes or no", "list": "list, divided by |"}
#: How files call the fields, beside their own names.
_CALLED: Final = {
    "id": "user_id", "uuid": "user_id", "userid": "user_id", "user": "user_id", "customer_id": "user_id",
    "mail": "email", "e_mail": "email", "email_address": "email", "e_mail_address": "email",
    "full_name": "name", "display_name": "name",
    "mobile": "phone", "telephone": "phone", "tel": "phone", "phone_number": "phone", "mobile_phone": "phone",
    "language": "locale", "lang": "locale",
    "timezone": "time_zone", "tz": "time_zone",
}  # fmt: skip
_TRUE, _FALSE = frozenset({"true", "yes", "y", "1"}), frozenset({"false", "no", "n", "0"})
_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,15})?")
_LOCALE: Final = re.compile(fields.LOCALE_PATTERN)
#: What `csv_lines` leaves in place of bytes that are no UTF-8.
_NOT_UTF8: Final = re.compile("[\udc80-\udcff]")
_is_email: Final = EmailValidator()


class CellProblem(Exception):
    """A cell does not do. The message says what is wrong and what to do."""


class RowProblem(NamedTuple):
    """What is wrong with a row, and in which column; "" for the whole row."""

    line: int
    column: str
    message: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """What a column is taken for: a field, or an attribute of a kind. `field` empty: the column is left out."""

    field: str = ""
    key: str = ""
    kind: str = "text"

    def __str__(self) -> str:
        return f"attributes:{self.kind}:{self.key}" if self.key else self.field

    @classmethod
    def of(cls, text: str) -> Target:
        """Read what `str` of a target says. Raises: ValueError."""
        if text == "" or text in FIELDS:
            return cls(text)
        prefix, _, rest = text.partition(":")
        kind, _, key = rest.partition(":")
        if prefix != "attributes" or kind not in KINDS or not _is_key(key):
            raise ValueError(text)
        return cls("attributes", key, kind)


def targets_guess(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[Target]:
    """Guess what the columns are, from their names, and of attributes which kind, from some rows. Each field is guessed once."""
    found: list[Target] = []
    samples = list(rows)
    for index, name in enumerate(header):
        called = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
        field = _CALLED.get(called, called)
        if field in FIELDS:
            found.append(Target("" if any(one.field == field for one in found) else field))
            continue
        key = re.sub(r"^attributes[.:]", "", name)
        values = [row[index].strip() for row in samples if index < len(row) and row[index].strip()]
        is_free = _is_key(key) and all(one.key != key for one in found)
        found.append(Target("attributes", key, _kind_of(values)) if is_free else Target())
    return found


def targets_problem(targets: Sequence[Target]) -> str:
    """Return what is wrong with a choice of columns, "" for nothing."""
    if not any(target.field == "user_id" for target in targets):
        return "No column is the user id. Choose which one is: it is what your own systems know a person by."
    chosen = [str(target) if not target.key else target.key for target in targets if target.field]
    twice = next((name for name in chosen if chosen.count(name) > 1), "")
    return f"Two columns are taken for {FIELDS.get(twice, twice)}. Leave one of them out." if twice else ""


def row_read(
    cells: Sequence[str], *, line: int, header: Sequence[str], targets: Sequence[Target]
) -> tuple[dict[str, Any], list[RowProblem]]:
    """Return a person, of whom only what is filled in is there, and everything that is wrong with the row."""
    person: dict[str, Any] = {"attributes": {}}
    problems = []
    if len(cells) > len(header) and any(cell.strip() for cell in cells[len(header) :]):
        message = f"The row has {len(cells)} cells and the header {len(header)}. Put what holds the delimiter in quotation marks."
        return person, [RowProblem(line, "", message)]
    for cell, name, target in zip(cells, header, targets, strict=False):
        text = cell.strip()
        if not target.field or not text:
            continue
        try:
            value = (_ATTRIBUTE[target.kind] if target.key else _FIELD[target.field])(_clean(text))
        except CellProblem as problem:
            problems.append(RowProblem(line, name, str(problem), text))
            continue
        if target.key:
            person["attributes"][target.key] = value
        else:
            person[target.field] = value
    if "user_id" not in person and not any(problem.column == _id_column(header, targets) for problem in problems):
        problems.append(RowProblem(line, _id_column(header, targets), "There is no user id. Fill it in."))
    return person, problems


def _id_column(header: Sequence[str], targets: Sequence[Target]) -> str:
    return next(name for name, target in zip(header, targets, strict=False) if target.field == "user_id")


def _is_key(key: str) -> bool:
    return 1 <= len(key) <= MAX_KEY and key.isprintable()


def _kind_of(values: Sequence[str]) -> str:
    """Guess what nine of ten values are; the tenth is then told as a mistake."""
    enough = 0.9 * len(values)
    if values and sum(_NUMBER.fullmatch(value) is not None for value in values) >= enough:
        return "number"
    return "boolean" if values and sum(value.lower() in _TRUE | _FALSE for value in values) >= enough else "text"


def _clean(text: str) -> str:
    if text.isascii() and "\0" not in text:
        return text
    if "\0" in text:
        raise CellProblem("It has a NUL character. Take it out.")
    if _NOT_UTF8.search(text):
        raise CellProblem("It has bytes that are not UTF-8. Save the file as “CSV UTF-8”.")
    return text


def _user_id(text: str) -> UUID:
    try:
        user_id = UUID(text)
    except ValueError:
        raise CellProblem("This is no UUID. Write it like 11111111-1111-4111-8111-111111111111.") from None
    if user_id.int == 0:
        raise CellProblem("The nil UUID names nobody. Fill in the person's own id.")
    return user_id


def _name(text: str) -> str:
    if not text.isprintable():
        raise CellProblem("It has a line break or another character that cannot be seen. Take it out.")
    return _at_most(text, MAX_NAME)


def _email(text: str) -> str:
    try:
        _is_email(text)
    except ValidationError:
        raise CellProblem("This is no e-mail address. Write it like ana@example.com.") from None
    return _at_most(text, MAX_EMAIL)


def _phone(text: str) -> str:
    try:
        return e164(text)
    except BadPhoneNumber as error:
        raise CellProblem(str(error)) from None


def _locale(text: str) -> str:
    if len(text) > fields.MAX_LOCALE or not _LOCALE.fullmatch(text):
        raise CellProblem("This is no language tag. Write it like ru or pt-BR.")
    return text


@cache
def _time_zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _time_zone(text: str) -> str:
    if text not in _time_zones():
        raise CellProblem("There is no such time zone. Write it like Europe/Berlin.")
    return text


def _at_most(text: str, most: int) -> str:
    if len(text) > most:
        raise CellProblem(f"It has {len(text):,} characters, and {most:,} are allowed. Shorten it.")
    return text


def _number(text: str) -> int | float:
    if not _NUMBER.fullmatch(text):
        raise CellProblem("This is no number. Write it like 12 or 0.5, or take the column for text.")
    number = float(text) if "." in text else int(text)
    if not isfinite(number) or abs(number) >= LARGEST:
        raise CellProblem("This number is too large. Take the column for text.")
    return number


def _boolean(text: str) -> bool:
    if text.lower() not in _TRUE | _FALSE:
        raise CellProblem("This is neither yes nor no. Write yes or no, or take the column for text.")
    return text.lower() in _TRUE


def _list(text: str) -> list[str]:
    return [entry.strip() for entry in _at_most(text, MAX_TEXT).split("|") if entry.strip()]


_FIELD: Final[dict[str, Callable[[str], Any]]] = {
    "user_id": _user_id,
    "email": _email,
    "name": _name,
    "phone": _phone,
    "locale": _locale,
    "time_zone": _time_zone,
}
_ATTRIBUTE: Final[dict[str, Callable[[str], Any]]] = {
    "text": lambda text: _at_most(text, MAX_TEXT),
    "number": _number,
    "boolean": _boolean,
    "list": _list,
}
