"""Remove from inboxes, over a real WebSocket: open tabs drop the card, the unread count goes down, and it does not come again."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
from pytest_django.plugin import DjangoDbBlocker

from deliveries.models import Delivery
from deliveries.realtime.publish import publish_items
from deliveries.recall import Recalled, inbox_recall
from deliveries.senders.ws import InboxSender
from tests.factories import TenantFactory
from tests.realtime import WebServer, in_thread, inbox_row, message, open_socket, shared_web_server, token

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def web(
    tmp_path_factory: pytest.TempPathFactory, django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[WebServer]:
    """One server for the tests here."""
    with shared_web_server(tmp_path_factory.mktemp("web"), django_db_blocker) as server:
        yield server


def recall_row(row: Delivery) -> Recalled:
    return inbox_recall(tenant_id=row.tenant_id, first=row.job_id, last=row.job_id)


async def test_open_tabs_drop_what_is_removed_and_new_ones_never_see_it(web: WebServer) -> None:
    tenant, user_id = await in_thread(TenantFactory)(), uuid4()
    row, other = [await in_thread(inbox_row)(tenant, user_id, text) for text in ("Wrong price", "Right price")]
    bearer = token(tenant, user_id)
    async with open_socket(web, bearer) as phone, open_socket(web, bearer) as desk:
        await web.listening()
        for client in (phone, desk):
            await client.next("unread", count=2)
        assert await in_thread(recall_row)(row) == (1, 0)
        for client in (phone, desk):
            assert (await client.next("removed"))["id"] == str(row.job_id)
            await client.next("unread", count=1)
    async with open_socket(web, bearer) as later:
        assert (await later.next("connected"))["unacknowledged"] == 1
        assert (await later.next("notification"))["id"] == str(other.job_id)
        await later.next("unread", count=1)


async def test_what_was_on_its_way_does_not_land_after_it_was_removed(web: WebServer) -> None:
    tenant, user_id = await in_thread(TenantFactory)(), uuid4()
    async with open_socket(web, token(tenant, user_id)) as client:
        await web.listening()
        row, other = [await in_thread(inbox_row)(tenant, user_id, text) for text in ("Wrong price", "Right price")]
        await in_thread(recall_row)(row)
        await client.next("removed")
        await InboxSender(publish_items).stored([message(row), message(other)])  # recorded before, pushed after
        assert (await client.next("notification"))["id"] == str(other.job_id)
