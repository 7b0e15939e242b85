"""The dashboard's running broadcasts: who sees them, what they say, and what they cost."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from broadcasts.admin.running_panel import MOST, running
from broadcasts.changes import broadcast_pause
from broadcasts.counting import count_and_keep
from deliveries.models import Tenant
from tests.factories import ContactFactory
from tests.lifecycle import claim, finish, sent, start
from tests.mass import BEN, draft, fan_out

pytestmark = pytest.mark.django_db(transaction=True)


def test_what_is_on_its_way_is_on_the_dashboard_with_its_figures(admin_client: Client, tenant: Tenant) -> None:
    ContactFactory.create_batch(4, tenant=tenant)
    draft(tenant, name="Only a draft")
    broadcast = fan_out(tenant, name="Spring")
    rows = claim(limit=3)
    start(rows)
    finish(*(sent(row) for row in rows))
    count_and_keep(broadcast)
    for address in (reverse("admin:index"), reverse("admin:deliveries_live")):
        page = admin_client.get(address).content.decode()
        assert 'data-part="panel-broadcasts"' in page
        assert f'href="{reverse("admin:broadcasts_broadcast_change", args=[broadcast.pk])}">Spring</a>' in page
        assert "3 sent, 1 left" in page
        assert "Only a draft" not in page
    broadcast_pause(broadcast=broadcast, actor=BEN)
    assert "Paused" in admin_client.get(reverse("admin:index")).content.decode()


def test_only_who_may_see_broadcasts_sees_them(tenant: Tenant, staff_with: Callable[..., Client]) -> None:
    ContactFactory(tenant=tenant)
    fan_out(tenant, name="Spring")
    assert "Spring" not in staff_with("view_delivery").get(reverse("admin:index")).content.decode()
    assert "Spring" in staff_with("view_delivery", "view_broadcast").get(reverse("admin:index")).content.decode()


def test_many_cost_two_queries_and_the_newest_are_shown(tenant: Tenant) -> None:
    ContactFactory(tenant=tenant)
    assert running() == {}
    made = [fan_out(tenant, name=str(number)) for number in range(MOST + 1)]
    with CaptureQueriesContext(connection) as asked:
        shown = running()
    assert len(asked) == 2
    assert [line["broadcast"].pk for line in shown["running"]] == [each.pk for each in reversed(made[1:])]
    assert shown["has_more"]
