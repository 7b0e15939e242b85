"""Rules as a person reads them: the names of fields and operators, and a whole segment as one sentence. Pure."""

from __future__ import annotations

from typing import Any, Final

from broadcasts.rule_parts import ATTRIBUTES, Group, Rule, Type

FIELD_WORDS: Final = {
    "email": "E-mail",
    "name": "Name",
    "phone": "Phone",
    "locale": "Language",
    "time_zone": "Time zone",
    "user_id": "User id",
    "created_at": "Added",
}
TYPE_WORDS: Final = {
    Type.TEXT: "Text",
    Type.NUMBER: "Number",
    Type.DATE: "Date",
    Type.LIST: "List",
    Type.BOOLEAN: "Yes or no",
}
OPERATOR_WORDS: Final = {
    "is": "is",
    "is_not": "is not",
    "is_one_of": "is one of",
    "is_not_one_of": "is none of",
    "contains": "contains",
    "does_not_contain": "does not contain",
    "contains_any": "contains any of",
    "contains_all": "contains all of",
    "starts_with": "starts with",
    "ends_with": "ends with",
    "is_empty": "is empty",
    "is_not_empty": "is not empty",
    "exists": "is there",
    "does_not_exist": "is not there",
    "=": "=",
    "!=": "≠",
    "<": "<",
    "<=": "≤",
    ">": ">",
    ">=": "≥",
    "between": "is between",
    "before": "is before",
    "after": "is after",
    "on": "is on",
    "in_last_days": "is in the last … days",
    "not_in_last_days": "is not in the last … days",
}
MOST_VALUES: Final = 3


def group_words(group: Group, *, is_inner: bool = False) -> str:
    """Return checked rules as a sentence: plan is “gold” and visits ≥ 3."""
    word = " and " if group.match == "all" else " or "
    said = word.join(_words(part) for part in group.rules)
    return f"({said})" if is_inner and len(group.rules) > 1 else said


def _words(part: Rule | Group) -> str:
    if isinstance(part, Group):
        return group_words(part, is_inner=True)
    name = FIELD_WORDS.get(part.field, part.field.removeprefix(ATTRIBUTES))
    operator = OPERATOR_WORDS[part.op]
    if "…" in operator:
        return f"{name} {operator.replace('…', str(part.value))}"
    return f"{name} {operator}" if part.value is None else f"{name} {operator} {_value(part)}"


def _value(rule: Rule) -> str:
    if rule.op == "between":
        return f"{rule.value[0]} and {rule.value[1]}"
    if isinstance(rule.value, list):
        shown = ", ".join(map(_one, rule.value[:MOST_VALUES]))
        more = len(rule.value) - MOST_VALUES
        return f"{shown} and {more} more" if more > 0 else shown
    return _one(rule.value)


def _one(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"“{value}”" if isinstance(value, str) else f"{value}"
