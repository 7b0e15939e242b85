"""Rows of a broadcast that were sent again one by one, and then by their cause; and two such at once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar
from uuid import UUID

import pytest
from django.db import connection, connections, transaction
from django.test import Client
from django.urls import reverse

from broadcasts.control import broadcast_retry_failed
from broadcasts.counting import count
from broadcasts.models import Broadcast
from deliveries import lifecycle
from deliveries.channels import Status
from deliveries.models import DeadLetter, Delivery, Tenant
from tests.api import Caller
from tests.factories import ApiKeyFactory, ContactFactory, DeliveryFactory, TenantFactory
from tests.lifecycle import claim, failed, finish, send_all, start
from tests.mass import BEN, fan_out
from tests.waiting import GENEROUS_SECONDS, wait_until

T = TypeVar("T")
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def tenant() -> Tenant:
    return TenantFactory()


def fail_all() -> None:
    """Claim, start and finish as FAILED whatever is due."""
    rows = claim()
    start(rows)
    finish(*(failed(row) for row in rows))


@pytest.fixture
def failed_one(tenant: Tenant) -> Broadcast:
    """A broadcast to one person, whose row failed."""
    ContactFactory(tenant=tenant)
    broadcast = fan_out(tenant)
    fail_all()
    return broadcast


def letters() -> list[str]:
    return list(DeadLetter.objects.order_by("id").values_list("state", flat=True))


def retry_failed(broadcast: Broadcast) -> int:
    return broadcast_retry_failed(broadcast=broadcast, actor=BEN, reason="smtp_550", channel="ws").moved


def replay(row: Delivery, source: str = "") -> UUID:
    return lifecycle.replay(delivery_ids=[row.pk], by="ben", source=source)[row.pk]


def test_what_was_sent_again_alone_and_failed_again_is_retried_once(failed_one: Broadcast) -> None:
    replay(Delivery.objects.get())
    assert letters() == ["retrying"]
    fail_all()
    assert letters() == ["retrying", "open"]

    assert retry_failed(failed_one) == 1
    assert letters() == ["retrying", "retrying"]
    assert len(send_all()) == 1
    assert (count(failed_one).total, count(failed_one).of(Status.SENT)) == (1, 1)


def test_of_two_open_letters_of_one_recipient_the_newer_row_is_retried(failed_one: Broadcast) -> None:
    replay(Delivery.objects.get())
    fail_all()
    DeadLetter.objects.update(state="open", settled_at=None, settled_by="")

    assert retry_failed(failed_one) == 1
    assert letters() == ["retrying", "retrying"]
    assert [str(job_id)[-2:] for job_id in Delivery.objects.order_by("id").values_list("job_id", flat=True)] == [
        "00", "01", "02",
    ]  # fmt: skip


def test_two_replays_of_the_first_row_that_both_failed_are_retried_once(failed_one: Broadcast) -> None:
    first = Delivery.objects.get()
    replay(first)
    fail_all()
    replay(first)
    fail_all()
    assert letters() == ["retrying", "open", "open"]

    assert retry_failed(failed_one) == 1
    assert letters() == ["retrying"] * 3


@pytest.mark.parametrize("how", ["admin", "api"])
@pytest.mark.parametrize("is_of_broadcast", [True, False])
def test_sending_one_again_settles_its_dead_letter(
    admin_client: Client, tenant: Tenant, how: str, is_of_broadcast: bool
) -> None:
    if is_of_broadcast:
        ContactFactory(tenant=tenant)
        fan_out(tenant)
        fail_all()
    else:
        row = DeliveryFactory(tenant=tenant, channel="ws", failed=True)
        DeadLetter.objects.create(
            kind="failed", delivery=row, tenant=tenant, reason="smtp_550", channel="ws", failed_at=row.finished_at
        )
    row = Delivery.objects.get()
    if how == "admin":
        admin_client.post(reverse("admin:deliveries_delivery_send_again", args=[row.pk]), {"copies": "0"})
    else:
        assert Caller(ApiKeyFactory(tenant=tenant)).post(f"deliveries/{row.job_id}/replay/").status == 201
    assert Delivery.objects.filter(replay_of=row).count() == 1
    assert letters() == ["retrying"]


def test_what_cannot_be_sent_again_keeps_its_dead_letter_open(failed_one: Broadcast) -> None:
    Delivery.objects.update(blanked_at="2026-01-01T00:00Z")
    assert lifecycle.replay(delivery_ids=[Delivery.objects.get().pk], by="ben") == {}
    assert letters() == ["open"]


def _is_somebody_waiting() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pid <> pg_backend_pid())")
        return bool(cursor.fetchone()[0])


@pytest.mark.parametrize("first", ["older", "newer"])
def test_replays_of_two_rows_of_one_recipient_at_once_wait_for_each_other(failed_one: Broadcast, first: str) -> None:
    replay(Delivery.objects.get())
    fail_all()
    older, newer = Delivery.objects.order_by("id")
    mine, theirs = (older, newer) if first == "older" else (newer, older)

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            made = [replay(mine)]
            other = pool.submit(_and_close, lambda: replay(theirs, "retry:x"))
            wait_until(_is_somebody_waiting, "the second replay waits")
        made.append(other.result())
    assert [str(job_id)[-2:] for job_id in made] == ["02", "03"]
    assert count(failed_one).total == 1


def test_a_retry_leaves_what_somebody_sends_again_at_this_moment(failed_one: Broadcast) -> None:
    row = Delivery.objects.get()
    with ThreadPoolExecutor(1) as pool, transaction.atomic():
        Delivery.objects.select_for_update().get(pk=row.pk)
        assert pool.submit(_and_close, lambda: retry_failed(failed_one)).result(GENEROUS_SECONDS) == 0
        replay(row)
    assert letters() == ["retrying"]
    assert Delivery.objects.count() == 2


def _and_close(work: Callable[[], T]) -> T:
    """Work in a thread, and leave no connection behind."""
    try:
        return work()
    finally:
        connections.close_all()
