"""Topics in the admin: which there are, who is subscribed, and people in and out of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.db.models import QuerySet
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from broadcasts.admin import topics
from broadcasts.models import TopicSubscription
from deliveries.models import Tenant
from tests.factories import ContactFactory, TenantFactory

pytestmark = pytest.mark.django_db

LIST, TOPIC, PEOPLE = (f"admin:broadcasts_topicsubscription_{name}" for name in ("changelist", "topic", "people"))


def subscribe(tenant: Tenant, topic: str, count: int = 1) -> list[TopicSubscription]:
    rows = [TopicSubscription(tenant=tenant, topic=topic, user_id=uuid4()) for _ in range(count)]
    return TopicSubscription.objects.bulk_create(rows)


def page(client: Client, name: str, **query: Any) -> str:
    answer = client.get(reverse(name), query)
    assert answer.status_code == 200
    return answer.content.decode()


def send(client: Client, tenant: Tenant, topic: str, action: str, people: str) -> Any:
    url = reverse(PEOPLE, query={"tenant": tenant.pk, "topic": topic})
    return client.post(url, {action: "", "people": people}, headers={"X-Requested-With": "fetch"})


def test_the_list_counts_each_topic_s_subscribers(admin_client: Client, tenant: Tenant) -> None:
    assert "No topics yet" in page(admin_client, LIST)
    subscribe(tenant, "news", 3)
    subscribe(tenant, "a&b")
    subscribe(TenantFactory(), "theirs")
    shown = page(admin_client, LIST, tenant=tenant.pk)
    assert shown.index("a&amp;b</a>") < shown.index("news</a>")
    assert 'class="ns-num">3<' in shown and "theirs" not in shown


def test_the_list_takes_as_many_queries_for_many_topics(
    admin_client: Client, tenant: Tenant, django_assert_num_queries: Any
) -> None:
    subscribe(tenant, "one")
    page(admin_client, LIST)
    with CaptureQueriesContext(connection) as few:
        page(admin_client, LIST)
    for number in range(20):
        subscribe(tenant, f"topic {number}", 2)
    with django_assert_num_queries(len(few)):
        assert "topic 19" in page(admin_client, LIST)


def test_more_than_fifty_topics_are_on_further_pages(admin_client: Client, tenant: Tenant) -> None:
    for number in range(51):
        subscribe(tenant, f"topic-{number:02}")
    first = page(admin_client, LIST)
    assert "topic-49" in first and "topic-50" not in first and "after=topic-49" in first
    second = page(admin_client, LIST, tenant=tenant.pk, after="topic-49")
    assert "topic-50" in second and "First</a>" in second
    assert "No topic comes after that." in page(admin_client, LIST, after="zzz")


def test_a_count_that_takes_too_long_is_left_out(
    admin_client: Client, tenant: Tenant, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    def slow(**_asked: Any) -> dict[str, int]:
        connection.cursor().execute("SELECT pg_sleep(60)")
        return {}

    subscribe(tenant, "news")
    settings.AUDIENCE_COUNT_TIMEOUT_SECONDS = 0.05
    monkeypatch.setattr(topics, "subscribers_counted", slow)
    assert "too slow to count" in page(admin_client, LIST)


def test_people_are_checked_subscribed_and_unsubscribed(admin_client: Client, tenant: Tenant) -> None:
    ana, ben = ContactFactory(tenant=tenant), ContactFactory(tenant=tenant)
    assert "Nobody yet." in page(admin_client, TOPIC, topic="news")

    checked = send(admin_client, tenant, "news", "_check", f"{ana.email}\n{ben.user_id}\nnobody").content.decode()
    assert (
        "Subscribe 2 people</button>" in checked
        and "Unsubscribe 2 people</button>" in checked
        and "names nobody" in checked
    )
    assert not TopicSubscription.objects.exists()

    answer = send(admin_client, tenant, "news", "_add", f"{ana.email}\n{ben.user_id}")
    assert answer["Location"] == reverse(TOPIC, query={"tenant": tenant.pk, "topic": "news"})
    assert set(TopicSubscription.objects.values_list("user_id", flat=True)) == {ana.user_id, ben.user_id}
    assert "Subscribed 2 people (topic “news”)." in LogEntry.objects.get().change_message
    shown = admin_client.get(answer["Location"]).content.decode()
    assert "Subscribed 2 people." in shown and str(ana) in shown

    send(admin_client, tenant, "news", "_remove", f"{ana.email}\n{ContactFactory(tenant=tenant).email}")
    assert list(TopicSubscription.objects.values_list("user_id", flat=True)) == [ben.user_id]
    assert "Unsubscribed 1 person. 1 person was not subscribed." in page(admin_client, TOPIC, topic="news")


def test_more_than_a_hundred_people_are_on_further_pages(admin_client: Client, tenant: Tenant) -> None:
    rows = sorted(subscribe(tenant, "news", 101), key=lambda row: row.user_id)
    first = page(admin_client, TOPIC, topic="news")
    assert str(rows[99].user_id) in first and str(rows[100].user_id) not in first
    second = page(admin_client, TOPIC, tenant=tenant.pk, topic="news", after=rows[99].user_id)
    assert str(rows[100].user_id) in second and f">{rows[99].user_id}<" not in second
    assert "First</a>" in second and "Next</a>" not in second
    assert '<span class="ns-muted ns-num">101</span>' in first


def test_one_person_is_taken_out_where_they_stand(admin_client: Client, tenant: Tenant) -> None:
    ana, ben = subscribe(tenant, "news", 2)
    assert page(admin_client, TOPIC, topic="news").count('form="bc-one"') == 2
    where = reverse(PEOPLE, query={"tenant": tenant.pk, "topic": "news"})
    for _again in range(2):
        answer = admin_client.post(where, {"_remove_one": ana.user_id, "after": ben.user_id})
        assert (
            answer["Location"]
            == f"{reverse(TOPIC, query={'tenant': tenant.pk, 'topic': 'news', 'after': ben.user_id})}#people"
        )
        assert list(TopicSubscription.objects.values_list("user_id", flat=True)) == [ben.user_id]
    assert "Unsubscribed 0 people. 1 person was not subscribed." in page(admin_client, TOPIC, topic="news")


def test_people_that_take_too_long_to_count_are_shown_all_the_same(
    admin_client: Client, tenant: Tenant, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    count = QuerySet.count

    def slow(rows: Any) -> int:
        if rows.model is TopicSubscription:
            connection.cursor().execute("SELECT pg_sleep(60)")
        return count(rows)

    (row,) = subscribe(tenant, "news")
    settings.AUDIENCE_COUNT_TIMEOUT_SECONDS = 0.05
    monkeypatch.setattr(QuerySet, "count", slow)
    shown = page(admin_client, TOPIC, topic="news")
    assert str(row.user_id) in shown and "Who is in it</h2>" in shown


@pytest.mark.parametrize("topic", ["", "x" * 101, "a\nb", "a\0", "a/b"])
def test_a_name_that_cannot_be_one_is_said(admin_client: Client, tenant: Tenant, topic: str) -> None:
    answer = admin_client.get(reverse(TOPIC), {"topic": topic}, follow=True)
    assert "Name a topic in 1 to 100 visible characters" in answer.content.decode()
    assert answer.context["typed"] == topic.strip()
    assert send(admin_client, tenant, topic, "_check", "x").status_code == 404


@pytest.mark.parametrize("named", ["x", "999999999999", "9" * 40])
def test_an_unknown_tenant_is_not_found(admin_client: Client, tenant: Tenant, named: str) -> None:
    for name in (LIST, TOPIC):
        assert admin_client.get(reverse(name), {"tenant": named, "topic": "news"}).status_code == 404


def test_the_tenant_is_asked_for_from_the_second_one_on(admin_client: Client, tenant: Tenant) -> None:
    assert "<span>Tenant</span>" not in page(admin_client, LIST)
    second = TenantFactory()
    assert "<span>Tenant</span>" in page(admin_client, LIST)
    theirs, mine = ContactFactory(tenant=second), ContactFactory(tenant=tenant)
    assert "1 line names nobody" in send(admin_client, second, "news", "_check", mine.email).content.decode()
    send(admin_client, second, "news", "_add", theirs.email)
    assert TopicSubscription.objects.get().tenant == second


def test_a_single_subscription_leads_to_its_topic(admin_client: Client, tenant: Tenant) -> None:
    row = subscribe(tenant, "news")[0]
    change = "admin:broadcasts_topicsubscription_change"
    answer = admin_client.get(reverse(change, args=[row.pk]))
    assert answer["Location"] == reverse(TOPIC, query={"tenant": tenant.pk, "topic": "news"})
    assert admin_client.get(reverse(change, args=[row.pk + 1])).status_code == 404


def test_who_may_look_changes_nothing_and_others_see_nothing(staff_with: Callable[..., Client], tenant: Tenant) -> None:
    ana = ContactFactory(tenant=tenant)
    subscribe(tenant, "news")
    looking, other = staff_with("view_topicsubscription"), staff_with("view_audience")
    assert "Open</button>" not in page(looking, LIST)
    assert "<textarea" not in page(looking, TOPIC, topic="news")
    assert send(looking, tenant, "news", "_add", ana.email).status_code == 403
    assert [other.get(reverse(name), {"topic": "news"}).status_code for name in (LIST, TOPIC)] == [403, 403]
    assert TopicSubscription.objects.count() == 1
    assert looking.get(reverse(PEOPLE)).status_code == 405
