"""Reading the environment: what can be read is read as written; what cannot is one line that names the variable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from notifyproj.environment import Environment


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return the only variables that an Environment sees in this test."""
    given: dict[str, str] = {}
    monkeypatch.setattr(Environment, "ENVIRON", given)
    return given


@pytest.mark.parametrize(
    ("method", "raw", "value"),
    [
        ("str", "$ecret", "$ecret"),
        ("str", "", ""),
        ("bool", "1", True),
        ("bool", "Yes", True),
        ("bool", "off", False),
        ("bool", "", False),
        ("int", "-3", -3),
        ("float", "2e1", 20.0),
        ("float", "0.05", 0.05),
        ("list", "a, b,,c ", ["a", "b", "c"]),
        ("list", "", []),
        ("dict", "email=smtp, ws=inbox", {"email": "smtp", "ws": "inbox"}),
        ("dict", "key=a=b", {"key": "a=b"}),
        ("json", '{"keys": []}', {"keys": []}),
    ],
)
def test_a_value_is_read_as_it_is_written(variables: dict[str, str], method: str, raw: str, value: Any) -> None:
    variables["NAME"] = raw
    env = Environment()
    assert getattr(env, method)("NAME", default=None) == value
    env.refuse_problems()


@pytest.mark.parametrize(
    ("method", "raw"),
    [
        ("bool", "maybe"),
        ("int", "three"),
        ("int", "3.5"),
        ("int", ""),
        ("float", "20s"),
        ("float", "nan"),
        ("float", "inf"),
        ("float", "1,5"),
        ("dict", "email"),
        ("dict", "=smtp"),
        ("json", "{"),
    ],
)
def test_a_value_that_cannot_be_read_is_one_line_that_names_it(
    variables: dict[str, str], method: str, raw: str
) -> None:
    variables["NAME"] = raw
    env = Environment()
    assert getattr(env, method)("NAME", default="the default") == "the default"
    with pytest.raises(ImproperlyConfigured, match=rf"\ANAME is '{raw}'; it must be [^\n]+\.\Z"):
        env.refuse_problems()


def test_one_bad_item_of_a_list_is_refused(variables: dict[str, str]) -> None:
    variables["DELAYS"] = "1, two"
    env = Environment()
    env.list("DELAYS", cast=float, default=[])
    assert env.problems == [
        "DELAYS is '1, two'; it must be a list separated by commas of which each is a number, such as 30 or 0.5."
    ]


def test_all_problems_are_told_at_once(variables: dict[str, str]) -> None:
    variables.update(A="x", B="y")
    env = Environment()
    env.int("A", 1)
    env.float("B", 1.0)
    with pytest.raises(ImproperlyConfigured) as refused:
        env.refuse_problems()
    assert [line.split()[0] for line in str(refused.value).splitlines()] == ["A", "B"]


def test_a_choice_lists_what_there_is(variables: dict[str, str]) -> None:
    variables["LOG_FORMAT"] = "xml"
    env = Environment()
    assert env.choice("LOG_FORMAT", "console", ("console", "json")) == "console"
    assert env.problems == ["LOG_FORMAT is 'xml'; it must be one of console, json."]


@pytest.mark.parametrize("raw", ["mysql://u:hunter2@h/d", "nonsense", "postgres://u:hunter2@h:port/d"])
def test_a_wrong_address_is_refused_without_showing_its_password(variables: dict[str, str], raw: str) -> None:
    variables["DATABASE_URL"] = raw
    env = Environment()
    env.address("DATABASE_URL", "postgres://me:pw@127.0.0.1:5432/d", schemes=("postgres",))
    assert env.problems == ["DATABASE_URL is wrong; it must be a URL like postgres://127.0.0.1:5432/d."]


def test_a_file_fills_in_what_the_environment_lacks(variables: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=file\nB=file\n# a comment\nexport C='quoted'\n")
    variables["A"] = "environment"
    env = Environment()
    env.read_file(tmp_path / ".env", must_exist=True)
    assert [env.str(name, "default") for name in "ABCD"] == ["environment", "file", "quoted", "default"]


def test_only_a_file_that_was_named_has_to_exist(variables: dict[str, str], tmp_path: Path) -> None:
    env = Environment()
    env.read_file(tmp_path / "absent", must_exist=False)
    assert not env.problems
    env.read_file(tmp_path / "absent", must_exist=True)
    assert len(env.problems) == 1 and "absent" in env.problems[0]
