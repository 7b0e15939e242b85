"""The plain text of a body: what a mail without HTML, an inbox card and a text message show. Works on HTML whose tags
were taken out (`marks.py`), once for a version."""

from __future__ import annotations

import re
from typing import Final

from inscriptis import get_text
from inscriptis.model.config import ParserConfig

from deliveries.rendering.markdown import Body
from deliveries.rendering.marks import OPENING, Marks

LINK: Final = re.compile(r"\[([^\]\[]*)\]\(([^()\s]*)\)")
EDGE: Final = r"<(?:address|blockquote|div|h[1-6]|hr|p|pre|section|table|tbody|thead|ul|ol)\b"
END: Final = (
    r"(?:</(?:address|blockquote|div|h[1-6]|p|pre|table|tr|li|ul|ol)>|<(?:body|div|table|tbody|tr|ul|ol)\b[^>]*>)"
)
_with_links = ParserConfig(display_links=True)


def to_text(body: Body, marks: Marks) -> str:
    """Return a body's text with links written out; its statements take no line of their own."""
    text = LINK.sub(
        lambda link: link[2] if link[1] in ("", link[2]) else f"{link[1]}: {link[2]}", get_text(body.html, _with_links)
    )
    pieces: list[str] = []
    after_statement = False
    for line in text.split("\n"):
        words = re.findall(marks.word, line)
        if words and body.structure.issuperset(words) and not re.sub(marks.word, "", line).strip():
            pieces.append("".join(words))
            after_statement = True
        elif line.strip() or not (after_statement or pieces[-1:] == ["\n"]):
            pieces.append(_line(line, body, marks))
            after_statement = False
    return re.sub(r"\n{3,}", "\n\n", "".join(pieces)).strip()


def of_html(html: str, marks: Marks) -> Body:
    """Return HTML as it was written, with comments for statements (`Marks.take_html`), as `to_text` takes it."""
    run = f"((?:<!--{marks.word}-->\\s*)+)"
    structure: set[str] = set()

    def words_of(comments: str) -> list[str]:
        found = re.findall(marks.word, comments)
        structure.update(found)
        return found

    def first(found: re.Match[str]) -> str:
        return found[3] + "".join(words_of(found[1]))

    def last(found: re.Match[str]) -> str:
        return "".join(words_of(found[2])) + found[1]

    def alone(comments: str) -> str:
        return f"<p>{''.join(words_of(comments))}</p>"

    opening = "|".join(word for word in re.findall(marks.word, html) if marks.name(word) in OPENING) or "(?!)"
    closing = "|".join(word for word in re.findall(marks.word, html) if marks.name(word) not in OPENING) or "(?!)"
    html = re.sub(f"((?:<!--({opening})-->\\s*)+)(<(?:li|tr)\\b[^>]*>\\s*(?:<(?:p|t[dh])\\b[^>]*>)?)", first, html)
    html = re.sub(f"((?:</(?:p|t[dh])>\\s*)?</(?:li|tr)>)\\s*((?:<!--({closing})-->\\s*)+)", last, html)
    html = re.sub(f"{run}(?={EDGE})", lambda found: alone(found[1]), html)
    html = re.sub(f"({END}\\s*){run}", lambda found: found[1] + alone(found[2]), html)
    return Body(re.sub(f"<!--{marks.word}-->", r"\1", html), frozenset(structure))


def _line(line: str, body: Body, marks: Marks) -> str:
    """Return one line with its end, statements that surround its item or row around it."""
    line = re.sub(r"(?<=\S) {3,}", "  ", re.sub(r"^ *\* ", "- ", line.rstrip()))
    head = tail = ""
    if first := re.match(f"(\\s*(?:-\\s+|\\d+\\.\\s+)?)((?:{marks.word})+)", line):
        head = "".join(_edge(re.findall(marks.word, first[2]), body, marks, opens=True))
        line = first[1] + line[first.start(2) + len(head) :]
    if last := re.search(f"((?:{marks.word})+)$", line):
        tail = "".join(_edge(re.findall(marks.word, last[1])[::-1], body, marks, opens=False)[::-1])
        line = line[: len(line) - len(tail)]
    return f"{head}{line.rstrip()}\n{tail}"


def _edge(words: list[str], body: Body, marks: Marks, *, opens: bool) -> list[str]:
    for count, word in enumerate(words):
        if word not in body.structure or (marks.name(word) in OPENING) != opens:
            return words[:count]
    return words
