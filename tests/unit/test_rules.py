"""A segment's rules as JSON: what is refused and how it is said, and that a value never becomes text of the statement."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcasts import rules
from broadcasts.conditions import Condition, all_of, any_of, none_of
from broadcasts.rule_parts import COLUMNS, MAX_RULES, OPERATORS, Type

NAME_IS_ANA = {"field": "name", "type": "text", "op": "is", "value": "Ana"}


def group(*parts: Any, match: str = "all") -> dict[str, Any]:
    return {"match": match, "rules": list(parts)}


def rule(field: str, type_name: str, op: str, *value: Any) -> dict[str, Any]:
    return {"field": field, "type": type_name, "op": op, **({"value": value[0]} if value else {})}


def problems(data: Any) -> list[str]:
    with pytest.raises(rules.RuleError) as caught:
        rules.rules_check(data)
    return [str(problem) for problem in caught.value.problems]


def test_values_and_attribute_keys_are_parameters() -> None:
    attack = "x' OR TRUE --%s"
    made = rules.condition(group(rule(f"attributes.{attack}", "text", "is", attack)), "s")
    assert attack not in made.sql
    assert list(made.params.values()) == [attack, attack]
    assert all(f"%({name})s" in made.sql for name in made.params)


@pytest.mark.parametrize("kind", list(OPERATORS))
def test_every_operator_has_sql_whose_only_percent_signs_are_its_parameters(kind: Type) -> None:
    values = {
        "nothing": (), "text": ("a",), "texts": (["a"],), "number": (1,), "numbers": ([1, 2],), "moment": ("2026-01-01",),
        "day": ("2026-01-01",), "days": (3,), "entry": ("a",), "entries": (["a"],), "boolean": (True,),
    }  # fmt: skip
    for op, wants in OPERATORS[kind].items():
        made = rules.condition(group(rule("attributes.x", kind, op, *values[wants])))
        assert "%" not in re.sub(r"%\(r[0-9]+\)s", "", made.sql)
        assert set(re.findall(r"%\((r[0-9]+)\)s", made.sql)) == made.params.keys()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (None, 'Give an object like {"match"'),
        ([], "Give an object"),
        ({"rules": [NAME_IS_ANA]}, 'match: Say whether "all" or "any"'),
        (group(), "rules: There is no rule. Add one"),
        (group("x"), "rules[0]: Give an object like"),
        (group(NAME_IS_ANA | {"vlaue": 1}), "rules[0].vlaue: There is no such key. Use field, op, type, value."),
        (group(rule("nmae", "text", "is", "x")), "rules[0].field: 'nmae' is no field of a contact. Use email, name"),
        (group(rule("attributes.", "text", "is", "x")), "rules[0].field: Name the attribute"),
        (group(rule("attributes.a\0", "text", "is", "x")), "rules[0].field: It has a character"),
        (group(rule("name", "txt", "is", "x")), "rules[0].type: 'txt' is no type. Use text, number"),
        (group(rule("name", "number", "=", 1)), "rules[0].type: name is of the type text."),
        (group(rule("name", "text", "like", "x")), "rules[0].op: 'like' is no operator of name as text. Use is, is_not"),
        (group(rule("user_id", "text", "contains", "x")), "rules[0].op: 'contains' is no operator of user_id"),
        (group(rule("user_id", "text", "is", "x")), "rules[0].value: 'x' is no canonical lower-case UUID."),
        (group(rule("name", "text", "is")), "rules[0].value: Nothing where a text is wanted."),
        (group(rule("name", "text", "is", 5)), "rules[0].value: A number where a text is wanted."),
        (group(rule("name", "text", "is", "")), "rules[0].value: The text is empty."),
        (group(rule("name", "text", "is", "x" * 501)), "rules[0].value: The text has 501 characters, and 500"),
        (group(rule("name", "text", "is", "a\ud800")), "rules[0].value: It has a character"),
        (group(rule("name", "text", "exists", "x")), "rules[0].value: This operator compares with nothing."),
        (group(rule("name", "text", "is_one_of", "x")), "rules[0].value: Give a list of at least one value."),
        (group(rule("name", "text", "is_one_of", ["a", 1])), "rules[0].value[1]: A number where a text is wanted."),
        (group(rule("name", "text", "is_one_of", ["a"] * 1001)), "rules[0].value: There are 1,001 values, and 1,000"),
        (group(rule("attributes.n", "number", "=", "5")), "rules[0].value: A text where a number is wanted."),
        (group(rule("attributes.n", "number", "=", True)), "rules[0].value: True or false where a number is wanted."),
        (group(rule("attributes.n", "number", "=", float("nan"))), "rules[0].value: This number is too large."),
        (group(rule("attributes.n", "number", "=", 10**31)), "rules[0].value: This number is too large."),
        (group(rule("attributes.n", "number", "between", [2, 1])), "rules[0].value: The first number is above"),
        (group(rule("attributes.n", "number", "between", [2])), "rules[0].value: Give two numbers"),
        (group(rule("created_at", "date", "on", "31.01.2026")), "rules[0].value: Give a day like 2026-01-31."),
        (group(rule("created_at", "date", "on", "2026-02-30")), "rules[0].value: There is no day 2026-02-30."),
        (group(rule("created_at", "date", "before", 5)), "rules[0].value: Give a day like 2026-01-31, or a time like"),
        (group(rule("created_at", "date", "before", "2026-01-31T12:00:00")), "rules[0].value: "),
        (group(rule("created_at", "date", "on", "9999-01-01")), "rules[0].value: This lies outside the years"),
        (group(rule("created_at", "date", "in_last_days", 0)), "rules[0].value: Give a whole number of days from 1"),
        (group(rule("created_at", "date", "in_last_days", True)), "rules[0].value: Give a whole number of days"),
        (group(rule("attributes.t", "list", "contains", ["a"])), "rules[0].value: A list where one entry"),
        (group(rule("attributes.b", "boolean", "is", "true")), "rules[0].value: A text where true or false is wanted."),
        (group(group(group(group(NAME_IS_ANA)))), "rules[0].rules[0].rules[0]: Groups lie more than 3 deep."),
        (group(*[NAME_IS_ANA] * (MAX_RULES + 1)), f"rules: There are more than {MAX_RULES} rules"),
        (group(*[group(NAME_IS_ANA)] * MAX_RULES), f": There are more than {MAX_RULES} rules"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(data: Any, said: str) -> None:
    [problem] = problems(data)
    assert said in problem


def test_every_problem_is_named() -> None:
    data = group(rule("x", "y", "z"), group(rule("name", "text", "is", 1), match="none"), NAME_IS_ANA)
    assert [problem.split(":")[0] for problem in problems(data)] == [
        "rules[0].field", "rules[0].type", "rules[1].match", "rules[1].rules[0].value",
    ]  # fmt: skip


def test_groups_nest_three_deep() -> None:
    made = rules.condition(group(NAME_IS_ANA, group(NAME_IS_ANA, group(NAME_IS_ANA), match="any")))
    assert len(made.params) == 3


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
near_rules = st.fixed_dictionaries(
    {
        "field": st.sampled_from([*COLUMNS, "attributes.plan"]) | json_values,
        "type": st.sampled_from(list(OPERATORS)) | json_values,
        "op": st.sampled_from(sorted({op for ops in OPERATORS.values() for op in ops})) | json_values,
    },
    optional={"value": json_values | st.sampled_from(["2026-01-01", "2026-01-01T00:00:00Z"])},
)


@given(json_values | st.lists(near_rules, min_size=1, max_size=4).map(lambda parts: group(*parts)))
def test_whatever_json_comes_becomes_a_condition_or_a_rule_error(data: Any) -> None:
    try:
        made = rules.condition(data)
    except rules.RuleError as error:
        assert error.problems
        assert all(problem.message.endswith(".") for problem in error.problems)
    else:
        assert set(re.findall(r"%\((\w+)\)s", made.sql)) == made.params.keys()
        json.dumps(data)


def test_conditions_are_joined_with_the_parameters_of_all() -> None:
    a, b = (rules.condition(group(NAME_IS_ANA), prefix) for prefix in "ab")
    assert all_of([a, none_of(b)]).params == any_of([a, b]).params == {"a0": "Ana", "b0": "Ana"}
    assert all_of([a, none_of(b)]).sql == f"({a.sql} AND NOT ({b.sql}))"


@pytest.mark.parametrize("join", [all_of, any_of])
def test_two_conditions_with_one_prefix_are_not_joined(join: Any) -> None:
    a = rules.condition(group(NAME_IS_ANA))
    with pytest.raises(ValueError, match="r0"):
        join([a, a])
    with pytest.raises(ValueError, match="No conditions"):
        join(list[Condition]())
