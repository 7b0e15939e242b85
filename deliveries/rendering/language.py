"""What a template may contain: a small subset of Jinja, checked word by word before a source is compiled.

Fuel alone does not bound memory: `{{ 'x' * 999999999 }}`, `{{ a ~ a }}` and `[a, a]` double a value at the price of
one step. So the subset has nothing that multiplies: values are printed, tested and looped over; filters (filters.py)
pay for what they make. What is not on a list here is refused, with its line. Pure: no settings, no database, no
rendering.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from deliveries.rendering.errors import Problem
from deliveries.rendering.filters import NAMES as FILTERS

MAX_SOURCE_CHARACTERS = 256 * 1024
MAX_TAGS = 1000
MAX_WORDS = 500
MAX_NESTING = 20
MAX_SUMS = 16
SURROGATE = re.compile("[\ud800-\udfff]")
TAGS = frozenset({"if", "elif", "else", "endif", "for", "endfor", "set"})
KEYWORDS = frozenset({"and", "or", "not", "in", "is", "if", "else"})
CONSTANTS = frozenset({"true", "false", "none", "True", "False", "None"})
OPERATORS = frozenset({"==", "!=", "<=", ">=", "//", "<", ">", "=", "+", "-", "/", "%", "|", ".", ",", ":"})
INSTEAD = {
    "~": "Write {{ a }} {{ b }} instead.",
    "*": "Compute the product before the job is handed in.",
    "**": "Compute the power before the job is handed in.",
    "{": "Put the group of fields into the job's data.",
}
FOR_TRUSTED = {
    "include": "Templates stand alone here.",
    "import": "Templates stand alone here.",
    "extends": "Templates stand alone here.",
    "macro": "Write the text out.",
    "raw": "Write {{ '{{' }} for two braces.",
    "autoescape": "The HTML part always escapes what is put in.",
}
TOKEN = re.compile(
    r"""(?P<space>\s+)|(?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|(?P<number>\d[\w]*(?:\.\d\w*)?)|(?P<name>[^\W\d]\w*)
    |(?P<end>[-+]?(?:%\}|\}\}))|(?P<op>\*\*|//|==|!=|<=|>=|[-+*/%~|.,:<>=()\[\]{}])""",
    re.VERBOSE | re.DOTALL,
)


class Token(NamedTuple):
    """A word inside a tag."""

    kind: str
    text: str
    position: int


@dataclass(slots=True)
class Shape:
    """What the check learned. `problems` empty: it may be compiled. `longest_repeated`: the most characters of plain
    text between two tags inside a loop, which together with the fuel bounds how much a loop can print."""

    problems: list[Problem] = field(default_factory=list)
    longest_repeated: int = 0


class _Refused(Exception):
    def __init__(self, position: int, message: str) -> None:
        super().__init__(message)
        self.position = position
        self.message = message


def inspect(source: str) -> Shape:
    """Check a source against the subset. Stops at the first problem of each tag; does not replace the compiler's own
    syntax check."""
    shape = Shape()
    if len(source) > MAX_SOURCE_CHARACTERS:
        shape.problems.append(Problem(1, 1, f"The text is longer than {MAX_SOURCE_CHARACTERS:,} characters."))
        return shape
    if problem := unstorable(source):
        shape.problems.append(Problem(*place(source, problem[0]), f"The text {problem[1]}"))
        return shape
    loops = position = count = 0
    while (start := _next_tag(source, position)) >= 0:
        count += 1
        if count > MAX_TAGS:
            shape.problems.append(Problem(*place(source, start), f"The text has more than {MAX_TAGS:,} tags."))
            break
        if loops:
            shape.longest_repeated = max(shape.longest_repeated, start - position)
        try:
            position, loops = _tag(source, start, loops)
        except _Refused as refused:
            line, column = place(source, refused.position)
            shape.problems.append(Problem(line, column, refused.message))
            closing = source.find("}", max(refused.position, start + 2))
            if closing < 0:
                break
            position = closing + 1
    return shape


@dataclass(frozen=True, slots=True)
class Tag:
    """One tag of a source, from `start` to `end`. `name`: the statement's (`if`, `for`), empty for what is printed, `#`
    for a comment. `words`: what follows the name."""

    name: str
    words: list[Token]
    start: int
    end: int
    trims: bool

    @property
    def is_statement(self) -> bool:
        """Say whether it prints nothing itself."""
        return self.name not in ("", "#")


def tags(source: str) -> Iterator[Tag]:
    """Yield each tag of a sound source, comments included. Ends at the first tag that has no end."""
    position = 0
    while (start := _next_tag(source, position)) >= 0:
        if source[start + 1] == "#":
            position = source.find("#}", start) + 2
            if position < 2:
                return
            trims = source[start + 2] in "-+" or source[position - 3] in "-+"
            yield Tag("#", [], start, position, trims)
            continue
        try:
            *tokens, end = _tokens(source, start)
        except _Refused:
            return
        position = end.position + len(end.text)
        trims = source[start + 2] in "-+" or len(end.text) > 2
        if source[start + 1] == "%" and tokens:
            yield Tag(tokens[0].text, tokens[1:], start, position, trims)
        else:
            yield Tag("", tokens, start, position, trims)


def unstorable(words: str) -> tuple[int, str] | None:
    """Return where `words` first hold a character that PostgreSQL refuses, and the end of a sentence about it."""
    if "\0" in words:
        return words.index("\0"), "holds a NUL, which cannot be stored. Remove it from the template or the data."
    if not words.isascii() and (half := SURROGATE.search(words)):
        return half.start(), "holds half a character (a lone surrogate). Remove it from the template or the data."
    return None


def place(source: str, position: int) -> tuple[int, int]:
    """Return line and column, both from 1, of a position in a source."""
    before = source[:position]
    return before.count("\n") + 1, position - (before.rfind("\n") + 1) + 1


def _next_tag(source: str, position: int) -> int:
    while (position := source.find("{", position)) >= 0:
        if source[position + 1 : position + 2] in ("{", "%", "#") and position + 1 < len(source):
            return position
        position += 1
    return -1


def _tag(source: str, start: int, loops: int) -> tuple[int, int]:
    kind = source[start + 1]
    if kind == "#":
        closing = source.find("#}", start + 2)
        if closing < 0:
            raise _Refused(start, "This comment has no end: add #}.")
        return closing + 2, loops
    tokens = list(islice(_tokens(source, start), MAX_WORDS + 2))
    end = tokens.pop()
    if len(tokens) > MAX_WORDS:
        raise _Refused(start, f"This tag has more than {MAX_WORDS} words.")
    if kind == "{":
        _Expression(tokens).check()
    else:
        loops = _statement(tokens, start, loops)
    return end.position + len(end.text), loops


def _tokens(source: str, start: int) -> Iterator[Token]:
    closing = "}}" if source[start + 1] == "{" else "%}"
    # A sign right after the opening braces only trims white space.
    position = start + (3 if source[start + 2 : start + 3] in ("-", "+") else 2)
    while match := TOKEN.match(source, position):
        kind, text = str(match.lastgroup), match.group()
        if kind == "end" and not text.endswith(closing):
            break
        if kind != "space":
            yield Token(kind, text, position)
        if kind == "end":
            return
        position = match.end()
    if position >= len(source):
        raise _Refused(start, f"This tag has no end: add {closing}.")
    raise _Refused(position, f"{source[position]!r} cannot stand here.")


def _statement(tokens: list[Token], start: int, loops: int) -> int:
    if not tokens or tokens[0].kind != "name" or tokens[0].text not in TAGS:
        word = tokens[0].text if tokens else ""
        raise _Refused(start, f"The tag {word or '{%'} cannot be used here. {FOR_TRUSTED.get(word, '')}".rstrip())
    tag, rest = tokens[0].text, tokens[1:]
    if tag == "for":
        _for(rest, start)
        return loops + 1
    if tag == "set":
        if len(rest) < 2 or rest[0].kind != "name" or rest[1].text != "=":
            raise _Refused(start, "Write {% set name = value %}.")
        _Expression(rest[2:], may_add=False).check()
    else:
        _Expression(rest).check()
    return max(loops - 1, 0) if tag == "endfor" else loops


def _for(tokens: list[Token], start: int) -> None:
    at = next((index for index, token in enumerate(tokens) if token.text == "in" and token.kind == "name"), -1)
    if at < 1 or any(token.kind != "name" and token.text != "," for token in tokens[:at]):
        raise _Refused(start, "Write {% for item in items %}.")
    if tokens[-1].text == "recursive":
        raise _Refused(tokens[-1].position, "A loop cannot call itself here.")
    _Expression(tokens[at + 1 :], may_add=False).check()


class _Expression:
    """One expression's words, checked in one pass with a stack of open brackets."""

    def __init__(self, tokens: list[Token], *, may_add: bool = True) -> None:
        self.tokens = tokens
        self.may_add = may_add
        self.sums = 0
        self.open: list[str] = []  # "call", "group", "index" or "list"

    def check(self) -> None:
        """Raise _Refused at the first word that may not stand where it stands."""
        for index, token in enumerate(self.tokens):
            before = self.tokens[index - 1] if index else None
            if token.kind == "name":
                self._name(token, before, index)
            elif token.kind == "op":
                self._operator(token, before, index)

    def _name(self, token: Token, before: Token | None, index: int) -> None:
        if before is not None and before.text == "|" and token.text not in FILTERS:
            raise _Refused(token.position, f"There is no filter {token.text}. There are: {', '.join(sorted(FILTERS))}.")
        if token.text.startswith("_"):
            raise _Refused(token.position, "A name cannot start with _ here.")
        if "list" in self.open and token.text not in ("true", "false", "none"):
            raise _Refused(token.position, "A list written out may hold only texts and numbers.")

    def _operator(self, token: Token, before: Token | None, index: int) -> None:
        text = token.text
        if text in ("(", "["):
            self._opening(token, before, index)
        elif text in (")", "]"):
            if self.open:
                self.open.pop()
        elif text == ",":
            if not self.open or self.open[-1] not in ("call", "list"):
                raise _Refused(token.position, "A comma cannot stand here.")
        elif text not in OPERATORS:
            raise _Refused(token.position, f"{text} cannot be used here. {INSTEAD.get(text, '')}".rstrip())
        elif text == "+":
            self.sums += 1
            if not self.may_add or self.sums > MAX_SUMS:
                raise _Refused(token.position, "A sum may only be printed or compared, with few terms.")
        elif "list" in self.open and text != "-":
            raise _Refused(token.position, "A list written out may hold only texts and numbers.")

    def _opening(self, token: Token, before: Token | None, index: int) -> None:
        follows_value = before is not None and (
            (before.kind == "name" and before.text not in KEYWORDS)
            or before.kind == "string"
            or before.text in (")", "]")
        )
        if len(self.open) >= MAX_NESTING:
            raise _Refused(token.position, "Too many brackets inside each other.")
        if token.text == "[":
            if "list" in self.open:
                raise _Refused(token.position, "A list written out may hold only texts and numbers.")
            self.open.append("index" if follows_value else "list")
        elif not follows_value:
            self.open.append("group")
        elif self._is_filter_or_test(index - 1):
            self.open.append("call")
        else:
            raise _Refused(token.position, "Nothing can be called here; only filters (after |) take brackets.")

    def _is_filter_or_test(self, index: int) -> bool:
        words = [token.text for token in self.tokens[max(index - 2, 0) : index]]
        is_name = self.tokens[index].kind == "name"
        return is_name and (words[-1:] in (["|"], ["is"]) or words == ["is", "not"])
