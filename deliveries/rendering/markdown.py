"""Markdown becomes HTML. Works on a source whose tags were taken out (`marks.py`), so it is done once for a version and
not once for a message.

A statement on a line of its own stands between paragraphs; beside the items of a list or the rows of a table it
repeats or leaves out whole items and rows. A link that is alone in its paragraph, in bold, is a button.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from markdown_it import MarkdownIt

from deliveries.rendering.marks import OPENING, Marks

ITEM: Final = re.compile(r"(\s*(?:[-*+]|\d{1,9}[.)])\s+|\s*\|\s*)(.*)", re.DOTALL)
DELIMITER_ROW: Final = re.compile(r"\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*")
BUTTON: Final = re.compile(r"<p><strong><a ([^>]*)>(.*?)</a></strong></p>")
#: Raw HTML is shown as it is written; what is dangerous in a link is refused by the parser.
_markdown = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable(["table", "strikethrough"])


class Body(NamedTuple):
    """A body in HTML, its tags still taken out. The words in `structure` stand for statements between elements: alone in
    a paragraph, or first or last in the item or row that they are meant to surround."""

    html: str
    structure: frozenset[str]


def to_html(source: str, marks: Marks) -> Body:
    """Return the HTML of Markdown without tags."""
    lines, structure = _with_lone_statements_placed(source.split("\n"), marks)
    html = _markdown.render("\n".join(lines))
    return Body(BUTTON.sub(r'<p class="action"><a class="button" \1>\2</a></p>', html), structure)


def surrounded(body: Body, marks: Marks) -> str:
    """Return a body's HTML with its statements, as comments, around the elements that they are meant to surround."""
    run = f"((?:{marks.word})+)"

    def out(words: str, *, opens: bool) -> tuple[str, str]:
        """Return those of a run that belong around the element, as comments, and the rest."""
        found = re.findall(marks.word, words)
        count = 0
        for word in found if opens else found[::-1]:
            if word not in body.structure or (marks.name(word) in OPENING) != opens:
                break
            count += 1
        around, rest = (
            (found[:count], found[count:]) if opens else (found[len(found) - count :], found[: -count or None])
        )
        return "".join(f"<!--{word}-->" for word in around), "".join(rest)

    def before(found: re.Match[str]) -> str:
        around, rest = out(found[2], opens=True)
        return around + found[1] + rest

    def after(found: re.Match[str]) -> str:
        around, rest = out(found[1], opens=False)
        return rest + found[3] + around

    def alone(found: re.Match[str]) -> str:
        words = re.findall(marks.word, found[1])
        return "".join(f"<!--{word}-->" for word in words) if body.structure.issuperset(words) else found[0]

    html = re.sub(f"<p>((?:{marks.word}\\s*)+)</p>", alone, body.html)
    html = re.sub(f"(<li>\\s*(?:<p>)?|<tr>\\s*<t[dh][^>]*>){run}", before, html)
    return re.sub(f"{run}((?:</p>)?\\s*</li>|</t[dh]>\\s*</tr>)", after, html)


def _with_lone_statements_placed(lines: list[str], marks: Marks) -> tuple[list[str], frozenset[str]]:
    """Set each line that holds only statements apart, or into the item or row beside it where the pair fits there."""
    only = re.compile(f"\\s*(?:{marks.word}\\s*)+")
    lone = {
        number: words
        for number, line in enumerate(lines)
        if only.fullmatch(line) and all(map(marks.is_statement, words := re.findall(marks.word, line)))
    }
    inside = _inside_items(lines, lone, marks)
    placed: list[str] = []
    pending = ""
    for number, line in enumerate(lines):
        if number in inside and marks.name(lone[number][0]) in OPENING:
            pending += "".join(lone[number])
        elif number in inside:
            placed[-1] = _at_end(placed[-1], "".join(lone[number]))
        elif number in lone:
            placed += ["", line.strip(), ""]
        elif pending and (item := ITEM.match(line)):
            placed.append(item[1] + pending + item[2])
            pending = ""
        else:
            placed.append(line)
    return placed, frozenset(word for words in lone.values() for word in words)


def _inside_items(lines: list[str], lone: dict[int, list[str]], marks: Marks) -> set[int]:
    """Return the lines of statements whose whole group (if, else, endif) stands between items or rows of one kind."""
    inside: set[int] = set()
    groups: list[list[int]] = []
    for number, words in lone.items():
        for word in words:
            name = marks.name(word)
            if name in ("if", "for"):
                groups.append([number])
            elif groups and name in ("elif", "else"):
                groups[-1].append(number)
            elif groups and name in ("endif", "endfor"):
                group = [*groups.pop(), number]
                if all(len(lone[each]) == 1 for each in group) and _fits(lines, lone, group):
                    inside.update(group)
    return inside


def _fits(lines: list[str], lone: dict[int, list[str]], group: list[int]) -> bool:
    kinds = set()
    for number in group[:-1]:
        after = next((each for each in range(number + 1, len(lines)) if each not in lone), len(lines))
        item = ITEM.match(lines[after]) if after < len(lines) else None
        if item is None or (after + 1 < len(lines) and DELIMITER_ROW.fullmatch(lines[after + 1])):
            return False
        kinds.add(re.sub(r"\d+", "1", item[1]).rstrip(" "))
    for number in group[1:]:
        before = next((each for each in range(number - 1, -1, -1) if each not in lone), -1)
        item = ITEM.match(lines[before]) if before >= 0 else None
        if item is None or DELIMITER_ROW.fullmatch(lines[before]):
            return False
        kinds.add(re.sub(r"\d+", "1", item[1]).rstrip(" "))
    return len(kinds) == 1


def _at_end(line: str, words: str) -> str:
    stripped = line.rstrip()
    return f"{stripped[:-1].rstrip()}{words} |" if stripped.endswith("|") else f"{stripped}{words}"
