"""A broadcast becomes rows: everybody of the audience once, or left out with a reason; resumable, and stopped in between."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone

from broadcasts import fan_out as fanning
from broadcasts import job_ids
from broadcasts.changes import broadcast_cancel, broadcast_pause, broadcast_resume
from broadcasts.control import broadcast_retry_failed, broadcast_send_missing
from broadcasts.counting import count
from broadcasts.models import Broadcast, BroadcastEvent, LeftOut
from broadcasts.running import Runner
from broadcasts.states import State
from deliveries import lifecycle
from deliveries.channels import Channel, Status
from deliveries.figures import balance
from deliveries.models import Contact, Delivery, Lane, OptOut, Template, Tenant
from deliveries.templating import version_sources
from tests.factories import ContactFactory, DeviceFactory, SuppressionFactory, TemplateFactory, TenantFactory
from tests.lifecycle import claim, failed, finish, send_all, start
from tests.mass import BEN, draft, fan_out, run_worker, send

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def tenant() -> Tenant:
    return TenantFactory()


def rows_of(broadcast: Broadcast) -> Any:
    return Delivery.objects.filter(tenant=broadcast.tenant, entrance=broadcast.source)


def left_out(broadcast: Broadcast) -> dict[tuple[str, str], int]:
    return Counter(LeftOut.objects.filter(broadcast=broadcast).values_list("channel", "reason"))


def test_everybody_gets_one_row_and_it_is_completed_when_all_are_over(tenant: Tenant) -> None:
    people = ContactFactory.create_batch(5, tenant=tenant)
    ContactFactory()  # of another tenant
    broadcast = fan_out(tenant)

    assert broadcast.state == State.SENDING
    assert sorted(rows_of(broadcast).values_list("user_id", flat=True)) == sorted(each.user_id for each in people)
    assert Delivery.objects.count() == 5
    assert len(send_all()) == 5
    run_worker()
    broadcast.refresh_from_db()
    assert broadcast.state == State.COMPLETED
    counts = count(broadcast)
    assert (counts.total, counts.of(Status.SENT), counts.waiting) == (5, 5, 0)
    assert broadcast.counts == counts.as_json()


def test_it_is_not_completed_while_one_row_is_open(tenant: Tenant) -> None:
    ContactFactory.create_batch(2, tenant=tenant)
    broadcast = fan_out(tenant)
    first, second = claim()
    start([first, second])
    finish(failed(first))

    run_worker()
    broadcast.refresh_from_db()
    assert broadcast.state == State.SENDING


def test_ids_say_who_and_over_which_channel_and_are_the_same_whenever_computed(tenant: Tenant) -> None:
    person = ContactFactory(tenant=tenant)
    broadcast = fan_out(tenant, channels=["ws", "email"])

    expected = {
        channel: job_ids.job_id(
            stamp_ms=broadcast.stamp_ms or 0, broadcast_id=broadcast.pk, contact_id=person.pk, channel=channel
        )
        for channel in (Channel.WS, Channel.EMAIL)
    }
    assert dict(rows_of(broadcast).values_list("channel", "job_id")) == expected
    assert {each.version for each in expected.values()} == {8}


@pytest.mark.parametrize("chunk", [1, 2, 100])
def test_chunks_neither_miss_nor_repeat_anybody(tenant: Tenant, settings: Any, chunk: int) -> None:
    settings.BROADCAST_CHUNK_SIZE = chunk
    ContactFactory.create_batch(4, tenant=tenant)
    ContactFactory(tenant=tenant, email="")
    broadcast = fan_out(tenant, channels=["email"])

    assert rows_of(broadcast).count() == 4
    assert left_out(broadcast) == {("email", "no_address"): 1}
    assert broadcast.fanned_out_at is not None


def test_it_goes_on_after_a_chunk_that_was_not_committed(
    tenant: Tenant, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.BROADCAST_CHUNK_SIZE = 2
    ContactFactory.create_batch(5, tenant=tenant)
    broadcast = send(draft(tenant))
    real = fanning.receipt_add
    calls = iter([True, False, True, True, True])

    def dies(**values: Any) -> None:
        if not next(calls):
            raise OperationalError("killed")
        real(**values)

    monkeypatch.setattr(fanning, "receipt_add", dies)
    with pytest.raises(OperationalError):
        run_worker()
    assert rows_of(broadcast).count() == 2
    run_worker()

    assert rows_of(broadcast).count() == 5
    assert balance(timezone.now()).unaccounted == 0


def test_who_must_get_nothing_is_left_out_with_the_reason(tenant: Tenant) -> None:
    ContactFactory(tenant=tenant, email="fine@example.com")
    ContactFactory(tenant=tenant, email="")
    ContactFactory(tenant=tenant, opted_out=["email"])
    ContactFactory(tenant=tenant, email="Fine@example.com ")
    SuppressionFactory(tenant=tenant, channel="email", address="bounced@example.com")
    ContactFactory(tenant=tenant, email="bounced@example.com")
    unsubscribed = ContactFactory(tenant=tenant)
    OptOut.objects.create(tenant=tenant, user_id=unsubscribed.user_id, channel="email", category="news")
    ContactFactory(tenant=tenant, name="")
    broadcast = fan_out(tenant, channels=["email"], category="news", skip_missing=["name"])

    assert rows_of(broadcast).count() == 1
    assert left_out(broadcast) == {
        ("email", "no_address"): 1,
        ("email", "opted_out"): 1,
        ("email", "same_address"): 1,
        ("email", "suppressed_address"): 1,
        ("email", "unsubscribed"): 1,
        ("email", "missing_field"): 1,
    }


def test_a_mandatory_category_reaches_who_unsubscribed(tenant: Tenant, settings: Any) -> None:
    settings.MANDATORY_CATEGORIES = ["security"]
    person = ContactFactory(tenant=tenant)
    OptOut.objects.create(tenant=tenant, user_id=person.user_id, channel="email", category="security")

    assert rows_of(fan_out(tenant, channels=["email"], category="security")).count() == 1


def test_somebody_who_would_not_get_it_anyway_takes_nobodys_place_at_a_shared_address(tenant: Tenant) -> None:
    ContactFactory(tenant=tenant, email="house@example.com", opted_out=["email"])
    second = ContactFactory(tenant=tenant, email="house@example.com")
    broadcast = fan_out(tenant, channels=["email"])

    assert rows_of(broadcast).get().user_id == second.user_id


def test_the_first_channel_that_reaches_somebody_is_used_once(tenant: Tenant, settings: Any) -> None:
    settings.CHANNEL_SENDERS = {**settings.CHANNEL_SENDERS, "push": "null", "sms": "null"}
    by_push = ContactFactory(tenant=tenant)
    DeviceFactory(tenant=tenant, user_id=by_push.user_id)
    by_mail = ContactFactory(tenant=tenant)
    by_text = ContactFactory(tenant=tenant, opted_out=["email"], phone="+12025550100")
    by_nothing = ContactFactory(tenant=tenant, email="")
    broadcast = fan_out(tenant, channels=["push", "email", "sms"], reach="first")

    assert dict(rows_of(broadcast).values_list("user_id", "channel")) == {
        by_push.user_id: "push",
        by_mail.user_id: "email",
        by_text.user_id: "sms",
    }
    assert list(LeftOut.objects.values_list("user_id", "channel", "reason")) == [(by_nothing.user_id, "", "no_address")]


def test_words_are_kept_as_they_were_and_values_and_fallbacks_stand_in(tenant: Tenant) -> None:
    template = TemplateFactory(
        tenant=tenant,
        code="offer",
        subject="{{ product }} for {{ contact.attributes.city }}",
        text="Now {{ product }}.",
    )
    ContactFactory(tenant=tenant)
    broadcast = fan_out(
        tenant,
        title="",
        body="",
        template_code="offer",
        data={"product": "Tea"},
        contact_fallbacks={"attributes.city": "you"},
    )

    pinned = Template.with_pinned.get(code=broadcast.source)
    (version,) = pinned.versions.all()
    assert version_sources(version)["en"].subject == template.versions.get().contents.get().subject
    assert version.contact_fallbacks == {"attributes.city": "you"}
    assert not Template.objects.filter(code=broadcast.source).exists()
    assert set(rows_of(broadcast).values_list("template_code", flat=True)) == {broadcast.source}
    assert rows_of(broadcast).filter(data={}).count() == 1


def test_a_pause_between_chunks_stops_rows_and_fan_out_and_resume_goes_on(tenant: Tenant, settings: Any) -> None:
    settings.BROADCAST_CHUNK_SIZE = 2
    ContactFactory.create_batch(5, tenant=tenant)
    broadcast = send(draft(tenant))
    stops = iter([False, False, False, True, True, True])
    Runner().run(limit=10, stopping=lambda: next(stops), moved=lambda: None)
    assert rows_of(broadcast).count() in (2, 4)
    broadcast.refresh_from_db()
    broadcast_pause(broadcast=broadcast, actor=BEN)
    before = rows_of(broadcast).count()

    run_worker()
    assert rows_of(broadcast).count() == before
    assert claim() == []
    broadcast.refresh_from_db()
    broadcast_resume(broadcast=broadcast, actor=BEN)
    run_worker()
    assert rows_of(broadcast).count() == 5
    assert len(send_all()) == 5


def test_a_pause_during_a_chunk_leaves_nothing_of_the_chunk(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    ContactFactory.create_batch(3, tenant=tenant)
    broadcast = send(draft(tenant))
    real = fanning.receipt_add

    def pauses(**values: Any) -> None:
        Broadcast.objects.filter(pk=broadcast.pk).update(state=State.PAUSED)
        real(**values)

    monkeypatch.setattr(fanning, "receipt_add", pauses)
    run_worker()
    assert rows_of(broadcast).count() == 0
    assert balance(timezone.now()).unaccounted == 0


def test_cancelling_settles_what_waits_and_keeps_what_went_out(tenant: Tenant) -> None:
    ContactFactory.create_batch(3, tenant=tenant)
    broadcast = fan_out(tenant)
    (row, *_rest) = claim(limit=1)
    start([row])
    broadcast_cancel(broadcast=broadcast, actor=BEN)
    finish(lifecycle.Outcome(id=row.id, lease_token=row.lease_token, status=Status.SENT))
    lifecycle.sweep()

    assert count(broadcast).by_status | {"SENT": 1, "CANCELLED": 2} == count(broadcast).by_status
    run_worker()
    broadcast.refresh_from_db()
    assert broadcast.state == State.CANCELLED


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"contacts": -3}, "It was to go to 4 people, and the audience has 1 now"),
        ({"contacts": 4}, "It was to go to 4 people, and the audience has 8 now"),
        ({"body": "Other words"}, "changed after Send was pressed"),
        ({"template_code": "gone", "title": "", "body": ""}, "The template gone is not published"),
    ],
)
def test_it_fails_before_anything_is_made_where_it_is_not_what_was_sent(
    tenant: Tenant, change: dict[str, Any], words: str
) -> None:
    people = ContactFactory.create_batch(4, tenant=tenant)
    broadcast = send(draft(tenant))
    more = change.pop("contacts", 0)
    if more > 0:
        ContactFactory.create_batch(more, tenant=tenant)
    elif more < 0:
        Contact.objects.filter(pk__in=[each.pk for each in people[more:]]).delete()
    if change:
        Broadcast.objects.filter(pk=broadcast.pk).update(**change)

    run_worker()
    broadcast.refresh_from_db()
    assert broadcast.state == State.FAILED
    assert words in broadcast.stop_reason
    assert not Delivery.objects.exists() and not Lane.objects.exists()


def test_who_came_later_is_missing_and_gets_it_once(tenant: Tenant) -> None:
    ContactFactory.create_batch(12, tenant=tenant)
    broadcast = fan_out(tenant)
    send_all()
    run_worker()
    ContactFactory.create_batch(3, tenant=tenant)
    broadcast.refresh_from_db()
    assert fanning.missing(broadcast) == 3

    assert broadcast_send_missing(broadcast=broadcast, actor=BEN) == 3
    run_worker()
    assert len(send_all()) == 3
    run_worker()
    broadcast.refresh_from_db()
    assert broadcast.state == State.COMPLETED
    assert count(broadcast).of(Status.SENT) == 15
    assert broadcast_send_missing(broadcast=broadcast, actor=BEN) == 0
    assert balance(timezone.now()).unaccounted == 0


def test_what_is_tried_again_counts_in_the_place_of_what_failed(tenant: Tenant) -> None:
    ContactFactory.create_batch(3, tenant=tenant)
    broadcast = fan_out(tenant)
    rows = claim()
    start(rows)
    finish(*(failed(row) for row in rows))
    run_worker()
    broadcast.refresh_from_db()
    assert (broadcast.state, count(broadcast).causes) == (State.COMPLETED, [("smtp_550", "ws", 3)])

    for _again in range(2):  # pressed twice
        broadcast_retry_failed(broadcast=broadcast, actor=BEN, reason="smtp_550", channel="ws")
    assert (count(broadcast).total, count(broadcast).waiting) == (3, 3)
    assert len(send_all()) == 3
    counts = count(broadcast)
    assert (counts.total, counts.of(Status.SENT), counts.of(Status.FAILED)) == (3, 3, 0)


@pytest.mark.parametrize(
    "again", [(), (0,), (0, 0), (0, 1), (0, 1, 0, 2)], ids=["never", "once", "twice the first", "in a row", "any"]
)
def test_each_recipient_counts_once_however_often_and_whichever_row_was_replayed(
    tenant: Tenant, again: tuple[int, ...]
) -> None:
    """`again`: which row of the first recipient is replayed each time, by its age."""
    ContactFactory.create_batch(3, tenant=tenant)
    broadcast = fan_out(tenant)
    send_all()
    person = rows_of(broadcast).order_by("job_id")[0].user_id
    of_person = Delivery.objects.filter(user_id=person).order_by("id")
    for age in again:
        assert lifecycle.replay(delivery_ids=[of_person[age].pk], by="ben")
        rows = claim()
        start(rows)
        finish(*(failed(row) for row in rows))

    counts = count(broadcast)
    recipients = {str(job_id)[:-2] for job_id in Delivery.objects.values_list("job_id", flat=True)}
    assert counts.total == len(recipients) == 3
    assert (counts.of(Status.FAILED), counts.of(Status.SENT)) == ((1, 2) if again else (0, 3))


def test_two_workers_start_each_due_broadcast_once(tenant: Tenant) -> None:
    ContactFactory(tenant=tenant)
    broadcasts = [send(draft(tenant)) for _each in range(3)]
    did = [run_worker(), run_worker()]

    assert [each["started"] for each in did] == [3, 0]
    assert BroadcastEvent.objects.filter(action="start").count() == len(broadcasts)
    assert Delivery.objects.count() == 3


def test_nothing_begins_before_its_time(tenant: Tenant) -> None:
    ContactFactory(tenant=tenant)
    broadcast = send(draft(tenant, scheduled_at=timezone.now() + timedelta(hours=1)))
    assert run_worker()["started"] == 0
    assert broadcast.state == State.SCHEDULED


def test_who_made_the_change_and_what_it_was_are_told(tenant: Tenant) -> None:
    ContactFactory(tenant=tenant)
    broadcast = fan_out(tenant)
    told = (
        BroadcastEvent.objects.filter(broadcast=broadcast)
        .order_by("id")
        .values_list("action", "actor", "before", "after")
    )
    assert [(action, actor) for action, actor, _before, _after in told] == [
        ("create", "ana"), ("schedule", "ana"), ("start", "worker"),
    ]  # fmt: skip
    assert told[1][2] == {"state": "draft"}
    assert (told[1][3]["state"], told[1][3]["approved_size"]) == ("scheduled", 1)
