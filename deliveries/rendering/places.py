"""Where a tag stands in HTML: in the address of a link, where only a safe address may be printed, or where nothing may.
Works on HTML whose tags were taken out (`marks.py`)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from deliveries.rendering.filters import is_safe_link
from deliveries.rendering.marks import Marks

# Possessive, and without < in names and bare values: linear, also where an element has no end.
NAME: Final = r"[^\s\"'>/=<]++"
VALUE: Final = r"\s*+=\s*+(?:\"([^\"]*+)\"|'([^']*+)'|([^\s\"'><]++))"
ELEMENT: Final = re.compile(
    rf"<([a-zA-Z][\w:-]*+)((?:[\s/]*+{NAME}(?:{VALUE})?+)*+)[\s/]*+>".replace("([^", "(?:[^"), re.DOTALL
)
ATTRIBUTE: Final = re.compile(f"({NAME})(?:{VALUE})?+", re.DOTALL)
CODE: Final = re.compile(r"<(script|style)\b[^>]*>(.*?)(?:</\1|\Z)", re.DOTALL | re.IGNORECASE)
ADDRESSES: Final = frozenset(
    [
        "href",
        "src",
        "action",
        "formaction",
        "background",
        "poster",
        "cite",
        "xlink:href",
        "data",
        "srcset",
        "ping",
        "longdesc",
    ]
)
#: Where one of these names a scheme, it is the author's.
LITERAL_SCHEME: Final = re.compile(r"[^/?#]*:")
#: What may have been printed of an address: nothing yet, only values (which may be empty), or words of the author's.
NOTHING, VALUES, WORDS = range(3)


def links_of(html: str, marks: Marks) -> dict[str, str]:
    """Return the words whose value may begin the address of a link or picture, each with the filter that it must pass:
    `javascript:` must not come of them, neither of the first that is printed nor of several together."""
    found: dict[str, str] = {}
    for name, value, _ in _attributes(html, marks):
        if name in ADDRESSES:
            found |= _beginnings(value, marks)
    return found


def _beginnings(value: str, marks: Marks) -> dict[str, str]:
    """Follow an address and its branches up to the first word of the author's."""
    found: dict[str, str] = {}
    literal = re.sub(marks.word, "", value).strip()
    # `{{ a }}{{ b }}:{{ c }}`: b may be empty or half of a scheme, whose end is written here.
    ends_scheme = bool(LITERAL_SCHEME.match(literal)) and not is_safe_link(literal)
    printed, position = NOTHING, 0
    groups: list[tuple[int, list[int]]] = []  # of each open if or for: what was printed before it, and by its branches
    for match in re.finditer(marks.word, value):
        if value[position : match.start()].strip():
            printed = WORDS
        position = match.end()
        name = marks.name(match[1])
        if name in ("if", "for"):
            groups.append((printed, []))
        elif name in ("elif", "else") and groups:
            groups[-1][1].append(printed)
            printed = groups[-1][0]
        elif name in ("endif", "endfor") and groups:
            before, branches = groups.pop()
            # Without an else, or with an empty list, nothing more than before may be there.
            ways = {before, printed, *branches}
            printed = ways.pop() if len(ways) == 1 else VALUES
        elif not name and printed != WORDS:
            found[match[1]] = "url" if printed == NOTHING or ends_scheme else "url_part"
            printed = VALUES
    return found


def unsafe_of(html: str, marks: Marks) -> Iterator[tuple[str, str]]:
    """Yield the words that stand where escaping does not help, each with a sentence about it."""
    for element in CODE.finditer(html):
        for word in re.findall(marks.word, element[2]):
            yield word, f"Nothing can be put into <{element[1].lower()}>."
    for name, value, is_quoted in _attributes(html, marks):
        for word in re.findall(marks.word, value):
            if name.startswith("on"):
                yield word, f"Nothing can be put into {name}=."
            elif name == "style" and not marks.is_statement(word):
                yield word, "Nothing can be put into style=. Use an if around the element."
            elif not is_quoted:
                yield word, f"Put quotes around the value of {name}=."


def _attributes(html: str, marks: Marks) -> Iterator[tuple[str, str, bool]]:
    for element in ELEMENT.finditer(html):
        for name, double, single, bare in ATTRIBUTE.findall(element[2]):
            # A statement may stand right before a name.
            yield re.sub(marks.word, "", name).lower(), double or single or bare, not bare
