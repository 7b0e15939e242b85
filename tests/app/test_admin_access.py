"""Who may see and do what in the admin, and that looking never changes anything."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from deliveries.lifecycle import hold_place
from deliveries.models import Hold, Tenant
from tests.factories import ApiKeyFactory, ContactFactory, DeliveryFactory, TemplateFactory

pytestmark = pytest.mark.django_db

LISTS = (
    *("delivery", "deadletter", "template", "contact", "apikey", "workerheartbeat", "lane", "hold", "tenant"),
    *("provider", "device", "webhookendpoint", "notice", "brand", "suppression", "category"),
)
ACTIONS = (
    "deliveries_hold_place",
    "deliveries_send_test",
    "deliveries_deadletter_retry",
    "deliveries_deadletter_dismiss",
    "deliveries_notice_read_all",
)
ROW_ACTIONS = (
    "deliveries_delivery_send_again",
    "deliveries_delivery_cancel",
    "deliveries_hold_let_go",
    "deliveries_notice_read",
    "deliveries_apikey_revoke",
    "deliveries_template_new_draft",
    "deliveries_templateversion_publish",
    "deliveries_templateversion_preview",
    "deliveries_templateversion_changes",
    "deliveries_templateversion_test",
)


@pytest.mark.parametrize("model", LISTS)
def test_every_list_answers_empty_and_with_rows(admin_client: Client, tenant: Tenant, model: str) -> None:
    url = reverse(f"admin:deliveries_{model}_changelist")

    assert admin_client.get(url).status_code == 200

    contact = ContactFactory(tenant=tenant)
    DeliveryFactory(tenant=tenant, user_id=contact.user_id)
    TemplateFactory(tenant=tenant)
    ApiKeyFactory(tenant=tenant)

    assert admin_client.get(url).status_code == 200


@pytest.mark.parametrize("name", ["admin:index", "admin:deliveries_runbook", "admin:auth_user_changelist"])
def test_the_other_pages_answer(admin_client: Client, name: str) -> None:
    assert admin_client.get(reverse(name)).status_code == 200


def test_pages_of_one_row_answer(admin_client: Client, tenant: Tenant) -> None:
    contact = ContactFactory(tenant=tenant)
    template = TemplateFactory(tenant=tenant)
    rows = {
        "contact": contact,
        "template": template,
        "templateversion": template.versions.get(),
        "apikey": ApiKeyFactory(tenant=tenant),
        "lane": DeliveryFactory(tenant=tenant, user_id=contact.user_id).lane,
        "tenant": tenant,
    }
    for trait in ("sent", "failed", "retrying", "sending", "expired", "suppressed", "cancelled"):
        row = DeliveryFactory(tenant=tenant, template_code=template.code, content=None, **{trait: True})
        answer = admin_client.get(reverse("admin:deliveries_delivery_change", args=[row.pk]))
        assert answer.status_code == 200, trait

    for model, row in rows.items():
        answer = admin_client.get(reverse(f"admin:deliveries_{model}_change", args=[row.pk]))
        assert answer.status_code == 200, model


@pytest.mark.parametrize("name", ACTIONS)
def test_an_action_refuses_get(admin_client: Client, name: str) -> None:
    assert admin_client.get(reverse(f"admin:{name}")).status_code == 405


@pytest.mark.parametrize("name", ROW_ACTIONS)
def test_an_action_on_a_row_refuses_get(admin_client: Client, name: str) -> None:
    assert admin_client.get(reverse(f"admin:{name}", args=[1])).status_code == 405


def test_no_page_changes_anything_by_get(admin_client: Client, tenant: Tenant) -> None:
    row = DeliveryFactory(tenant=tenant)
    pages = [reverse("admin:index"), reverse("admin:deliveries_live")]
    pages += [reverse(f"admin:deliveries_{model}_changelist") for model in LISTS]
    pages.append(reverse("admin:deliveries_delivery_change", args=[row.pk]))

    with CaptureQueriesContext(connection) as queries:
        for page in pages:
            admin_client.get(page)

    # The session's own row is Django's business.
    changes = [
        q["sql"] for q in queries if not q["sql"].lstrip().startswith("SELECT") and "django_session" not in q["sql"]
    ]
    assert changes == []


@pytest.mark.parametrize("name", ACTIONS)
def test_an_action_needs_its_permission(staff_with: Callable[..., Client], name: str) -> None:
    client = staff_with("view_delivery", "view_deadletter", "view_lane")

    assert client.post(reverse(f"admin:{name}")).status_code == 403


def test_an_action_on_a_row_needs_its_permission(staff_with: Callable[..., Client], tenant: Tenant) -> None:
    client = staff_with("view_delivery", "view_apikey", "view_template")
    delivery, key = DeliveryFactory(tenant=tenant), ApiKeyFactory(tenant=tenant)
    version = TemplateFactory(tenant=tenant, published=False).versions.get()
    targets = {
        "deliveries_delivery_cancel": delivery.pk,
        "deliveries_delivery_send_again": delivery.pk,
        "deliveries_apikey_revoke": key.pk,
        "deliveries_templateversion_publish": version.pk,
        "deliveries_templateversion_test": version.pk,
    }

    answers = {name: client.post(reverse(f"admin:{name}", args=[pk])).status_code for name, pk in targets.items()}

    assert set(answers.values()) == {403}, answers
    delivery.refresh_from_db()
    assert delivery.status == "PENDING"


def test_an_action_without_csrf_token_is_refused(tenant: Tenant, admin_user: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user)
    row = DeliveryFactory(tenant=tenant)

    assert client.post(reverse("admin:deliveries_delivery_cancel", args=[row.pk])).status_code == 403
    row.refresh_from_db()
    assert row.status == "PENDING"


def test_staff_without_permission_see_no_figures(staff_with: Callable[..., Client], tenant: Tenant) -> None:
    client = staff_with()

    page = client.get(reverse("admin:index"))

    assert page.status_code == 200
    assert "Balance" not in page.content.decode()
    assert client.get(reverse("admin:deliveries_live")).status_code == 403
    assert client.get(reverse("admin:deliveries_delivery_changelist")).status_code == 403


def test_a_signed_out_live_request_gets_no_login_form(client: Client) -> None:
    answer = client.get(reverse("admin:deliveries_live"))

    assert answer.status_code == 403
    assert answer.content == b""


def test_tenants_are_hidden_until_there_are_two(admin_client: Client, tenant: Tenant) -> None:
    DeliveryFactory(tenant=tenant)
    url = reverse("admin:deliveries_delivery_changelist")

    page = admin_client.get(url).content.decode()
    assert "Tenants" not in page and "E-mail sender" in page

    Tenant.objects.create(slug="second", name="Second")

    page = admin_client.get(url).content.decode()
    assert "Tenants" in page and "E-mail sender" not in page
    assert "column-tenant" in page


def test_holding_and_letting_go_need_more_than_seeing_lanes(staff_with: Callable[..., Client]) -> None:
    client, place = staff_with("view_lane", "view_hold"), reverse("admin:deliveries_hold_place")
    assert client.post(place, {"channel": "email", "reason": "x"}).status_code == 403
    assert not Hold.objects.exists()

    hold, _is_new = hold_place(by="ana", reason="maintenance", channel="email")
    assert client.post(reverse("admin:deliveries_hold_let_go", args=[hold.pk])).status_code == 403
    hold.refresh_from_db()
    assert hold.let_go_at is None


def test_a_tab_that_asks_with_an_ended_session_does_not_end_the_new_one(staff_with: Callable[..., Client]) -> None:
    client = staff_with("view_delivery")
    client.session.delete()  # as a new login or a new password does
    answer = client.get(reverse("admin:deliveries_live"))
    assert (answer.status_code, dict(answer.cookies)) == (403, {})


def test_signing_out_deletes_the_cookie(staff_with: Callable[..., Client]) -> None:
    answer = staff_with("view_delivery").post(reverse("admin:logout"))
    assert answer.cookies["sessionid"].value == ""
