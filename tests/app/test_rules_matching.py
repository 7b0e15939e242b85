"""Whom rules find, asked of the real database: every operator, values of the wrong type, people who have none."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from broadcasts import rules
from broadcasts.audience import condition_sample
from broadcasts.conditions import none_of
from deliveries.models import Contact, Tenant
from tests.factories import ContactFactory

pytestmark = pytest.mark.django_db

A_DAY = timedelta(days=1)
ODD_VALUES: list[Any] = [
    None,
    "",
    "  ",
    "text",
    0,
    1e300,
    True,
    [],
    ["text", 1],
    {},
    {"a": 1},
    "2026-02-30",
    "2026-13-01",
]


def found(tenant: Tenant, *parts: dict[str, Any], match: str = "all") -> set[str]:
    """Return the names of those who meet the rules; and hold that whoever does not meets the opposite."""
    made = rules.condition({"match": match, "rules": list(parts)})
    names = [
        {contact.name for contact in condition_sample(asked, tenant_id=tenant.pk, timeout_seconds=30, limit=1000)}
        for asked in (made, none_of(made))
    ]
    assert names[0] | names[1] == set(Contact.objects.filter(tenant=tenant).values_list("name", flat=True))
    assert not names[0] & names[1]
    return names[0]


def rule(field: str, type_name: str, op: str, value: Any = None) -> dict[str, Any]:
    return {"field": field, "type": type_name, "op": op, "value": value}


def people(tenant: Tenant, **values: Any) -> None:
    """Store a contact for each value of the attribute x, by the name given; and one who has no attribute."""
    ContactFactory(tenant=tenant, name="none")
    for name, value in values.items():
        ContactFactory(tenant=tenant, name=name, attributes={"x": value})


@pytest.mark.parametrize(
    ("op", "value", "names"),
    [
        ("is", "gold", {"gold", "upper"}),
        ("is_not", "gold", {"gold_old", "wild", "empty", "null", "number", "none"}),
        ("is_one_of", ["GOLD", "50%_\\"], {"gold", "upper", "wild"}),
        ("is_not_one_of", ["gold", "silver"], {"gold_old", "wild", "empty", "null", "number", "none"}),
        ("contains", "OLD-", {"gold_old"}),
        ("contains", "%_", {"wild"}),
        ("contains", "_", {"wild"}),
        ("does_not_contain", "gold", {"wild", "empty", "null", "number", "none"}),
        ("starts_with", "gold-", {"gold_old"}),
        ("starts_with", "%", set()),
        ("ends_with", "\\", {"wild"}),
        ("ends_with", "D", {"gold", "upper", "gold_old"}),
        ("is_empty", None, {"empty", "null", "none"}),
        ("is_not_empty", None, {"gold", "upper", "gold_old", "wild", "number"}),
        ("exists", None, {"gold", "upper", "gold_old", "wild", "empty", "number"}),
        ("does_not_exist", None, {"null", "none"}),
    ],
)
def test_texts(tenant: Tenant, op: str, value: Any, names: set[str]) -> None:
    people(tenant, gold="gold", upper="GOLD", gold_old="gold-old", wild="50%_\\", empty="", null=None, number=5)
    assert found(tenant, rule("attributes.x", "text", op, value)) == names


@pytest.mark.parametrize(
    ("op", "value", "names"),
    [
        ("=", 5, {"five", "five_point"}),
        ("!=", 5, {"tenth", "huge", "text", "flag", "none"}),
        ("<", 5, {"tenth"}),
        ("<=", 5, {"tenth", "five", "five_point"}),
        (">", 5, {"huge"}),
        (">=", 5.0, {"five", "five_point", "huge"}),
        ("=", 0.1, {"tenth"}),
        ("between", [0.1, 5], {"tenth", "five", "five_point"}),
        ("exists", None, {"tenth", "five", "five_point", "huge", "text", "flag"}),
    ],
)
def test_numbers(tenant: Tenant, op: str, value: Any, names: set[str]) -> None:
    people(tenant, tenth=0.1, five=5, five_point=5.0, huge=10**40, text="5", flag=True)
    assert found(tenant, rule("attributes.x", "number", op, value)) == names


@pytest.mark.parametrize(
    ("op", "value", "names"),
    [
        ("on", "2026-01-31", {"day", "noon", "zoned"}),
        ("before", "2026-01-31", {"leap"}),
        ("before", "2026-01-31T12:00:00Z", {"leap", "day"}),
        ("after", "2026-01-31", {"next"}),
        ("after", "2026-01-31T00:00:00Z", {"noon", "zoned", "next"}),
        ("after", "2026-01-31T13:00:00+01:00", {"zoned", "next"}),
        ("exists", None, {"leap", "day", "noon", "zoned", "next", "no_day", "words", "number"}),
    ],
)
def test_dates(tenant: Tenant, op: str, value: Any, names: set[str]) -> None:
    people(
        tenant, leap="2024-02-29", day="2026-01-31", noon="2026-01-31T12:00:00Z", zoned="2026-02-01 01:30:00.5+02:00",
        next="2026-02-01T00:00", no_day="2026-02-29", words="soon", number=20260131,
    )  # fmt: skip
    assert found(tenant, rule("attributes.x", "date", op, value)) == names


@pytest.mark.parametrize(
    ("op", "names"), [("in_last_days", {"hour", "almost"}), ("not_in_last_days", {"over", "ahead", "none"})]
)
def test_days_back_from_now(tenant: Tenant, op: str, names: set[str]) -> None:
    now, hour = timezone.now(), A_DAY / 24
    moments = {
        "hour": now - hour,
        "almost": now - 7 * A_DAY + hour,
        "over": now - 7 * A_DAY - hour,
        "ahead": now + hour,
    }
    people(tenant, **{name: moment.isoformat() for name, moment in moments.items()})
    assert found(tenant, rule("attributes.x", "date", op, 7)) == names
    Contact.objects.filter(name="none").delete()
    for name, moment in moments.items():
        Contact.objects.filter(name=name).update(created_at=moment)
    assert found(tenant, rule("created_at", "date", op, 7)) == names - {"none"}


@pytest.mark.parametrize(
    ("op", "value", "names"),
    [
        ("contains", "red", {"both", "one"}),
        ("contains", "Red", set()),
        ("contains", 1, {"numbers"}),
        ("contains", True, {"flags"}),
        ("contains_any", ["red", 1], {"both", "one", "numbers"}),
        ("contains_all", ["red", "blue"], {"both"}),
        ("does_not_contain", "red", {"numbers", "flags", "empty", "text", "none"}),
        ("is_empty", None, {"empty", "none"}),
    ],
)
def test_lists(tenant: Tenant, op: str, value: Any, names: set[str]) -> None:
    people(tenant, both=["blue", "red"], one=["red"], numbers=[1, 2], flags=[True], empty=[], text="red")
    assert found(tenant, rule("attributes.x", "list", op, value)) == names


@pytest.mark.parametrize(
    ("op", "value", "names"),
    [
        ("is", True, {"yes"}),
        ("is", False, {"no"}),
        ("is_not", True, {"no", "text", "none"}),
        ("exists", None, {"yes", "no", "text"}),
    ],
)
def test_booleans(tenant: Tenant, op: str, value: Any, names: set[str]) -> None:
    people(tenant, yes=True, no=False, text="true")
    assert found(tenant, rule("attributes.x", "boolean", op, value)) == names


ANA = UUID("01234567-89ab-4def-8123-456789abcdef")


@pytest.mark.parametrize(
    "asked",
    [
        rule("email", "text", "is", "Ana@Example.com"),
        rule("email", "text", "is_one_of", ["x@example.com", "ANA@example.com"]),
        rule("email", "text", "ends_with", "@EXAMPLE.com"),
        rule("name", "text", "starts_with", "an"),
        rule("name", "text", "contains", "NA"),
        rule("phone", "text", "is_not_empty"),
        rule("locale", "text", "is", "de-at"),
        rule("time_zone", "text", "exists"),
        rule("user_id", "text", "is", str(ANA)),
        rule("user_id", "text", "is_one_of", [str(ANA)]),
        rule("created_at", "date", "before", "2020-01-02"),
        rule("created_at", "date", "on", "2020-01-01"),
    ],
    ids=lambda asked: f"{asked['field']} {asked['op']}",
)
def test_a_contact_s_own_fields(tenant: Tenant, asked: dict[str, Any]) -> None:
    ana = ContactFactory(
        tenant=tenant, user_id=ANA, name="Ana", email="ana@example.com", phone="+4930123456", locale="de-AT",
        time_zone="Europe/Vienna",
    )  # fmt: skip
    ContactFactory(tenant=tenant, name="Ben", email="ben@example.org")
    Contact.objects.filter(pk=ana.pk).update(created_at="2020-01-01T12:00:00Z")
    assert found(tenant, asked) == {"Ana"}


def test_groups(tenant: Tenant) -> None:
    people(tenant, a=["p", "q"], b=["p"], c=["q"])
    has_p, has_q = (rule("attributes.x", "list", "contains", entry) for entry in "pq")
    lacks_q = rule("attributes.x", "list", "does_not_contain", "q")
    assert found(tenant, has_p, has_q) == {"a"}
    assert found(tenant, has_p, has_q, match="any") == {"a", "b", "c"}
    assert found(tenant, has_p, {"match": "any", "rules": [lacks_q, {"match": "all", "rules": [has_p, has_q]}]}) == {
        "a",
        "b",
    }


def test_odd_keys_are_only_keys(tenant: Tenant) -> None:
    for key in ("it's", 'say "x"', "50%", "%(r0)s", "a.b", "0", "ключ"):
        ContactFactory(tenant=tenant, name=key, attributes={key: "v"})
        assert found(tenant, rule(f"attributes.{key}", "text", "is", "v")) == {key}


@pytest.mark.parametrize("attributes", [[1], "text", 5, None], ids=repr)
def test_attributes_that_are_no_object_hold_nothing(tenant: Tenant, attributes: Any) -> None:
    contact = ContactFactory(tenant=tenant, name="odd")
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE deliveries_contact SET attributes = %s::jsonb WHERE id = %s", [json.dumps(attributes), contact.pk]
        )
    for type_name, op, value in (
        ("text", "is", "x"),
        ("number", "=", 1),
        ("date", "on", "2026-01-01"),
        ("list", "contains", 1),
    ):
        assert found(tenant, rule("attributes.0", type_name, op, value)) == set()


near_times = st.one_of(
    st.datetimes().map(lambda moment: moment.isoformat()),
    st.dates().map(lambda day: day.isoformat()),
    st.from_regex(
        r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?(Z|[+-][0-9]{2}:?[0-9]{2})?)?\Z"
    ),
    st.sampled_from(ODD_VALUES),
    st.text(max_size=12).filter(lambda text: "\0" not in text),
    st.integers(-(2**62), 2**62) | st.floats(allow_nan=False, allow_infinity=False),
)


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(near_times, st.sampled_from(["text", "number", "date", "list", "boolean"]))
def test_no_value_of_an_attribute_makes_the_database_raise(tenant: Tenant, value: Any, type_name: str) -> None:
    op, against = {
        "text": ("contains", "a"), "number": ("<", 5), "date": ("before", "2026-01-01"), "list": ("contains", "a"),
        "boolean": ("is", True),
    }[type_name]  # fmt: skip
    Contact.objects.filter(tenant=tenant).delete()
    people(tenant, it=value)
    assert found(tenant, rule("attributes.x", type_name, op, against)) <= {"it"}
