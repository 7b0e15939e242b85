"""The quick way through a message: what prints a plain field is put in by Python, and only loops, conditions and filters
go through the engine, all of a kind in one call.

A message that holds anything out of the ordinary (a value that is missing, no text and no whole number, very long) is
left to the engine altogether, which says what is wrong and where. So both ways give the same, and tests/unit compare
them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Final

from deliveries.rendering.engine import engine, plain
from deliveries.rendering.filters import is_safe_link
from deliveries.rendering.language import CONSTANTS, KEYWORDS, Tag, inspect, tags, unstorable
from deliveries.rendering.marks import Restored

MAX_VALUE_CHARACTERS: Final = 4096
MAX_PRINTS: Final = 1000
#: As the engine escapes; & first.
ESCAPES: Final = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&#x27;"), ("/", "&#x2f;"))


class Unusual(Exception):
    """This message is not for the quick way."""


@dataclass(frozen=True, slots=True)
class Print:
    """A field that is printed: where it is found, and what stands in where its last name is missing."""

    path: tuple[str, ...]
    default: str | None = None


@dataclass(slots=True)
class Plan:
    """How the parts of one locale's words are put together. Their pieces stand in one row: what is printed as it is, the same
    escaped, what the engine made of the blocks, and the words between."""

    prints: list[Print] = field(default_factory=list)
    short: list[tuple[str, str | None]] | None = None
    links: list[int] = field(default_factory=list)
    blocks: dict[bool, list[str]] = field(default_factory=lambda: {False: [], True: []})
    joined_blocks: list[tuple[bool, int, Restored]] = field(default_factory=list)
    block_names: list[str] = field(default_factory=list)
    literals: list[str] = field(default_factory=list)
    picks: list[str | Callable[[list[str]], Sequence[str]]] = field(default_factory=list)

    def fill(self, context: Mapping[str, Any]) -> list[str]:
        """Return the parts, in the order of `plan_of`. Nothing that is put in holds a character that cannot be stored.

        Raises: Unusual, RenderError.
        """
        try:
            # `short` is None where a path is longer; that is a TypeError too.
            values = [context[first] if second is None else context[first][second] for first, second in self.short]  # type: ignore[union-attr]
        except (KeyError, TypeError):
            values = [_found(each, context) for each in self.prints]
        try:
            joined = "\0".join(values)
        except TypeError:
            values = [_text_of(value) for value in values]
            joined = "\0".join(values)
        if len(joined) > MAX_VALUE_CHARACTERS and max(map(len, values)) > MAX_VALUE_CHARACTERS:
            raise Unusual
        if values and joined.count("\0") != len(values) - 1:
            raise Unusual
        if not joined.isascii():
            _encodable(joined)
        for index in self.links:
            if not is_safe_link(values[index]):
                raise Unusual
        escaped = joined
        for sign, instead in ESCAPES:
            escaped = escaped.replace(sign, instead)
        row = values + escaped.split("\0") if values else []
        if self.joined_blocks:
            row += self._blocks_of(context)
        row += self.literals
        return [pick if type(pick) is str else "".join(pick(row)) for pick in self.picks]  # type: ignore[operator]

    def _blocks_of(self, context: Mapping[str, Any]) -> list[str]:
        named = {name: plain(context[name]) for name in self.block_names if name in context}
        found: list[str] = []
        for is_html, count, blocks in self.joined_blocks:
            made = engine.render(blocks, named, html=is_html)
            pieces = made.split("\0")
            if len(pieces) != count or unstorable(made.replace("\0", "")):
                raise Unusual
            found += pieces
        return found


def plan_of(parts: Sequence[tuple[str, bool]]) -> Plan | None:
    """Return how templates (each with whether it is HTML) are put together. None: they are too unusual.

    What one part sets would be known to the next, so whoever sets anything is.
    """
    if any(tag.name == "set" for source, _ in parts for tag in tags(source)):
        return None
    plan = Plan()
    pieces = [_pieces(source, is_html, plan) for source, is_html in parts]
    words = [piece for found in pieces for piece in found if isinstance(piece, str)]
    if sum(map(len, pieces)) > 2 * MAX_PRINTS or unstorable("".join(words)):
        return None
    plan.joined_blocks = [(html, len(all_), Restored("\0".join(all_))) for html, all_ in plan.blocks.items() if all_]
    if any(inspect(joined.source.replace("\0", " ")).problems for _, _, joined in plan.joined_blocks):
        return None
    if all(len(each.path) < 3 for each in plan.prints):
        plan.short = [(each.path[0], each.path[1] if len(each.path) > 1 else None) for each in plan.prints]
    used = (tag.words for _, _, blocks in plan.joined_blocks for tag in tags(blocks.source))
    plan.block_names = sorted({word.text for words_ in used for word in words_ if word.kind == "name"})
    count, texts = len(plan.prints), len(plan.blocks[False])
    offsets = {"raw": 0, "escaped": count, "text block": 2 * count, "html block": 2 * count + texts}
    first_literal = offsets["html block"] + len(plan.blocks[True])
    for found in pieces:
        numbers = []
        for piece in found:
            if isinstance(piece, tuple):
                numbers.append(offsets[piece[0]] + piece[1])
            elif piece:
                numbers.append(first_literal + len(plan.literals))
                plan.literals.append(sys.intern(piece))
        is_constant = not any(isinstance(piece, tuple) for piece in found)
        plan.picks.append("".join(map(str, found)) if is_constant else _picker(numbers))
    return plan


def _picker(numbers: Sequence[int]) -> Callable[[list[str]], Sequence[str]]:
    if len(numbers) == 1:
        number = numbers[0]
        return lambda row: (row[number],)
    return itemgetter(*numbers)


Piece = str | tuple[str, int]


def _pieces(source: str, is_html: bool, plan: Plan) -> list[Piece]:
    """Cut a template into literal words, fields and blocks; the latter two are noted in the plan."""
    block = "html block" if is_html else "text block"
    found = list(tags(source))
    if any(tag.trims for tag in found):
        plan.blocks[is_html].append(source)
        return [(block, len(plan.blocks[is_html]) - 1)]
    pieces: list[Piece] = []
    position, depth, opened = 0, 0, 0
    for tag in found:
        if not depth:
            pieces.append(source[position : tag.start])
            opened = tag.start
        depth += (tag.name in ("if", "for")) - (tag.name in ("endif", "endfor"))
        if depth:
            continue
        position = tag.end
        printed = _print_of(tag) if opened == tag.start else None
        if printed is not None:
            field_, is_link = printed
            if field_ not in plan.prints:
                plan.prints.append(field_)
            number = plan.prints.index(field_)
            if is_link and number not in plan.links:
                plan.links.append(number)
            pieces.append(("escaped" if is_html else "raw", number))
        elif tag.name != "#" or opened != tag.start:
            plan.blocks[is_html].append(source[opened:position])
            pieces.append((block, len(plan.blocks[is_html]) - 1))
    return [*pieces, source[position:]]


def _print_of(tag: Tag) -> tuple[Print, bool] | None:
    """Return what a tag prints if that is a plain field, and whether as a link's address."""
    words = [word.text for word in tag.words]
    if tag.name:
        return None
    is_link = len(words) > 4 and words[0] == "(" and words[-3:] == [")", "|", "url"]
    tokens = tag.words[1:-3] if is_link else tag.words
    words = [token.text for token in tokens]
    default = None
    if len(words) > 5 and words[-5:-3] == ["|", "default"] and words[-3] == "(" and words[-1] == ")":
        literal = tokens[-2]
        if literal.kind != "string" or "\\" in literal.text:
            return None
        default, tokens = literal.text[1:-1], tokens[:-5]
    is_path = len(tokens) % 2 == 1 and all(
        token.kind == "name" if index % 2 == 0 else token.text == "." for index, token in enumerate(tokens)
    )
    if not is_path or tokens[0].text in CONSTANTS | KEYWORDS | {"loop"}:
        return None
    return Print(tuple(token.text for token in tokens[::2]), default), is_link


def _encodable(words: str) -> None:
    """Raises: Unusual for half a character; several times as fast as looking for one."""
    try:
        words.encode()
    except UnicodeEncodeError:
        raise Unusual from None


def _found(wanted: Print, context: Mapping[str, Any]) -> str:
    value: Any = context
    try:
        for name in wanted.path:
            value = value[name]
    except KeyError:
        if wanted.default is None or name is not wanted.path[-1]:
            raise Unusual from None
        return wanted.default
    except TypeError:
        raise Unusual from None
    return _text_of(value)


def _text_of(value: Any) -> str:
    if type(value) is str:
        return value
    if type(value) is int and -(2**63) <= value < 2**63:
        return str(value)
    raise Unusual
