"""Pieces of SQL that say yes or no of a contact, alias `c`, and their parameters. Pure: what they ask is decided by their makers.

A condition is never NULL, so that NOT turns it round for everybody. Values are parameters, never text of the statement.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Condition:
    """SQL over `c` (deliveries_contact), with psycopg's named parameters `%(name)s`."""

    sql: str
    params: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Params:
    """Hands out names for values, each once: `r0`, `r1`, …"""

    prefix: str
    values: dict[str, Any] = field(default_factory=dict)

    def add(self, value: Any) -> str:
        """Take a value; return its placeholder."""
        name = f"{self.prefix}{len(self.values)}"
        self.values[name] = value
        return f"%({name})s"


EVERYBODY = Condition("TRUE")


def all_of(conditions: Iterable[Condition]) -> Condition:
    """Return the condition that every one of them holds. Raises: ValueError for none, or a parameter name with two values."""
    return _joined(" AND ", conditions)


def any_of(conditions: Iterable[Condition]) -> Condition:
    """Return the condition that one of them holds at least. Raises: ValueError for none, or a parameter name with two values."""
    return _joined(" OR ", conditions)


def none_of(condition: Condition) -> Condition:
    """Return the opposite."""
    return Condition(f"NOT ({condition.sql})", condition.params)


def _joined(word: str, conditions: Iterable[Condition]) -> Condition:
    sql, params = [], dict[str, Any]()
    for condition in conditions:
        if clashing := params.keys() & condition.params.keys():
            raise ValueError(f"Two conditions use the parameter {min(clashing)}; give them prefixes of their own.")
        params |= condition.params
        sql.append(condition.sql)
    if not sql:
        raise ValueError("No conditions to join.")
    return Condition(f"({word.join(sql)})", params)
