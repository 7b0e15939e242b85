"""What a segment's rules are made of: the fields of a contact, the types, the operators of each, and the checked rules. Pure; tables only.

The check (`rules.py`), the SQL (`rule_sql.py`) and the page that builds rules read these tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Literal

MAX_RULES: Final = 50
MAX_DEPTH: Final = 3
MAX_KEY: Final = 100
ATTRIBUTES: Final = "attributes."


class Type(StrEnum):
    """What a rule takes a field's value for. A value of another type is as good as none."""

    TEXT = "text"
    NUMBER = "number"
    DATE = "date"
    LIST = "list"
    BOOLEAN = "boolean"


class Wants(StrEnum):
    """What an operator compares with."""

    NOTHING = "nothing"
    TEXT = "text"
    TEXTS = "texts"
    NUMBER = "number"
    NUMBERS = "numbers"
    MOMENT = "moment"
    DAY = "day"
    DAYS = "days"
    ENTRY = "entry"
    ENTRIES = "entries"
    BOOLEAN = "boolean"


#: A contact's own fields and their types; every other field is `attributes.<key>`, of whatever type the rule says.
COLUMNS: Final[dict[str, Type]] = {
    "email": Type.TEXT,
    "name": Type.TEXT,
    "phone": Type.TEXT,
    "locale": Type.TEXT,
    "time_zone": Type.TEXT,
    "user_id": Type.TEXT,
    "created_at": Type.DATE,
}
_PRESENCE: Final = {"exists": Wants.NOTHING, "does_not_exist": Wants.NOTHING}
_EMPTINESS: Final = {"is_empty": Wants.NOTHING, "is_not_empty": Wants.NOTHING}
OPERATORS: Final[dict[Type, dict[str, Wants]]] = {
    Type.TEXT: {
        "is": Wants.TEXT,
        "is_not": Wants.TEXT,
        "is_one_of": Wants.TEXTS,
        "is_not_one_of": Wants.TEXTS,
        "contains": Wants.TEXT,
        "does_not_contain": Wants.TEXT,
        "starts_with": Wants.TEXT,
        "ends_with": Wants.TEXT,
        **_EMPTINESS,
        **_PRESENCE,
    },
    Type.NUMBER: {
        **dict.fromkeys(("=", "!=", "<", "<=", ">", ">="), Wants.NUMBER),
        "between": Wants.NUMBERS,
        **_PRESENCE,
    },
    Type.DATE: {
        "before": Wants.MOMENT,
        "after": Wants.MOMENT,
        "on": Wants.DAY,
        "in_last_days": Wants.DAYS,
        "not_in_last_days": Wants.DAYS,
        **_PRESENCE,
    },
    Type.LIST: {
        "contains": Wants.ENTRY,
        "contains_any": Wants.ENTRIES,
        "contains_all": Wants.ENTRIES,
        "does_not_contain": Wants.ENTRY,
        **_EMPTINESS,
        **_PRESENCE,
    },
    Type.BOOLEAN: {"is": Wants.BOOLEAN, "is_not": Wants.BOOLEAN, **_PRESENCE},
}
#: An id is there or it is another one; nobody looks for a part of it.
ID_OPERATORS: Final = ("is", "is_not", "is_one_of", "is_not_one_of", *_PRESENCE)


@dataclass(frozen=True, slots=True)
class Rule:
    """One question about one field; `value` is checked and of the operator's type."""

    field: str
    type: Type
    op: str
    value: Any


@dataclass(frozen=True, slots=True)
class Group:
    """Questions of which all or any must be answered with yes; at least one."""

    match: Literal["all", "any"]
    rules: tuple[Rule | Group, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong and what to do, and where: `rules[2].value`, "" for the whole."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message
