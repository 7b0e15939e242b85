"""What the words of a template ask for from outside, and an example of it. Reads the source, renders nothing.

Only a guess: it knows how a field is used (printed, looped over, counted with), not what it means.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from deliveries.rendering.filters import LISTS
from deliveries.rendering.language import CONSTANTS, KEYWORDS, Token, tags

#: Names that are there without the job's data.
GIVEN: Final = frozenset({"contact", "tenant", "loop", "unsubscribe_url"})
SAME_LIST: Final = LISTS.keys() - {"sum"}
ONE_OF: Final = frozenset({"first", "last"})
NUMERIC: Final = frozenset({"money", "round", "abs", "int", "float"})
LINK: Final = "https://example.com/"
ARITHMETIC: Final = frozenset({"+", "-", "/", "//", "%", "<", ">", "<=", ">="})


@dataclass(slots=True)
class Want:
    """How something is used: by its fields, as a list, as a number, else as text. `item_name` is what a loop calls it,
    `position` where it is first named in the source that was read."""

    fields: dict[str, Want] = field(default_factory=dict)
    item: Want | None = None
    item_name: str = ""
    is_number: bool = False
    position: int = 0

    def field(self, name: str, position: int = 0) -> Want:
        """Return what is wanted of one field."""
        return self.fields.setdefault(name, Want(position=position))

    def one(self, name: str = "") -> Want:
        """Return what is wanted of an item: this is a list."""
        self.item = self.item or Want()
        self.item_name = self.item_name or name
        return self.item

    def example(self, name: str) -> Any:
        """Return a value that serves, its texts made of the field's name."""
        if self.item is not None:
            return [self.item.example(self.item_name or name)]
        if self.fields:
            return {each: want.example(each) for each, want in self.fields.items()}
        if self.is_number:
            return 1
        return LINK if name.endswith(("url", "link")) else name.replace("_", " ")


def example_data(sources: Iterable[str]) -> dict[str, Any]:
    """Return a job's data that sound sources can be rendered with: every field they ask for, lists with one item."""
    data = Want()
    for source in sources:
        _Reading(data).read(source)
    return {name: want.example(name) for name, want in data.fields.items()}


def asked_names(source: str) -> dict[str, int]:
    """Return the fields of a job's data that a sound source names, and where it names each first."""
    data = Want()
    _Reading(data).read(source)
    return {name: want.position for name, want in data.fields.items()}


def example_contact(sources: Iterable[str]) -> dict[str, Any]:
    """Return the `attributes` of a person that sound sources can be rendered with."""
    contact = Want()
    for source in sources:
        _Reading(Want(), contact).read(source)
    attributes = contact.fields.get("attributes", Want()).fields
    return {"attributes": {name: want.example(name) for name, want in attributes.items()}}


def asked_contact(sources: Iterable[str]) -> list[str]:
    """Return the fields of a person that sound sources name, in order of their dotted names: `name`, `attributes.city`."""
    contact = Want()
    for source in sources:
        _Reading(Want(), contact).read(source)
    own = [name for name in contact.fields if name != "attributes"]
    return sorted([*own, *(f"attributes.{name}" for name in contact.fields.get("attributes", Want()).fields)])


class _Reading:
    """One source, from its first tag to its last, with the names that its loops and sets make."""

    def __init__(self, data: Want, contact: Want | None = None) -> None:
        self.data = data
        self.scopes: list[dict[str, Want]] = [{"data": data, **{name: Want() for name in GIVEN}}]
        if contact is not None:
            self.scopes[0]["contact"] = contact

    def read(self, source: str) -> None:
        for tag in tags(source):
            self._tag(tag.name, tag.words)

    def _tag(self, tag: str, tokens: list[Token]) -> None:
        words = [token.text for token in tokens]
        if tag == "for" and "in" in words:
            self._loop(tokens, words.index("in"))
        elif tag == "endfor" and len(self.scopes) > 1:
            self.scopes.pop()
        elif tag == "set" and len(words) > 2:
            values = self._values(tokens[2:])
            self.scopes[-1][words[0]] = values[0] if len(values) == 1 else Want()
        else:
            self._values(tokens)

    def _loop(self, tokens: list[Token], at: int) -> None:
        names = [token.text for token in tokens[:at] if token.kind == "name"]
        rest = tokens[at + 1 :]
        end = next((index for index, token in enumerate(rest) if token.text == "if"), len(rest))
        looped = self._values(rest[:end])
        made = {name: Want() for name in names}
        if [token.text for token in rest[max(end - 2, 0) : end]] == ["|", "items"]:
            for want in looped:
                made[names[-1]] = want.field("example")
        elif len(names) == 1:
            for want in looped:
                made[names[0]] = want.one(names[0])
        self.scopes.append(made)
        self._values(rest[end + 1 :])

    def _values(self, tokens: list[Token]) -> list[Want]:
        """Note what an expression does with each name in it; return what its names lead to."""
        found, index = [], 0
        while index < len(tokens):
            if self._is_name(tokens, index):
                want, index = self._path(tokens, index)
                found.append(want)
            else:
                index += 1
        return found

    def _is_name(self, tokens: list[Token], index: int) -> bool:
        before = tokens[index - 1].text if index else ""
        after = tokens[index + 1].text if index + 1 < len(tokens) else ""
        is_test = before == "is" or (before == "not" and index > 1 and tokens[index - 2].text == "is")
        word = tokens[index].text
        return (
            tokens[index].kind == "name"
            and word not in KEYWORDS | CONSTANTS
            and before not in (".", "|")
            and not is_test
            and after != "="
        )

    def _path(self, tokens: list[Token], index: int) -> tuple[Want, int]:
        """Follow a name through its fields and filters. Returns where the expression goes on."""
        before = tokens[index - 1].text if index else ""
        want = self._named(tokens[index])
        index += 1
        while index + 1 < len(tokens):
            sign, word = tokens[index].text, tokens[index + 1]
            if sign == "." and word.kind == "name":
                want, index = want.field(word.text, word.position), index + 2
            elif sign == "[" and word.kind in ("string", "number"):
                want = want.field(word.text[1:-1], word.position) if word.kind == "string" else want.one()
                index += 3
            elif sign == "|" and word.kind == "name":
                want = _filtered(want, word.text, tokens[index + 2 :])
                index += 2
                if word.text not in SAME_LIST | ONE_OF | {"default", "d"}:
                    break
                index = _after_brackets(tokens, index)
            else:
                break
        after = tokens[index].text if index < len(tokens) else ""
        if not want.fields and {before, after} & ARITHMETIC:
            want.is_number = True
        return want, index

    def _named(self, token: Token) -> Want:
        for scope in reversed(self.scopes):
            if token.text in scope:
                return scope[token.text]
        return self.data.field(token.text, token.position)


def _filtered(want: Want, name: str, rest: list[Token]) -> Want:
    """Note what a filter takes; return what its value is made of."""
    if name in ONE_OF:
        return want.one()
    if name == "join" or name in LISTS:
        want.one()
    if name in LISTS and want.item is not None:
        by = next((rest[at + 2].text[1:-1] for at in range(min(4, len(rest) - 2)) if rest[at].text == "attribute"), "")
        item = want.item.field(by) if by else want.item
        item.is_number = item.is_number or name == "sum"
    if name in NUMERIC or (name in ("default", "d") and len(rest) > 1 and rest[1].kind == "number"):
        want.is_number = True
    return want


def _after_brackets(tokens: list[Token], index: int) -> int:
    if index < len(tokens) and tokens[index].text == "(":
        while index < len(tokens) and tokens[index].text != ")":
            index += 1
        return index + 1
    return index
