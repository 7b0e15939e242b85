"""Render a checked source with plain data. One minijinja environment a process; compiled templates kept by their own
text.

The bounds of one rendering: FUEL steps, MAX_WORK characters copied by filters and as many printed, and of a loop's
plain text FUEL times its longest stretch, for which fuel is cut. So no template and no data can take more than some
tens of megabytes or seconds.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from minijinja import Environment, TemplateError

from deliveries.rendering.errors import Problem, RenderError
from deliveries.rendering.filters import FilterError, Purse, SpentError, filters_for, kind_of
from deliveries.rendering.language import inspect, place, unstorable
from deliveries.senders.base import Content

MAX_RENDERED_BYTES: Final = 1024 * 1024
MAX_COMPILED: Final = 2000
FUEL: Final = 50_000
MAX_REPEATED_CHARACTERS: Final = 32 * 1024 * 1024
MAX_DEPTH: Final = 32
# Everything that str.splitlines takes for a line's end.
BREAKS: Final = re.compile("[\n\v\f\r\x1c\x1d\x1e\x85\u2028\u2029]")
ATOMS: Final = frozenset({str, float, bool, type(None)})
TOO_LARGE = f"The message is larger than {MAX_RENDERED_BYTES:,} bytes. Shorten the template or the job's data."


@dataclass(frozen=True, slots=True)
class ContentSource:
    """One locale's words as they were written. `locale` is the one that was found, which may not be the one asked for.

    `body_format` says where the body is: in `markdown` (the tenant's frame is put around it), or in `html` as it is.
    """

    subject: str
    text: str = ""
    html: str = ""
    action_url: str = ""
    locale: str = ""
    preheader: str = ""
    from_address: str = ""
    reply_to: str = ""
    body_format: Literal["html", "markdown"] = "html"
    markdown: str = ""


def render(source: ContentSource, context: Mapping[str, Any]) -> Content:
    """Fill in one locale's words. The HTML part escapes what is put in, the others do not. Thread-safe.

    Raises: RenderError `render_error` (a value is missing, the source is not sound, it does not end, or it makes a
    character that PostgreSQL cannot store), `too_large`, `header_injection`.
    """
    values = _values(context)
    return _checked(
        Content(
            subject=_engine.render(source.subject, values, part="subject"),
            text=_engine.render(source.text, values, part="text"),
            html=_engine.render(source.html, values, part="html", html=True),
            action_url=_engine.render(source.action_url, values, part="action_url").strip(),
        )
    )


def render_inline(title: str, body: str) -> Content:
    """Return words that came with the job, as they are: no templating, no HTML. Raises: RenderError as `render`."""
    return _checked(Content(subject=title, text=body))


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
        line, column = _position(source, error)
        return [Problem(line, column, error.detail or error.message)]
    return []


def _values(context: Mapping[str, Any]) -> dict[str, Any]:
    """Copy a context; what stands in it twice, by itself and in `data`, is copied once."""
    data = context.get("data")
    if not isinstance(data, Mapping):
        return dict(plain(context))
    copied = plain(data)
    values = {
        name: copied[name] if name in copied and value is data[name] else plain(value)
        for name, value in context.items()
        if value is not data
    }
    return {**values, "data": copied}


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


def _checked(content: Content) -> Content:
    parts = {"subject": content.subject, "text": content.text, "html": content.html, "action_url": content.action_url}
    for part, words in parts.items():
        if problem := unstorable(words):
            raise RenderError("render_error", f"The {part} {problem[1]}", part=part)
    if not content.subject.isprintable() and BREAKS.search(content.subject):
        raise RenderError(
            "header_injection",
            "The subject holds a line break, which could forge headers. Remove it from the template or the data.",
            part="subject",
        )
    if content.action_url and not content.action_url.startswith(("https://", "http://", "/")):
        raise RenderError(
            "render_error", "The link (action_url) must start with https://, http:// or /.", part="action_url"
        )
    # A character takes four bytes at most, so a short message needs no encoding to be measured.
    is_long = 4 * sum(map(len, parts.values())) > MAX_RENDERED_BYTES
    if is_long and sum(len(words.encode()) for words in parts.values()) > MAX_RENDERED_BYTES:
        raise RenderError("too_large", TOO_LARGE)
    return content


class _Engine:
    """The process's environment. The lock makes one rendering at a time of it, since fuel and purse belong to the
    running one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._purse = Purse()
        self._printed = Purse()
        self._compiled: OrderedDict[tuple[bool, str], tuple[str, int]] = OrderedDict()
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

    def render(self, source: str, values: dict[str, Any], *, part: str, html: bool = False) -> str:
        """Render one part. Raises: RenderError."""
        if "{" not in source:
            return source
        try:
            with self._lock:
                name, fuel = self._template(source, html)
                self._environment.fuel = fuel
                self._purse.refill()
                self._printed.refill()
                made: str = self._environment.render_template(name, **values)
        except TemplateError as error:
            raise _as_render_error(error, source, part) from None
        except FilterError as error:
            raise RenderError("render_error", f"In the {part}: {error}", part=part) from None
        except SpentError:
            raise RenderError("too_large", TOO_LARGE, part=part) from None
        if len(made) > MAX_RENDERED_BYTES:
            raise RenderError("too_large", TOO_LARGE, part=part)
        return made

    def _template(self, source: str, html: bool) -> tuple[str, int]:
        key = (html, source)
        known = self._compiled.get(key)
        if known is not None:
            self._compiled.move_to_end(key)
            return known
        shape = inspect(source)
        if shape.problems:
            first = shape.problems[0]
            raise RenderError("render_error", str(first), line=first.line, column=first.column)
        self._made += 1
        name = f"{'h' if html else 't'}{self._made}"
        self._environment.add_template(name, source)
        fuel = min(FUEL, MAX_REPEATED_CHARACTERS // max(shape.longest_repeated, 1))
        self._compiled[key] = name, fuel
        if len(self._compiled) > MAX_COMPILED:
            self._environment.remove_template(self._compiled.popitem(last=False)[1][0])
        return name, fuel


def _as_render_error(error: TemplateError, source: str, part: str) -> RenderError:
    line, column = _position(source, error)
    where = f"{part}, line {line}, column {column}"
    excerpt = source.splitlines()[line - 1].strip()[:80] if source else ""
    if error.kind == "UndefinedError":
        message = f"A value is missing in the {where}: {excerpt}. Hand it in with the job, or use default."
    elif error.kind == "OutOfFuel":
        message = f"The template takes too many steps ({where}). Loop over less."
    else:
        message = f"{error.detail or error.message} ({where}: {excerpt})"
    return RenderError("render_error", message, line=line, column=column, part=part)


def _position(source: str, error: TemplateError) -> tuple[int, int]:
    if error.range is None:
        return error.line or 1, 1
    # The engine counts bytes.
    return place(source, len(source.encode()[: error.range[0]].decode(errors="ignore")))


_engine = _Engine()
