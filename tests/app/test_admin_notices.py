"""The bell and the page behind it: what is counted, in which order it stands, who may mark what as read, and what it costs."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from deliveries.models import Notice, NoticeTelling, Tenant
from deliveries.notices import KINDS, Kind, notice_raise
from tests.factories import TenantFactory

pytestmark = pytest.mark.django_db

PAGE = "/admin/deliveries/notice/"
ALL = "/admin/deliveries/notice/read/"


def raised(
    number: int = 1, *, kind: Kind = Kind.WORKER_GONE, ended_ago: timedelta | None = None, **changes: Any
) -> Notice:
    values = {"sentence": f"Sender {number} is gone", "page": "admin:deliveries_workerheartbeat_changelist", **changes}
    notice_raise(kind=kind, subject=f"subject {number}", **values)
    notice = Notice.objects.get(subject=f"subject {number}", ended_at=None)
    if ended_ago is not None:
        ended_at = timezone.now() - ended_ago
        Notice.objects.filter(pk=notice.pk).update(ended_at=ended_at, opened_at=ended_at - timedelta(minutes=12))
    return notice


def staff(*permissions: str) -> Client:
    user = User.objects.create_user(f"staff-{User.objects.count()}", password="x", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


def text_of(client: Client, url: str = PAGE) -> str:
    answer = client.get(url)
    assert answer.status_code == 200
    return str(answer.content.decode())


def bell_of(client: Client, url: str = PAGE) -> str:
    (found,) = re.findall(r'id="ns-bell"[^>]+aria-label="([^"]+)"', text_of(client, url))
    return str(found)


def queries_of(client: Client, url: str) -> list[str]:
    with CaptureQueriesContext(connection) as captured:
        client.get(url)
    return [query["sql"] for query in captured]


# The bell.


@pytest.mark.parametrize(
    "name",
    ["index", "deliveries_delivery_changelist", "deliveries_contact_add", "deliveries_runbook", "auth_user_changelist"],
)
def test_the_bell_is_on_every_page(admin_client: Client, name: str) -> None:
    raised(1)
    raised(2, ended_ago=timedelta(hours=1))
    raised(3)
    Notice.objects.filter(subject="subject 3").update(read_at=timezone.now(), read_by="ben")

    assert bell_of(admin_client, reverse(f"admin:{name}")) == "Notices: 1 open and unread"


def test_a_bell_with_nothing_new_shows_no_number(admin_client: Client) -> None:
    assert bell_of(admin_client) == "Notices: nothing new"
    assert "ns-bell-count" not in text_of(admin_client)


def test_the_bell_stops_counting_at_a_hundred(admin_client: Client) -> None:
    for number in range(101):
        raised(number)

    assert bell_of(admin_client) == "Notices: 99+ open and unread"


def test_the_bell_costs_one_query_on_a_page(admin_client: Client) -> None:
    raised()
    asked = [
        sql
        for sql in queries_of(admin_client, reverse("admin:deliveries_contact_changelist"))
        if "deliveries_notice" in sql
    ]

    assert len(asked) == 1


def test_who_may_not_see_notices_has_no_bell_and_costs_nothing() -> None:
    client = staff("view_delivery")
    raised()

    assert "ns-bell" not in text_of(client, reverse("admin:deliveries_delivery_changelist"))
    asked = queries_of(client, reverse("admin:deliveries_delivery_changelist"))
    assert not [sql for sql in asked if "deliveries_notice" in sql]
    assert client.get(PAGE).status_code == 403


def test_the_dashboard_s_live_answer_carries_the_bell(admin_client: Client) -> None:
    raised()

    assert bell_of(admin_client, reverse("admin:deliveries_live")) == "Notices: 1 open and unread"


# The page.


def test_open_notices_come_first_and_then_what_was_over_last(admin_client: Client) -> None:
    raised(1, ended_ago=timedelta(hours=2))
    raised(2, ended_ago=timedelta(hours=1))
    raised(3)

    text = text_of(admin_client)
    places = [text.index(f"Sender {number} is gone") for number in (3, 2, 1)]
    assert places == sorted(places)
    assert text.count("Over after 12 minutes") == 2


def test_a_notice_leads_to_where_it_shows_and_to_its_heading(admin_client: Client) -> None:
    raised(sentence="<b>Sender</b> is gone")

    text = text_of(admin_client)
    assert (
        f'href="{reverse("admin:deliveries_workerheartbeat_changelist")}">&lt;b&gt;Sender&lt;/b&gt; is gone</a>' in text
    )
    assert f'href="{reverse("admin:deliveries_runbook")}#a-worker-is-gone"' in text
    assert 'id="a-worker-is-gone"' in text_of(admin_client, reverse("admin:deliveries_runbook"))


def test_a_notice_leads_nowhere_that_its_reader_may_not_go() -> None:
    raised()
    workers = f'href="{reverse("admin:deliveries_workerheartbeat_changelist")}">Sender 1'

    assert workers in text_of(staff("view_notice", "view_workerheartbeat"))
    assert workers not in text_of(staff("view_notice"))
    assert "Show the workers" not in text_of(staff("view_delivery"), reverse("admin:index"))
    assert "Show the workers" in text_of(staff("view_delivery", "view_workerheartbeat"), reverse("admin:index"))


def test_who_was_told_and_what_failed_is_shown(admin_client: Client, settings: Any) -> None:
    settings.NOTICE_WEBHOOK_URL = "https://hooks.slack.com/services/very-secret"
    settings.NOTICE_EMAIL_TO = ["ops@example.com"]
    notice, now = raised(), timezone.now()
    NoticeTelling.objects.create(notice=notice, way="webhook", next_at=now, told_at=now)
    assert "did not take it" not in text_of(admin_client)

    NoticeTelling.objects.update(told_at=None, problem="hooks.slack.com did not take it: 404 no_service")
    NoticeTelling.objects.create(notice=notice, way="email:ops@example.com", next_at=now, problem="550 no.")
    text = text_of(admin_client)
    assert "hooks.slack.com did not take it: 404 no_service" in text
    assert "ops@example.com: 550 no." in text
    assert "very-secret" not in text


def test_without_ways_the_page_says_how_to_be_told(admin_client: Client, settings: Any) -> None:
    settings.NOTICE_WEBHOOK_URL, settings.NOTICE_EMAIL_TO = "", []

    assert "NOTICE_WEBHOOK_URL" in text_of(admin_client)


def test_filters_narrow_the_list_and_the_tenant_shows_when_there_are_two(admin_client: Client) -> None:
    raised(1)
    raised(2, ended_ago=timedelta(hours=1), kind=Kind.BREAKER_OPEN, tenant_id=TenantFactory(name="Second shop").pk)

    assert "Sender 2 is gone" not in text_of(admin_client, f"{PAGE}?state=open")
    assert "Sender 1 is gone" not in text_of(admin_client, f"{PAGE}?state=over")
    assert "Sender 1 is gone" not in text_of(admin_client, f"{PAGE}?kind=breaker_open")
    assert "Second shop" in text_of(admin_client)


def test_the_page_costs_the_same_however_many_notices(admin_client: Client, settings: Any) -> None:
    settings.NOTICE_EMAIL_TO = ["ops@example.com"]
    TenantFactory()

    def add(first: int, count: int) -> int:
        for number in range(first, first + count):
            notice = raised(number, tenant_id=Tenant.objects.earliest("pk").pk)
            NoticeTelling.objects.create(
                notice=notice, way="email:ops@example.com", next_at=timezone.now(), problem="x"
            )
        return len(queries_of(admin_client, PAGE))

    assert add(0, 1) == add(10, 20)


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_a_row_and_a_page_of_its_own(admin_client: Client, kind: Kind) -> None:
    notice = raised(kind=kind)

    assert KINDS[kind].title in text_of(admin_client)
    assert "Sender 1 is gone" in text_of(admin_client, f"{PAGE}{notice.pk}/change/")


# Reading.


def test_marking_as_read_takes_it_out_of_everybody_s_bell_and_says_who_did(admin_client: Client) -> None:
    notice, other = raised(1), raised(2)
    client = staff("view_notice", "change_notice")

    answer = client.post(f"{PAGE}{notice.pk}/read/", {"next": PAGE}, follow=True)

    assert "Marked as read." in answer.content.decode()
    assert bell_of(admin_client) == "Notices: 1 open and unread"
    assert "Open, read by staff-1" in text_of(admin_client)
    entry = LogEntry.objects.get()
    assert (entry.object_id, entry.change_message) == (str(notice.pk), "Marked as read.")
    other.refresh_from_db()
    assert other.read_at is None


def test_a_second_reader_changes_nothing(admin_client: Client) -> None:
    notice = raised()
    for _ in range(2):
        admin_client.post(f"{PAGE}{notice.pk}/read/")

    assert LogEntry.objects.count() == 1
    over = raised(2, ended_ago=timedelta(minutes=1))
    admin_client.post(f"{PAGE}{over.pk}/read/")
    over.refresh_from_db()
    assert over.read_at is None


def test_all_are_marked_as_read_at_once(admin_client: Client) -> None:
    for number in range(3):
        raised(number)

    answer = admin_client.post(ALL, follow=True)

    assert "3 notices marked as read." in answer.content.decode()
    assert bell_of(admin_client) == "Notices: nothing new"
    assert LogEntry.objects.count() == 3


@pytest.mark.parametrize("address", [ALL, f"{PAGE}1/read/"])
def test_marking_needs_post_the_permission_and_a_token(admin_user: User, address: str) -> None:
    raised()
    client = staff("view_notice")

    assert client.get(address).status_code == 405
    assert client.post(address).status_code == 403
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(admin_user)
    assert strict.post(address).status_code == 403
    assert "Mark as read" not in text_of(client)
    assert not Notice.objects.exclude(read_at=None).exists()


def test_notices_are_neither_added_nor_changed_nor_deleted_by_hand(admin_client: Client) -> None:
    notice = raised()

    assert admin_client.get(f"{PAGE}add/").status_code == 403
    assert admin_client.post(f"{PAGE}{notice.pk}/change/", {"sentence": "x"}).status_code == 403
    assert admin_client.post(f"{PAGE}{notice.pk}/delete/", {"post": "yes"}).status_code == 403


# The dashboard agrees.


def test_the_dashboard_names_what_only_a_notice_knows(admin_client: Client) -> None:
    from deliveries.models import WorkerHeartbeat

    now = timezone.now()
    for kind in ("sender", "consumer", "periodic"):
        WorkerHeartbeat.objects.create(
            service_type=kind, instance_id="a", pid=1, host="h", started_at=now, beat_at=now, progress_at=now
        )
    raised(1, kind=Kind.ENDPOINT_DISABLED, sentence="An endpoint is disabled")
    assert "An endpoint is disabled" not in text_of(admin_client, reverse("admin:index"))

    cache.clear()
    raised(2, kind=Kind.BREAKER_OPEN, sentence="SES is left alone")
    text = text_of(admin_client, reverse("admin:index"))
    assert re.search(r'<h2 role="status">SES is left alone</h2>', text)
    assert f'href="{PAGE}">Show the notices</a>' in text
    assert "#a-provider-is-broken" in text
