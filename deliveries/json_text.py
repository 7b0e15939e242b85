"""Data → JSON, for whatever leaves this service: answers, frames, dead letters. One encoder; what the data says is decided elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson
from django.utils.functional import Promise

OPTIONS: Final = orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS
LARGEST: Final = 2**63 - 1


def json_bytes(data: Any) -> bytes:
    """Return JSON in UTF-8; times in UTC end in Z. Whatever a jsonb column holds can be written.

    Raises: TypeError for what has no JSON form.
    """
    try:
        return orjson.dumps(data, default=_plain, option=OPTIONS)
    except orjson.JSONEncodeError:
        # orjson knows integers of 64 bits only, and jsonb gives 1e30 back as a longer one.
        return orjson.dumps(with_doubles(data), default=_plain, option=OPTIONS)


def with_doubles(data: Any) -> Any:
    """Return the same with each integer of more than 64 bits as the double that it came in as: jobs hold no longer integers."""
    if isinstance(data, Mapping):
        return {key: with_doubles(value) for key, value in data.items()}
    if isinstance(data, list | tuple | set | frozenset):
        return [with_doubles(value) for value in data]
    if isinstance(data, int) and not -LARGEST - 1 <= data <= LARGEST:
        return float(data)
    return data


def _plain(value: object) -> Any:
    """Turn what orjson does not know into what it does. Raises: TypeError, as orjson asks."""
    if isinstance(value, Promise):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, str):  # DRF's ErrorDetail
        return str(value)
    if isinstance(value, list | tuple | set | frozenset):
        return list(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
