"""The watch page's events from a real server: told when figures change, ended with the broadcast, and no connection for each tab."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.urls import reverse

from broadcasts.changes import broadcast_cancel, broadcast_pause
from broadcasts.counting import count_and_keep
from broadcasts.models import Broadcast
from deliveries import lifecycle
from tests.factories import ContactFactory, TenantFactory
from tests.mass import BEN, fan_out
from tests.realtime import WebServer, environment
from tests.waiting import GENEROUS_SECONDS, eventually

pytestmark = pytest.mark.django_db(transaction=True)
TABS = 12


@pytest.fixture
def broadcast() -> Broadcast:
    tenant = TenantFactory()
    ContactFactory.create_batch(3, tenant=tenant)
    made = fan_out(tenant)
    count_and_keep(made)
    return made


@pytest.fixture
def web(tmp_path: Path, django_db_setup: None) -> Iterator[WebServer]:
    with WebServer(tmp_path / "web", environment()) as server:
        yield server


@pytest.fixture
def tab(web: WebServer) -> Iterator[httpx.Client]:
    """A signed-in browser."""
    client = Client()
    client.force_login(User.objects.create_superuser("ana", password="x"))
    cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
    with httpx.Client(
        base_url=f"http://127.0.0.1:{web.port}",
        cookies={settings.SESSION_COOKIE_NAME: cookie},
        timeout=GENEROUS_SECONDS,
    ) as browser:
        yield browser


def address(broadcast: Broadcast) -> str:
    return reverse("admin:broadcasts_broadcast_events", args=[broadcast.pk])


def events(answer: httpx.Response) -> Iterator[tuple[str, str]]:
    """Yield (name, data) of each event, as a browser reads them."""
    name, data = "", list[str]()
    for line in answer.iter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            data.append(line.removeprefix("data: "))
        elif not line and name:
            yield name, "\n".join(data)
            name, data = "", []


def test_a_tab_is_told_what_changes_and_when_it_is_over(broadcast: Broadcast, tab: httpx.Client) -> None:
    with tab.stream("GET", address(broadcast)) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        coming = events(answer)
        name, html = next(coming)
        assert (name, "Pause" in html, "Resume" in html) == ("figures", True, False)
        paused = broadcast_pause(broadcast=broadcast, actor=BEN)
        while "Resume" not in html:
            name, html = next(coming)
        assert "3 left; people already sent to are skipped." in html
        broadcast_cancel(broadcast=paused, actor=BEN)
        lifecycle.sweep()
        broadcast.refresh_from_db()
        count_and_keep(broadcast)
        told = list(coming)
    assert told[-1][0] == "over"
    assert "Cancelled" in told[-2][1]


def test_tabs_share_readings_and_hold_no_connections(broadcast: Broadcast, tab: httpx.Client) -> None:
    def connections() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
            return int(cursor.fetchone()[0])

    with ExitStack() as open_tabs:
        first = events(open_tabs.enter_context(tab.stream("GET", address(broadcast))))
        next(first)
        before = connections()
        many: list[Any] = [events(open_tabs.enter_context(tab.stream("GET", address(broadcast)))) for _ in range(TABS)]
        for each in many:
            assert next(each)[0] == "figures"
        eventually(lambda: connections() <= before + 1, what="no tab holds a connection")
        broadcast_pause(broadcast=broadcast, actor=BEN)
        for each in many:
            assert any("Resume" in html for _name, html in each)


def test_who_is_not_signed_in_is_refused(broadcast: Broadcast, web: WebServer) -> None:
    assert httpx.get(f"http://127.0.0.1:{web.port}{address(broadcast)}").status_code == 403
