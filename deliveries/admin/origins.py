"""What a template code stands for where another app made it up, such as a broadcast's own words: its name and page. Here: who is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from django.http import HttpRequest


@dataclass(frozen=True, slots=True)
class Origin:
    """Where messages come from, as staff call it, and its page."""

    name: str
    url: str


Read = Callable[[HttpRequest, list[str]], Mapping[str, Origin]]
_readers: dict[str, Read] = {}


def origins_register(prefix: str, read: Read) -> None:
    """Ask `read` about the codes that begin with `prefix`. It leaves out what the signed-in person may not see. Idempotent."""
    _readers[prefix] = read


def origins_of(request: HttpRequest, codes: Iterable[str]) -> dict[str, Origin]:
    """Return what is known of some template codes; nothing of those that name a template. One query for each app that is asked."""
    found: dict[str, Origin] = {}
    for prefix, read in _readers.items():
        if asked := sorted({code for code in codes if code.startswith(prefix)}):
            found |= read(request, asked)
    return found
