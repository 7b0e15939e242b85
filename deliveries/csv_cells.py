"""Cells of CSV files that people open in spreadsheets. Pure."""

from __future__ import annotations

from typing import Final

#: What a spreadsheet begins a formula with; a tab or a line break before it is skipped by some.
FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n")


def safe_cell(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula: one that looks like it gets an apostrophe in front (OWASP, CSV injection)."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text
