"""The suppression list: respected when a job comes in and at every start, and what staff see and do of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from deliveries.lifecycle.unwanted import SUPPRESSED
from deliveries.models import Contact, Delivery, OptOut, Suppression, Tenant
from deliveries.suppressions import normal_address, suppression_add, suppressions_of
from tests.factories import ContactFactory, DeliveryFactory, SuppressionFactory, TenantFactory
from tests.lifecycle import accept, claim, incoming, start

pytestmark = pytest.mark.django_db(transaction=True)
LIST = "admin:deliveries_suppression_changelist"
ADD = "admin:deliveries_suppression_add"


def told() -> list[str]:
    return [f"{entry.action_flag} {entry.object_repr}" for entry in LogEntry.objects.order_by("pk")]


class TestRespected:
    @pytest.mark.parametrize(
        ("channel", "field", "listed", "address"),
        [
            ("email", "email", "ana@example.com", "Ana@Example.COM"),
            ("email", "email", " ANA@example.com", "ana@example.com "),
            ("sms", "phone", "+49 (30) 1234-56", "+49 30 123456"),
        ],
    )
    def test_a_job_to_a_suppressed_address_is_not_sent_however_it_is_spelled(
        self, tenant: Tenant, channel: str, field: str, listed: str, address: str, settings: Any
    ) -> None:
        settings.CHANNEL_SENDERS = {"email": "smtp", "sms": "null"}
        suppression_add(tenant=tenant, channel=channel, address=listed)
        contact = ContactFactory(tenant=tenant, **{field: address})
        [row_id] = accept(incoming(channel=channel, user_id=str(contact.user_id)))
        row = Delivery.objects.get(pk=row_id)
        assert (row.status, row.reason) == ("SUPPRESSED", "suppressed_address")
        assert row.error_message == "The address is on the suppression list, which says why"
        assert [one.address for one in suppressions_of(contact)] == [normal_address(channel, listed)]

    @pytest.mark.parametrize("of", ["tenant", "channel", "address"])
    def test_others_are_sent(self, tenant: Tenant, of: str) -> None:
        contact = ContactFactory(tenant=tenant, email="ana@example.com", phone="")
        values: dict[str, Any] = {"tenant": tenant, "channel": "email", "address": "ana@example.com"}
        values |= {
            "tenant": {"tenant": TenantFactory()},
            "channel": {"channel": "sms"},
            "address": {"address": "b@x.org"},
        }[of]
        SuppressionFactory(**values)
        [row_id] = accept(incoming(channel="email", user_id=str(contact.user_id)))
        assert Delivery.objects.get(pk=row_id).status == "PENDING"
        assert suppressions_of(contact) == []

    def test_a_person_without_an_address_is_not_suppressed(self, tenant: Tenant) -> None:
        accept(incoming(channel="email"))
        assert Delivery.objects.get().status == "PENDING"

    def test_an_address_suppressed_after_the_claim_stops_the_start(self, tenant: Tenant) -> None:
        contact = ContactFactory(tenant=tenant)
        accept(incoming(channel="email", user_id=str(contact.user_id)), incoming(channel="email"))
        rows = claim("email")
        suppression_add(tenant=tenant, channel="email", address=contact.email)
        assert len(start(rows)) == 1
        row = Delivery.objects.get(user_id=contact.user_id)
        assert (row.status, row.reason, row.attempts) == ("SUPPRESSED", "suppressed_address", 0)

    def test_the_lookups_are_answered_by_the_unique_index(self, tenant: Tenant) -> None:
        for number in range(300):
            SuppressionFactory(tenant=tenant, address=f"{number}@example.com")
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE deliveries_suppression")
            cursor.execute("SET enable_seqscan = off")
            cursor.execute(
                f"EXPLAIN SELECT {SUPPRESSED.format(row='d')} FROM notification_delivery d"
                " JOIN deliveries_contact c USING (tenant_id, user_id)"
            )
            plan = "\n".join(line for (line,) in cursor.fetchall())
            cursor.execute("RESET enable_seqscan")
        assert "suppression_once" in plan and "hashed" not in plan

    def test_adding_twice_keeps_the_first(self, tenant: Tenant) -> None:
        first, is_new = suppression_add(tenant=tenant, channel="email", address="A@x.org", reason="complaint")
        again, is_new_again = suppression_add(tenant=tenant, channel="email", address="a@X.org")
        assert (first.pk, is_new, again.reason, is_new_again) == (again.pk, True, "complaint", False)


class TestAdmin:
    def test_the_list_says_who_why_and_from_which_delivery(self, admin_client: Client, tenant: Tenant) -> None:
        row = DeliveryFactory(tenant=tenant, sent=True)
        SuppressionFactory(tenant=tenant, address="ana@example.com", job_id=row.job_id)
        SuppressionFactory(tenant=tenant, reason="complaint", job_id=uuid4())
        text = admin_client.get(reverse(LIST)).content.decode()
        assert "ana@example.com" in text and "Came back for good" in text and "Called spam" in text
        assert reverse("admin:deliveries_delivery_change", args=[row.pk]) in text and "A delivery that is gone" in text

    def test_the_list_costs_the_same_however_many(self, admin_client: Client, tenant: Tenant) -> None:
        costs = []
        for count in (2, 8):
            for _ in range(count):
                SuppressionFactory(tenant=tenant, job_id=DeliveryFactory(tenant=tenant).job_id)
            with CaptureQueriesContext(connection) as captured:
                admin_client.get(reverse(LIST))
            costs.append(len(captured))
        assert costs[0] == costs[1]

    @pytest.mark.parametrize(
        ("term", "found"),
        [("ANA@example.com", True), (" ana@example.com ", True), ("+49 30 12", True), ("ben@x.org", False)],
    )
    def test_search_finds_an_address_however_it_is_spelled(
        self, admin_client: Client, tenant: Tenant, term: str, found: bool
    ) -> None:
        SuppressionFactory(tenant=tenant, address="ana@example.com", note="Look here")
        SuppressionFactory(tenant=tenant, channel="sms", address="+493012", note="Look here")
        assert ("Look here" in admin_client.get(reverse(LIST), {"q": term}).content.decode()) is found

    def test_staff_add_an_address_and_the_log_knows(self, admin_client: Client, tenant: Tenant) -> None:
        answer = admin_client.post(
            reverse(ADD), {"channel": "email", "address": " Ana@Example.com", "note": "Asked us"}
        )
        assert answer.status_code == 302
        row = Suppression.objects.get()
        assert (row.tenant, row.address, row.reason, row.note) == (tenant, "ana@example.com", "staff", "Asked us")
        assert told() == ["1 email ana@example.com"]

    @pytest.mark.parametrize(
        ("channel", "address", "says"),
        [
            ("email", "ana", "Enter an e-mail address"),
            ("email", "known@example.com", "This address is on the list already."),
            ("email", "KNOWN@example.com", "This address is on the list already."),
            ("sms", "none", "Enter a phone number"),
        ],
    )
    def test_what_cannot_be_added_says_why(
        self, admin_client: Client, tenant: Tenant, channel: str, address: str, says: str
    ) -> None:
        SuppressionFactory(tenant=tenant, address="known@example.com")
        answer = admin_client.post(reverse(ADD), {"channel": channel, "address": address})
        assert answer.status_code == 200 and says in answer.content.decode()
        assert Suppression.objects.count() == 1

    def test_with_several_tenants_staff_choose_one(self, admin_client: Client, tenant: Tenant) -> None:
        other = TenantFactory()
        SuppressionFactory(tenant=tenant, address="ana@example.com")
        sent = {"tenant": other.pk, "channel": "email", "address": "ana@example.com"}
        assert admin_client.post(reverse(ADD), sent).status_code == 302
        assert Suppression.objects.filter(tenant=other).count() == 1

    def test_staff_remove_an_address_by_post_and_the_log_knows(self, admin_client: Client, tenant: Tenant) -> None:
        row = SuppressionFactory(tenant=tenant, address="ana@example.com")
        url = reverse("admin:deliveries_suppression_delete", args=[row.pk])
        assert admin_client.get(url).status_code == 200 and Suppression.objects.exists()
        assert admin_client.post(url, {"post": "yes"}).status_code == 302
        assert not Suppression.objects.exists() and told() == ["3 email ana@example.com"]

    @pytest.mark.parametrize(
        ("permissions", "add", "delete"),
        [
            (["view_suppression"], 403, 403),
            (["add_suppression"], 302, 403),
            (["delete_suppression", "view_suppression"], 403, 302),
        ],
    )
    def test_each_action_needs_its_permission(
        self, tenant: Tenant, staff_with: Callable[..., Client], permissions: list[str], add: int, delete: int
    ) -> None:
        client, row = staff_with(*permissions), SuppressionFactory(tenant=tenant)
        assert client.post(reverse(ADD), {"channel": "email", "address": "ana@example.com"}).status_code == add
        url = reverse("admin:deliveries_suppression_delete", args=[row.pk])
        assert client.post(url, {"post": "yes"}).status_code == delete

    def test_nothing_on_the_list_is_changed(self, admin_client: Client, tenant: Tenant) -> None:
        row = SuppressionFactory(tenant=tenant)
        url = reverse("admin:deliveries_suppression_change", args=[row.pk])
        assert admin_client.get(url).status_code == 200
        assert admin_client.post(url, {"address": "b@x.org"}).status_code == 403

    def test_the_contact_s_page_says_that_the_address_is_suppressed_and_why(
        self, admin_client: Client, tenant: Tenant
    ) -> None:
        contact: Contact = ContactFactory(tenant=tenant, email="Ana@example.com")
        url = reverse("admin:deliveries_contact_change", args=[contact.pk])
        assert "suppressed" not in admin_client.get(url).content.decode()
        SuppressionFactory(tenant=tenant, address="ana@example.com", reason="complaint")
        OptOut.objects.create(tenant=tenant, user_id=contact.user_id, channel="email", category="newsletter")
        text = admin_client.get(url).content.decode()
        assert "Nothing is sent to ana@example.com any more: called spam" in text
        assert "E-mail: no newsletter" in text


def test_numbers_are_listed_and_kept_as_they_are_dialled(admin_client: Client, tenant: Tenant) -> None:
    suppression_add(tenant=tenant, channel="sms", address="+49 (0)30 123456")
    assert Suppression.objects.get().address == "+4930123456"

    contact = ContactFactory(tenant=tenant)
    form = {
        "user_id": str(contact.user_id), "name": "Ana", "email": "", "locale": "en", "time_zone": "", "attributes": "{}",
    }  # fmt: skip
    url = reverse("admin:deliveries_contact_change", args=[contact.pk])
    assert "country code is missing" in admin_client.post(url, {**form, "phone": "030 123456"}).content.decode()
    admin_client.post(url, {**form, "phone": "+49 (0)30 123456"})
    contact.refresh_from_db()
    assert contact.phone == "+4930123456"
