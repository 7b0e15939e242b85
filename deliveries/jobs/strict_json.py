"""Bytes → one JSON object that every reader understands alike and PostgreSQL can store, or the reason why not.

Only JSON is judged here, no field of a job. msgspec decodes; what it lets through is first tested on the whole bytes by
tests that are cheap and may only err on the careful side. Only when one of them is unsure is the value walked.
"""

from __future__ import annotations

import json
import math
import re
from collections import deque
from typing import Any, Final, NoReturn

import msgspec

from deliveries.jobs.reasons import InvalidJob

MAX_JOB_BYTES: Final = 256 * 1024
#: One HTTP body: a thousand jobs of 4 KiB.
MAX_BATCH_BYTES: Final = 4 * 1024 * 1024
MAX_DEPTH: Final = 32
MIN_INTEGER: Final = -(2**63)
MAX_INTEGER: Final = 2**63 - 1

_decode: Final = msgspec.json.Decoder().decode
#: Finds the end of a value; the value itself is thrown away, so its numbers need not be made.
_scan: Final = json.JSONDecoder(parse_int=len, parse_float=len, parse_constant=len).raw_decode

#: What the tests on whole bytes look at: digits become 0, white space a space, other bytes but these few an x.
_CLASSES: Final = bytes(
    0x30 if byte in b"0123456789" else 0x20 if byte in b" \t\n\r" else byte if byte in b'":[' else 0x78
    for byte in range(256)
)
#: An integer outside of 64 bits is written with 19 digits or more.
_LONG_NUMBER: Final = b"0" * 19
_opening: Final = re.compile(r"[ \t\n\r]*\[[ \t\n\r]*(?:(\])[ \t\n\r]*)?").match
_separator: Final = re.compile(r"[ \t\n\r]*([,\]])[ \t\n\r]*").match


def decode_object(raw: bytes, *, most_bytes: int = MAX_JOB_BYTES) -> dict[str, Any]:
    """Decode one JSON object strictly.

    The result holds no U+0000, no surrogate, no duplicate key, no number outside of a finite double or a signed 64-bit
    integer, and is at most MAX_DEPTH deep (the object itself is 1).

    Raises: InvalidJob.
    """
    if len(raw) > most_bytes:
        raise InvalidJob("too_big", f"the message has {len(raw):,} bytes; send at most {most_bytes:,}.")
    try:
        value = _decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        _explain(raw, error)
    if type(value) is not dict:
        raise InvalidJob("not_an_object", f"the message is {kind(value)}; send one JSON object.")
    classes = raw.translate(_CLASSES)
    members = classes.count(b'":') + classes.count(b" :")
    if b"\\u0000" in raw or _LONG_NUMBER in classes or not _surely_plain(classes, members, value):
        _inspect(raw, members, value)
    return value


def split_list(raw: bytes, *, most: int) -> list[bytes] | None:
    """Cut a JSON list into the bytes of its items, each still to be decoded; None when the bytes hold no list.

    Reads no further than one item past `most`, so a body of a million tiny items costs no more than a good one.

    Raises: InvalidJob when the text as a whole is no list; what is wrong inside one item is left to its own decoding.
    """
    if len(raw) > MAX_BATCH_BYTES:
        raise InvalidJob("too_big", f"the body has {len(raw):,} bytes; send at most {MAX_BATCH_BYTES:,}.")
    text = _text(raw)
    opening = _opening(text)
    if opening is None:
        return None
    items: list[bytes] = []
    at, closed = opening.end(), opening[1] is not None
    while not closed and len(items) <= most:
        try:
            _, end = _scan(text, at)
        except json.JSONDecodeError as error:
            raise _malformed(error) from None
        except RecursionError:
            raise _too_deep() from None
        items.append(text[at:end].encode())
        separator = _separator(text, end)
        if separator is None:
            raise _malformed(json.JSONDecodeError("Expecting ',' or ']'", text, end))
        at, closed = separator.end(), separator[1] == "]"
    if closed and at < len(text):
        raise _malformed(json.JSONDecodeError("Extra data", text, at))
    return items


def kind(value: object) -> str:
    """Name the JSON type of a decoded value in words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "text"
    return "a list" if isinstance(value, list) else "an object"


def _surely_plain(classes: bytes, members: int, value: dict[str, Any]) -> bool:
    """Say whether the value surely has no duplicate key and is surely not too deep. False means only "unsure".

    Duplicates: let M be the members written in the text and K the keys that decoding kept; K ≤ M, and K = M exactly if
    no object repeats a key. In valid JSON the colon of a member follows the closing quote of its name with nothing but
    white space between, so the byte before it is a quote or white space; `members` counts all such pairs (perhaps some
    inside texts too), so M ≤ members. The keys counted here are some of the K. Then members = keys gives
    M ≤ members = keys ≤ K ≤ M, so K = M: nothing was repeated, and no key was left uncounted.

    Depth: then any object not counted here is empty, so the deepest value lies in at most two counted objects, the
    lists, and one empty object.
    """
    keys = len(value)
    for name in ("data", "meta", "content"):
        member = value.get(name)
        if type(member) is dict:
            keys += len(member)
    return members == keys and classes.count(b"[") <= MAX_DEPTH - 3


def _inspect(raw: bytes, members: int, value: dict[str, Any]) -> None:
    """Walk the value for everything that the cheap tests could not rule out.

    Raises: InvalidJob.
    """
    keys = 0
    waiting: deque[tuple[Any, int, tuple[Any, ...]]] = deque([(value, 1, ())])
    while waiting:
        node, depth, trail = waiting.popleft()
        if depth > MAX_DEPTH:
            raise _too_deep(_path(trail)[:100])
        if type(node) is dict:
            keys += len(node)
            if "\0" in "".join(node):
                raise InvalidJob("nul_character", "a key holds the character U+0000; remove it.", path=_path(trail))
        for key, child in node.items() if type(node) is dict else enumerate(node):
            if type(child) is str:
                if "\0" in child:
                    problem = "the text holds the character U+0000; remove it."
                    raise InvalidJob("nul_character", problem, path=_path((trail, key)))
            elif type(child) is int:
                if not MIN_INTEGER <= child <= MAX_INTEGER:
                    problem = "the integer does not fit in 64 bits; send it as text."
                    raise InvalidJob("integer_out_of_range", problem, path=_path((trail, key)))
            elif type(child) is dict or type(child) is list:
                waiting.append((child, depth + 1, (trail, key)))
    if keys != members:  # else nothing was repeated, as shown at _surely_plain
        _refuse_duplicate_keys(raw)


def _refuse_duplicate_keys(raw: bytes) -> None:
    try:
        json.loads(raw, object_pairs_hook=_unique)
    except RecursionError:  # inside a value that its repeated key hid from the walk
        raise _too_deep() from None


def _path(trail: tuple[Any, ...]) -> str:
    """Write a trail of (parent, key) pairs as `data.items[2].name`."""
    parts: list[str] = []
    while trail:
        trail, key = trail
        parts.append(f"[{key}]" if type(key) is int else "." + str(key)[:60].replace("\0", "\ufffd"))
    return "".join(reversed(parts)).removeprefix(".")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidJob("duplicate_key", f"the key {twice[:60]!a} appears twice in one object; send it once.")
    return result


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise InvalidJob("number_out_of_range", f"the number {text[:40]} is too large for a double; send it as text.")
    return number


def _short_integer(text: str) -> int:
    if len(text) > 20 or not MIN_INTEGER <= int(text) <= MAX_INTEGER:
        problem = f"the integer {text[:24]} does not fit in 64 bits; send it as text."
        raise InvalidJob("integer_out_of_range", problem)
    return int(text)


def _not_a_number(text: str) -> NoReturn:
    raise InvalidJob("not_finite", f"{text} is not JSON; send null or leave the field out.")


def _explain(raw: bytes, error: Exception) -> NoReturn:
    """Find out why decoding failed. Slow and exact: only for bytes that are refused anyway.

    Raises: InvalidJob, always.
    """
    text = _text(raw)
    if not text.strip(" \t\n\r"):
        raise InvalidJob("empty", "the message is empty; send one JSON object.")
    try:
        value = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_float=_finite,
            parse_int=_short_integer,
            parse_constant=_not_a_number,
        )
    except json.JSONDecodeError as wrong:
        raise _malformed(wrong) from None
    except RecursionError:
        raise _too_deep() from None
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        problem = "a text holds half of a surrogate pair; cut texts at whole characters."
        raise InvalidJob("lone_surrogate", problem) from None
    if isinstance(error, RecursionError):
        raise _too_deep()
    raise InvalidJob("invalid_json", f"not JSON: {error}; use a JSON library.")


def _text(raw: bytes) -> str:
    if raw.startswith(b"\xef\xbb\xbf"):
        raise InvalidJob("bom", "the bytes begin with a byte order mark; send UTF-8 without one.")
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in raw[:4]:
        raise InvalidJob("utf16", "the bytes are UTF-16 or UTF-32; send UTF-8.")
    try:
        return raw.decode()
    except UnicodeDecodeError as wrong:
        raise InvalidJob("not_utf8", f"byte {wrong.start} is not valid UTF-8; send UTF-8.") from None


def _malformed(error: json.JSONDecodeError) -> InvalidJob:
    place = f"line {error.lineno}, column {error.colno}"
    return InvalidJob("invalid_json", f"not JSON: {error.msg} at {place}; use a JSON library.")


def _too_deep(path: str = "") -> InvalidJob:
    return InvalidJob("too_deep", f"nested deeper than {MAX_DEPTH} levels; flatten it.", path=path)
