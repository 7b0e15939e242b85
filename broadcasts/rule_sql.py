"""Checked rules → SQL over a contact, alias `c`. Pure; knows the columns of deliveries_contact and the forms of its indexes.

- Never NULL: who has no value, or one of another type, meets no rule but the negated ones, which all of them do.
- Never an error: a value is cast only behind a test of its type (CASE), and times are read by `statement_timestamp()`.
- Upper and lower case make no difference to texts; entries of lists are compared exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from json import dumps
from typing import Any, Final

from broadcasts.conditions import Condition, Params
from broadcasts.rule_parts import ATTRIBUTES, COLUMNS, Group, Rule, Type

#: Where an index has a text folded (contact_by_email, contact_by_name), rules fold it the same way.
_FOLD: Final = {"name": "upper"}
#: What a text must look like to be read as a time. Whether its month has that day is asked apart, of jsonpath, which never raises.
_LIKE_A_TIME: Final = (
    r"^[1-9][0-9]{3}-[01][0-9]-[0-3][0-9]"
    r"([T ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,9})?)?(Z|[+-](0[0-9]|1[0-4]):?[0-5][0-9])?)?$"
)
_HAS_A_ZONE: Final = ":.*[Z+-]"
_NEGATED: Final = {
    "is_not": "is",
    "is_not_one_of": "is_one_of",
    "does_not_contain": "contains",
    "is_not_empty": "is_empty",
    "does_not_exist": "exists",
    "not_in_last_days": "in_last_days",
    "!=": "=",
}


def group_condition(group: Group, params: Params) -> Condition:
    """Return the condition that a contact meets the rules of a group."""
    return Condition(_sql(group, params), params.values)


def _sql(part: Rule | Group, params: Params) -> str:
    if isinstance(part, Group):
        return f"({(' AND ' if part.match == 'all' else ' OR ').join(_sql(inner, params) for inner in part.rules)})"
    if part.op in _NEGATED:
        return f"NOT {_sql(Rule(part.field, part.type, _NEGATED[part.op], part.value), params)}"
    if part.op == "exists":
        return f"({_exists(part.field, params)})"
    if part.op == "is_empty":
        return f"({_is_empty(part.field, params)})"
    asked = _ASK[part.type](part, params)
    return f"({asked})" if part.field in COLUMNS else f"coalesce({asked}, FALSE)"


def _exists(field: str, params: Params) -> str:
    if field in ("user_id", "created_at"):
        return "TRUE"
    return (
        f"c.{field} <> ''" if field in COLUMNS else f"coalesce(jsonb_typeof({_json(field, params)}) <> 'null', FALSE)"
    )


def _is_empty(field: str, params: Params) -> str:
    if field in COLUMNS:
        return f"c.{field} = ''"
    return f"coalesce({_json(field, params)}, 'null') IN ('null', '\"\"', '[]', '{{}}')"


def _json(field: str, params: Params) -> str:
    return f"c.attributes -> {params.add(field.removeprefix(ATTRIBUTES))}::text"


def _typed(field: str, params: Params, type_name: str, cast: Callable[[str], str]) -> str:
    """Return an attribute as a value of the database's own; NULL where it is of another type."""
    value = f"({_json(field, params)})"
    return f"CASE WHEN jsonb_typeof{value} = '{type_name}' THEN {cast(value)} END"


def _text(rule: Rule, params: Params) -> str:
    if rule.field == "user_id":
        value = params.add(rule.value)
        return f"c.user_id = ANY ({value}::uuid[])" if rule.op == "is_one_of" else f"c.user_id = {value}::uuid"
    fold = _FOLD.get(rule.field, "lower")
    text = f"c.{rule.field}" if rule.field in COLUMNS else _typed(rule.field, params, "string", _as_text)
    match rule.op:
        case "is":
            return f"{fold}({text}) = {fold}({params.add(rule.value)}::text)"
        case "is_one_of":
            texts = params.add(rule.value)
            return f"{fold}({text}) = ANY (SELECT {fold}(one) FROM unnest({texts}::text[]) AS one)"
    before, after = {"contains": ("%", "%"), "starts_with": ("", "%"), "ends_with": ("%", "")}[rule.op]
    return f"{fold}({text}) LIKE {fold}({params.add(before + _literally(rule.value) + after)}::text)"


def _as_text(json: str) -> str:
    return f"{json} #>> '{{}}'"


def _literally(text: str) -> str:
    """Take their meaning from the characters that LIKE gives one."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _number(rule: Rule, params: Params) -> str:
    number = _typed(rule.field, params, "number", lambda json: f"{json}::numeric")
    if rule.op == "between":
        low, high = (params.add(value) for value in rule.value)
        return f"({number}) BETWEEN {low}::numeric AND {high}::numeric"
    return f"({number}) {rule.op} {params.add(rule.value)}::numeric"


def _date(rule: Rule, params: Params) -> str:
    moment = "c.created_at" if rule.field in COLUMNS else _attribute_as_time(rule.field, params)
    match rule.op:
        case "before":
            return f"({moment}) < {_start(rule.value, params)}"
        case "after" if isinstance(rule.value, datetime):
            return f"({moment}) > {_start(rule.value, params)}"
        case "after":
            return f"({moment}) >= {_start(rule.value + timedelta(days=1), params)}"
        case "on":
            return f"(({moment}) AT TIME ZONE 'UTC')::date = {params.add(rule.value)}::date"
    days = f"make_interval(days => {params.add(rule.value)}::int)"
    # As a range, because BETWEEN reads the attribute twice.
    return f"tstzrange(statement_timestamp() - {days}, statement_timestamp(), '[]') @> ({moment})"


def _start(moment: Any, params: Params) -> str:
    if isinstance(moment, datetime):
        return f"{params.add(moment)}::timestamptz"
    return f"({params.add(moment)}::date::timestamp AT TIME ZONE 'UTC')"


def _attribute_as_time(field: str, params: Params) -> str:
    """Return an attribute that holds a day or a time as ISO 8601 writes them; without a zone UTC is meant. NULL for anything else."""
    text = f"(c.attributes ->> {params.add(field.removeprefix(ATTRIBUTES))}::text)"
    exists = f"jsonb_path_exists(to_jsonb(left({text}, 10)), '$.datetime(\"YYYY-MM-DD\")', '{{}}', TRUE)"
    zone = f"CASE WHEN {text} ~ '{_HAS_A_ZONE}' THEN '' ELSE ' UTC' END"
    return f"CASE WHEN {text} ~ '{_LIKE_A_TIME}' AND {exists} THEN ({text} || {zone})::timestamptz END"


def _list(rule: Rule, params: Params) -> str:
    if rule.op == "contains_any":
        entries = params.add([dumps(entry) for entry in rule.value])
        return _typed(rule.field, params, "array", lambda json: f"{json} @> ANY ({entries}::jsonb[])")
    entries = params.add(dumps([rule.value] if rule.op == "contains" else rule.value))
    return _typed(rule.field, params, "array", lambda json: f"{json} @> {entries}::jsonb")


def _boolean(rule: Rule, params: Params) -> str:
    return f"{_json(rule.field, params)} = {params.add(dumps(rule.value))}::jsonb"


_ASK: Final[dict[Type, Callable[[Rule, Params], str]]] = {
    Type.TEXT: _text,
    Type.NUMBER: _number,
    Type.DATE: _date,
    Type.LIST: _list,
    Type.BOOLEAN: _boolean,
}
