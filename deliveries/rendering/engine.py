"""Render a checked source with plain data. One minijinja environment a process; compiled templates kept by their own
text.

The bounds of one rendering: FUEL steps, MAX_WORK characters copied by filters and as many printed, and of a loop's
plain text FUEL times its longest stretch, for which fuel is cut, as it is where a step may read much of the data
(weighing.py). So no template and no data can take more than some tens of megabytes or seconds.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from minijinja import Environment, TemplateError

from deliveries.rendering.errors import Problem, RenderError
from deliveries.rendering.filters import FilterError, Purse, SpentError, filters_for, kind_of
from deliveries.rendering.language import inspect, place
from deliveries.rendering.marks import Restored
from deliveries.rendering.weighing import Reading, heaviest, readings

MAX_RENDERED_BYTES: Final = 1024 * 1024
MAX_COMPILED: Final = 2000
FUEL: Final = 50_000
MAX_REPEATED_CHARACTERS: Final = 32 * 1024 * 1024
#: Steps times the items that the longest of them may read.
MAX_STEP_WORK: Final = 16_000_000
MAX_DEPTH: Final = 32
ATOMS: Final = frozenset({str, float, bool, type(None)})
TOO_LARGE = f"The message is larger than {MAX_RENDERED_BYTES:,} bytes. Shorten the template or the job's data."


def template_check(source: str, *, html: bool = False) -> list[Problem]:
    """Return what is wrong with a source: words outside the subset, else the compiler's first syntax error.

    Empty: it is sound.
    """
    problems = inspect(source).problems
    if problems:
        return problems
    try:
        Environment().add_template("h" if html else "t", source)
    except TemplateError as error:
        line, column = place(source, _offset(source, error))
        return [Problem(line, column, error.detail or error.message)]
    return []


def plain(value: Any, depth: int = 0) -> Any:
    """Copy a value made of dict, list, str, int, float, bool and None only; anything else could carry methods along.

    Raises: RenderError `render_error`.
    """
    kind = type(value)
    if kind in ATOMS:
        return value
    if kind is int:
        if -(2**63) <= value < 2**63:
            return value
        raise RenderError("render_error", "A number in the data has more than 18 digits: hand it in as text.")
    if depth >= MAX_DEPTH:
        raise RenderError("render_error", f"The data is nested more than {MAX_DEPTH} levels deep.")
    # What is mostly there, strings and small groups of them, is passed without a call each.
    if kind is dict or isinstance(value, Mapping):
        if not all(type(key) is str for key in value):
            raise RenderError("render_error", "A field's name must be text.")
        return {key: item if type(item) in ATOMS else plain(item, depth + 1) for key, item in value.items()}
    if kind is list or kind is tuple:
        return [item if type(item) in ATOMS else plain(item, depth + 1) for item in value]
    raise RenderError("render_error", f"A template cannot be given a {kind.__name__}, only what JSON can hold.")


class Compiled(NamedTuple):
    """A source that the environment knows by `name`, with what bounds its rendering."""

    name: str
    fuel: int
    readings: frozenset[Reading]

    def fuel_for(self, values: Mapping[str, Any]) -> int:
        """Return how many steps it may take with these values."""
        return min(self.fuel, MAX_STEP_WORK // heaviest(self.readings, values)) if self.readings else self.fuel


class Engine:
    """The process's environment. The lock makes one rendering at a time of it, since fuel and purse belong to the
    running one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._purse = Purse()
        self._printed = Purse()
        self._compiled: OrderedDict[tuple[bool, str], Compiled] = OrderedDict()
        self._made = 0
        self._environment = Environment(
            undefined_behavior="strict",
            pycompat=False,  # no Python methods on strings, lists and dicts
            debug=False,
            keep_trailing_newline=True,
            auto_escape_callback=lambda name: name.startswith("h"),
            finalizer=self._finalizer(),
            filters=filters_for(self._purse),
        )
        for name in list(self._environment.globals):
            self._environment.remove_global(name)

    def _finalizer(self) -> Callable[[Any], Any]:
        printed = self._printed

        def finalize(value: Any) -> Any:
            if type(value) is str:
                printed.left -= len(value)
                if printed.left < 0:
                    raise SpentError
            elif value is None or isinstance(value, list | tuple | dict):
                raise FilterError(f"What is printed here is {kind_of(value)}. Use default, join or one of its fields.")
            return value

        return finalize

    def render(self, restored: Restored, values: dict[str, Any], *, html: bool = False) -> str:
        """Render one part. Raises: RenderError, with the place where the tag was written."""
        source, part = restored.source, restored.name(html=html)
        if "{" not in source:
            return source
        try:
            with self._lock:
                compiled = self._template(source, html)
                self._environment.fuel = compiled.fuel_for(values)
                self._purse.refill()
                self._printed.refill()
                made: str = self._environment.render_template(compiled.name, **values)
        except TemplateError as error:
            raise _as_render_error(error, restored, part) from None
        except FilterError as error:
            raise RenderError("render_error", f"In the {part}: {error}", part=part) from None
        except SpentError:
            raise RenderError("too_large", TOO_LARGE, part=part) from None
        if len(made) > MAX_RENDERED_BYTES:
            raise RenderError("too_large", TOO_LARGE, part=part)
        return made

    def _template(self, source: str, html: bool) -> Compiled:
        key = (html, source)
        known = self._compiled.get(key)
        if known is not None:
            self._compiled.move_to_end(key)
            return known
        # A NUL stands between the blocks of the quick way, which lets none into what goes out.
        shape = inspect(source.replace("\0", " "))
        if shape.problems:
            first = shape.problems[0]
            raise RenderError("render_error", str(first), line=first.line, column=first.column)
        self._made += 1
        name = f"{'h' if html else 't'}{self._made}"
        self._environment.add_template(name, source)
        fuel = min(FUEL, MAX_REPEATED_CHARACTERS // max(shape.longest_repeated, 1))
        made = self._compiled[key] = Compiled(name, fuel, readings(source))
        if len(self._compiled) > MAX_COMPILED:
            self._environment.remove_template(self._compiled.popitem(last=False)[1].name)
        return made


def _as_render_error(error: TemplateError, restored: Restored, part: str) -> RenderError:
    written, line, column, text = restored.place_of(_offset(restored.source, error))
    part = written or part
    where = f"{part}, line {line}, column {column}"
    excerpt = text.strip()[:80]
    if error.kind == "UndefinedError":
        message = f"A value is missing in the {where}: {excerpt}. Hand it in with the job, or use default."
    elif error.kind == "OutOfFuel":
        message = f"The template takes too many steps ({where}). Loop over less."
    else:
        message = f"{error.detail or error.message} ({where}: {excerpt})"
    return RenderError("render_error", message, line=line, column=column, part=part)


def _offset(source: str, error: TemplateError) -> int:
    """Return the character that an error is about. The engine counts bytes, or says only the line."""
    if error.range is not None:
        return len(source.encode()[: error.range[0]].decode(errors="ignore"))
    lines = source.splitlines(keepends=True)
    return sum(map(len, lines[: max((error.line or 1) - 1, 0)]))


#: The process's own.
engine = Engine()
