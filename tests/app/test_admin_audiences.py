"""Audiences in the admin: the list, segments and their live count, lists and the people that staff paste or upload."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.admin.models import LogEntry
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from broadcasts.models import Audience, AudienceMember, Broadcast
from deliveries.models import Tenant
from tests.factories import AudienceFactory, ContactFactory, TenantFactory
from tests.mass import draft

pytestmark = pytest.mark.django_db

LIST, ADD, PREVIEW = (f"admin:broadcasts_audience_{name}" for name in ("changelist", "add", "preview"))
GOLD = {"match": "all", "rules": [{"field": "attributes.plan", "type": "text", "op": "is", "value": "gold"}]}


def page(client: Client, name: str, *args: Any, **query: str) -> str:
    answer = client.get(reverse(name, args=args), query)
    assert answer.status_code == 200
    return answer.content.decode()


def preview(client: Client, rules: Any, **more: Any) -> dict[str, Any]:
    answer = client.post(reverse(PREVIEW), {"rules": json.dumps(rules), **more})
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def people(client: Client, row: Audience, action: str, **sent: Any) -> Any:
    url = reverse("admin:broadcasts_audience_people", args=[row.pk])
    return client.post(url, {action: "", **sent}, headers={"X-Requested-With": "fetch"})


def test_a_segment_is_made_counted_and_logged(admin_client: Client, tenant: Tenant) -> None:
    ContactFactory(tenant=tenant, attributes={"plan": "gold"})
    ContactFactory(tenant=tenant)
    assert "data-rules" in page(admin_client, ADD, kind="segment")

    answer = admin_client.post(f"{reverse(ADD)}?kind=segment", {"name": " Gold ", "rules": json.dumps(GOLD)})

    row = Audience.objects.get()
    assert answer.status_code == 302
    assert (row.name, row.kind, row.rules, row.tenant, row.created_by, row.contact_count) == (
        "Gold", "segment", GOLD, tenant, "admin", 1,
    )  # fmt: skip
    assert LogEntry.objects.get().object_id == str(row.pk)
    shown = page(admin_client, LIST)
    assert "plan is “gold”" in shown
    admin_client.post(reverse("admin:broadcasts_audience_change", args=[row.pk]), {"name": "Gold", "rules": json.dumps(
        {"match": "all", "rules": [{"field": "email", "type": "text", "op": "exists"}]})})  # fmt: skip
    row.refresh_from_db()
    assert row.contact_count == 2


@pytest.mark.parametrize(
    ("name", "rules", "said"),
    [
        ("Gold", {"match": "all", "rules": []}, "There is no rule."),
        ("Gold", {"match": "all", "rules": [{"field": "x"}, {"field": "y"}]}, "rules[1].field"),
        ("Taken", GOLD, "There is an audience “Taken” already."),
        ("  ", GOLD, "This field is required."),
    ],
)
def test_what_is_wrong_with_a_segment_is_said_and_nothing_stored(
    admin_client: Client, tenant: Tenant, name: str, rules: Any, said: str
) -> None:
    AudienceFactory(tenant=tenant, name="Taken")
    answer = admin_client.post(f"{reverse(ADD)}?kind=segment", {"name": name, "rules": json.dumps(rules)})
    assert answer.status_code == 200
    assert said in answer.content.decode()
    assert Audience.objects.count() == 1


def test_the_builder_offers_the_attributes_that_people_have(tenant: Tenant, django_assert_num_queries: Any) -> None:
    from broadcasts.admin.audience_forms import attributes_seen

    ContactFactory(
        tenant=tenant,
        attributes={"plan": "gold", "visits": 3, "paid": True, "tags": [], "since": "2026-01-31", "no": None},
    )
    ContactFactory(attributes={"theirs": 1})
    with django_assert_num_queries(1):
        seen = attributes_seen(tenant.pk)
    assert seen == {"paid": "boolean", "plan": "text", "since": "date", "tags": "list", "visits": "number"}
    assert "theirs" in attributes_seen(None)


def test_the_preview_counts_and_shows_some(admin_client: Client, tenant: Tenant) -> None:
    gold = [ContactFactory(tenant=tenant, attributes={"plan": "gold"}, name=f"Gold {n}") for n in range(12)]
    ContactFactory(attributes={"plan": "gold"})
    Tenant.objects.exclude(pk=tenant.pk).update(slug="second")

    found = preview(admin_client, GOLD, tenant=tenant.pk)

    assert (found["problems"], found["count"], len(found["sample"])) == ([], 12, 10)
    assert {one["name"] for one in found["sample"]} < {contact.name for contact in gold}
    assert admin_client.get(found["sample"][0]["url"]).status_code == 200
    assert admin_client.post(reverse(PREVIEW), {"rules": json.dumps(GOLD)}).status_code == 404  # whose contacts?


@pytest.mark.parametrize("rules", ["", "[1]", "{", '{"match": "all"}'])
def test_the_preview_says_what_is_wrong(admin_client: Client, tenant: Tenant, rules: str) -> None:
    answer = admin_client.post(reverse(PREVIEW), {"rules": rules}).json()
    assert answer["problems"] and "count" not in answer
    assert all(problem["message"] for problem in answer["problems"])


def test_a_count_that_takes_too_long_is_said(
    admin_client: Client, tenant: Tenant, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from broadcasts.admin import audiences

    settings.AUDIENCE_COUNT_TIMEOUT_SECONDS = 0.05
    slow = audiences.condition(GOLD)
    monkeypatch.setattr(audiences, "condition", lambda rules: type(slow)("pg_sleep(20) IS NOT NULL"))
    ContactFactory(tenant=tenant)
    [problem] = preview(admin_client, GOLD)["problems"]
    assert "took longer than 0.05 seconds" in problem["message"]


def test_who_may_not_see_contacts_sees_the_count_only(staff_with: Callable[..., Client], tenant: Tenant) -> None:
    ContactFactory(tenant=tenant, attributes={"plan": "gold"})
    found = preview(staff_with("view_audience"), GOLD)
    assert (found["count"], found["sample"]) == (1, [])


def test_a_list_is_made_and_its_people_are_checked_before_anything_is_stored(
    admin_client: Client, tenant: Tenant
) -> None:
    answer = admin_client.post(f"{reverse(ADD)}?kind=list", {"name": "VIPs"})
    row = Audience.objects.get()
    assert (row.kind, row.rules) == ("list", None)
    assert answer.url == reverse("admin:broadcasts_audience_change", args=[row.pk])
    ana, ben = (ContactFactory(tenant=tenant, email=f"{name}@Example.com") for name in ("ana", "ben"))
    stranger = ContactFactory(email="stranger@example.com")
    pasted = f"user_id\n{ana.user_id}\n\nBEN@example.com;x\nnobody@example.com\n{stranger.user_id}\n{str(ana.user_id).upper()}\nwhat"

    checked = people(admin_client, row, "_check", people=pasted).content.decode()

    assert not AudienceMember.objects.exists()
    assert "2 people are known" in checked and "Add 2 people</button>" in checked
    for number, text, why in (
        (5, "nobody@example.com", "No contact has this address."),
        (6, str(stranger.user_id), "No contact has this user id."),
        (8, "what", "This is neither a user id nor an e-mail address."),
    ):
        assert f'<span class="ns-phone">Line </span>{number}</td>' in checked and text in checked and why in checked
    people(admin_client, row, "_add", people=pasted)
    assert set(row.members.values_list("user_id", flat=True)) == {ana.user_id, ben.user_id}
    row.refresh_from_db()
    assert row.contact_count == 2
    assert LogEntry.objects.filter(change_message="Added 2 people.").count() == 1
    assert str(ben.user_id) in page(admin_client, "admin:broadcasts_audience_change", row.pk)
    people(admin_client, row, "_remove", people=str(ana.user_id))
    assert set(row.members.values_list("user_id", flat=True)) == {ben.user_id}


def test_a_file_is_read_line_by_line_and_a_hundred_unknown_ones_are_shown(admin_client: Client, tenant: Tenant) -> None:
    row, ana = AudienceFactory(tenant=tenant), ContactFactory(tenant=tenant)
    lines = ["\ufeffE-Mail,Name", *(f"no{n}@example.com,N" for n in range(150)), f'"{ana.email}",Ana']
    file = SimpleUploadedFile("people.csv", "\r\n".join(lines).encode())
    checked = people(admin_client, row, "_check", file=file).content.decode()
    assert "1 person is known" in checked and "And 50 more." in checked
    assert "no99@" in checked and "no100@" not in checked


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({}, "Paste user ids or e-mail addresses"),
        ({"file": "ana@example.com".encode("utf-16")}, "This file is not text in UTF-8."),
        ({"people": "<script>alert(1)</script>"}, "&lt;script&gt;"),
        ({"people": '"unclosed\n\0'}, "neither a user id nor"),
        ({"people": "x" * 200_000}, "neither a user id nor"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_odd_input_is_answered_in_words(admin_client: Client, tenant: Tenant, sent: dict[str, Any], said: str) -> None:
    sent = {name: SimpleUploadedFile("f.csv", value) if name == "file" else value for name, value in sent.items()}
    answer = people(admin_client, AudienceFactory(tenant=tenant), "_add", **sent)
    assert answer.status_code == 200
    assert said in answer.content.decode()
    assert not AudienceMember.objects.exists()


def test_without_javascript_a_check_is_a_page_of_its_own(admin_client: Client, tenant: Tenant) -> None:
    row, ana = AudienceFactory(tenant=tenant), ContactFactory(tenant=tenant)
    url = reverse("admin:broadcasts_audience_people", args=[row.pk])
    shown = admin_client.post(url, {"_check": "", "people": ana.email}).content.decode()
    assert "<html" in shown and "Add 1 person</button>" in shown and ana.email in shown


def test_more_than_a_hundred_people_of_a_list_are_on_further_pages(admin_client: Client, tenant: Tenant) -> None:
    row = AudienceFactory(tenant=tenant)
    ids = sorted(uuid4() for _ in range(101))
    AudienceMember.objects.bulk_create(AudienceMember(audience=row, user_id=each) for each in ids)
    first = page(admin_client, "admin:broadcasts_audience_change", row.pk)
    assert str(ids[99]) in first and str(ids[100]) not in first and f"?after={ids[99]}" in first
    second = page(admin_client, "admin:broadcasts_audience_change", row.pk, after=ids[99])
    assert str(ids[100]) in second and f">{ids[99]}<" not in second


def test_looking_people_up_takes_two_queries_a_thousand(tenant: Tenant, django_assert_num_queries: Any) -> None:
    from broadcasts.members import people_read

    lines = [text for n in range(500) for text in (str(uuid4()), f"n{n}@example.com")]
    with django_assert_num_queries(2):
        assert people_read(lines, tenant_id=tenant.pk).unknown_count == 1000


def test_the_list_asks_no_query_a_row(admin_client: Client, tenant: Tenant) -> None:
    counts = []
    for _ in range(2):
        with CaptureQueriesContext(connection) as queries:
            page(admin_client, LIST)
        counts.append(len(queries))
        for number in range(5):
            AudienceFactory(tenant=tenant, rules=GOLD if number % 2 else None, contact_count=number)
    assert counts[0] == counts[1]


def test_rules_that_are_no_longer_understood_harm_no_page(admin_client: Client, tenant: Tenant) -> None:
    row = AudienceFactory(tenant=tenant, rules={"match": "all", "rules": [{"field": "gone"}]})
    assert "no longer understood" in page(admin_client, LIST)
    assert "gone" in page(admin_client, "admin:broadcasts_audience_change", row.pk)


@pytest.mark.parametrize(("permission", "status"), [("view_audience", 403), ("change_audience", 200)])
def test_changing_people_needs_its_permission(
    staff_with: Callable[..., Client], tenant: Tenant, permission: str, status: int
) -> None:
    row, ana = AudienceFactory(tenant=tenant), ContactFactory(tenant=tenant)
    client = staff_with(permission)
    assert page(client, "admin:broadcasts_audience_change", row.pk)
    assert people(client, row, "_check", people=ana.email).status_code == status


def test_who_may_only_look_reads_the_rules_in_words(staff_with: Callable[..., Client], tenant: Tenant) -> None:
    row = AudienceFactory(tenant=tenant, rules=GOLD)
    shown = page(staff_with("view_audience"), "admin:broadcasts_audience_change", row.pk)
    assert "plan is “gold”" in shown and "data-rules" not in shown


def test_who_may_not_see_audiences_sees_none(staff_with: Callable[..., Client], tenant: Tenant) -> None:
    client = staff_with("view_contact")
    assert client.get(reverse(LIST)).status_code == 403
    assert client.get(reverse(ADD)).status_code == 403
    assert client.post(reverse(PREVIEW), {"rules": json.dumps(GOLD)}).status_code == 403


def test_a_segment_has_no_people_to_add_and_an_unknown_list_is_not_found(admin_client: Client, tenant: Tenant) -> None:
    segment = AudienceFactory(tenant=tenant, rules=GOLD)
    assert people(admin_client, segment, "_add", people="x").status_code == 404
    assert people(admin_client, Audience(pk=segment.pk + 1), "_add", people="x").status_code == 404


def test_get_changes_nothing(admin_client: Client, tenant: Tenant) -> None:
    row = AudienceFactory(tenant=tenant)
    assert admin_client.get(reverse(PREVIEW)).status_code == 405
    assert admin_client.get(reverse("admin:broadcasts_audience_people", args=[row.pk])).status_code == 405


def test_the_tenant_is_asked_for_from_the_second_one_on(admin_client: Client, tenant: Tenant) -> None:
    assert "id_tenant" not in page(admin_client, ADD, kind="segment")
    second = TenantFactory()
    assert "id_tenant" in page(admin_client, ADD, kind="segment")
    sent = {"name": "Gold", "rules": json.dumps(GOLD), "tenant": second.pk}
    admin_client.post(f"{reverse(ADD)}?kind=segment", sent)
    assert Audience.objects.get().tenant == second


def test_what_a_broadcast_still_needs_is_not_deleted(admin_client: Client, tenant: Tenant) -> None:
    row = AudienceFactory(tenant=tenant)
    broadcast = draft(tenant, audience={"type": "audience", "id": row.pk})
    Broadcast.objects.filter(pk=broadcast.pk).update(state="awaiting_approval")
    url = reverse("admin:broadcasts_audience_delete", args=[row.pk])

    told = admin_client.post(url, {"post": "yes"}, follow=True).content.decode()

    assert ("“News” (awaiting approval)" in told, Audience.objects.exists()) == (True, True)
    Broadcast.objects.update(state="draft")
    admin_client.post(url, {"post": "yes"})
    assert not Audience.objects.exists()
