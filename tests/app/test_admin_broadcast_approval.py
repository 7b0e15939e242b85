"""The buttons below a review: asking for approval, approving, sending back, sending; what was seen is what is done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from broadcasts.actor import Actor
from broadcasts.approvers import NOBODY_LEFT
from broadcasts.drafts import broadcast_edit
from broadcasts.models import Audience, Broadcast, BroadcastEvent
from broadcasts.review import review
from broadcasts.states import State
from deliveries.models import Brand, Template, Tenant
from deliveries.rendering import ContentSource
from deliveries.templating import template_publish, template_save_draft
from tests.factories import AudienceFactory, ContactFactory, TemplateFactory
from tests.mass import ANA, draft

pytestmark = pytest.mark.django_db
EDIT = ("view_broadcast", "change_broadcast")
MAY_DO_IT_ALL = (*EDIT, "approve_broadcast", "send_broadcast")


@pytest.fixture(autouse=True)
def two_need_approval(settings: Any) -> None:
    settings.BROADCAST_APPROVAL_FROM = 2


@pytest.fixture
def person(db: None) -> Callable[..., Client]:
    """Give a function that signs in staff by name, with the named permissions."""

    def sign_in(name: str, *permissions: str) -> Client:
        user, _is_new = User.objects.get_or_create(username=name, is_staff=True)
        user.user_permissions.add(*Permission.objects.filter(codename__in=permissions))
        client = Client()
        client.force_login(user)
        return client

    return sign_in


@pytest.fixture
def broadcast(tenant: Tenant) -> Broadcast:
    """Return a draft by Ana, for two people."""
    ContactFactory.create_batch(2, tenant=tenant)
    return draft(tenant)


def url(broadcast: Broadcast, action: str = "change") -> str:
    return reverse(f"admin:broadcasts_broadcast_{action}", args=[broadcast.pk])


def press(client: Client, broadcast: Broadcast, action: str, **fields: Any) -> str:
    """Press a button as the page shows it, and return what the person is told."""
    broadcast.refresh_from_db()
    posted = {"revision": str(broadcast.revision), "people": "2", "hash": review(broadcast).hash, **fields}
    answer = client.post(url(broadcast, action), posted, follow=True)
    broadcast.refresh_from_db()
    return " ".join(str(message) for message in answer.context["messages"])


def decide(client: Client, broadcast: Broadcast) -> str:
    """Return the buttons that the review offers."""
    return str(client.post(url(broadcast, "check")).json()["review"])


def test_who_approves_reads_what_it_says_with_its_units(person: Callable[..., Client], broadcast: Broadcast) -> None:
    changed = {"title": "Fresh ferns", "pace_per_minute": 1200}
    broadcast_edit(broadcast=broadcast, revision=broadcast.revision, values=changed, actor=ANA)
    page = person("ben", "view_broadcast", "approve_broadcast").get(url(broadcast)).content.decode()
    assert "<dt>Title</dt><dd>Fresh ferns</dd>" in page
    assert "<dt>Speed</dt><dd>1,200 a minute</dd>" in page


def test_it_is_asked_for_approved_by_another_and_sent(person: Callable[..., Client], broadcast: Broadcast) -> None:
    ana = person("ana", *EDIT, "send_broadcast")
    ben = person("ben", "view_broadcast", "approve_broadcast")
    assert "Ask for approval" in decide(ana, broadcast)
    assert "Send to" not in decide(ana, broadcast)

    assert "Asked for approval" in press(ana, broadcast, "submit")
    assert "you cannot give it" in decide(ana, broadcast)
    assert "Approve for 2 people" in decide(ben, broadcast)
    assert "Approved" in press(ben, broadcast, "approve")
    assert (broadcast.state, broadcast.approved_by, broadcast.approved_size) == (State.APPROVED, "ben", 2)

    assert "Send to 2 people" in decide(ana, broadcast)
    assert "you can undo it" in press(ana, broadcast, "send")
    assert broadcast.state == State.SCHEDULED
    assert "Nothing changed: it was sent before" in press(ana, broadcast, "send")
    assert [event.actor for event in BroadcastEvent.objects.order_by("pk")] == ["ana", "ana", "ben", "ana"]
    assert set(BroadcastEvent.objects.filter(action="approve").values_list("address", "staff__username")) == {
        ("127.0.0.1", "ben")
    }


def test_nobody_approves_their_own(person: Callable[..., Client], broadcast: Broadcast) -> None:
    ana = person("ana", *MAY_DO_IT_ALL)
    person("ben", "approve_broadcast")
    press(ana, broadcast, "submit")

    assert "Somebody else has to look at it" in press(ana, broadcast, "approve")
    assert broadcast.state == State.AWAITING_APPROVAL


def test_what_is_sent_back_tells_its_writer_why(person: Callable[..., Client], broadcast: Broadcast) -> None:
    ana, ben = person("ana", *EDIT), person("ben", "view_broadcast", "approve_broadcast")
    press(ana, broadcast, "submit")
    assert "Say why" in press(ben, broadcast, "reject", note=" ")
    assert broadcast.state == State.AWAITING_APPROVAL

    press(ben, broadcast, "reject", note="The date is wrong")

    assert broadcast.state == State.DRAFT
    page = ana.get(url(broadcast)).content.decode()
    assert ("ben sent it back" in page, "The date is wrong" in page) == (True, True)
    press(ana, broadcast, "submit")
    press(ana, broadcast, "withdraw")
    assert "ben sent it back" not in ana.get(url(broadcast)).content.decode()


@pytest.mark.parametrize("state", [State.AWAITING_APPROVAL, State.APPROVED])
def test_an_edit_begins_with_taking_the_approval_away(
    person: Callable[..., Client], broadcast: Broadcast, state: State
) -> None:
    ana, ben = person("ana", *EDIT), person("ben", "view_broadcast", "approve_broadcast")
    press(ana, broadcast, "submit")
    if state == State.APPROVED:
        press(ben, broadcast, "approve")
    page = ana.get(url(broadcast)).content.decode()
    told = "takes the approval away" if state == State.APPROVED else "takes the request for approval back"
    assert (told in page, 'name="title"' in page) == (True, False)
    assert "Edit it" not in ben.get(url(broadcast)).content.decode()

    press(ana, broadcast, "withdraw")

    assert (broadcast.state, broadcast.approved_by, broadcast.approved_hash) == (State.DRAFT, "", "")
    assert 'name="title"' in ana.get(url(broadcast)).content.decode()


def test_alone_on_the_team_one_types_the_number_of_people(person: Callable[..., Client], broadcast: Broadcast) -> None:
    ana = person("ana", *MAY_DO_IT_ALL)
    assert "Type the number of people" in decide(ana, broadcast)

    assert "Type the number of people who get it, 2" in press(ana, broadcast, "send", typed_count="3")
    assert broadcast.state == State.DRAFT
    assert "It goes out" in press(ana, broadcast, "send", typed_count="2")
    assert broadcast.state == State.SCHEDULED


def test_typing_the_number_does_not_replace_a_colleague(person: Callable[..., Client], broadcast: Broadcast) -> None:
    ana = person("ana", *MAY_DO_IT_ALL)
    person("ben", "approve_broadcast")

    assert "somebody else has to approve it" in press(ana, broadcast, "send", typed_count="2")
    assert broadcast.state == State.DRAFT


@pytest.mark.parametrize("who", ["superuser", "inactive"])
def test_alone_is_who_has_no_active_colleague_that_may_approve(
    person: Callable[..., Client], broadcast: Broadcast, who: str
) -> None:
    ana = person("ana", *MAY_DO_IT_ALL)
    User.objects.create_user("boss", is_staff=True, is_superuser=True, is_active=who == "superuser")

    press(ana, broadcast, "send", typed_count="2")

    assert broadcast.state == (State.DRAFT if who == "superuser" else State.SCHEDULED)


def write(name: str, broadcast: Broadcast, **values: str) -> None:
    actor = Actor(name, staff_id=User.objects.get(username=name).pk)
    broadcast_edit(broadcast=broadcast, actor=actor, values=values)


def test_who_rewrote_it_all_is_not_alone_beside_who_began_it(
    person: Callable[..., Client], broadcast: Broadcast
) -> None:
    person("ana", *MAY_DO_IT_ALL)
    ben = person("ben", *MAY_DO_IT_ALL)
    write("ben", broadcast, title="Ben's", body="All Ben's")

    shown = decide(ben, broadcast)

    assert (NOBODY_LEFT in shown, "Type the number" in shown, "Send to" in shown) == (True, False, False)
    assert NOBODY_LEFT in press(ben, broadcast, "send", typed_count="2")
    assert broadcast.state == State.DRAFT
    person("cleo", "approve_broadcast")
    assert "Ask for approval" in decide(ben, broadcast)


@pytest.mark.parametrize("is_renamed", [False, True])
def test_who_wrote_before_somebody_mended_a_comma_approves_nothing(
    person: Callable[..., Client], broadcast: Broadcast, is_renamed: bool
) -> None:
    ana, ben = person("ana", *EDIT), person("ben", *MAY_DO_IT_ALL)
    person("cleo", *EDIT)
    write("ben", broadcast, title="Ben's", body="All Ben's")
    write("cleo", broadcast, body="All, Ben's")
    press(ana, broadcast, "submit")
    if is_renamed:
        User.objects.filter(username="ben").update(username="benedict")

    assert NOBODY_LEFT in decide(ben, broadcast)
    told = press(ben, broadcast, "approve")

    assert ("Somebody else has to look at it" in told, NOBODY_LEFT in told) == (True, True)
    assert broadcast.state == State.AWAITING_APPROVAL


def test_a_few_people_need_no_approval(person: Callable[..., Client], broadcast: Broadcast, settings: Any) -> None:
    settings.BROADCAST_APPROVAL_FROM = 3
    ana = person("ana", *EDIT, "send_broadcast")
    person("ben", "approve_broadcast")
    assert "Send to 2 people" in decide(ana, broadcast)
    assert "Sending needs the permission" in decide(person("cleo", *EDIT), broadcast)

    press(ana, broadcast, "send")

    assert broadcast.state == State.SCHEDULED


@pytest.mark.parametrize("action", ["submit", "approve", "send"])
def test_what_was_changed_after_somebody_looked_is_not_done(
    person: Callable[..., Client], broadcast: Broadcast, action: str
) -> None:
    ben = person("ben", *MAY_DO_IT_ALL)
    seen = broadcast.revision
    broadcast_edit(broadcast=broadcast, actor=ANA, values={"title": "Other words"})

    told = press(ben, broadcast, action, revision=str(seen))

    assert "ana changed it after you looked" in told
    assert broadcast.state == State.DRAFT


@pytest.mark.parametrize("lost", ["people", "hash", "revision"])
@pytest.mark.parametrize("action", ["approve", "send"])
def test_a_page_that_does_not_say_what_was_seen_decides_nothing(
    person: Callable[..., Client], broadcast: Broadcast, action: str, lost: str
) -> None:
    person("ben", *MAY_DO_IT_ALL)
    press(person("ana", *EDIT), broadcast, "submit")

    told = press(person("ben", *MAY_DO_IT_ALL), broadcast, action, **{lost: ""})

    assert "look at it again" in told.lower()
    assert broadcast.state == State.AWAITING_APPROVAL


def publish(template: Template) -> None:
    words = {"en": ContentSource(subject="Other words", text="Hello.", locale="en")}
    template_publish(version=template_save_draft(template=template, contents=words, default_locale="en"))


def plan_is(plan: str) -> dict[str, Any]:
    return {"match": "all", "rules": [{"field": "attributes.plan", "type": "text", "op": "is", "value": plan}]}


def point_elsewhere(audience: Audience) -> None:
    audience.rules = plan_is("free")
    audience.save()


def hide(template: Template) -> None:
    template.hides_personal_data = True
    template.save()


def reframe(template: Template) -> None:
    Brand.objects.update_or_create(tenant=template.tenant, defaults={"footer": "Another footer"})


@pytest.mark.parametrize("change", [publish, hide, reframe, point_elsewhere])
def test_a_template_frame_or_segment_changed_after_somebody_looked_is_not_approved(
    person: Callable[..., Client], tenant: Tenant, change: Callable[[Any], None]
) -> None:
    for plan in ("gold", "gold", "free", "free"):
        ContactFactory(tenant=tenant, attributes={"plan": plan})
    template = TemplateFactory(tenant=tenant, code="offer")
    segment = AudienceFactory(tenant=tenant, rules=plan_is("gold"))
    broadcast = draft(tenant, title="", body="", template_code="offer", audience={"type": "audience", "id": segment.pk})
    ben = person("ben", "view_broadcast", "approve_broadcast")
    press(person("ana", *EDIT), broadcast, "submit")
    seen = review(broadcast).hash
    assert seen
    assert f'name="hash" value="{seen}"' in decide(ben, broadcast)

    change(segment if change is point_elsewhere else template)

    assert "was changed after you looked" in press(ben, broadcast, "approve", hash=seen)
    assert broadcast.state == State.AWAITING_APPROVAL
    assert "Approved" in press(ben, broadcast, "approve")


def test_many_more_people_than_were_seen_are_not_written_to(
    person: Callable[..., Client], broadcast: Broadcast, settings: Any, tenant: Tenant
) -> None:
    settings.BROADCAST_APPROVAL_FROM = 100
    ContactFactory.create_batch(3, tenant=tenant)

    told = press(person("ben", *MAY_DO_IT_ALL), broadcast, "send")

    assert "You saw 2 people and it would reach 5 now" in told
    assert broadcast.state == State.DRAFT


def test_what_blocks_it_keeps_the_buttons_shut(person: Callable[..., Client], broadcast: Broadcast) -> None:
    broadcast_edit(broadcast=broadcast, actor=ANA, values={"channels": []})
    ana = person("ana", *MAY_DO_IT_ALL)

    assert "disabled" in decide(ana, broadcast)
    assert "No channel is chosen" in press(ana, broadcast, "send", people="0")
    assert broadcast.state == State.DRAFT


@pytest.mark.parametrize(
    ("action", "missing"),
    [("submit", "change_broadcast"), ("withdraw", "change_broadcast"), ("approve", "approve_broadcast"),
     ("reject", "approve_broadcast"), ("send", "send_broadcast")],
)  # fmt: skip
def test_each_button_has_a_permission_of_its_own(
    person: Callable[..., Client], broadcast: Broadcast, action: str, missing: str
) -> None:
    ben = person("ben", *(each for each in (*MAY_DO_IT_ALL, "add_broadcast") if each != missing))

    assert ben.post(url(broadcast, action), {"revision": "1", "people": "2", "note": "x"}).status_code == 403
    broadcast.refresh_from_db()
    assert broadcast.state == State.DRAFT
