"""How long one step of a template may take: a comparison, `in`, a sum or a cut reads whole values, and what they weigh only the
data tells. So the words are looked through once, for what such steps may read, and the data at each rendering. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from deliveries.rendering.language import CONSTANTS, KEYWORDS, Token, tags

#: Outside of loops a step is taken once, so only many of them weigh.
MAX_ONCE: Final = 100
MAX_PATHS: Final = 100
CHARACTERS_OF_AN_ITEM: Final = 2
COMPARISONS: Final = frozenset({"==", "!=", "<=", ">=", "<", ">"})
TESTS: Final = frozenset({"eq", "equalto", "ne", "lt", "lessthan", "le", "gt", "greaterthan", "ge"})
#: Stands in a path for whichever item of a list is the heaviest.
ITEM: Final = "[]"
#: A name and the fields after it; `()` is all the data.
Path = tuple[str, ...]
ALL: Final[frozenset[Path]] = frozenset({()})


class Reading(NamedTuple):
    """What one step may read: the values at `paths`, as many times over as it adds up (`times`)."""

    paths: frozenset[Path]
    times: int


def readings(source: str) -> frozenset[Reading]:
    """Return what steps of a sound source may read, those that may be taken many times; empty: no step takes long."""
    in_loops: set[Reading] = set()
    once: set[Reading] = set()
    known: dict[str, frozenset[Path]] = {}
    count = loops = 0
    for tag in tags(source):
        words = tag.words
        if tag.name == "for":
            loops += 1
            words = _looped(words, known)
        elif tag.name == "endfor":
            loops -= 1
        elif tag.name == "set":
            words = words[2:]
            _learn(known, tag.words[0].text, _paths(words, known))
        if heavy := _heavy_words(words):
            count += heavy
            sums = sum(word.kind == "op" and word.text == "+" for word in words)
            (in_loops if loops else once).add(Reading(_paths(words, known), 1 + sums))
    return frozenset(in_loops | once if count > MAX_ONCE else in_loops)


def heaviest(found: Iterable[Reading], values: Mapping[str, Any]) -> int:
    """Return how many items the longest step reads of plain values, texts by their length; at least 1."""
    weights: dict[Path, int] = {}
    for reading in found:
        for path in reading.paths:
            if path not in weights:
                weights[path] = _weight_at(path, values)
    return max((max(map(weights.__getitem__, paths), default=1) * times for paths, times in found), default=1)


def _looped(words: list[Token], known: dict[str, frozenset[Path]]) -> list[Token]:
    """Learn what a loop's names stand for. Return the words of its condition, which is asked for each item."""
    at = next(index for index, word in enumerate(words) if word.text == "in")
    names = [word.text for word in words[:at] if word.kind == "name"]
    rest = words[at + 1 :]
    texts = [word.text for word in rest if word.kind == "name"]
    end = len(rest)
    if "else" not in texts and "if" in texts:
        end = next(index for index, word in enumerate(rest) if word.kind == "name" and word.text == "if")
    looped = rest[:end]
    paths = _paths(looped, known)
    if not any(word.kind == "op" and word.text != "." for word in looped):
        paths = frozenset(path if path[-1:] in ((), (ITEM,)) else (*path, ITEM) for path in paths)
    for name in names:
        _learn(known, name, paths)
    return rest[end:] if end < len(rest) else rest


def _learn(known: dict[str, frozenset[Path]], name: str, paths: frozenset[Path]) -> None:
    # Whatever a name stood for anywhere: what it stands for here is among it.
    every = known.get(name, frozenset({(name,)})) | paths
    known[name] = every if len(every) <= MAX_PATHS else ALL


def _paths(words: list[Token], known: Mapping[str, frozenset[Path]]) -> frozenset[Path]:
    """Return where the values lie that an expression names."""
    found: set[Path] = set()
    for index, word in enumerate(words):
        before = words[index - 1].text if index else ""
        if word.kind != "name" or before in (".", "|", "is") or word.text in KEYWORDS | CONSTANTS:
            continue
        fields = tuple(_fields(words[index + 1 :]))
        for path in known.get(word.text, frozenset({(word.text,)})):
            found.add(path if path[-1:] in ((), (ITEM,)) else path + fields)
    return frozenset(found) if len(found) <= MAX_PATHS else ALL


def _fields(words: list[Token]) -> Iterator[str]:
    for dot, field in zip(words[::2], words[1::2], strict=False):
        if dot.text != "." or field.kind != "name":
            return
        yield field.text


def _heavy_words(words: list[Token]) -> int:
    """Return how many words read whole values. A text or number that is written out on one side bounds a comparison."""
    count = 0
    for index, word in enumerate(words):
        if word.kind == "op" and word.text in COMPARISONS:
            count += not (_is_written_out(words, index - 1) or _is_written_out(words, index + 1))
        elif word.kind == "name" and word.text == "in":
            count += not (words[index + 1 : index + 2] and words[index + 1].text == "[")
        elif word.kind == "name" and word.text in TESTS:
            count += index > 0 and words[index - 1].text in ("is", "not")
        elif word.kind == "op" and word.text in ("+", ":"):
            count += 1
    return count


def _is_written_out(words: list[Token], index: int) -> bool:
    if not 0 <= index < len(words):
        return False
    word = words[index]
    if word.kind not in ("string", "number") and word.text not in CONSTANTS:
        return False
    before = words[index - 1].text if index else ""
    after = words[index + 1].text if index + 1 < len(words) else ""
    return before not in (".", "|") and after not in (".", "|", "[", "(")


def _weight_at(path: Path, values: Mapping[str, Any]) -> int:
    value: Any = values
    for step in path:
        if step == ITEM:
            items = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
            return max(map(_weight, items), default=1)
        if not isinstance(value, Mapping) or step not in value:
            return 1
        value = value[step]
    return _weight(value)


def _weight(value: Any) -> int:
    if type(value) is str:
        return 1 + len(value) // CHARACTERS_OF_AN_ITEM
    if isinstance(value, Mapping):
        return 1 + len(value) + sum(map(_weight, value.values()))
    if isinstance(value, list):
        return 1 + sum(map(_weight, value))
    return 1
