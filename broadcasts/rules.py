"""A segment's rules: JSON → checked rules, every problem named → a condition over contacts. Pure: no ORM, no settings.

{"match": "all", "rules": [
    {"field": "attributes.plan", "type": "text", "op": "is", "value": "gold"},
    {"match": "any", "rules": [ … ]}
]}

The tables of fields and operators are in `rule_parts.py`, values in `rule_values.py`, the SQL in `rule_sql.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from broadcasts.conditions import Condition, Params
from broadcasts.rule_parts import (
    ATTRIBUTES,
    COLUMNS,
    ID_OPERATORS,
    MAX_DEPTH,
    MAX_KEY,
    MAX_RULES,
    OPERATORS,
    Group,
    Problem,
    Rule,
    Type,
    Wants,
)
from broadcasts.rule_sql import group_condition
from broadcasts.rule_values import ValueProblem, id_take, text_problem, texts_take, value_take

__all__ = ["Condition", "Problem", "RuleError", "condition", "rules_check"]


class RuleError(ValueError):
    """Rules cannot be used. `problems`: all that is wrong with them, in the order of the rules."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(" ".join(map(str, problems)))
        self.problems = list(problems)


def condition(rules: Any, prefix: str = "r") -> Condition:
    """Return the condition that a contact, alias `c`, meets the rules. Its parameters are named `prefix` and a number.

    Raises: RuleError.
    """
    return group_condition(rules_check(rules), Params(prefix))


def rules_check(rules: Any) -> Group:
    """Return the rules, checked. Raises: RuleError with every problem, not the first only."""
    check = _Check()
    group = check.group(rules, path="", depth=1)
    if check.problems or group is None:
        raise RuleError(check.problems)
    return group


@dataclass(slots=True)
class _Check:
    """Walks through the JSON and gathers what is wrong; what it returns counts only when nothing is."""

    problems: list[Problem] = field(default_factory=list)
    count: int = 0

    def group(self, data: Any, *, path: str, depth: int) -> Group | None:
        if not isinstance(data, dict):
            self._refuse(path, 'Give an object like {"match": "all", "rules": […]}.')
            return None
        self._known_keys(data, path, {"match", "rules"})
        if data.get("match") not in ("all", "any"):
            self._refuse(_at(path, "match"), 'Say whether "all" or "any" of the rules must be met.')
        if depth > MAX_DEPTH:
            self._refuse(path, f"Groups lie more than {MAX_DEPTH} deep. Move the rules of this one up.")
            return None
        rules = data.get("rules")
        if not isinstance(rules, list) or not rules:
            self._refuse(_at(path, "rules"), "There is no rule. Add one; to reach everybody, use all_users.")
            return None
        parts: list[Rule | Group | None] = []
        for index, part in enumerate(rules):
            self.count += 1
            if self.count == MAX_RULES + 1:
                self._refuse(_at(path, "rules"), f"There are more than {MAX_RULES} rules and groups. Take some out.")
            if self.count > MAX_RULES:
                return None
            where = _at(path, f"rules[{index}]")
            if isinstance(part, dict) and ("rules" in part or "match" in part):
                parts.append(self.group(part, path=where, depth=depth + 1))
            else:
                parts.append(self._rule(part, where))
        return None if self.problems else Group(data["match"], tuple(part for part in parts if part is not None))

    def _rule(self, data: Any, path: str) -> Rule | None:
        if not isinstance(data, dict):
            self._refuse(path, 'Give an object like {"field": "name", "type": "text", "op": "is", "value": "Ana"}.')
            return None
        self._known_keys(data, path, {"field", "type", "op", "value"})
        name, kind = self._field(data.get("field"), path), self._type(data.get("type"), path)
        if name is None or kind is None:
            return None
        if name in COLUMNS and COLUMNS[name] != kind:
            message = f"{name} is of the type {COLUMNS[name]}. Write that type and one of its operators."
            self._refuse(_at(path, "type"), message)
            return None
        operators = {op: OPERATORS[kind][op] for op in ID_OPERATORS} if name == "user_id" else OPERATORS[kind]
        op = data.get("op")
        if not isinstance(op, str) or op not in operators:
            message = f"{_shown(op)} is no operator of {name} as {kind}. Use {', '.join(operators)}."
            self._refuse(_at(path, "op"), message)
            return None
        try:
            value = _take(name, operators[op], data.get("value"))
        except ValueProblem as problem:
            self._refuse(_at(path, "value") + problem.at, str(problem))
            return None
        return Rule(name, kind, op, value)

    def _field(self, name: Any, path: str) -> str | None:
        if isinstance(name, str) and name in COLUMNS:
            return name
        if not isinstance(name, str) or not name.startswith(ATTRIBUTES):
            known = ", ".join([*COLUMNS, f"{ATTRIBUTES}<key>"])
            self._refuse(_at(path, "field"), f"{_shown(name)} is no field of a contact. Use {known}.")
            return None
        key = name.removeprefix(ATTRIBUTES)
        if not 1 <= len(key) <= MAX_KEY:
            self._refuse(_at(path, "field"), f"Name the attribute in 1 to {MAX_KEY} characters: attributes.plan.")
            return None
        if problem := text_problem(key):
            self._refuse(_at(path, "field"), problem)
            return None
        return name

    def _type(self, name: Any, path: str) -> Type | None:
        if isinstance(name, str) and name in list(Type):
            return Type(name)
        self._refuse(_at(path, "type"), f"{_shown(name)} is no type. Use {', '.join(Type)}.")
        return None

    def _known_keys(self, data: dict[Any, Any], path: str, known: set[str]) -> None:
        for key in data.keys() - known:
            self._refuse(_at(path, str(key)[:40]), f"There is no such key. Use {', '.join(sorted(known))}.")

    def _refuse(self, path: str, message: str) -> None:
        self.problems.append(Problem(path, message))


def _take(name: str, wants: Wants, value: Any) -> Any:
    if name == "user_id" and wants is Wants.TEXT:
        return id_take(value)
    if name == "user_id" and wants is Wants.TEXTS:
        return texts_take(value, id_take)
    return value_take(wants, value)


def _at(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _shown(value: Any) -> str:
    return repr(value)[:60] if value is not None else "Nothing"
