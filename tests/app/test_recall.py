"""Recall: what is in inboxes leaves them, what is on its way never gets there, and what left by another channel stays as it is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction

from broadcasts.changes import WrongState
from broadcasts.control import broadcast_recall
from broadcasts.counting import row_range
from broadcasts.models import Broadcast, BroadcastEvent
from deliveries import lifecycle, recall
from deliveries.channels import Status
from deliveries.models import Delivery, Tenant
from deliveries.realtime.connection import Connection, Entry
from deliveries.realtime.protocol import Item
from deliveries.timeline import Kind, timeline
from tests.factories import ContactFactory, DeliveryFactory, TenantFactory
from tests.lifecycle import claim, finish, send_all, start
from tests.mass import BEN, draft, fan_out

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def tenant() -> Tenant:
    return TenantFactory()


@pytest.fixture
def frames(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Item]]:
    """What was published, in place of the channel layer."""
    published: list[Item] = []

    class Publisher:
        async def __call__(self, items: Any) -> None:
            published.extend(items)

    monkeypatch.setattr(recall, "publish_items", Publisher())
    yield published


def recalled_ids(broadcast: Broadcast) -> set[UUID]:
    return set(Delivery.objects.filter(recalled_at__isnull=False).values_list("job_id", flat=True))


@pytest.mark.parametrize("chunk", [1, 2, 5_000])
def test_what_is_in_inboxes_is_removed_once_whatever_the_chunks(
    tenant: Tenant, frames: list[Item], monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(recall, "CHUNK", chunk)
    ContactFactory.create_batch(3, tenant=tenant)
    other = DeliveryFactory(tenant=tenant, channel="ws", sent=True)
    broadcast = fan_out(tenant, channels=["ws", "email"])
    send_all()
    send_all("email")

    assert broadcast_recall(broadcast=broadcast, actor=BEN) == (3, 0)
    assert broadcast_recall(broadcast=broadcast, actor=BEN) == (0, 0)

    items = Delivery.objects.filter(entrance=broadcast.source, channel="ws")
    assert recalled_ids(broadcast) == set(items.values_list("job_id", flat=True))
    assert other.job_id not in recalled_ids(broadcast)
    assert {item.removes for item in frames} == {str(row.job_id) for row in items}
    assert set(items.values_list("status", flat=True)) == {Status.SENT}
    told = BroadcastEvent.objects.filter(broadcast=broadcast, action="recalled").order_by("id")
    assert [event.after for event in told] == [{"removed": 3, "stopped": 0}, {"removed": 0, "stopped": 0}]


def test_what_waits_or_is_on_its_way_gets_into_no_inbox(tenant: Tenant, frames: list[Item]) -> None:
    ContactFactory.create_batch(4, tenant=tenant)
    broadcast = fan_out(tenant)
    sending, claimed = claim(limit=2)
    start([sending])

    assert broadcast_recall(broadcast=broadcast, actor=BEN) == (0, 2)

    finish(lifecycle.Outcome(id=sending.id, lease_token=sending.lease_token, status=Status.SENT))
    start([claimed])
    lifecycle.sweep()
    rows = Delivery.objects.filter(entrance=broadcast.source)
    assert sorted(rows.values_list("status", flat=True)) == [Status.CANCELLED] * 3 + [Status.SENT]
    assert rows.get(status=Status.SENT).recalled_at is not None
    kinds = [[event.kind for event in timeline(row)] for row in rows.filter(status=Status.CANCELLED)]
    assert all(Kind.RECALLED not in each for each in kinds)


def test_what_is_tried_again_in_a_lane_of_its_own_is_not_shown_either(tenant: Tenant, frames: list[Item]) -> None:
    ContactFactory(tenant=tenant)
    broadcast = fan_out(tenant)
    send_all()
    sent = Delivery.objects.get(entrance=broadcast.source)
    lifecycle.replay(delivery_ids=[sent.pk], by="ben")

    assert broadcast_recall(broadcast=broadcast, actor=BEN) == (1, 1)
    send_all()
    assert not Delivery.objects.filter(recalled_at=None).exists()


def test_nothing_of_another_tenant_is_touched(tenant: Tenant, frames: list[Item]) -> None:
    ContactFactory(tenant=tenant)
    broadcast = fan_out(tenant)
    send_all()
    same_id = DeliveryFactory(
        tenant=TenantFactory(), channel="ws", sent=True, job_id=Delivery.objects.get(tenant=tenant).job_id
    )
    broadcast_recall(broadcast=broadcast, actor=BEN)
    same_id.refresh_from_db()
    assert same_id.recalled_at is None


def test_before_it_began_there_is_nothing_to_recall(tenant: Tenant) -> None:
    with pytest.raises(WrongState):
        broadcast_recall(broadcast=draft(tenant), actor=BEN)


def test_it_is_found_by_the_index_of_job_ids(tenant: Tenant) -> None:
    ContactFactory(tenant=tenant)
    broadcast = fan_out(tenant)
    rows = row_range(broadcast)
    values = {"tenant": rows["tenant"], "after": rows["first"], "last": rows["last"], "chunk": recall.CHUNK}
    with transaction.atomic(), connection.cursor() as cursor:  # a table of one row invites other plans
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off; SET LOCAL enable_bitmapscan = off")
        cursor.execute(f"EXPLAIN {recall._CHUNK}", values)
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "Index Scan using delivery_once_per_job" in plan, plan


def test_a_removed_notification_is_not_written_afterwards() -> None:
    written: list[str] = []

    async def write() -> None:
        connection = Connection(id="c", user=(1, "u"), queue_size=10, memory=10)
        connection.behind = None
        connection.offer(Entry("n1", "notification 1"))
        connection.offer(Entry("", "removed 1", removes="n1"))
        connection.offer(Entry("", "removed 2", removes="n2"))
        connection.offer(Entry("n2", "notification 2"))
        connection.offer(Entry("n3", "notification 3"))
        done = asyncio.Event()

        async def send(message: dict[str, Any]) -> None:
            written.append(message["text"])
            if message["text"] == "notification 3":
                done.set()

        async def catch_up(*_: Any) -> list[Entry]:
            return []

        writing = asyncio.create_task(connection.write(send, catch_up))
        await done.wait()
        writing.cancel()

    asyncio.run(write())
    assert written == ["removed 1", "removed 2", "notification 3"]
