"""Declared variables: what a job hands in for a template, of which type, and what stands in where it is missing. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, get_args

from deliveries.rendering.errors import RenderError
from deliveries.rendering.language import CONSTANTS, KEYWORDS, TAGS

Type = Literal["text", "number", "boolean", "date", "url", "list", "object"]
TYPES: Final[tuple[Type, ...]] = get_args(Type)
NAME: Final = re.compile(r"[^\W\d_]\w{0,62}")
#: These always mean something else (names.py), or are words of the language.
TAKEN: Final = frozenset({"data", "contact", "tenant", "loop"}) | CONSTANTS | KEYWORDS | TAGS
MAX_VARIABLES: Final = 100
KINDS: Final[Mapping[Type, str]] = {
    "text": "text or a number",
    "number": "a number",
    "boolean": "true or false",
    "date": "a date (2026-03-01) or a moment with its zone (2026-03-01T10:00:00Z), as text",
    "url": "a link that starts with https:// or http://, as text",
    "list": "a list",
    "object": "a group of fields",
}
SAMPLES: Final[Mapping[Type, Any]] = {
    "number": 1,
    "boolean": True,
    "date": "2026-03-01",
    "url": "https://example.com/",
    "list": [],
    "object": {},
}


@dataclass(frozen=True, slots=True)
class Variable:
    """One declared variable. Either `required`, or `fallback` stands in where the job has none or null."""

    name: str
    type: Type = "text"
    required: bool = True
    fallback: Any = None
    sample: Any = None
    help: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return it as it is stored and as the API shows it."""
        shown: dict[str, Any] = {"name": self.name, "type": self.type, "required": self.required}
        if not self.required:
            shown["fallback"] = self.fallback
        return {**shown, "sample": self.sample, "help": self.help}

    def example(self) -> Any:
        """Return a value that serves: its sample, else one of its type."""
        if self.sample is not None:
            return self.sample
        return SAMPLES.get(self.type, self.name.replace("_", " "))


class VariableError(ValueError):
    """A declaration that cannot be. The message names the variable and what to do."""


def variables_of(stored: Iterable[Mapping[str, Any]] | None) -> tuple[Variable, ...] | None:
    """Return declarations as they were stored. None: nothing was declared."""
    if stored is None:
        return None
    fields = Variable.__dataclass_fields__
    return tuple(Variable(**{key: value for key, value in each.items() if key in fields}) for each in stored)


def variables_check(variables: Sequence[Variable]) -> None:
    """Raises: VariableError for the first that cannot be: a bad or doubled name, an unknown type, values of another type."""
    if len(variables) > MAX_VARIABLES:
        raise VariableError(f"A template has at most {MAX_VARIABLES} variables.")
    seen: set[str] = set()
    for each in variables:
        if not NAME.fullmatch(each.name):
            raise VariableError(f"{each.name!r} is no name: use letters, digits and _, beginning with a letter.")
        if each.name in TAKEN:
            raise VariableError(f"{each.name} always means something else here. Choose another name.")
        if each.name in seen:
            raise VariableError(f"{each.name} is declared twice.")
        seen.add(each.name)
        if each.type not in TYPES:
            raise VariableError(f"{each.name}: {each.type!r} is no type. There are: {', '.join(TYPES)}.")
        for what, value in (("fallback", None if each.required else each.fallback), ("sample", each.sample)):
            # An empty text may stand in for anything that is printed: the place stays empty.
            if value is not None and value != "" and not CHECKS[each.type](value):
                raise VariableError(f"{each.name}: its {what} must be {KINDS[each.type]}.")
        if not each.required and each.fallback is None:
            raise VariableError(f"{each.name}: say what stands in where it is missing, or make it required.")


def filled(variables: Sequence[Variable], data: Mapping[str, Any]) -> dict[str, Any]:
    """Return what stands in for the variables that `data` lacks; mostly nothing.

    Raises: RenderError `render_error` for one that is missing and required, or that is of another type.
    """
    made: dict[str, Any] = {}
    for each in variables:
        value = data.get(each.name)
        if value is None:
            if each.required:
                raise RenderError(
                    "render_error",
                    f"The job's data has no {each.name}, and the template declares it as required. Hand it in, or "
                    "declare a fallback.",
                )
            made[each.name] = each.fallback
        elif not CHECKS[each.type](value):
            raise RenderError(
                "render_error",
                f"The job's {each.name} is not what the template declares: it must be {KINDS[each.type]}.",
            )
    return made


def _is_text(value: Any) -> bool:
    kind = type(value)
    return kind is str or kind is int or kind is float


def _is_number(value: Any) -> bool:
    kind = type(value)
    return kind is int or kind is float


def _is_date(value: Any) -> bool:
    if type(value) is not str:
        return False
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return False
    return len(value) == 10 or moment.tzinfo is not None


def _is_url(value: Any) -> bool:
    return type(value) is str and value.startswith(("https://", "http://")) and value.isprintable() and " " not in value


CHECKS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "text": _is_text,
    "number": _is_number,
    "boolean": lambda value: type(value) is bool,
    "date": _is_date,
    "url": _is_url,
    "list": lambda value: isinstance(value, list | tuple),
    "object": lambda value: isinstance(value, Mapping),
}
