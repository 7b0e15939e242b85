"""The page where a broadcast is composed: saving, two people at one draft, the preview, the live check, fixes, the download."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from broadcasts import audience as audiences
from broadcasts.changes import broadcast_submit
from broadcasts.drafts import broadcast_edit
from broadcasts.models import Audience, Broadcast, BroadcastEvent, TopicSubscription
from broadcasts.review import review
from broadcasts.states import State
from deliveries.models import Delivery, Template, Tenant
from tests.factories import AudienceFactory, ContactFactory, TemplateFactory, TenantFactory
from tests.mass import ANA, draft

pytestmark = pytest.mark.django_db
ADD = "admin:broadcasts_broadcast_add"
JSON = {"Accept": "application/json"}
LACKS = "Hello from {{ contact.attributes.city }}"


@pytest.fixture(autouse=True)
def fresh_counts() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


def url(broadcast: Broadcast, action: str = "change") -> str:
    return reverse(f"admin:broadcasts_broadcast_{action}", args=[broadcast.pk])


def form(**fields: Any) -> dict[str, Any]:
    """Return the page's form as a browser posts it, filled in as little as can be."""
    own = {"source": "own", "title": "News", "body": "Hello", "who": "all_users", "channels": ["ws"], "reach": "all"}
    return {**own, "time_zone": "UTC", "when": "now", **fields}


def edit(client: Client, broadcast: Broadcast, **fields: Any) -> dict[str, Any]:
    """Save the page's form without leaving it; return the answer."""
    posted = {"revision": str(broadcast.revision), "name": broadcast.name, **form(**fields)}
    answer = client.post(url(broadcast), posted, headers=JSON)
    assert answer.status_code == 200
    return answer.json()  # type: ignore[no-any-return]


def checked(client: Client, broadcast: Broadcast) -> str:
    """Return what the page shows of who gets it."""
    answer = client.post(url(broadcast, "check")).json()
    return str(answer["count"] + answer["review"])


# Saving.


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


# Two people at one draft.


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


# The preview and the test.


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


# Who gets it.


def test_the_check_says_who_gets_it_and_who_does_not_and_why(admin_client: Client, tenant: Tenant) -> None:
    ContactFactory.create_batch(2, tenant=tenant)
    ContactFactory(tenant=tenant, email="")
    ContactFactory(tenant=tenant, opted_out=["email"])
    ContactFactory()
    broadcast = draft(tenant, channels=["email"], pace_per_minute=1)

    told = checked(admin_client, broadcast)

    for text in (
        "2 people</b> of 4 get it",
        "No address",
        "Opted out of the channel",
        "about 2 minutes at 1 a minute",
        "Send to 2 people",
    ):
        assert text in told


def test_languages_that_the_words_lack_are_told_in_one_sentence(admin_client: Client, tenant: Tenant) -> None:
    for locale, people in (("de", 3), ("fr", 1), ("it", 1), ("ja", 1)):
        ContactFactory.create_batch(people, tenant=tenant, locale=locale)

    told = checked(admin_client, draft(tenant))

    assert "6 people read a language that the message does not have (de 3, fr 1, it 1 and 1 more language)" in told


def test_pasted_ids_that_are_no_contact_are_named(admin_client: Client, tenant: Tenant) -> None:
    known, other, unknown = ContactFactory(tenant=tenant), ContactFactory(), uuid4()
    broadcast = draft(
        tenant, audience={"type": "users", "user_ids": [str(known.user_id), str(unknown), str(other.user_id)]}
    )

    told = checked(admin_client, broadcast)

    assert "2 of the pasted ids are no contact" in told
    assert (
        f'line 2 <code class="ns-mono">{unknown}' in told,
        f'line 3 <code class="ns-mono">{other.user_id}' in told,
    ) == (True, True)


def test_what_takes_too_long_to_count_is_said(
    admin_client: Client, tenant: Tenant, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.AUDIENCE_COUNT_TIMEOUT_SECONDS = 0.05
    slow = audiences.Condition("(SELECT true FROM pg_sleep(60))")
    monkeypatch.setattr("broadcasts.check.audience_condition", lambda *args, **named: slow)
    ContactFactory(tenant=tenant)

    answer = admin_client.post(url(draft(tenant), "check")).json()

    assert "longer than 0.05 seconds" in answer["too_slow"]
    assert "review" not in answer


@pytest.mark.parametrize(
    ("button", "stored", "told"),
    [
        ({"fallback": "1", "text": "your city"}, ({"attributes.city": "your city"}, []), "Send to 2 people"),
        ({"skip": "1"}, ({}, ["attributes.city"]), "Send to 1 person"),
    ],
)
def test_a_missing_field_is_mended_by_a_fallback_or_by_leaving_people_out(
    admin_client: Client, tenant: Tenant, button: dict[str, str], stored: tuple[Any, Any], told: str
) -> None:
    ContactFactory(tenant=tenant, attributes={"city": "Rome"})
    ContactFactory(tenant=tenant, attributes={})
    broadcast = draft(tenant, body=LACKS)
    before = checked(admin_client, broadcast)
    assert "1 person has no attributes.city: set a fallback, or skip them." in before
    assert "Set fallback" in before

    posted = {"revision": "1", "field": "attributes.city", **button}
    answer = admin_client.post(url(broadcast, "fix"), posted, headers=JSON).json()

    assert answer["revision"] == "2"
    broadcast.refresh_from_db()
    assert (broadcast.contact_fallbacks, broadcast.skip_missing) == stored
    assert told in checked(admin_client, broadcast)


def test_a_fallback_must_say_something(admin_client: Client, tenant: Tenant) -> None:
    broadcast = draft(tenant, body=LACKS)

    answer = admin_client.post(
        url(broadcast, "fix"), {"revision": "1", "field": "attributes.city"}, headers=JSON
    ).json()

    assert "Write what stands in" in answer["told"]
    broadcast.refresh_from_db()
    assert broadcast.revision == 1


def test_samples_show_some_who_get_it_and_some_who_do_not(admin_client: Client, tenant: Tenant) -> None:
    ContactFactory(tenant=tenant, name="Reached", email="r@example.com")
    ContactFactory(tenant=tenant, name="Lost", email="")
    broadcast = draft(tenant, channels=["email"])

    will = admin_client.get(url(broadcast, "people")).content.decode()
    wont = admin_client.get(url(broadcast, "people"), {"reason": "no_address", "channel": "email"}).content.decode()

    assert ("Reached" in will, "r@example.com" in will, "Lost" in will) == (True, True, False)
    assert ("Lost" in wont, "Reached" in wont) == (True, False)


@pytest.mark.parametrize("is_deleted", [False, True])
def test_of_no_audience_and_of_one_that_is_gone_it_is_said_why_nobody_is_shown(
    admin_client: Client, tenant: Tenant, is_deleted: bool
) -> None:
    segment = AudienceFactory(tenant=tenant)
    broadcast = draft(tenant, audience={"type": "audience", "id": segment.pk} if is_deleted else {})
    segment.delete()
    why = "There is no audience" if is_deleted else "Nobody is chosen yet"

    people = admin_client.get(url(broadcast, "people"))
    file = admin_client.get(url(broadcast, "people_csv"), follow=True)

    assert (people.status_code, why in people.content.decode()) == (409, True)
    assert [why in str(message) for message in file.context["messages"]] == [True]


def test_samples_that_take_too_long_are_stopped(
    admin_client: Client, tenant: Tenant, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.AUDIENCE_COUNT_TIMEOUT_SECONDS = 0.05
    slow = audiences.Condition("(SELECT true FROM pg_sleep(60))")
    monkeypatch.setattr("broadcasts.check.audience_condition", lambda *args, **named: slow)
    ContactFactory(tenant=tenant)

    assert "longer than 0.05 seconds" in admin_client.get(url(draft(tenant), "people")).content.decode()


def test_everybody_is_downloaded_and_no_cell_is_a_formula(admin_client: Client, tenant: Tenant) -> None:
    ContactFactory(tenant=tenant, name="=HYPERLINK(1)", email="a@example.com")
    ContactFactory(tenant=tenant, name="Lost", email="")
    broadcast = draft(tenant, channels=["email"])

    answer = admin_client.get(url(broadcast, "people_csv"))

    text = b"".join(answer.streaming_content).decode("utf-8-sig")  # type: ignore[attr-defined]
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["name"], row["channel"], row["address"], row["gets_it"], row["why_not"]) for row in rows] == [
        ("'=HYPERLINK(1)", "E-mail", "a@example.com", "yes", ""),
        ("Lost", "E-mail", "", "no", "No address"),
    ]


def test_whom_it_reaches_is_shown_only_to_who_may_see_contacts(
    staff_with: Callable[..., Client], tenant: Tenant
) -> None:
    client = staff_with("view_broadcast")
    broadcast = draft(tenant)

    assert [client.get(url(broadcast, each)).status_code for each in ("people", "people_csv")] == [403, 403]
    assert "Download" not in checked(client, broadcast)


def test_a_new_broadcast_is_of_the_chosen_tenant(admin_client: Client) -> None:
    other = TenantFactory()
    theirs = TemplateFactory(tenant=other, name="Theirs")

    page = admin_client.get(f"{reverse(ADD)}?tenant={other.pk}").content.decode()
    assert "Theirs" in page
    assert "Theirs" not in admin_client.get(reverse(ADD)).content.decode()
    admin_client.post(
        reverse(ADD), form(tenant=str(other.pk), source="template", template_code=theirs.code), headers=JSON
    )

    assert Broadcast.objects.get().tenant == other
    assert admin_client.post(reverse(ADD), form(tenant="999999"), headers=JSON).status_code == 404


# Who may do what.

POSTS = ("preview", "check", "changes", "fix", "test", "submit", "withdraw", "approve", "reject", "send", "duplicate")


@pytest.mark.parametrize("action", POSTS)
def test_every_action_is_a_post_with_a_token(tenant: Tenant, action: str) -> None:
    boss = Client(enforce_csrf_checks=True)
    boss.force_login(User.objects.create_superuser("boss"))
    broadcast = draft(tenant)

    assert boss.get(url(broadcast, action)).status_code == 405
    assert boss.post(url(broadcast, action), form()).status_code == 403
    broadcast.refresh_from_db()
    assert (broadcast.revision, broadcast.state, Broadcast.objects.count()) == (1, State.DRAFT, 1)


@pytest.mark.parametrize("action", POSTS)
def test_who_may_not_see_broadcasts_can_do_nothing(
    staff_with: Callable[..., Client], tenant: Tenant, action: str
) -> None:
    assert staff_with("view_delivery").post(url(draft(tenant), action), form()).status_code == 403


@pytest.mark.parametrize(
    "action", ["change", "fix", "test", "submit", "withdraw", "approve", "reject", "send", "duplicate"]
)
def test_who_may_only_look_changes_nothing(staff_with: Callable[..., Client], tenant: Tenant, action: str) -> None:
    looker = staff_with("view_broadcast")
    broadcast = draft(tenant)

    assert looker.post(url(broadcast, action), {"revision": "1", **form(title="Changed")}).status_code == 403
    broadcast.refresh_from_db()
    assert (broadcast.title, broadcast.revision, Broadcast.objects.count()) == ("News", 1, 1)
    page = looker.get(url(broadcast)).content.decode()
    assert ('name="title"' in page, "News" in page) == (False, True)


def test_an_unfinished_page_needs_the_permission_to_add(staff_with: Callable[..., Client]) -> None:
    changer = staff_with("view_broadcast", "change_broadcast")

    assert [changer.get(reverse(ADD)).status_code, changer.post(reverse(ADD), form()).status_code] == [403, 403]
    assert Broadcast.objects.count() == 0


def test_a_template_that_is_taken_back_is_told(admin_client: Client, tenant: Tenant) -> None:
    template = TemplateFactory(tenant=tenant, code="offer")
    broadcast = draft(tenant, title="", body="", template_code="offer")
    Template.objects.filter(pk=template.pk).update(code="gone")

    assert "offer (not published)" in admin_client.get(url(broadcast)).content.decode()
    assert "The template offer is not published." in checked(admin_client, broadcast)


def test_a_time_that_passed_blocks(admin_client: Client, tenant: Tenant) -> None:
    ContactFactory(tenant=tenant)
    broadcast = draft(tenant, scheduled_at=timezone.now() - timedelta(hours=1))

    told = checked(admin_client, broadcast)

    assert "The planned time has passed" in told
    assert 'href="#when"' in told
