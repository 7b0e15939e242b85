"""Words and plain data become Content. Compiled words are kept, the latest used; what is compiled belongs to one source
object, which the book (book.py) keeps as long as its version is the newest."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from deliveries.rendering.compiling import RENDERED, Compiled, compile_source
from deliveries.rendering.engine import MAX_RENDERED_BYTES, TOO_LARGE, engine, plain
from deliveries.rendering.errors import RenderError
from deliveries.rendering.language import unstorable
from deliveries.rendering.quick import Plan, Unusual, plan_of
from deliveries.rendering.source import ContentSource
from deliveries.rendering.variables import filled
from deliveries.senders.base import Content

MAX_COMPILED: Final = 2000
# Everything that str.splitlines takes for a line's end.
BREAKS: Final = re.compile("[\n\v\f\r\x1c\x1d\x1e\x85\u2028\u2029]")
#: What ends up in a mail's head.
HEADERS: Final = {"subject": "subject", "from_address": "sender's address", "reply_to": "address for replies"}


def render(source: ContentSource, context: Mapping[str, Any]) -> Content:
    """Fill in one locale's words. The HTML part escapes what is put in, the others do not. Thread-safe.

    Raises: RenderError `render_error` (a value is missing or not what is declared, the source is not sound, it does not
    end, or it makes a character that PostgreSQL cannot store), `too_large`, `header_injection`.
    """
    compiled, plan = _cache.get(source)
    if source.variables:
        context = _with_fallbacks(source, context)
    if plan is not None:
        try:
            made = plan.fill(context)
        except (Unusual, RenderError):
            pass  # the engine says what is wrong, and where, or finds that nothing is
        else:
            # A character takes four bytes at most, so a short message needs no encoding to be measured.
            return _content(made, is_checked=4 * sum(map(len, made)) <= MAX_RENDERED_BYTES)
    values = _values(context)
    return _content([engine.render(compiled.parts[part], values, html=part == "html") for part in RENDERED])


def render_inline(title: str, body: str) -> Content:
    """Return words that came with the job, as they are: no templating, no HTML. Raises: RenderError as `render`."""
    return _checked(Content(subject=title, text=body))


def _with_fallbacks(source: ContentSource, context: Mapping[str, Any]) -> Mapping[str, Any]:
    data = context.get("data", context)
    missing = filled(source.variables or (), data)
    if not missing:
        return context
    # What has a value without the job, as the link for unsubscribing has, keeps it.
    wanted = {name: value for name, value in missing.items() if context.get(name) in (None, "")}
    return {**context, **wanted, "data": {**data, **missing}}


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


def _content(made: Sequence[str], *, is_checked: bool = False) -> Content:
    subject, text, html, action_url, preheader, from_address, reply_to = made
    content = Content(
        subject, text, html, action_url.strip(), preheader, from_address.strip(" \t"), reply_to.strip(" \t")
    )
    if is_checked:
        _check_addresses(content)
        return content
    return _checked(content)


def _checked(content: Content) -> Content:
    parts = {part: getattr(content, part) for part in RENDERED}
    for part, words in parts.items():
        if problem := unstorable(words):
            raise RenderError("render_error", f"The {part} {problem[1]}", part=part)
    _check_addresses(content)
    is_long = 4 * sum(map(len, parts.values())) > MAX_RENDERED_BYTES
    if is_long and sum(len(words.encode()) for words in parts.values()) > MAX_RENDERED_BYTES:
        raise RenderError("too_large", TOO_LARGE)
    return content


def _check_addresses(content: Content) -> None:
    """Refuse what could forge a mail's head, and a link that could run code."""
    if not (content.subject.isprintable() and content.from_address.isprintable() and content.reply_to.isprintable()):
        for part, name in HEADERS.items():
            if BREAKS.search(getattr(content, part)):
                raise RenderError(
                    "header_injection",
                    f"The {name} holds a line break, which could forge headers. Remove it from the template or the data.",
                    part=part,
                )
    if content.action_url and not content.action_url.startswith(("https://", "http://", "/")):
        raise RenderError(
            "render_error", "The link (action_url) must start with https://, http:// or /.", part="action_url"
        )


class _Cache:
    """What was compiled of each source object, the latest used."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, tuple[ContentSource, Compiled, Plan | None]] = OrderedDict()

    def get(self, source: ContentSource) -> tuple[Compiled, Plan | None]:
        """Return it, compiled now if it is not there. Raises: RenderError."""
        # The object is kept, so its id cannot become another's.
        kept = self._kept.get(id(source))
        if kept is None:
            compiled = compile_source(source)
            plan = plan_of([(compiled.parts[part].source, part == "html") for part in RENDERED])
            kept = source, compiled, plan
            with self._lock:
                self._kept[id(source)] = kept
                while len(self._kept) > MAX_COMPILED:
                    self._kept.popitem(last=False)
        return kept[1], kept[2]


_cache = _Cache()
