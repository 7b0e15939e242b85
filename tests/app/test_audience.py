"""Audiences: whom each shape means, what is refused, how a person reads it, and that each look-up stays one probe of an index."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection

from broadcasts.audience import (
    AudienceError,
    AudienceTooSlowError,
    audience_check,
    audience_condition,
    audience_count,
    audience_sample,
    audience_words,
)
from broadcasts.conditions import none_of
from broadcasts.models import Audience, AudienceMember, TopicSubscription
from deliveries.models import Contact, Tenant
from tests.factories import AudienceFactory, ContactFactory, TenantFactory

pytestmark = pytest.mark.django_db

GOLD = {"match": "all", "rules": [{"field": "attributes.plan", "type": "text", "op": "is", "value": "gold"}]}
EVERYBODY = {"type": "all_users"}
ANA, BEN, CLEO = (UUID(f"00000000-0000-4000-8000-00000000000{n}") for n in (1, 2, 3))


@pytest.fixture
def people(tenant: Tenant) -> Tenant:
    """Store Ana and Ben, who have gold, and Cleo; a neighbour has the same people."""
    for home in (tenant, TenantFactory()):
        for user_id, name, plan in ((ANA, "Ana", "gold"), (BEN, "Ben", "gold"), (CLEO, "Cleo", "free")):
            ContactFactory(tenant=home, user_id=user_id, name=name, attributes={"plan": plan})
    return tenant


def names(audience: Any, tenant: Tenant) -> list[str]:
    found = audience_sample(audience, tenant_id=tenant.pk, timeout_seconds=30)
    assert audience_count(audience, tenant_id=tenant.pk, timeout_seconds=30) == len(found)
    return [contact.name for contact in found]


def problems(audience: Any, tenant: Tenant) -> list[str]:
    with pytest.raises(AudienceError) as caught:
        audience_check(audience, tenant_id=tenant.pk)
    return [str(problem) for problem in caught.value.problems]


def saved(row: Audience) -> dict[str, Any]:
    return {"type": "audience", "id": row.pk}


def test_everybody_is_everybody_of_the_tenant(people: Tenant) -> None:
    assert names(EVERYBODY, people) == ["Ana", "Ben", "Cleo"]


def test_users_are_those_who_are_named_and_known(people: Tenant) -> None:
    assert names({"type": "users", "user_ids": [str(BEN), str(uuid4())]}, people) == ["Ben"]


def test_a_segment_asks_its_rules(people: Tenant) -> None:
    assert names(saved(AudienceFactory(tenant=people, rules=GOLD)), people) == ["Ana", "Ben"]


def test_a_list_is_its_members(people: Tenant) -> None:
    assert names(saved(AudienceFactory(tenant=people, members=[CLEO, uuid4()])), people) == ["Cleo"]


def test_a_topic_is_its_subscribers_of_this_tenant(people: Tenant) -> None:
    TopicSubscription.objects.create(tenant=people, topic="news", user_id=ANA)
    TopicSubscription.objects.create(tenant=people, topic="other", user_id=BEN)
    TopicSubscription.objects.create(tenant=TenantFactory(), topic="news", user_id=CLEO)
    assert names({"type": "channel", "channel": "news"}, people) == ["Ana"]


def test_exclusions_take_away(people: Tenant) -> None:
    gold, staff = AudienceFactory(tenant=people, rules=GOLD), AudienceFactory(tenant=people, members=[BEN])
    assert names({**EVERYBODY, "exclude": [saved(gold)]}, people) == ["Cleo"]
    assert names({**saved(gold), "exclude": [saved(staff), saved(gold)]}, people) == []
    assert names({**EVERYBODY, "exclude": [saved(staff), {"type": "users", "user_ids": [str(ANA)]}]}, people) == [
        "Cleo"
    ]


@pytest.mark.parametrize(
    ("audience", "said"),
    [
        (None, "Give an object like"),
        ({}, "Nobody is chosen yet. Say who gets it."),
        ({"type": ["all_users"]}, "type: ['all_users'] is no kind"),
        ({"type": "all_users", "user_ids": []}, "user_ids: There is no such key here."),
        ({"type": "users"}, "user_ids: Give a list of at least one value."),
        ({"type": "users", "user_ids": ["x"]}, "user_ids[0]: 'x' is no canonical lower-case UUID."),
        ({"type": "users", "user_ids": [str(ANA)] * 10_001}, "user_ids: There are 10,001 values, and 10,000 are allowed."),
        ({"type": "channel", "channel": ""}, "channel: Name a topic"),
        ({"type": "channel", "channel": "x" * 101}, "channel: Name a topic"),
        ({"type": "channel", "channel": "a\0"}, "channel: Name a topic"),
        ({"type": "audience", "id": 2**70}, "There is no audience"),
        ({"type": "audience", "id": "1"}, "id: There is no audience '1'."),
        ({"type": "audience", "id": True}, "id: There is no audience True."),
        ({**EVERYBODY, "exclude": {}}, "exclude: Give a list of at most 20 audiences."),
        ({**EVERYBODY, "exclude": [EVERYBODY] * 21}, "exclude: Give a list of at most 20"),
        ({**EVERYBODY, "exclude": [{**EVERYBODY, "exclude": []}]}, "exclude[0].exclude: There is no such key here."),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(tenant: Tenant, audience: Any, said: str) -> None:
    [problem] = problems(audience, tenant)
    assert said in problem


def test_every_problem_is_named(tenant: Tenant) -> None:
    audience = {"type": "users", "user_ids": [1], "exclude": [{"type": "x"}, {"type": "audience", "id": 0}]}
    assert {problem.split(":")[0] for problem in problems(audience, tenant)} == {
        "user_ids[0]", "exclude[0].type", "exclude[1].id",
    }  # fmt: skip


def test_another_tenant_s_audience_does_not_exist(tenant: Tenant) -> None:
    theirs = AudienceFactory(rules=GOLD)
    assert problems(saved(theirs), tenant) == [f"id: There is no audience {theirs.pk}. Choose one that is saved."]
    assert theirs.name not in audience_words(saved(theirs), tenant_id=tenant.pk)


def test_stored_rules_that_are_no_longer_understood_are_named(tenant: Tenant) -> None:
    old = AudienceFactory(tenant=tenant, name="Old", rules={"match": "all", "rules": []})
    assert problems(saved(old), tenant) == [
        "id: The rules of “Old” cannot be used: rules: There is no rule. Add one; to reach everybody, use all_users. Correct them."
    ]


@pytest.mark.parametrize(
    ("audience", "words"),
    [
        (EVERYBODY, "Everybody"),
        ({"type": "users", "user_ids": [str(ANA)]}, "One person"),
        ({"type": "users", "user_ids": [str(ANA)] * 4120}, "4,120 people"),
        ({"type": "channel", "channel": "news"}, "Subscribers of “news”"),
        ({"type": "audience", "id": -1}, "An audience that is gone"),
        ({**EVERYBODY, "exclude": [{"type": "channel", "channel": "news"}, {"type": "users", "user_ids": ["x"]}]},
         "Everybody except subscribers of “news” and one person"),
        ("nonsense", "An audience that cannot be read"),
        ({"type": "users"}, "An audience that cannot be read"),
        ({"type": "users", "user_ids": [], "exclude": 5}, "0 people"),
    ],
)  # fmt: skip
def test_words(tenant: Tenant, audience: Any, words: str) -> None:
    assert audience_words(audience, tenant_id=tenant.pk) == words


def test_words_name_saved_audiences_by_one_query(tenant: Tenant, django_assert_num_queries: Any) -> None:
    gold, staff = AudienceFactory(tenant=tenant, name="Gold", rules=GOLD), AudienceFactory(tenant=tenant, name="Staff")
    with django_assert_num_queries(1):
        words = audience_words({**saved(gold), "exclude": [saved(staff)]}, tenant_id=tenant.pk)
    assert words == "Everybody in “Gold” except “Staff”"


def test_a_condition_takes_one_query_however_many_audiences(tenant: Tenant, django_assert_num_queries: Any) -> None:
    rows = [AudienceFactory(tenant=tenant, rules=GOLD) for _ in range(5)]
    with django_assert_num_queries(1):
        audience_condition({**saved(rows[0]), "exclude": [saved(row) for row in rows]}, tenant_id=tenant.pk)


def test_what_takes_too_long_is_said_and_harms_nothing(people: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    from broadcasts import audience

    monkeypatch.setattr(audience, "EVERYBODY", audience.Condition("pg_sleep(20) IS NOT NULL"))
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = '77s'")
    with pytest.raises(AudienceTooSlowError, match=r"took longer than 0\.05 seconds"):
        audience_count(EVERYBODY, tenant_id=people.pk, timeout_seconds=0.05)
    monkeypatch.undo()
    assert audience_count(EVERYBODY, tenant_id=people.pk, timeout_seconds=30) == 3
    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone()[0] == "77s"


@pytest.mark.parametrize("is_excluded", [False, True])
@pytest.mark.parametrize("kind", ["audience", "channel"])
def test_a_look_up_is_one_probe_of_an_index(tenant: Tenant, kind: str, is_excluded: bool) -> None:
    """Who is in a list that was just made: the statistics still say that it has no rows."""
    many = AudienceFactory(tenant=tenant)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE broadcasts_audiencemember, broadcasts_topicsubscription")
    Contact.objects.bulk_create(Contact(tenant=tenant, user_id=uuid4()) for _ in range(3000))
    ids = list(Contact.objects.filter(tenant=tenant).values_list("user_id", flat=True)[:2000])
    AudienceMember.objects.bulk_create(AudienceMember(audience=many, user_id=one) for one in ids)
    TopicSubscription.objects.bulk_create(TopicSubscription(tenant=tenant, topic="news", user_id=one) for one in ids)
    shape = saved(many) if kind == "audience" else {"type": "channel", "channel": "news"}
    asked = audience_condition(shape, tenant_id=tenant.pk)
    asked = none_of(asked) if is_excluded else asked
    with connection.cursor() as cursor:
        sql = f"SELECT count(*) FROM deliveries_contact c WHERE c.tenant_id = %(t)s AND {asked.sql}"
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF) {sql}", {**asked.params, "t": tenant.pk})
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "SubPlan" in plan, plan
    read = max(int(number) for number in re.findall(r"shared hit=(\d+)", plan))
    assert read < 3000 * 5, plan
