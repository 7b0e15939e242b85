"""Hold and Let go in the admin: the dialog's form, the dashboard's list, what a delivery's page and the lists say, the log."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from deliveries import figures
from deliveries.admin import words
from deliveries.lifecycle import hold_let_go, hold_place, sweep
from deliveries.models import Delivery, Hold, Tenant
from tests.factories import DeliveryFactory, TemplateFactory, TenantFactory

pytestmark = pytest.mark.django_db

PLACE = "admin:deliveries_hold_place"
LIST = "admin:deliveries_delivery_changelist"


def on_hold(**named: Any) -> Hold:
    hold, _is_new = hold_place(by="ana", reason="wrong price", **named)
    return hold


def told(client: Client, answer: Any) -> str:
    """Return the page that an action led to, as text."""
    return client.get(answer.url).content.decode()


def test_staff_hold_a_channel_before_its_first_job_and_let_it_go(admin_client: Client, tenant: Tenant) -> None:
    answer = admin_client.post(reverse(PLACE), {"channel": "email", "reason": "provider maintenance"})

    page = told(admin_client, answer)
    hold = Hold.objects.get()
    assert (hold.channel, hold.held_by, hold.reason) == ("email", "admin", "provider maintenance")
    for text in ("E-mail is on hold", "provider maintenance", "Held by <b>admin</b>", "Let go"):
        assert text in page
    page = told(admin_client, admin_client.post(reverse("admin:deliveries_hold_let_go", args=[hold.pk])))
    assert "E-mail goes on" in page
    assert "Nothing: whatever is due goes out." in page
    assert list(LogEntry.objects.order_by("pk").values_list("object_id", "change_message")) == [
        (str(hold.pk), "Held: provider maintenance"),
        (str(hold.pk), "Let go."),
    ]


@pytest.mark.parametrize("named", ["tenant", "template_code", "category", "all"])
def test_staff_hold_a_tenant_a_template_a_category_or_all_of_them(admin_client: Client, named: str) -> None:
    other = TenantFactory(name="Acme")
    TemplateFactory(code="order", tenant=other)
    meant = DeliveryFactory(tenant=other, template_code="order", category="news")
    DeliveryFactory(tenant=Tenant.objects.get(slug="default"), template_code="x", category="y")
    every = {"tenant": str(other.pk), "template_code": "order", "category": "news", "channel": "email"}

    answer = admin_client.post(
        reverse(PLACE), {**(every if named == "all" else {named: every[named]}), "reason": "wrong price"}
    )

    assert answer.status_code == 302
    sweep()
    [one] = figures.holds()
    assert one.waiting == 1
    page = admin_client.get(reverse("admin:index")).content.decode()
    assert f"{reverse(LIST)}?hold={one.hold.pk}" in page
    listed = admin_client.get(reverse(LIST), {"hold": one.hold.pk}).context["cl"].result_list
    assert [row.pk for row in listed] == [meant.pk]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"channel": "email", "reason": " "}, "Say why"),
        ({"channel": "nope", "reason": "x"}, "There is no such channel"),
        ({"reason": "x"}, "Say what to hold"),
        ({"template_code": "typo", "reason": "x"}, "There is no template"),
        ({"tenant": "999999", "reason": "x"}, "valid choice"),
    ],
)
def test_a_hold_that_would_hold_nothing_or_says_no_reason_is_refused(
    admin_client: Client, values: dict[str, str], says: str
) -> None:
    answer = admin_client.post(reverse(PLACE), values)

    assert says in told(admin_client, answer)
    assert not Hold.objects.exists()
    assert dict(parse_qsl(urlsplit(answer["Location"]).query)) == {"open": "ns-hold-dialog", **values}


def test_another_tenants_template_is_no_template_of_this_one(admin_client: Client, tenant: Tenant) -> None:
    TemplateFactory(code="order", tenant=TenantFactory())
    values = {"template_code": "order", "tenant": str(tenant.pk), "reason": "x"}

    assert "There is no template" in told(admin_client, admin_client.post(reverse(PLACE), values))
    assert not Hold.objects.exists()


def test_a_second_hold_and_a_second_click_change_nothing_and_say_so(admin_client: Client) -> None:
    hold = on_hold(channel="email")

    assert "on hold already, by ana: wrong price" in told(
        admin_client, admin_client.post(reverse(PLACE), {"channel": "email", "reason": "mine"})
    )
    hold_let_go(hold_ids=[hold.pk], by="ben")
    letting_go = reverse("admin:deliveries_hold_let_go", args=[hold.pk])
    assert "was let go already, by ben" in told(admin_client, admin_client.post(letting_go))
    assert not LogEntry.objects.exists()
    assert admin_client.post(reverse("admin:deliveries_hold_let_go", args=[hold.pk + 1])).status_code == 404


@pytest.mark.parametrize("name", ["place", "let_go"])
def test_both_actions_ask_for_the_csrf_token(admin_user: User, name: str) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user)
    hold = on_hold(channel="ws")

    urls = {"place": reverse(PLACE), "let_go": reverse("admin:deliveries_hold_let_go", args=[hold.pk])}
    assert client.post(urls[name], {"channel": "email", "reason": "x"}).status_code == 403
    assert Hold.objects.get().let_go_at is None


def test_the_tenant_is_asked_for_where_there_are_two(admin_client: Client) -> None:
    assert 'name="tenant"' not in admin_client.get(reverse("admin:index")).content.decode()

    TenantFactory()

    assert 'name="tenant"' in admin_client.get(reverse("admin:index")).content.decode()


def test_the_dialog_offers_templates_and_categories_in_use(admin_client: Client, tenant: Tenant) -> None:
    TemplateFactory(code="order", tenant=tenant)
    DeliveryFactory(tenant=tenant, category="news")

    page = admin_client.get(reverse("admin:index")).content.decode()

    assert '<option value="order">' in page
    assert '<option value="news">' in page


@pytest.mark.parametrize("named", [{"channel": "email"}, {"template_code": "order"}])
def test_a_waiting_delivery_says_that_it_is_on_hold_by_whom_and_why(
    admin_client: Client, tenant: Tenant, named: dict[str, str]
) -> None:
    held = DeliveryFactory(tenant=tenant, template_code="order")
    other = DeliveryFactory(tenant=tenant, channel="ws")
    over = DeliveryFactory(tenant=tenant, template_code="order", sent=True)
    hold = on_hold(**named)

    def page(row: Delivery) -> str:
        return admin_client.get(reverse("admin:deliveries_delivery_change", args=[row.pk])).content.decode()

    assert f"by ana: wrong price ({words.held(hold)})" in page(held)
    for row in (other, over):
        assert "On hold" not in page(row)
    listed = {row.pk: row for row in admin_client.get(reverse(LIST)).context["cl"].result_list}
    assert {pk for pk, row in listed.items() if row.on_hold is not None} == {held.pk}
    [row] = admin_client.get(reverse(LIST), {"view": "on-hold"}).context["cl"].result_list
    assert row.pk == held.pk


def test_lists_ask_as_much_with_many_holds_and_rows_as_with_few(admin_client: Client, tenant: Tenant) -> None:
    def queries(name: str) -> int:
        cache.clear()
        with CaptureQueriesContext(connection) as captured:
            assert admin_client.get(reverse(name)).status_code == 200
        return len(captured)

    pages = [LIST, "admin:index", "admin:deliveries_hold_changelist", "admin:deliveries_lane_changelist"]
    TenantFactory()
    DeliveryFactory(tenant=tenant, template_code="code0")
    on_hold(template_code="code0")
    few = [queries(name) for name in pages]
    for number in range(1, 8):
        DeliveryFactory(tenant=tenant, template_code=f"code{number}")
        on_hold(template_code=f"code{number}", tenant_id=TenantFactory().pk)

    many = [queries(name) for name in pages]
    assert many == few


def test_the_history_says_who_let_what_go(admin_client: Client, tenant: Tenant) -> None:
    hold = on_hold(template_code="order", channel="sms", tenant_id=tenant.pk)
    hold_let_go(hold_ids=[hold.pk], by="ben")

    page = admin_client.get(reverse("admin:deliveries_hold_changelist")).content.decode()

    for text in (f"Template order on SMS of {tenant.name}", "wrong price", "ana", "by ben"):
        assert text in page


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ({"channel": "email"}, "E-mail"),
        ({"tenant": True}, "Everything of Acme"),
        ({"template_code": "a", "category": "b"}, "Template a in category b"),
        ({"category": "b", "channel": "ws", "tenant": True}, "Category b on In-app of Acme"),
    ],
)
def test_a_hold_is_named_in_words(named: dict[str, Any], says: str) -> None:
    tenant = Tenant(name="Acme") if named.pop("tenant", False) else None
    assert words.held(Hold(tenant=tenant, **named)) == says


def test_the_rows_behind_each_hold_are_counted_with_those_put_aside(tenant: Tenant) -> None:
    other = TenantFactory()
    for code in ("order", "order", "welcome"):
        DeliveryFactory(tenant=tenant, template_code=code)
    DeliveryFactory(tenant=other, template_code="order")
    for named in ({"template_code": "order"}, {"tenant_id": tenant.pk}, {"channel": "email"}, {"channel": "sms"}):
        on_hold(**named)
    sweep()

    assert [one.waiting for one in figures.holds()] == [3, 3, 4, 0]
