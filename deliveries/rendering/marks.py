"""Takes the tags out of a source, so that Markdown, frames and style sheets can be worked on as if there were none, and
puts them back.

A tag is replaced by a word of letters and digits that occurs nowhere else, which every such tool passes on unchanged; a
statement that stands between two elements of HTML by a comment, which a parser leaves even between the rows of a table.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from deliveries.rendering.language import Tag, place, tags

#: Inside these, a comment would be read as text.
RAW_TEXT: Final = re.compile(r"<(title|textarea|style|script)\b.*?(?:</\1|\Z)|<[^>]*>?", re.DOTALL | re.IGNORECASE)
OPENING: Final = frozenset({"if", "for", "elif", "else", "set"})


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a tag was written: the part, and the place of its first character there."""

    part: str
    position: int


@dataclass(slots=True)
class Restored:
    """A template that is rendered, and where each of its tags was written: in `part` as it stands, where that is given."""

    source: str
    starts: list[int] = field(default_factory=list)
    origins: list[Origin] = field(default_factory=list)
    part: str = ""
    texts: Mapping[str, str] = field(default_factory=dict)

    def name(self, *, html: bool) -> str:
        """Return the part that is meant where the place is not known."""
        return self.part or next(
            (part for part in ("markdown", "html") if part in self.texts), "html" if html else "text"
        )

    def place_of(self, position: int) -> tuple[str, int, int, str]:
        """Return part, line, column and the written line of the tag that stands at `position`."""
        origin = Origin(self.part, position)
        if not self.part:
            index = bisect_right(self.starts, position) - 1
            if index < 0:
                return "", 1, 1, ""
            origin = self.origins[index]
            origin = Origin(origin.part, origin.position + position - self.starts[index])
        text = self.texts.get(origin.part, self.source)
        line, column = place(text, min(origin.position, len(text)))
        return origin.part, line, column, (text.splitlines() or [""])[line - 1 : line][0] if text else ""


class Marks:
    """The tags of the sources of one message, each under a word of its own. `avoid`: all texts that will meet."""

    def __init__(self, avoid: Iterable[str]) -> None:
        texts = "".join(avoid).lower()
        self._head = "ztag"
        while self._head in texts:
            self._head += "q"
        self._tags: list[tuple[str, str, Origin]] = []
        #: A word, in one group; and a word or a comment made of one.
        self.word: Final = f"({self._head}\\d{{5}}z)"
        self._any = re.compile(f"<!--{self.word}-->|{self.word}")

    def take(self, source: str, part: str) -> str:
        """Return a sound source with words in place of its tags. Comments are left out, with their line where they fill it."""
        pieces, position = [], 0
        for tag in tags(source):
            pieces.append(source[position : tag.start])
            position = tag.end
            if tag.name == "#":
                if (not pieces[-1] or pieces[-1].endswith("\n")) and source[position : position + 1] == "\n":
                    position += 1
            else:
                pieces.append(self._word_for(source, tag, part))
        return "".join([*pieces, source[position:]])

    def take_html(self, source: str, part: str) -> str:
        """Return as `take` does, with comments in place of statements that stand between elements."""
        taken = self.take(source, part)
        pieces, position = [], 0
        for element in RAW_TEXT.finditer(taken):
            pieces += [self.commented(taken[position : element.start()]), element.group()]
            position = element.end()
        return "".join([*pieces, self.commented(taken[position:])])

    def commented(self, text: str) -> str:
        """Turn the words of statements into comments."""
        return re.sub(self.word, lambda found: f"<!--{found[1]}-->" if self.is_statement(found[1]) else found[1], text)

    def name(self, word: str) -> str:
        """Return the name of the tag that a word stands for; empty for what is printed."""
        return self._tags[self._number(word)][1]

    def is_statement(self, word: str) -> bool:
        """Say whether a word stands for a tag that prints nothing."""
        return bool(self.name(word))

    def origin(self, word: str) -> Origin:
        """Return where the tag was written."""
        return self._tags[self._number(word)][2]

    def word_for_body(self) -> str:
        """Return what stands in a frame where the body goes."""
        return f"{self._head}body"

    def word_of(self, expression: str) -> str:
        """Return a word for something that is printed and was not written: `tenant.name` in a frame."""
        self._tags.append((f"{{{{ {expression} }}}}", "", Origin("", 0)))
        return f"{self._head}{len(self._tags) - 1:05d}z"

    def put_back(self, text: str, links: Mapping[str, str] | None = None) -> Restored:
        """Return the text with the tags in place of their words. What `links` names is printed through its filter."""
        restored, pieces, position, length = Restored(""), [], 0, 0
        for found in self._any.finditer(text):
            word = found[1] or found[2]
            tag, _, origin = self._tags[self._number(word)]
            pieces.append(text[position : found.start()])
            length += len(pieces[-1])
            if origin.part:
                restored.starts.append(length)
                restored.origins.append(origin)
            pieces.append(as_link(tag, links[word]) if links and word in links else tag)
            length += len(pieces[-1])
            position = found.end()
        restored.source = "".join([*pieces, text[position:]])
        return restored

    def _word_for(self, source: str, tag: Tag, part: str) -> str:
        self._tags.append((source[tag.start : tag.end], tag.name, Origin(part, tag.start)))
        return f"{self._head}{len(self._tags) - 1:05d}z"

    def _number(self, word: str) -> int:
        return int(word[-6:-1])


def as_link(tag: str, filter_: str) -> str:
    """Return a printing tag that lets only the addresses of links through, or parts of them."""
    head = 3 if tag[2] in "-+" else 2
    tail = 3 if tag[-3] in "-+" else 2
    return f"{tag[:head]} ({tag[head:-tail].strip()})|{filter_} {tag[-tail:]}"
