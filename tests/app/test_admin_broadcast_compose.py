"""The page where a broadcast is composed: saving, what cannot be, two people at one draft."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from broadcasts.changes import broadcast_submit
from broadcasts.drafts import broadcast_edit
from broadcasts.models import Audience, Broadcast, BroadcastEvent, TopicSubscription
from broadcasts.review import review
from broadcasts.states import State
from deliveries.models import Tenant
from tests.compose import ADD, JSON, checked, edit, form, url
from tests.factories import ContactFactory, TemplateFactory
from tests.mass import ANA, draft

pytestmark = pytest.mark.django_db


def test_looking_at_a_new_broadcast_makes_none(admin_client: Client) -> None:
    for begun in ("", "?from=template", "?from=own"):
        assert admin_client.get(reverse(ADD) + begun).status_code == 200

    assert Broadcast.objects.count() == 0


def test_the_first_save_makes_a_draft_and_says_where_it_is(admin_client: Client, tenant: Tenant) -> None:
    answer = admin_client.post(reverse(ADD), form(title="Spring"), headers=JSON).json()

    broadcast = Broadcast.objects.get()
    assert (broadcast.name, broadcast.title, broadcast.state, broadcast.tenant) == ("Spring", "Spring", "draft", tenant)
    assert (answer["urls"]["change"], answer["revision"], answer["problems"]) == (url(broadcast), "1", {})
    assert answer["told"].startswith("Saved ")
    event = BroadcastEvent.objects.get()
    assert (event.action, event.actor, event.address) == ("create", "admin", "127.0.0.1")
    assert event.staff == User.objects.get(username="admin")


def test_the_plain_form_saves_too(admin_client: Client) -> None:
    answer = admin_client.post(reverse(ADD), form(title="Spring"))
    broadcast = Broadcast.objects.get()
    assert answer.headers["Location"] == url(broadcast)

    refused = admin_client.post(url(broadcast), {"revision": "1", **form(title="Summer", pace_per_minute="often")})
    assert "“often” is no number" in refused.content.decode()
    assert "Summer" in refused.content.decode()
    broadcast.refresh_from_db()
    assert broadcast.title == "Spring"


def test_everything_that_is_typed_is_saved_and_shown_again(admin_client: Client, tenant: Tenant) -> None:
    gold, staff = (
        Audience.objects.create(tenant=tenant, name=name, kind="list", created_by="ana") for name in ("Gold", "Staff")
    )
    TopicSubscription.objects.create(tenant=tenant, topic="news", user_id=uuid4())
    left_out = str(uuid4())
    broadcast = draft(tenant)

    edit(
        admin_client,
        broadcast,
        name="Spring",
        body="Hello {{ contact.name }} in {{ contact.attributes.city }}\r\nfrom {{ place }}",
        channels=["sms", "email"],
        reach="first",
        category="offers",
        who="audience",
        audience_id=str(gold.pk),
        exclude_audience=[str(staff.pk)],
        exclude_topics="news, old",
        exclude_users=left_out,
        when="later",
        scheduled_at="2026-12-24T09:00",
        expires_at="2026-12-25T09:00",
        time_zone="Europe/Berlin",
        pace_per_minute="1,200",
        group="percent",
        group_percent="2.5",
        group_size="7",
        group_minutes="45",
        group_failure_percent="3",
        urgency="1",
        data='{"more": [1]}',
        **{"values-TOTAL": "1", "values-0-name": "place", "values-0-type": "text", "values-0-text": "Rome"},
        **{"gaps-TOTAL": "2", "gaps-0-field": "name", "gaps-0-what": "fallback", "gaps-0-text": "you"},
        **{"gaps-1-field": "attributes.city", "gaps-1-what": "skip", "gaps-1-text": "nowhere"},
    )

    broadcast.refresh_from_db()
    assert broadcast.body == "Hello {{ contact.name }} in {{ contact.attributes.city }}\nfrom {{ place }}"
    assert (broadcast.channels, broadcast.reach, broadcast.category, broadcast.priority) == (
        ["sms", "email"],
        "first",
        "offers",
        1,
    )
    assert broadcast.audience == {
        "type": "audience", "id": gold.pk,
        "exclude": [{"type": "audience", "id": staff.pk}, {"type": "channel", "channel": "news"},
                    {"type": "channel", "channel": "old"}, {"type": "users", "user_ids": [left_out]}],
    }  # fmt: skip
    assert broadcast.scheduled_at == datetime(2026, 12, 24, 8, tzinfo=UTC)
    assert broadcast.expires_at == datetime(2026, 12, 25, 8, tzinfo=UTC)
    assert (broadcast.pace_per_minute, broadcast.group_size, broadcast.group_percent) == (1200, None, 2.5)
    assert (broadcast.group_minutes, broadcast.group_failure_percent) == (45, 3.0)
    assert broadcast.data == {"more": [1], "place": "Rome"}
    assert (broadcast.contact_fallbacks, broadcast.skip_missing) == ({"name": "you"}, ["attributes.city"])

    page = admin_client.get(url(broadcast)).content.decode()
    for shown in (
        'value="2026-12-24T09:00"',
        'value="Europe/Berlin"',
        'value="1200"',
        'value="news, old"',
        left_out,
        'value="Rome"',
    ):
        assert shown in page
    assert '<option value="skip" selected>' in page


@pytest.mark.parametrize(
    ("fields", "place", "told"),
    [
        ({"when": "later"}, "scheduled_at", "Choose the day"),
        ({"when": "later", "scheduled_at": "tomorrow"}, "scheduled_at", "a day and a time"),
        ({"when": "later", "scheduled_at": "2027-03-28T02:30", "time_zone": "Europe/Berlin"}, "scheduled_at", "no 02:30"),
        ({"expires_at": "2027-01-01T10:00", "time_zone": "Mars"}, "expires_at", "time zone that exists"),
        ({"time_zone": "Mars"}, "time_zone", "no such time zone"),
        ({"who": "users", "user_ids": f"{uuid4()}\nana\n"}, "audience", "Line 2: “ana” is no user id."),
        ({"exclude_users": "\n".join("abcdefg")}, "exclude", "And 2 more."),
        ({"who": "audience", "audience_id": "999999"}, "audience", "no audience"),
        ({"pace_per_minute": "0"}, "pace_per_minute", "from 1"),
        ({"group": "people", "group_size": "x"}, "group_size", "no number"),
        ({"data": "[1]"}, "data", "JSON object"),
        ({"values-TOTAL": "1", "values-0-name": "n", "values-0-type": "number", "values-0-text": "many"}, "data", "n must be a number"),
        ({"title": "x" * 501}, "title", "at most 500"),
        ({"channels": ["fax"]}, "channels", "no channel"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_told_at_its_field_and_nothing_is_saved(
    admin_client: Client, tenant: Tenant, fields: dict[str, Any], place: str, told: str
) -> None:
    broadcast = draft(tenant)

    answer = edit(admin_client, broadcast, **{"title": "Changed", **fields})

    assert told in " ".join(answer["problems"][place])
    assert answer["told"].startswith("Not saved: ")
    broadcast.refresh_from_db()
    assert (broadcast.title, broadcast.revision) == ("News", 1)


@pytest.mark.parametrize("who", ["", "users", "audience", "channel"])
def test_an_audience_that_is_not_finished_means_nobody(admin_client: Client, tenant: Tenant, who: str) -> None:
    broadcast = draft(tenant)

    edit(admin_client, broadcast, who=who, exclude_topics="news")

    broadcast.refresh_from_db()
    assert broadcast.audience == {}
    assert "Nobody is chosen yet" in checked(admin_client, broadcast)


def test_saving_the_same_again_changes_nothing(admin_client: Client, tenant: Tenant) -> None:
    broadcast = draft(tenant)
    first = edit(admin_client, broadcast)
    broadcast.refresh_from_db()
    events = BroadcastEvent.objects.count()

    assert edit(admin_client, broadcast)["revision"] == first["revision"]
    assert BroadcastEvent.objects.count() == events


def test_the_values_of_a_template_are_asked_for_by_name_and_type(admin_client: Client, tenant: Tenant) -> None:
    declared = [{"name": "percent", "type": "number", "required": True, "sample": 20, "help": "How much off"}]
    template = TemplateFactory(
        tenant=tenant, code="offer", subject="{{ percent }} % off", text="Now", variables=declared
    )
    broadcast = draft(tenant)

    answer = edit(admin_client, broadcast, source="template", template_code=template.code)
    assert 'data-names="percent:number "' in answer["parts"]["values"]
    assert "How much off" in answer["parts"]["values"]

    broadcast.refresh_from_db()
    value = {"values-TOTAL": "1", "values-0-name": "percent", "values-0-type": "number", "values-0-text": "15"}
    edit(admin_client, broadcast, source="template", template_code=template.code, **value)
    broadcast.refresh_from_db()
    assert (broadcast.data, broadcast.title) == ({"percent": 15}, "")


def test_a_page_asks_as_much_with_many_choices_as_with_few(admin_client: Client, tenant: Tenant) -> None:
    broadcast = draft(tenant)

    def queries() -> int:
        with CaptureQueriesContext(connection) as asked:
            assert admin_client.get(url(broadcast)).status_code == 200
        return len(asked)

    def add(count: int) -> None:
        for _ in range(count):
            TemplateFactory(tenant=tenant)
            ContactFactory(tenant=tenant)
            audience = Audience.objects.create(tenant=tenant, name=str(uuid4()), kind="list", created_by="ana")
            broadcast.refresh_from_db()
            broadcast_edit(broadcast=broadcast, actor=ANA, values={"audience": {"type": "audience", "id": audience.pk}})

    add(3)
    few = queries()
    add(12)
    assert queries() == few


def test_a_channel_without_a_provider_cannot_be_chosen(admin_client: Client, tenant: Tenant, settings: Any) -> None:
    settings.CHANNEL_SENDERS = {"ws": settings.CHANNEL_SENDERS["ws"]}

    page = admin_client.get(url(draft(tenant))).content.decode()

    assert 'value="sms" disabled' in page
    assert 'value="ws" checked' in page


@pytest.mark.parametrize(
    "fields",
    [{"time_zone": "Mars"}, {"time_zone": "\0"}, {"audience_id": "x", "who": "audience"}, {"channels": ["fax"]}],
)
def test_the_plain_form_comes_back_whatever_was_typed(
    admin_client: Client, tenant: Tenant, fields: dict[str, Any]
) -> None:
    broadcast = draft(tenant, scheduled_at=timezone.now() + timedelta(days=1))

    for at in (url(broadcast), reverse(ADD)):
        answer = admin_client.post(at, {"revision": "1", **form(title="x" * 501), **fields})
        assert (answer.status_code, "at most 500" in answer.content.decode()) == (200, True)


def test_who_saves_second_is_told_and_overwrites_nobody(staff_with: Callable[..., Client], tenant: Tenant) -> None:
    ana, ben = (staff_with("view_broadcast", "change_broadcast") for _ in range(2))
    broadcast = draft(tenant)
    edit(ana, broadcast, title="Ana's")

    answer = edit(ben, broadcast, title="Ben's")

    writer = User.objects.order_by("pk")[0].username
    assert answer["conflict"]["sentence"].startswith(f"{writer} changed this at ")
    assert Broadcast.objects.get().title == "Ana's"
    told = ben.post(url(broadcast, "check"), {"revision": "1"}).json()
    assert told["conflict"] == answer["conflict"]

    diff = ben.post(url(broadcast, "changes"), {"revision": "1", **form(title="Ben's")}).content.decode()
    assert ("Title" in diff, "Ana&#x27;s" in diff, "Ben&#x27;s" in diff, "Channels" in diff) == (
        True,
        True,
        True,
        False,
    )

    mine = {**form(title="Ben's"), "revision": answer["conflict"]["revision"]}
    assert "conflict" not in ben.post(url(broadcast), mine, headers=JSON).json()
    assert Broadcast.objects.get().title == "Ben's"


def test_the_plain_form_shows_a_conflict_and_keeps_what_was_typed(admin_client: Client, tenant: Tenant) -> None:
    broadcast = draft(tenant)
    broadcast_edit(broadcast=broadcast, actor=ANA, values={"title": "Ana's"})

    page = admin_client.post(url(broadcast), {"revision": "1", **form(title="Mine")}).content.decode()

    assert "ana changed this at" in page
    assert 'value="Mine"' in page
    assert 'name="revision" value="2">Keep mine' in page


def test_what_waits_for_approval_is_not_edited_under_the_approvers_hands(admin_client: Client, tenant: Tenant) -> None:
    ContactFactory(tenant=tenant)
    broadcast = draft(tenant)
    broadcast_submit(broadcast=broadcast, actor=ANA, review=review(broadcast))

    answer = edit(admin_client, broadcast, title="Changed")

    assert "waiting for approval" in answer["told"]
    broadcast.refresh_from_db()
    assert (broadcast.title, broadcast.state) == ("News", State.AWAITING_APPROVAL)
