"""The values that rules compare with: JSON → what the database is given, or a sentence that says what is wrong. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from math import isfinite
from typing import Any, Final, TypeVar

from broadcasts.rule_parts import Wants
from deliveries.jobs import InvalidJob, fields

MAX_TEXT: Final = 500
MAX_ENTRIES: Final = 1000
MAX_DAYS: Final = 36_500
MAX_NUMBER: Final = 10**30
FIRST_YEAR, LAST_YEAR = 1000, 9000
When = TypeVar("When", date, datetime)
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class ValueProblem(Exception):
    """A value does not do. `at`: where in the value, `[3]` for the fourth of a list."""

    def __init__(self, message: str, at: str = "") -> None:
        super().__init__(message)
        self.at = at


def value_take(wants: Wants, value: Any) -> Any:
    """Return what the database is given for a value. Raises: ValueProblem."""
    return _TAKE[wants](value)


def texts_take(value: Any, one: Callable[[Any], Any], most: int = MAX_ENTRIES) -> list[Any]:
    """Return a list of values, each taken by `one`. Raises: ValueProblem."""
    if not isinstance(value, list) or not value:
        raise ValueProblem("Give a list of at least one value.")
    if len(value) > most:
        raise ValueProblem(f"There are {len(value):,} values, and {most:,} are allowed. Use a list audience for more.")
    taken = []
    for index, entry in enumerate(value):
        try:
            taken.append(one(entry))
        except ValueProblem as problem:
            raise ValueProblem(str(problem), f"[{index}]{problem.at}") from None
    return taken


def id_take(value: Any) -> Any:
    """Return a user_id. Raises: ValueProblem."""
    return _by_job_rule(fields.take_uuid, value)


def text_problem(text: str) -> str:
    """Return what keeps a text out of the database, "" for nothing: a NUL or half of a surrogate pair."""
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        return "It has a character that no text can have (NUL or half a surrogate pair). Take it out."
    return ""


def _nothing(value: Any) -> None:
    if value is not None:
        raise ValueProblem("This operator compares with nothing. Leave `value` out.")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueProblem(f"{_kind(value)} where a text is wanted. Put it in quotation marks.")
    if not value:
        raise ValueProblem("The text is empty. Write what to look for, or use is_empty.")
    if len(value) > MAX_TEXT:
        raise ValueProblem(f"The text has {len(value):,} characters, and {MAX_TEXT} are allowed. Shorten it.")
    if problem := text_problem(value):
        raise ValueProblem(problem)
    return value


def _number(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueProblem(
            f"{_kind(value)} where a number is wanted. Write it like 12 or 0.5, without quotation marks."
        )
    if not isfinite(value) or abs(value) > MAX_NUMBER:
        raise ValueProblem("This number is too large. Give one of at most 30 digits.")
    return Decimal(repr(value))


def _numbers(value: Any) -> list[Decimal]:
    if not isinstance(value, list) or len(value) != 2:
        raise ValueProblem("Give two numbers, the smallest and the largest, like [10, 20].")
    low, high = texts_take(value, _number)
    if low > high:
        raise ValueProblem("The first number is above the second, so nobody could match. Change their order.")
    return [low, high]


def _day(value: Any) -> date:
    if not isinstance(value, str) or not _DAY.fullmatch(value):
        raise ValueProblem("Give a day like 2026-01-31.")
    try:
        day = date.fromisoformat(value)
    except ValueError:
        raise ValueProblem(f"There is no day {value}. Give one like 2026-01-31.") from None
    return _in_years(day)


def _moment(value: Any) -> date | datetime:
    if isinstance(value, str) and len(value) > 10:
        moment: datetime = _by_job_rule(fields.take_timestamp, value)
        return _in_years(moment)
    try:
        return _day(value)
    except ValueProblem as problem:
        raise ValueProblem(f"{str(problem).removesuffix('.')}, or a time like 2026-01-31T12:00:00Z.") from None


def _in_years(moment: When) -> When:
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise ValueProblem(f"This lies outside the years {FIRST_YEAR} to {LAST_YEAR}. Correct the year.")
    return moment


def _days(value: Any) -> int:
    if type(value) is not int or not 1 <= value <= MAX_DAYS:
        raise ValueProblem(f"Give a whole number of days from 1 to {MAX_DAYS:,}.")
    return value


def _entry(value: Any) -> str | int | float | bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        _number(value)
        return value
    if isinstance(value, str):
        return _text(value)
    raise ValueProblem(f"{_kind(value)} where one entry of a list is wanted. Give a text, a number, true or false.")


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueProblem(
            f"{_kind(value)} where true or false is wanted. Write true or false without quotation marks."
        )
    return value


def _by_job_rule(take: Callable[[dict[str, Any], str, str], Any], value: Any) -> Any:
    try:
        taken = take({"value": value}, "value", "")
    except InvalidJob as invalid:
        raise ValueProblem(invalid.problem[:1].upper() + invalid.problem[1:]) from None
    if taken is None:
        raise ValueProblem("Nothing where a value is wanted. Give one.")
    return taken


def _kind(value: Any) -> str:
    kinds = {
        bool: "True or false",
        int: "A number",
        float: "A number",
        str: "A text",
        list: "A list",
        dict: "An object",
    }
    return "Nothing" if value is None else kinds.get(type(value), "Something else")


_TAKE: Final[dict[Wants, Callable[[Any], Any]]] = {
    Wants.NOTHING: _nothing,
    Wants.TEXT: _text,
    Wants.TEXTS: lambda value: texts_take(value, _text),
    Wants.NUMBER: _number,
    Wants.NUMBERS: _numbers,
    Wants.MOMENT: _moment,
    Wants.DAY: _day,
    Wants.DAYS: _days,
    Wants.ENTRY: _entry,
    Wants.ENTRIES: lambda value: texts_take(value, _entry),
    Wants.BOOLEAN: _boolean,
}
