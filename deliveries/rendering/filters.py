"""The filters of the template language: plain values in, plain values out, and every one pays for what it reads and
makes.

The engine's own filters are written for trusted authors: chained or in a loop, they turn a kilobyte into gigabytes
within a few steps of fuel. So each filter that copies is here, with its types checked and its work taken from a
Purse. Nothing here knows templates.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

MAX_WORK = 1024 * 1024
SCALARS = (str, int, float)
SAFE_LINKS = ("https://", "http://", "mailto:", "tel:", "/", "#")


class FilterError(Exception):
    """A filter was given something that it cannot work on. The message is for the author."""


class SpentError(Exception):
    """A template made more than one rendering may."""


class Purse:
    """What one rendering may still copy, in characters or list items. Not thread-safe: the engine's lock guards it."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = MAX_WORK

    def refill(self) -> None:
        """Start a new rendering."""
        self.left = MAX_WORK

    def pay(self, amount: int) -> None:
        """Take `amount`. Raises: SpentError."""
        self.left -= amount
        if self.left < 0:
            raise SpentError


def text_of(value: Any, name: str) -> str:
    """Return the words of a string or a number, or say that the filter does not take it. Raises: FilterError."""
    if isinstance(value, SCALARS) and not isinstance(value, bool):
        return str(value)
    raise FilterError(f"The filter {name} takes text or a number, not {kind_of(value)}.")


def list_of(value: Any, name: str) -> list[Any]:
    """Return a list's items. Raises: FilterError."""
    if isinstance(value, list | tuple):
        return list(value)
    raise FilterError(f"The filter {name} takes a list, not {kind_of(value)}.")


def kind_of(value: Any) -> str:
    """Name the kind of a value in the words of an author."""
    if value is None:
        return "an empty value"
    names = {bool: "true or false", str: "text", int: "a number", float: "a number", list: "a list", dict: "a group"}
    return names.get(type(value), "this kind of value")


def _truncate(value: str, length: int = 80, end: str = "…") -> str:
    return value if len(value) <= length else value[: max(length, 0)].rstrip() + end


def _money(value: Any, digits: int = 2) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise FilterError(f"The filter money takes a number, not {kind_of(value)}.")
    return f"{value:,.{min(max(digits, 0), 8)}f}"


def _items(value: Any) -> list[list[Any]]:
    if isinstance(value, dict):
        return [[key, item] for key, item in value.items()]
    raise FilterError(f"The filter items takes a group of fields, not {kind_of(value)}.")


def _sort(values: list[Any], attribute: str | None = None, reverse: bool = False) -> list[Any]:
    try:
        return sorted(values, key=lambda item: item[attribute] if attribute else item, reverse=bool(reverse))
    except (TypeError, LookupError):
        raise FilterError("The filter sort takes a list whose items can be compared with each other.") from None


def _unique(values: list[Any]) -> list[Any]:
    try:
        return list(dict.fromkeys(values))
    except TypeError:
        raise FilterError("The filter unique takes a list of texts or numbers.") from None


def _sum(values: list[Any], attribute: str | None = None) -> float:
    try:
        numbers = [item[attribute] if attribute else item for item in values]
    except (TypeError, LookupError):
        raise FilterError(f"The filter sum found an item without the field {attribute}.") from None
    if not all(isinstance(number, int | float) for number in numbers):
        raise FilterError("The filter sum takes a list of numbers.")
    return float(sum(numbers)) if any(isinstance(number, float) for number in numbers) else int(sum(numbers))


def is_safe_link(value: str) -> bool:
    """Say whether a browser that follows it runs no code. Empty is."""
    return not value or value.startswith(SAFE_LINKS)


def _url(value: str) -> str:
    if is_safe_link(value):
        return value
    raise FilterError("A link must start with https://, http://, mailto:, tel:, / or #.")


def _url_part(value: str) -> str:
    if ":" in re.split("[/?#]", value, maxsplit=1)[0]:
        raise FilterError("A part of a link cannot hold : before its first /, ? or #.")
    return value


TEXT: dict[str, Callable[..., Any]] = {
    "upper": str.upper,
    "lower": str.lower,
    "title": str.title,
    "capitalize": str.capitalize,
    "trim": str.strip,
    "truncate": _truncate,
    "urlencode": lambda value: quote(value, safe=""),
    "url": _url,
    "url_part": _url_part,
}
LISTS: dict[str, Callable[..., Any]] = {
    "sort": _sort,
    "unique": _unique,
    "reverse": lambda values: values[::-1],
    "sum": _sum,
}
NATIVE = frozenset({"default", "d", "length", "count", "first", "last", "abs", "round", "int", "float"})
NAMES = NATIVE | TEXT.keys() | LISTS.keys() | {"items", "join", "replace", "split", "money"}


def filters_for(purse: Purse) -> dict[str, Callable[..., Any]]:
    """Return the filters that replace the engine's own, each paying from `purse`."""

    def on_text(name: str, work: Callable[..., Any], value: Any, *args: Any, **options: Any) -> Any:
        text = text_of(value, name)
        purse.pay(len(text))
        made = _called(name, work, text, *args, **options)
        purse.pay(len(made))
        return made

    def on_list(name: str, work: Callable[..., Any], value: Any, *args: Any, **options: Any) -> Any:
        values = list_of(value, name)
        purse.pay(len(values))
        return _called(name, work, values, *args, **options)

    def join(value: Any, separator: str = "") -> str:
        words = [text_of(item, "join") for item in list_of(value, "join")]
        # Paid before it is made: the separator comes from the data as well.
        purse.pay(sum(map(len, words)) + len(words) * (1 + len(text_of(separator, "join"))))
        return str(separator).join(words)

    def replace(value: Any, old: str, new: str) -> str:
        text, old, new = (text_of(each, "replace") for each in (value, old, new))
        purse.pay(len(text) + text.count(old) * len(new))
        return text.replace(old, new)

    def split(value: Any, separator: str | None = None) -> list[str]:
        text = text_of(value, "split")
        if separator == "":
            raise FilterError("The filter split needs something to split at.")
        purse.pay(len(text))
        return text.split(separator)

    def items(value: Any) -> list[list[Any]]:
        pairs = _items(value)
        purse.pay(len(pairs))
        return pairs

    made: dict[str, Callable[..., Any]] = {"join": join, "replace": replace, "split": split, "items": items}
    made = {name: functools.partial(_called, name, work) for name, work in made.items()}
    made["money"] = functools.partial(_called, "money", _money)
    made |= {name: functools.partial(on_text, name, work) for name, work in TEXT.items()}
    made |= {name: functools.partial(on_list, name, work) for name, work in LISTS.items()}
    return made


def _called(name: str, work: Callable[..., Any], *args: Any, **options: Any) -> Any:
    try:
        return work(*args, **options)
    except (TypeError, ValueError, LookupError, OverflowError):
        raise FilterError(f"The filter {name} cannot work with what it was given in brackets.") from None
