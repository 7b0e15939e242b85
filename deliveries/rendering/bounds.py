"""How large the HTML of a body may be. A parser and an inliner run in the process that serves everybody, and take
memory for elements times styles, and stack for depth; so what is too much is refused before they see it. Pure, linear.
"""

from __future__ import annotations

import re
from typing import Final

from deliveries.rendering.errors import RenderError

MAX_ELEMENTS: Final = 4000
MAX_DEPTH: Final = 200
#: Characters of style sheets times the elements that they are written into.
MAX_INLINED: Final = 16 * 1024 * 1024
#: Each alternative ends at the text's end at the latest, so none is tried twice.
PIECE: Final = re.compile(
    r"<!--.*?(?:-->|\Z)|<(?P<raw>style|script|title|textarea)\b(?P<inside>.*?)(?:</(?P=raw)|\Z)"
    r"|<(?P<end>/?)(?P<name>[a-z][^\s/>]*)(?:[^\"'>]|\"[^\"]*(?:\"|\Z)|'[^']*(?:'|\Z))*>?",
    re.DOTALL | re.IGNORECASE,
)
#: What a parser opens again in every block that follows, where it was left open.
REOPENED: Final = frozenset(
    ["a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u"]
)
#: Elements that have no end, or may leave it out.
ENDLESS: Final = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"}
    | {"html", "head", "body", "p", "li", "dt", "dd", "option", "tr", "td", "th", "thead", "tbody", "tfoot"}
)


def html_check(html: str, *, part: str = "html") -> None:
    """Refuse HTML that costs too much to work on: elements, their depth, and styles times elements.

    Raises: RenderError `render_error` or `too_large`.
    """
    if html.count("<") > MAX_ELEMENTS:
        raise RenderError("render_error", f"The body has more than {MAX_ELEMENTS:,} elements.", part=part)
    styles, elements, depth = _measured(html)
    if depth > MAX_DEPTH:
        raise RenderError(
            "render_error", f"The body has more than {MAX_DEPTH} elements inside each other. Close them.", part=part
        )
    if elements > 2 * MAX_ELEMENTS:
        raise RenderError(
            "render_error", "The body leaves too many elements open. Close each before the one around it.", part=part
        )
    if styles * elements > MAX_INLINED:
        raise RenderError("too_large", "The style sheet is too long for so many elements. Shorten it.", part=part)


def _measured(html: str) -> tuple[int, int, int]:
    """Return the characters of style sheets, the most elements that a parser may make, and the greatest depth."""
    opened: list[str] = []
    styles = elements = deepest = reopened = 0
    # Inside a drawing every element has an end, also those that have none elsewhere.
    draws = re.search(r"<(?:svg|math)\b", html, re.IGNORECASE) is not None
    for piece in PIECE.finditer(html):
        name = (piece["name"] or piece["raw"] or "").lower()
        if piece["raw"]:
            styles += len(piece["inside"]) if name == "style" else 0
            elements += 1
        elif name and not piece["end"]:
            elements += 1 + reopened
            ends = name not in REOPENED and piece.group().endswith("/>") if draws else name in ENDLESS
            if not ends:
                opened.append(name)
                reopened += name in REOPENED
        elif opened[-1:] == [name]:
            opened.pop()
            reopened -= name in REOPENED
        elif name in opened:
            # Out of order: a parser closes it here, and may open it again later.
            opened.reverse()
            opened.remove(name)
            opened.reverse()
        deepest = max(deepest, len(opened))
    return styles, elements, deepest
