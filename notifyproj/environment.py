"""Reading the environment strictly: a value that cannot be read is one clear line, never a traceback and never a guess.

On top of django-environ, which reads `20s` as 20, `2e1` as 21 and `maybe` as false, and takes a password that begins with `$` for
the name of another variable. Whether a readable value makes sense is a system check's to say (`deliveries/checks.py`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

TRUE = frozenset({"1", "true", "yes", "on"})
FALSE = frozenset({"0", "false", "no", "off", ""})
SHOWN_CHARACTERS = 60


def _bool(raw: str) -> bool:
    word = raw.strip().lower()
    if word not in TRUE | FALSE:
        raise ValueError
    return word in TRUE


def _float(raw: str) -> float:
    value = float(raw)
    if not math.isfinite(value):
        raise ValueError
    return value


def _list(raw: str) -> list[str]:
    return [part.strip() for part in raw.split(",") if part.strip()]


def _pairs(raw: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in _list(raw)]
    if not all(name.strip() and equals for name, equals, _value in pairs):
        raise ValueError
    return {name.strip(): value.strip() for name, _equals, value in pairs}


# What a django-environ method asks for by its `cast` → how it is read here, and what to say of a value that cannot be.
READERS: dict[Any, tuple[Callable[[str], Any], str]] = {
    str: (str, "text"),
    bool: (_bool, "1 or 0 (also true or false, yes or no, on or off)"),
    int: (int, "a whole number"),
    float: (_float, "a number, such as 30 or 0.5"),
    list: (_list, "a list separated by commas"),
    dict: (_pairs, "pairs separated by commas, such as name=value,name=value"),
    json.loads: (json.loads, "JSON"),
}


class Environment(environ.Env):  # type: ignore[misc]  # django-environ has no types
    """The process's environment. Problems are collected, so that all of them are told at once by `refuse_problems`."""

    def __init__(self) -> None:
        super().__init__()
        self.problems: list[str] = []

    def read_file(self, path: Path, *, must_exist: bool) -> None:
        """Take what the environment lacks from a file of NAME=value lines."""
        if path.exists():
            self.read_env(str(path))
        elif must_exist:
            self.problems.append(f"ENV_FILE is {str(path)!r}; there is no such file.")

    def get_value(self, var: str, cast: Any = None, default: Any = None, parse_default: bool = False) -> Any:
        """Return one variable's value, or its default when it is not set or cannot be read; django-environ's methods all end here."""
        if var not in self.ENVIRON:
            return default
        item = cast[0] if isinstance(cast, list) else None
        read, wanted = READERS[list if item else cast]
        raw = self.ENVIRON[var]
        try:
            value = read(raw)
            return [READERS[item][0](part) for part in value] if item else value
        except ValueError:
            each = f" of which each is {READERS[item][1]}" if item else ""
            return self._refuse(var, raw, wanted + each, default)

    def choice(self, var: str, default: str, choices: Collection[str], *, wanted: str = "") -> str:
        """Return a text that must be one of `choices`; `wanted` says which where they are too many to list."""
        value = str(self.str(var, default))
        return (
            value if value in choices else self._refuse(var, value, wanted or f"one of {', '.join(choices)}", default)
        )

    def address(self, var: str, default: str, *, schemes: Collection[str]) -> str:
        """Return a URL whose scheme must be one of `schemes`."""
        value = str(self.str(var, default))
        try:
            parts = urlsplit(value)
            is_sound = parts.scheme in schemes and (parts.port or True)
        except ValueError:
            is_sound = False
        example = default.partition("://")[2].rpartition("@")[2]
        wanted = f"a URL like {next(iter(schemes))}://{example}"
        # A URL may hold a password, so it is not shown.
        return value if is_sound else self._refuse(var, None, wanted, default)

    def refuse_problems(self) -> None:
        """Raise: ImproperlyConfigured with one line for each problem, if there is any."""
        if self.problems:
            raise ImproperlyConfigured("\n".join(self.problems))

    def _refuse(self, var: str, raw: str | None, wanted: str, default: Any) -> Any:
        shown = "" if raw is None else f" {raw[:SHOWN_CHARACTERS]!r}"
        self.problems.append(f"{var} is{shown or ' wrong'}; it must be {wanted}.")
        return default
