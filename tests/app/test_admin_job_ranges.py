"""The list of deliveries narrowed to a range of job ids: what a broadcast's figures link to, paged along the index of job ids."""

from __future__ import annotations

import re
from uuid import UUID

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse

from deliveries.admin.filters import jobs_range
from deliveries.models import Delivery, Tenant
from deliveries.queries import keyset_page
from tests.factories import DeliveryFactory, TenantFactory

pytestmark = pytest.mark.django_db
LIST = "admin:deliveries_delivery_changelist"
IDS = [UUID(f"00000000-0000-8000-8000-{number:012d}") for number in range(1, 121)]


@pytest.fixture
def rows(tenant: Tenant) -> list[Delivery]:
    """A hundred in the range, in another order than their ids, and some beside it."""
    made = [DeliveryFactory(tenant=tenant, job_id=job_id, sent=True) for job_id in reversed(IDS[10:110])]
    for job_id in (*IDS[:10], *IDS[110:]):
        DeliveryFactory(tenant=tenant, job_id=job_id, sent=True)
    DeliveryFactory(tenant=TenantFactory(), job_id=IDS[50], sent=True)
    return made


def shown(page: str) -> list[int]:
    return [int(pk) for pk in re.findall(r"/deliveries/delivery/(\d+)/change/", page)]


def test_pages_of_a_range_show_each_of_its_rows_once(
    admin_client: Client, tenant: Tenant, rows: list[Delivery]
) -> None:
    chosen = jobs_range(tenant_id=tenant.pk, first=IDS[10], last=IDS[109])
    first = admin_client.get(reverse(LIST), {"jobs": chosen}).content.decode()
    older = re.search(r'href="(\?[^"]*older_than=[^"]*)"', first)
    assert older is not None
    assert "Of one broadcast" in first
    second = admin_client.get(reverse(LIST) + older[1].replace("&amp;", "&")).content.decode()

    assert shown(first) + shown(second) == [row.pk for row in rows]


@pytest.mark.parametrize(
    ("asked", "count"),
    [
        ({"status": "FAILED"}, 1),
        ({"status": "PENDING,SENDING,RETRYING"}, 1),
        ({"reason": "smtp_550"}, 1),
        ({"outcome": "delivered"}, 1),
        ({"channel": "sms"}, 0),
    ],
)
def test_a_range_is_narrowed_further(admin_client: Client, tenant: Tenant, asked: dict[str, str], count: int) -> None:
    DeliveryFactory(tenant=tenant, job_id=IDS[0], failed=True, reason="smtp_550")
    DeliveryFactory(tenant=tenant, job_id=IDS[1])
    DeliveryFactory(tenant=tenant, job_id=IDS[2], sent=True, outcome="delivered")
    chosen = jobs_range(tenant_id=tenant.pk, first=IDS[0], last=IDS[2])

    assert len(shown(admin_client.get(reverse(LIST), {"jobs": chosen, **asked}).content.decode())) == count


@pytest.mark.parametrize("text", ["x", "1.2.3", "1.2", f"-1.{IDS[0]}.{IDS[1]}", f"1.{IDS[0]}.{IDS[1]}.4"])
def test_what_is_no_range_is_refused_as_other_wrong_filters_are(admin_client: Client, text: str) -> None:
    assert admin_client.get(reverse(LIST), {"jobs": text}).status_code == 302


def test_a_wrong_cursor_of_a_range_is_refused(admin_client: Client, tenant: Tenant) -> None:
    chosen = jobs_range(tenant_id=tenant.pk, first=IDS[0], last=IDS[2])
    assert admin_client.get(reverse(LIST), {"jobs": chosen, "older_than": "17"}).status_code == 302


def test_a_range_is_read_along_the_index_of_job_ids(tenant: Tenant, rows: list[Delivery]) -> None:
    some = Delivery.objects.filter(tenant_id=tenant.pk, job_id__range=(IDS[10], IDS[109])).order_by("-job_id")[:51]
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off; SET LOCAL enable_bitmapscan = off")
        sql, parameters = some.query.sql_with_params()
        cursor.execute(f"EXPLAIN {sql}", parameters)
        plan = "".join(line for (line,) in cursor.fetchall())
    assert "Index Scan Backward using delivery_once_per_job" in plan
    assert "Sort" not in plan
    page = keyset_page(Delivery.objects.filter(tenant_id=tenant.pk), limit=5, older_than=IDS[20], by="job_id")
    assert [row.job_id for row in page.rows] == IDS[19:14:-1]
