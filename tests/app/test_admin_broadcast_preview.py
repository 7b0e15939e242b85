"""The compose page's preview and its test sends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from broadcasts.models import BroadcastEvent
from deliveries.models import Delivery, Tenant
from tests.compose import LACKS, form, url
from tests.factories import ContactFactory
from tests.mass import draft

pytestmark = pytest.mark.django_db


def test_the_preview_is_of_what_stands_in_the_page_for_one_person(admin_client: Client, tenant: Tenant) -> None:
    ContactFactory(tenant=tenant, name="Grace Hopper", email="grace@example.com")
    broadcast = draft(tenant)

    def preview(**fields: str) -> dict[str, Any]:
        gap = {"gaps-TOTAL": "1", "gaps-0-field": "name", "gaps-0-what": "fallback", "gaps-0-text": "you"}
        posted = {"revision": "1", **form(title="Hi {{ contact.name }}", body="<b>x</b>"), **gap, **fields}
        answer: dict[str, Any] = admin_client.post(url(broadcast, "preview"), posted).json()
        return answer

    assert preview()["channels"]["email"]["subject"] == "Hi Ana Example"
    assert preview(body=LACKS)["channels"]["ws"]["body"] == "Hello from city"
    assert preview(**{"as": "person", "person": "grace@example.com"})["channels"]["ws"]["title"] == "Hi Grace Hopper"
    assert preview(**{"as": "missing"})["channels"]["push"]["title"] == "Hi you"
    assert "Content-Security-Policy" in preview()["frame"]
    assert preview(title="{{ oops")["channels"] is None
    assert preview(**{"as": "person", "person": "nobody@example.com"})["problems"] == [
        "Nobody is known as 'nobody@example.com'. Type a name, an address or a user id."
    ]
    broadcast.refresh_from_db()
    assert broadcast.title == "News"


def test_a_contact_is_previewed_only_for_who_may_see_contacts(
    staff_with: Callable[..., Client], tenant: Tenant
) -> None:
    client = staff_with("view_broadcast")
    broadcast = draft(tenant)

    assert client.post(url(broadcast, "preview"), {"as": "person", "person": "a@b.c"}).status_code == 403
    assert client.post(url(broadcast, "preview")).json()["channels"]["ws"]["title"] == "News"


def test_a_test_goes_to_one_address_and_is_noted(admin_client: Client, tenant: Tenant) -> None:
    broadcast = draft(tenant)
    posted = {"revision": "1", **form(title="Typed"), "channel": "email", "to": "Me@Example.com"}

    answer = admin_client.post(url(broadcast, "test"), posted).json()

    assert (answer["is_sent"], "On its way" in answer["told"]) == (True, True)
    delivery = Delivery.objects.get()
    assert (delivery.content["title"], delivery.content["to"]) == ("[Test] Typed", "Me@Example.com")
    event = BroadcastEvent.objects.get(action="test")
    assert (event.actor, event.after) == ("admin", {"channel": "email", "to": "Me@Example.com"})


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"channel": "fax", "to": "x"}, "Choose a channel"),
        ({"channel": "email", "to": "nobody"}, "Not sent."),
        ({"channel": "ws", "to": "nobody"}, "Nobody is known"),
        ({"channel": "email", "to": "a@b.example", "title": ""}, "no message yet"),
    ],
)
def test_a_test_that_cannot_be_sent_says_why(
    admin_client: Client, tenant: Tenant, fields: dict[str, str], told: str
) -> None:
    broadcast = draft(tenant)

    answer = admin_client.post(url(broadcast, "test"), {"revision": "1", **form(), **fields}).json()

    assert told in answer["told"]
    assert (Delivery.objects.count(), BroadcastEvent.objects.filter(action="test").count()) == (0, 0)
