"""Where a tag stands in HTML: in the address of a link, where only a safe address may be printed, or where nothing may.
Works on HTML whose tags were taken out (`marks.py`)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from deliveries.rendering.marks import Marks

ELEMENT: Final = re.compile(
    r"<([a-zA-Z][\w:-]*)((?:\s+[^\s\"'>/=<]+(?:\s*=\s*(?:\"[^\"]*\"|'[^']*'|[^\s\"'><]+))?)*)\s*/?>", re.DOTALL
)
ATTRIBUTE: Final = re.compile(r"([^\s\"'>/=]+)(?:\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'>]+)))?", re.DOTALL)
CODE: Final = re.compile(r"<(script|style)\b[^>]*>(.*?)(?:</\1|\Z)", re.DOTALL | re.IGNORECASE)
ADDRESSES: Final = frozenset({"href", "src", "action", "formaction", "background", "poster", "cite", "xlink:href"})


def links_of(html: str, marks: Marks) -> frozenset[str]:
    """Return the words whose value begins the address of a link or picture: `javascript:` must not come of them."""
    found: set[str] = set()
    for name, value, _ in _attributes(html):
        if name not in ADDRESSES:
            continue
        begins = True
        position = 0
        for match in re.finditer(marks.word, value):
            begins = begins and not value[position : match.start()].strip()
            if marks.is_statement(match[1]):
                # Whatever branch is taken, what comes next may be the first that is printed.
                begins = begins or marks.name(match[1]) in ("elif", "else", "if")
            else:
                if begins:
                    found.add(match[1])
                begins = False
            position = match.end()
    return frozenset(found)


def unsafe_of(html: str, marks: Marks) -> Iterator[tuple[str, str]]:
    """Yield the words that stand where escaping does not help, each with a sentence about it."""
    for element in CODE.finditer(html):
        for word in re.findall(marks.word, element[2]):
            yield word, f"Nothing can be put into <{element[1].lower()}>."
    for name, value, is_quoted in _attributes(html):
        for word in re.findall(marks.word, value):
            if name.startswith("on"):
                yield word, f"Nothing can be put into {name}=."
            elif name == "style" and not marks.is_statement(word):
                yield word, "Nothing can be put into style=. Use an if around the element."
            elif not is_quoted:
                yield word, f"Put quotes around the value of {name}=."


def _attributes(html: str) -> Iterator[tuple[str, str, bool]]:
    for element in ELEMENT.finditer(html):
        for name, double, single, bare in ATTRIBUTE.findall(element[2]):
            yield name.lower(), double or single or bare, not bare
