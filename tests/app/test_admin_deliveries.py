"""The list of deliveries and the page of one: finding, paging at a constant cost, and the actions."""

from __future__ import annotations

import re
from uuid import uuid4

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from deliveries.channels import Status
from deliveries.models import Contact, Delivery, Tenant
from tests.factories import ContactFactory, DeliveryAttemptFactory, DeliveryFactory, LaneFactory, TemplateFactory

pytestmark = pytest.mark.django_db
LIST = "admin:deliveries_delivery_changelist"


@pytest.fixture
def ana(tenant: Tenant) -> Contact:
    return ContactFactory(tenant=tenant, name="Ana Silva", email="Ana@Example.com", phone="+4930123456")


def shown(answer: HttpResponse) -> list[int]:
    """Return the deliveries that a list links to, in order."""
    return [int(pk) for pk in re.findall(r"/deliveries/delivery/(\d+)/change/", answer.content.decode())]


def page_of(row: Delivery) -> str:
    return reverse("admin:deliveries_delivery_change", args=[row.pk])


@pytest.mark.parametrize(
    "term", ["ana@example.com", "ANA@EXAMPLE.COM", "+4930123456", "+49 30 123456", "ana s", "{user}", "{job}"]
)
def test_a_delivery_is_found_by(admin_client: Client, ana: Contact, term: str) -> None:
    wanted = DeliveryFactory(tenant=ana.tenant, user_id=ana.user_id)
    DeliveryFactory(tenant=ana.tenant)

    answer = admin_client.get(reverse(LIST), {"q": term.format(user=ana.user_id, job=wanted.job_id)})

    assert shown(answer) == [wanted.pk]


@pytest.mark.parametrize("term", ["nobody@example.com", "Zed", "%", "_", "123e4567-e89b-42d3-a456-426614174000"])
def test_a_search_for_nobody_finds_nothing(admin_client: Client, ana: Contact, term: str) -> None:
    DeliveryFactory(tenant=ana.tenant, user_id=ana.user_id)

    answer = admin_client.get(reverse(LIST), {"q": term})

    assert answer.status_code == 200
    assert shown(answer) == []


def test_paging_shows_every_row_once_in_both_directions(admin_client: Client, tenant: Tenant) -> None:
    rows = DeliveryFactory.create_batch(120, tenant=tenant)
    expected = sorted((row.pk for row in rows), reverse=True)

    pages, url, last = [], reverse(LIST), ""
    while url:
        last = url
        answer = admin_client.get(url)
        pages.append(shown(answer))
        url = link_to(answer, "next")
    back, url = [], link_to(admin_client.get(last), "prev")
    while url:
        answer = admin_client.get(url)
        back.append(shown(answer))
        url = link_to(answer, "prev")

    assert [pk for page in pages for pk in page] == expected
    assert [len(page) for page in pages] == [50, 50, 20]
    assert back == pages[-2::-1]


def link_to(answer: HttpResponse, rel: str) -> str:
    match = re.search(rf'href="(\?[^"]*)" rel="{rel}"', answer.content.decode())
    return reverse(LIST) + match[1].replace("&amp;", "&") if match else ""


def test_a_filter_starts_on_the_newest_page(admin_client: Client, tenant: Tenant) -> None:
    DeliveryFactory.create_batch(60, tenant=tenant)
    second = admin_client.get(link_to(admin_client.get(reverse(LIST)), "next")).content.decode()

    links = re.findall(r'<a href="(\?[^"]*)"(?: aria-current="page")?>', second)
    assert links
    assert not [link for link in links if "older_than" in link]


@pytest.mark.parametrize("cursor", ["x", "-1", "1e9", "9" * 40])
def test_a_cursor_that_is_no_id_leads_back_to_the_list(admin_client: Client, cursor: str) -> None:
    answer = admin_client.get(reverse(LIST), {"older_than": cursor})

    assert answer.status_code == 302


def test_a_page_costs_the_same_at_any_size(admin_client: Client, tenant: Tenant) -> None:
    def queries(**parameters: str) -> list[str]:
        with CaptureQueriesContext(connection) as captured:
            assert admin_client.get(reverse(LIST), parameters).status_code == 200
        return [query["sql"] for query in captured]

    for _ in range(3):
        contact = ContactFactory(tenant=tenant)
        DeliveryFactory(tenant=tenant, user_id=contact.user_id, retrying=True)
    few, few_found = queries(), queries(q="Ana")
    for _ in range(60):
        contact = ContactFactory(tenant=tenant)
        DeliveryFactory(tenant=tenant, user_id=contact.user_id, retrying=True)
    many, many_found = queries(), queries(q="Ana")

    assert len(many) == len(few)
    assert len(many_found) == len(few_found)
    assert not [sql for sql in many if "COUNT(*)" in sql and "notification_delivery" in sql]


@pytest.mark.parametrize(
    ("view", "traits"),
    [
        ("waiting", [{}]),
        ("retrying", [{"retrying": True}]),
        ("sending", [{"sending": True}]),
        ("failed", [{"failed": True}]),
        ("not-sent", [{"expired": True}, {"suppressed": True}, {"cancelled": True}]),
        ("sent", [{"sent": True}]),
    ],
)
def test_a_saved_view_shows_its_rows_only(
    admin_client: Client, tenant: Tenant, view: str, traits: list[dict[str, bool]]
) -> None:
    names = ("retrying", "sending", "failed", "expired", "suppressed", "cancelled", "sent")
    for trait in ({}, *({name: True} for name in names)):
        DeliveryFactory(tenant=tenant, **trait)
    wanted = [DeliveryFactory(tenant=tenant, **trait).status for trait in traits]

    found = Delivery.objects.filter(pk__in=shown(admin_client.get(reverse(LIST), {"view": view})))

    assert sorted(row.status for row in found) == sorted([*wanted, *wanted])


def test_words_are_the_staffs(admin_client: Client, tenant: Tenant) -> None:
    DeliveryFactory(tenant=tenant, sent=True, channel="ws")
    DeliveryFactory(tenant=tenant, failed=True, reason="outcome_unknown")
    DeliveryFactory(tenant=tenant, suppressed=True)

    page = admin_client.get(reverse(LIST)).content.decode()

    for text in ("In-app", "In inbox", "May have been sent", "Not sent: person opted out"):
        assert text in page
    for word in ("SUPPRESSED", "SENT", "lease", "claim"):
        assert word not in page


def test_a_waiting_row_says_until_when_and_why(admin_client: Client, tenant: Tenant) -> None:
    lane = LaneFactory(tenant=tenant, paused_at=timezone.now(), paused_by="ben", pause_reason="provider maintenance")
    held = DeliveryFactory(tenant=tenant, lane=lane)
    retrying = DeliveryFactory(tenant=tenant, retrying=True, channel="ws")

    assert "by ben: provider maintenance" in admin_client.get(page_of(held)).content.decode()
    assert "Attempt 2 at" in admin_client.get(page_of(retrying)).content.decode()
    assert "Mail server error (451)" in admin_client.get(page_of(retrying)).content.decode()


def test_a_failed_row_says_the_reason_the_fix_and_the_runbook(admin_client: Client, tenant: Tenant) -> None:
    row = DeliveryFactory(tenant=tenant, failed=True)

    page = admin_client.get(page_of(row)).content.decode()

    assert "Mailbox unknown or refused (550)" in page
    assert "550 no such user" in page
    assert "Correct the address" in page
    assert f"{reverse('admin:deliveries_runbook')}#the-mail-server-refuses" in page


def test_the_message_is_rendered_again_inside_a_frame_that_may_do_nothing(admin_client: Client, tenant: Tenant) -> None:
    template = TemplateFactory(tenant=tenant, text="Hello {{ name }}", html="<b>Hello {{ name }}</b><script>1</script>")
    row = DeliveryFactory(
        tenant=tenant,
        sent=True,
        content=None,
        template_code=template.code,
        template_version=template.versions.get(),
        data={"name": "<script>alert(1)</script>"},
    )

    page = admin_client.get(page_of(row)).content.decode()

    assert "Rendered again from v1" in page
    frame = re.search(r"<iframe [^>]*>", page)
    assert frame
    assert 'sandbox=""' in frame[0]
    assert "default-src &#x27;none&#x27;" in frame[0]
    assert "<script>alert(1)</script>" not in page


def test_a_message_that_cannot_be_rendered_says_why(admin_client: Client, tenant: Tenant) -> None:
    template = TemplateFactory(tenant=tenant, text="Hello {{ name }}")
    row = DeliveryFactory(tenant=tenant, content=None, template_code=template.code, data={})

    assert "It cannot be rendered." in admin_client.get(page_of(row)).content.decode()


def test_the_stored_message_is_shown_as_sent(admin_client: Client, tenant: Tenant) -> None:
    row = DeliveryFactory(
        tenant=tenant,
        sent=True,
        channel="ws",
        rendered={"subject": "Parcel <1>", "text": "It arrives", "action_url": "/p/1"},
    )

    page = admin_client.get(page_of(row)).content.decode()

    assert "As sent" in page
    assert "Parcel &lt;1&gt;" in page


def test_send_again_makes_one_new_delivery_and_is_logged(
    admin_client: Client, admin_user: User, tenant: Tenant, django_capture_on_commit_callbacks: object
) -> None:
    row = DeliveryFactory(tenant=tenant, failed=True)

    answer = admin_client.post(reverse("admin:deliveries_delivery_send_again", args=[row.pk]), {"copies": "0"})

    copy = Delivery.objects.get(replay_of=row)
    assert answer.url == page_of(copy)
    assert (copy.status, copy.job_id != row.job_id) == (Status.PENDING, True)
    row.refresh_from_db()
    assert row.status == Status.FAILED
    entry = LogEntry.objects.get(object_id=str(row.pk))
    assert entry.user == admin_user
    assert str(copy.job_id) in entry.change_message


def test_a_second_click_makes_no_second_copy(admin_client: Client, tenant: Tenant) -> None:
    row = DeliveryFactory(tenant=tenant, failed=True)
    url = reverse("admin:deliveries_delivery_send_again", args=[row.pk])

    admin_client.post(url, {"copies": "0"})
    admin_client.post(url, {"copies": "0"})

    assert Delivery.objects.filter(replay_of=row).count() == 1


def test_what_no_sender_would_take_is_not_sent_again(admin_client: Client, tenant: Tenant) -> None:
    row = DeliveryFactory(tenant=tenant, failed=True, channel="sms")

    answer = admin_client.post(
        reverse("admin:deliveries_delivery_send_again", args=[row.pk]), {"copies": "0"}, follow=True
    )

    assert "Not sent again: The channel sms has no provider" in answer.content.decode()
    assert Delivery.objects.count() == 1


def test_a_waiting_delivery_is_not_sent_again(admin_client: Client, tenant: Tenant) -> None:
    row = DeliveryFactory(tenant=tenant)

    answer = admin_client.post(
        reverse("admin:deliveries_delivery_send_again", args=[row.pk]), {"copies": "0"}, follow=True
    )

    assert "Not sent again: it is not finished" in answer.content.decode()
    assert Delivery.objects.count() == 1


@pytest.mark.parametrize("is_ambiguous", [True, False])
def test_send_again_warns_only_where_it_may_be_a_second_copy(
    admin_client: Client, tenant: Tenant, is_ambiguous: bool
) -> None:
    row = DeliveryFactory(tenant=tenant, failed=True)
    DeliveryAttemptFactory(delivery=row, is_ambiguous=is_ambiguous)

    page = admin_client.get(page_of(row)).content.decode()

    assert ("This may be a second copy" in page) is is_ambiguous


def test_send_again_warns_for_what_was_sent(admin_client: Client, tenant: Tenant) -> None:
    page = admin_client.get(page_of(DeliveryFactory(tenant=tenant, sent=True))).content.decode()

    assert "This may be a second copy" in page


def test_sending_again_to_somebody_who_opted_out_is_not_what_the_page_proposes(
    admin_client: Client, tenant: Tenant
) -> None:
    over = {"status": "SUPPRESSED", "reason": "opted_out", "next_attempt_at": None, "finished_at": timezone.now()}
    row = DeliveryFactory(tenant=tenant)
    Delivery.objects.filter(pk=row.pk).update(**over)

    page = admin_client.get(page_of(row)).content.decode()

    assert 'id="ns-again"' in page
    assert "<b>Person opted out.</b>" in page.partition('id="ns-again"')[2]
    assert "ns-btn--main" not in page


def test_an_empty_answer_says_by_what_one_can_search(admin_client: Client, tenant: Tenant) -> None:
    page = admin_client.get(reverse("admin:deliveries_delivery_changelist"), {"q": "zzz"}).content.decode()

    assert "Nothing found for “zzz”" in page
    assert "You can search by: job id, user id, address or name." in page


def test_cancel_settles_a_waiting_delivery_and_is_logged(admin_client: Client, tenant: Tenant) -> None:
    row = DeliveryFactory(tenant=tenant)

    admin_client.post(reverse("admin:deliveries_delivery_cancel", args=[row.pk]))

    row.refresh_from_db()
    assert (row.status, row.error_message) == (Status.CANCELLED, "Cancelled by admin")
    assert LogEntry.objects.filter(object_id=str(row.pk)).count() == 1


def test_cancel_leaves_what_is_being_sent_alone(admin_client: Client, tenant: Tenant) -> None:
    row = DeliveryFactory(tenant=tenant, sending=True)

    answer = admin_client.post(reverse("admin:deliveries_delivery_cancel", args=[row.pk]), follow=True)

    row.refresh_from_db()
    assert row.status == Status.SENDING
    assert "Not cancelled" in answer.content.decode()
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize("pk", ["0", "999999999", "abc", "9" * 30])
def test_an_unknown_delivery_is_not_found(admin_client: Client, pk: str) -> None:
    assert admin_client.get(f"/admin/deliveries/delivery/{pk}/change/").status_code == 404


def test_the_command_palette_finds_jobs_and_people(admin_client: Client, ana: Contact) -> None:
    row = DeliveryFactory(tenant=ana.tenant, user_id=ana.user_id)
    url = reverse("admin:search")

    by_job = admin_client.get(url, {"s": str(row.job_id), "extended": "1"}).content.decode()
    by_address = admin_client.get(url, {"s": "ana@example.com", "extended": "1"}).content.decode()

    assert page_of(row) in by_job
    assert reverse("admin:deliveries_contact_change", args=[ana.pk]) in by_address


def test_the_language_of_a_rendered_message_is_the_persons(admin_client: Client, ana: Contact) -> None:
    template = TemplateFactory(tenant=ana.tenant, subject="Hello", text="Hello", also={"de": {"subject": "Hallo Welt"}})
    Contact.objects.filter(pk=ana.pk).update(locale="de-AT")
    row = DeliveryFactory(tenant=ana.tenant, user_id=ana.user_id, content=None, template_code=template.code)

    assert "Hallo Welt" in admin_client.get(page_of(row)).content.decode()


def test_a_person_who_is_nobodys_contact_is_shown_by_id(admin_client: Client, tenant: Tenant) -> None:
    user_id = uuid4()
    DeliveryFactory(tenant=tenant, user_id=user_id)

    assert str(user_id) in admin_client.get(reverse(LIST)).content.decode()
