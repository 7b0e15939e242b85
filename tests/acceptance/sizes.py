"""How big the faults are: small in `make test`, as in the table of promises in `make faults` (FAULTS=full)."""

from __future__ import annotations

import os
from typing import Any

import pytest

from tests.waiting import GENEROUS_SECONDS

FULL = os.environ.get("FAULTS", "small") == "full"
WAIT_SECONDS = 1800.0 if FULL else GENEROUS_SECONDS
#: The promise is that a process which is told to stop is gone by then; a small run asks only that it ends, on any machine.
EXIT_SECONDS = 30.0 if FULL else GENEROUS_SECONDS


def sized(names: str, *, small: tuple[Any, ...], full: tuple[Any, ...]) -> pytest.MarkDecorator:
    """Give a test the numbers of this run's size, by the names of its arguments."""
    size = pytest.param(*(full if FULL else small), id="full" if FULL else "small")
    return pytest.mark.parametrize(names, [size])
