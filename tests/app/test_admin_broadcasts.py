"""The staff's list of broadcasts, which page a broadcast has, its history, and who may do what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from broadcasts.admin.history import history_of
from broadcasts.drafts import broadcast_edit
from broadcasts.events import event_record
from broadcasts.models import Audience, Broadcast, BroadcastEvent
from broadcasts.states import State
from deliveries.models import Tenant
from tests.factories import ContactFactory, TenantFactory
from tests.mass import ANA, BEN, draft, send

pytestmark = pytest.mark.django_db
LIST = "admin:broadcasts_broadcast_changelist"


def url(broadcast: Broadcast, action: str = "change") -> str:
    return reverse(f"admin:broadcasts_broadcast_{action}", args=[broadcast.pk])


def test_an_empty_list_offers_two_ways_to_begin(admin_client: Client) -> None:
    page = admin_client.get(reverse(LIST)).content.decode()

    assert "Start from a template" in page
    assert "Write a message" in page
    assert "Start from" not in admin_client.get(f"{reverse(LIST)}?q=news").content.decode()


def test_the_list_says_name_state_people_and_figures(admin_client: Client, tenant: Tenant) -> None:
    gold = Audience.objects.create(tenant=tenant, name="Gold", kind="list", created_by="ana")
    draft(tenant, name="Spring", audience={"type": "audience", "id": gold.pk})
    sent = draft(tenant, name="Autumn")
    rows = [["ws", "SENT", "", "", 1204], ["ws", "FAILED", "x", "", 3], ["ws", "PENDING", "", "", 12]]
    Broadcast.objects.filter(pk=sent.pk).update(state=State.CANCELLED, counts={"rows": rows, "left_out": {}})

    page = admin_client.get(reverse(LIST)).content.decode()

    for text in (
        "Spring",
        "Draft",
        "Everybody in “Gold”",
        "Autumn",
        "Cancelled",
        "1,204 sent, 3 failed, 12 waiting",
        '<i style="width:98.77%" data-tone="ok"></i>',
    ):
        assert text in page


def test_a_list_of_fifty_asks_as_much_as_one_of_five(admin_client: Client, tenant: Tenant) -> None:
    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as asked:
            page = admin_client.get(reverse(LIST))
        assert page.status_code == 200
        return len(asked)

    def add(count: int) -> None:
        for number in range(count):
            audience = Audience.objects.create(tenant=tenant, name=f"A{Audience.objects.count()}", kind="list")
            draft(tenant, name=f"News {number}", audience={"type": "audience", "id": audience.pk})

    add(5)
    few = queries()
    add(45)
    assert queries() == few


@pytest.mark.parametrize(
    ("query", "found"),
    [("view=drafts", {"Spring"}), ("view=cancelled", {"Autumn"}), ("q=spr", {"Spring"}), ("", {"Spring", "Autumn"})],
)
def test_the_list_is_narrowed_by_state_and_name(
    admin_client: Client, tenant: Tenant, query: str, found: set[str]
) -> None:
    draft(tenant, name="Spring")
    Broadcast.objects.filter(pk=draft(tenant, name="Autumn").pk).update(state=State.CANCELLED)

    rows = admin_client.get(f"{reverse(LIST)}?{query}").context["cl"].result_list

    assert {row.name for row in rows} == found


def test_the_tenant_is_shown_where_there_are_several(admin_client: Client, tenant: Tenant) -> None:
    draft(tenant)
    assert "column-tenant" not in admin_client.get(reverse(LIST)).content.decode()

    draft(TenantFactory(name="Northwind"))
    assert "Northwind" in admin_client.get(reverse(LIST)).content.decode()


def test_a_copy_is_a_draft_of_the_same_words(staff_with: Callable[..., Client], tenant: Tenant) -> None:
    broadcast = draft(tenant, name="Spring")
    assert staff_with("view_broadcast").post(url(broadcast, "duplicate")).status_code == 403
    adder = staff_with("view_broadcast", "add_broadcast")
    assert adder.get(url(broadcast, "duplicate")).status_code == 405

    answer = adder.post(url(broadcast, "duplicate"))

    made = Broadcast.objects.exclude(pk=broadcast.pk).get()
    assert answer.headers["Location"] == url(made)
    assert (made.name, made.title, made.state) == ("Copy of Spring", "News", State.DRAFT)
    event = BroadcastEvent.objects.get(broadcast=made)
    assert (event.actor, event.staff, event.address) == (
        made.created_by,
        User.objects.get(username=made.created_by),
        "127.0.0.1",
    )


def test_what_was_sent_has_a_page_too(admin_client: Client, tenant: Tenant) -> None:
    ContactFactory(tenant=tenant)
    broadcast = send(draft(tenant, name="Spring"))

    page = admin_client.get(url(broadcast)).content.decode()

    assert "Spring" in page
    assert "Scheduled" in page


def test_only_who_may_see_broadcasts_sees_them(staff_with: Callable[..., Client], tenant: Tenant) -> None:
    broadcast = draft(tenant)
    other = staff_with("view_delivery")

    assert [other.get(each).status_code for each in (reverse(LIST), url(broadcast))] == [403, 403]
    assert staff_with("view_broadcast").get(url(broadcast)).status_code == 200


@pytest.mark.parametrize("state", [each for each in State if each != State.DRAFT])
def test_only_a_draft_can_be_deleted(admin_client: Client, tenant: Tenant, state: State) -> None:
    broadcast = draft(tenant)
    fields: dict[str, Any] = {"state": state, "approved_hash": "x", "stamp_ms": 1}
    for moment in ("due_at", "started_at", "fanned_out_at"):
        fields[moment] = broadcast.created_at
    Broadcast.objects.filter(pk=broadcast.pk).update(**fields)

    assert admin_client.post(url(broadcast, "delete"), {"post": "yes"}).status_code == 403
    assert Broadcast.objects.count() == 1


def test_a_draft_is_deleted_with_its_history(admin_client: Client, tenant: Tenant) -> None:
    admin_client.post(url(draft(tenant), "delete"), {"post": "yes"})

    assert (Broadcast.objects.count(), BroadcastEvent.objects.count()) == (0, 0)


def test_the_history_tells_edits_of_one_person_together(tenant: Tenant) -> None:
    broadcast = draft(tenant)
    for title in ("N", "Ne", "New"):
        broadcast_edit(broadcast=broadcast, actor=ANA, values={"title": title})
    broadcast_edit(broadcast=broadcast, actor=BEN, values={"reach": "first"})

    by_ben, by_ana, made = history_of(broadcast)

    assert (by_ben.who, [each.after for each in by_ben.altered]) == (
        "ben",
        ["The first channel that reaches the person"],
    )
    assert (by_ana.times, [(each.name, each.before, each.after) for each in by_ana.altered]) == (
        3,
        [("Title", "News", "New")],
    )
    assert (made.what, made.who) == ("Made it", "ana")


def test_the_history_says_what_was_approved_by_a_short_mark(tenant: Tenant) -> None:
    broadcast = draft(tenant)
    after = {"approved_hash": "0123456789abcdef" * 4, "approved_size": 4120}
    event_record(broadcast=broadcast, actor=BEN, action="approve", after=after)

    told = history_of(broadcast)[0]

    assert [(each.name, each.after) for each in told.altered] == [
        ("Mark of what was approved", "0123456789ab"),
        ("People when it was approved", "4,120"),
    ]


def test_the_pages_pass_djangos_own_checks() -> None:
    assert admin.site.check(None) == []
