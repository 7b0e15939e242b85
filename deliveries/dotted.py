"""Where a value stands in decoded JSON, as operators write it: `messages.0.id`. Pure."""

from __future__ import annotations

from typing import Any


def find(value: Any, path: str) -> Any:
    """Return what stands at a dotted path, a number being a place in a list; None where there is nothing."""
    for step in path.split("."):
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.isdecimal() and int(step[:9]) < len(value):
            value = value[int(step[:9])]
        else:
            return None
    return value


def text_at(value: Any, path: str) -> str:
    """Return a text or number at a path as text; "" where there is neither, or no path."""
    found = find(value, path) if path else None
    return str(found) if isinstance(found, str | int | float) and not isinstance(found, bool) else ""
