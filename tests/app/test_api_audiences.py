"""`/api/audiences/` and `/api/topics/`: what is stored, what is refused and how, who may."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.contrib.admin.models import LogEntry
from django.utils import timezone

from broadcasts.models import Audience, Broadcast, TopicSubscription
from broadcasts.states import ENDED, State
from deliveries.models import ApiKey, Tenant
from tests.api import Caller, staff
from tests.factories import ApiKeyFactory, AudienceFactory, ContactFactory, TenantFactory
from tests.mass import draft

pytestmark = pytest.mark.django_db

GOLD = {"match": "all", "rules": [{"field": "attributes.plan", "type": "text", "op": "is", "value": "gold"}]}


def ids(count: int) -> dict[str, list[str]]:
    return {"user_ids": [str(uuid4()) for _ in range(count)]}


def test_a_segment_is_made_read_changed_and_deleted(call: Caller, key: ApiKey) -> None:
    made = call.post("audiences/", {"name": " Gold ", "kind": "segment", "rules": GOLD})

    assert made.status == 201
    row = Audience.objects.get()
    assert made.body == call.get(f"audiences/{row.pk}/").body
    assert (made.body["name"], made.body["rules"], made.body["created_by"], made.body["contact_count"]) == (
        "Gold", GOLD, f"key:{key.prefix}", None,
    )  # fmt: skip
    assert call.get("audiences/").body["results"] == [made.body]
    assert call("PATCH", f"audiences/{row.pk}/", {"name": "Golden"}).body["rules"] == GOLD
    assert call("PATCH", f"audiences/{row.pk}/", {}).body["name"] == "Golden"
    assert call("DELETE", f"audiences/{row.pk}/").status == 204
    assert call.get(f"audiences/{row.pk}/").status == 404


def test_changed_rules_lose_their_figure(call: Caller, key: ApiKey) -> None:
    row = AudienceFactory(tenant=key.tenant, rules=GOLD, contact_count=5)
    other = {"match": "all", "rules": [{"field": "email", "type": "text", "op": "exists"}]}
    assert call("PATCH", f"audiences/{row.pk}/", {"rules": other}).body["contact_count"] is None


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        ({"kind": "list"}, "name", "required"),
        ({"name": "  ", "kind": "list"}, "name", "Give it a name."),
        ({"name": 5, "kind": "list"}, "name", "valid string"),
        ({"name": "x" * 201, "kind": "list"}, "name", "200"),
        ({"name": "x", "kind": "both"}, "kind", "valid choice"),
        ({"name": "x", "kind": "segment"}, "rules", "A segment needs rules."),
        ({"name": "x", "kind": "list", "rules": GOLD}, "rules", "A list has no rules."),
        ({"name": "x", "kind": "segment", "rules": []}, "rules", "Give an object"),
        ({"name": "x", "kind": "segment", "rules": {"match": "all", "rules": [{"field": "x"}]}}, "rules", "rules[0].field"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_by_field(call: Caller, body: Any, field: str, said: str) -> None:
    answer = call.post("audiences/", body)
    assert answer.status == 400
    assert said in str(answer.body[field])
    assert not Audience.objects.exists()


def test_every_problem_of_the_rules_is_named(call: Caller) -> None:
    rules = {
        "match": "all",
        "rules": [{"field": "x", "type": "text", "op": "is"}, {"field": "name", "type": "text", "op": "?"}],
    }
    answer = call.post("audiences/", {"name": "x", "kind": "segment", "rules": rules})
    assert [problem.split(":")[0] for problem in answer.body["rules"]] == ["rules[0].field", "rules[1].op"]


def test_a_name_is_taken_once_in_a_tenant(call: Caller, key: ApiKey) -> None:
    AudienceFactory(tenant=key.tenant, name="Gold")
    other = AudienceFactory(tenant=key.tenant, name="Silver")
    AudienceFactory(name="Theirs")
    assert call.post("audiences/", {"name": "Gold", "kind": "list"}).body["code"] == "name_taken"
    assert call("PATCH", f"audiences/{other.pk}/", {"name": "Gold"}).status == 409
    assert call.post("audiences/", {"name": "Theirs", "kind": "list"}).status == 201


def test_a_preview_counts_now(call: Caller, key: ApiKey) -> None:
    row = AudienceFactory(tenant=key.tenant, rules=GOLD, contact_count=99)
    gold = [ContactFactory(tenant=key.tenant, attributes={"plan": "gold"}) for _ in range(12)]
    ContactFactory(attributes={"plan": "gold"})
    answer = call.get(f"audiences/{row.pk}/preview/").body
    assert answer["count"] == 12
    assert len(answer["sample"]) == 10
    assert set(answer["sample"]) < {str(contact.user_id) for contact in gold}


def test_a_preview_says_when_it_takes_too_long_or_the_rules_are_of_another_time(
    call: Caller, key: ApiKey, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from broadcasts.api import audiences
    from broadcasts.conditions import Condition

    old = AudienceFactory(tenant=key.tenant, rules={"match": "all", "rules": [{"field": "gone"}]})
    assert call.get(f"audiences/{old.pk}/preview/").body["code"] == "rules_not_understood"
    settings.AUDIENCE_COUNT_TIMEOUT_SECONDS = 0.05
    ContactFactory(tenant=key.tenant)
    monkeypatch.setattr(audiences, "audience_condition", lambda *_, **__: Condition("pg_sleep(20) IS NOT NULL"))
    answer = call.get(f"audiences/{old.pk}/preview/")
    assert (answer.status, answer.body["code"]) == (503, "too_slow")


def test_people_go_into_a_list_and_out_of_it_once(call: Caller, key: ApiKey) -> None:
    row = AudienceFactory(tenant=key.tenant)
    some = ids(3)
    path = f"audiences/{row.pk}/members/"
    assert call.put(path, some).body == {"changed": 3}
    assert call.put(path, {"user_ids": [*some["user_ids"], *some["user_ids"], *ids(1)["user_ids"]]}).body == {
        "changed": 1
    }
    assert call("DELETE", path, some).body == {"changed": 3}
    assert call("DELETE", path, some).body == {"changed": 0}
    assert row.members.count() == 1


def test_a_change_of_people_is_counted_first_at_the_next_round(call: Caller, key: ApiKey) -> None:
    from broadcasts.recounting import audience_recount

    row = AudienceFactory(tenant=key.tenant)
    audience_recount(row, timeout_seconds=30)
    call.put(f"audiences/{row.pk}/members/", ids(1))
    assert Audience.objects.get().counted_at is None


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({}, 400),
        ({"user_ids": []}, 400),
        ({"user_ids": ["x"]}, 400),
        ({"user_ids": "x"}, 400),
        (ids(10_001), 400),
        (ids(10_000), 200),
    ],
    ids=["none", "empty", "no id", "no list", "too many", "most"],
)
@pytest.mark.parametrize("path", ["audiences/{}/members/", "topics/news/subscribers/"])
def test_batches_are_bounded(call: Caller, key: ApiKey, path: str, sent: Any, status: int) -> None:
    assert call.put(path.format(AudienceFactory(tenant=key.tenant).pk), sent).status == status


def test_a_segment_takes_no_people(call: Caller, key: ApiKey) -> None:
    row = AudienceFactory(tenant=key.tenant, rules=GOLD)
    assert call.put(f"audiences/{row.pk}/members/", ids(1)).body["code"] == "not_a_list"
    assert call.get(f"audiences/{row.pk}/members/").body["code"] == "not_a_list"


def test_people_subscribe_and_unsubscribe(call: Caller, key: ApiKey) -> None:
    some = ids(2)
    assert call.put("topics/news%20flash/subscribers/", some).body == {"changed": 2}
    assert call.put("topics/news%20flash/subscribers/", some).body == {"changed": 0}
    rows = TopicSubscription.objects.filter(tenant=key.tenant, topic="news flash")
    assert {str(row.user_id) for row in rows} == set(some["user_ids"])
    assert call("DELETE", "topics/news%20flash/subscribers/", some).body == {"changed": 2}
    assert not TopicSubscription.objects.exists()


@pytest.mark.parametrize("path", ["audiences/{}/members/", "topics/news/subscribers/"])
def test_people_are_read_in_pages_by_user_id(
    call: Caller, key: ApiKey, path: str, django_assert_num_queries: Any
) -> None:
    path = path.format(AudienceFactory(tenant=key.tenant).pk)
    assert call.get(path).body == {"next": None, "previous": None, "results": []}
    some = ids(5)
    call.put(path, some)
    expected = [{"user_id": each} for each in sorted(some["user_ids"])]

    first = call.get(f"{path}?limit=2").body
    second = call.get(first["next"]).body
    with django_assert_num_queries(2 if "topics" in path else 3):
        third = call.get(second["next"]).body

    assert first["results"] + second["results"] + third["results"] == expected
    assert (first["previous"], third["next"]) == (None, None)
    assert call.get(third["previous"]).body["results"] == second["results"]
    assert call.get(call.get(third["previous"]).body["previous"]).body["results"] == first["results"]


@pytest.mark.parametrize("path", ["audiences/{}/members/", "topics/news/subscribers/", "audiences/", "broadcasts/"])
def test_options_says_what_an_address_is_without_a_row(call: Caller, key: ApiKey, path: str) -> None:
    answer = call("OPTIONS", path.format(AudienceFactory(tenant=key.tenant).pk))
    assert answer.status == 200
    assert set(answer.body) == {"name", "description", "renders", "parses"}


@pytest.mark.parametrize("query", ["cursor=x", "cursor=bzE", "cursor=", "limit=0", "limit=201", "page=2"])
@pytest.mark.parametrize("path", ["audiences/{}/members/", "topics/news/subscribers/"])
def test_a_page_that_there_is_not_is_refused(call: Caller, key: ApiKey, path: str, query: str) -> None:
    path = path.format(AudienceFactory(tenant=key.tenant).pk)
    assert call.get(f"{path}?{query}").status == (404 if "cursor" in query else 400)


@pytest.mark.parametrize("topic", ["x" * 101, "a%00", "a%0A", "%20", "%20news"])
def test_a_topic_is_a_short_line_of_text(call: Caller, topic: str) -> None:
    assert call.put(f"topics/{topic}/subscribers/", ids(1)).status == 404
    assert call.get(f"topics/{topic}/subscribers/").status == 404
    assert not TopicSubscription.objects.exists()


def test_an_id_that_no_row_can_have_is_not_found(call: Caller) -> None:
    assert call.get(f"audiences/{10**30}/").status == 404


def test_a_key_needs_the_scope(key: ApiKey) -> None:
    other = Caller(ApiKeyFactory(tenant=key.tenant, scopes=["contacts"]))
    assert other.get("audiences/").body["code"] == "scope_required"


@pytest.mark.parametrize(
    ("permission", "method", "path", "body", "status"),
    [
        ("view_audience", "GET", "audiences/", None, 200),
        ("view_audience", "POST", "audiences/", {"name": "x", "kind": "list"}, 403),
        ("add_audience", "POST", "audiences/", {"name": "x", "kind": "list"}, 201),
        ("view_audience", "PUT", "audiences/{}/members/", ids(1), 403),
        ("change_audience", "PUT", "audiences/{}/members/", ids(1), 200),
        ("view_audience", "GET", "audiences/{}/members/", None, 200),
        ("change_audience", "GET", "audiences/{}/members/", None, 403),
        ("view_topicsubscription", "GET", "topics/news/subscribers/", None, 200),
        ("view_audience", "GET", "topics/news/subscribers/", None, 403),
        ("change_audience", "PATCH", "audiences/{}/", {"name": "y"}, 200),
        ("change_audience", "DELETE", "audiences/{}/", None, 403),
        ("delete_audience", "DELETE", "audiences/{}/", None, 204),
        ("delete_topicsubscription", "PUT", "topics/news/subscribers/", ids(1), 403),
    ],
)
def test_staff_do_what_their_permissions_allow_and_it_is_logged(
    tenant: Tenant, permission: str, method: str, path: str, body: Any, status: int
) -> None:
    row = AudienceFactory(tenant=tenant)
    answer = staff(permission)(method, path.format(row.pk), body)
    assert answer.status == status
    assert LogEntry.objects.count() == (1 if status < 300 and method != "GET" else 0)


def test_a_key_s_topics_are_of_its_own_tenant(call: Caller) -> None:
    assert call.put(f"topics/news/subscribers/?tenant={TenantFactory().slug}", ids(1)).status == 404
    assert not TopicSubscription.objects.exists()


def test_staff_s_topics_are_of_the_tenant_they_name(tenant: Tenant, key: ApiKey) -> None:
    caller = staff("add_topicsubscription", "change_topicsubscription")
    caller.put(f"topics/news/subscribers/?tenant={key.tenant.slug}", ids(1))
    assert TopicSubscription.objects.get().tenant == key.tenant
    assert "Subscribed 1 people to “news” by REST." in LogEntry.objects.get().change_message


def test_a_list_asks_no_query_a_row(call: Caller, key: ApiKey, django_assert_num_queries: Any) -> None:
    for _ in range(5):
        AudienceFactory(tenant=key.tenant, rules=GOLD)
    call.get("audiences/")  # the key's last use is noted once a minute
    with django_assert_num_queries(2):
        assert len(call.get("audiences/").body["results"]) == 5


@pytest.mark.parametrize("is_excluded", [False, True])
@pytest.mark.parametrize("state", State)
def test_what_a_broadcast_still_needs_is_not_deleted(
    call: Caller, key: ApiKey, state: State, is_excluded: bool
) -> None:
    row = AudienceFactory(tenant=key.tenant)
    shape = {"type": "audience", "id": row.pk}
    broadcast = draft(key.tenant, audience={"type": "all_users", "exclude": [shape]} if is_excluded else shape)
    now = timezone.now()
    given = {"approved_hash": "h", "due_at": now, "started_at": now, "stamp_ms": 1, "fanned_out_at": now}
    Broadcast.objects.filter(pk=broadcast.pk).update(state=state, **given)

    answer = call("DELETE", f"audiences/{row.pk}/")

    if state in {State.DRAFT, *ENDED}:
        assert (answer.status, Audience.objects.exists()) == (204, False)
    else:
        assert (answer.status, answer.body["code"], Audience.objects.exists()) == (409, "in_use", True)
        assert answer.body["broadcasts"] == [{"id": broadcast.pk, "name": "News", "status": state}]
        assert call("PATCH", f"audiences/{row.pk}/", {"name": "Renamed"}).status == 200
