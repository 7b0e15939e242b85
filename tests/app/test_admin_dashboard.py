"""The dashboard: a balance that can fail, a verdict that names the worst, and "Send me a test"."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from deliveries import figures
from deliveries.admin.verdict import verdict
from deliveries.figures import Balance, ChannelFigures, Figures, OnHold
from deliveries.jobs import parse_job
from deliveries.lifecycle import hold_place, replay, sweep
from deliveries.models import Delivery, Hold, Lane, OutboxPosition, Receipt, Tenant, WorkerHeartbeat
from tests.factories import ContactFactory, DeliveryFactory

NOW = datetime(2026, 5, 4, 12, 30, tzinfo=UTC)
DOWN_AFTER = timedelta(seconds=30)


def accept(tenant: Tenant, count: int, at: datetime | None = None) -> None:
    hour = (at or timezone.now()).astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    Receipt.objects.create(tenant=tenant, entrance="kafka:t/0", hour=hour, accepted=count)


# The balance.


def test_the_balance_adds_up(tenant: Tenant) -> None:
    for trait in ({}, {"retrying": True}, {"sending": True}, {"sent": True}, {"failed": True}):
        DeliveryFactory(tenant=tenant, **trait)
    for trait in ("expired", "suppressed", "cancelled"):
        DeliveryFactory(tenant=tenant, **{trait: True})
    accept(tenant, 8)

    balance = figures.balance(timezone.now())

    assert (balance.accepted, balance.sent, balance.failed, balance.not_sent, balance.waiting) == (8, 1, 1, 3, 3)
    assert balance.unaccounted == 0


def test_a_lost_row_is_unaccounted(tenant: Tenant) -> None:
    rows = DeliveryFactory.create_batch(3, tenant=tenant)
    accept(tenant, 3)
    rows[0].delete()

    assert figures.balance(timezone.now()).unaccounted == 1


def test_a_record_that_was_passed_over_is_unaccounted(tenant: Tenant) -> None:
    OutboxPosition.objects.create(topic="t", partition=0, next_offset=9, lost=2, updated_at=timezone.now())

    balance = figures.balance(timezone.now())

    assert (balance.accepted, balance.lost, balance.unaccounted) == (2, 2, 2)


def test_copies_made_by_staff_count_on_neither_side(tenant: Tenant) -> None:
    row = DeliveryFactory(tenant=tenant, failed=True)
    accept(tenant, 1)
    replay(delivery_ids=[row.pk], by="ana")

    assert Delivery.objects.count() == 2
    assert figures.balance(timezone.now()).unaccounted == 0


def test_both_sides_end_at_the_same_hour(tenant: Tenant) -> None:
    long_ago = timezone.now() - timedelta(hours=26)
    DeliveryFactory(tenant=tenant, accepted_at=long_ago)
    accept(tenant, 1, long_ago)

    balance = figures.balance(timezone.now())

    assert (balance.accepted, balance.unaccounted) == (0, 0)
    assert balance.since.minute == 0


# The other figures.


def test_the_figures_cost_the_same_at_any_size(tenant: Tenant) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            figures.read()
        return len(captured)

    DeliveryFactory(tenant=tenant, failed=True)
    few = queries()
    for index in range(30):
        DeliveryFactory(tenant=tenant, channel=f"channel{index}")
        DeliveryFactory(tenant=tenant, sent=True)

    assert queries() == few


def test_a_channel_tells_its_oldest_due_row_and_why_it_waits(tenant: Tenant) -> None:
    old = timezone.now() - timedelta(minutes=12)
    DeliveryFactory.create_batch(2, tenant=tenant, retrying=True, next_attempt_at=old, reason="smtp_451")
    DeliveryFactory(tenant=tenant, next_attempt_at=timezone.now() + timedelta(hours=1))

    email = next(row for row in figures.read().channels if row.channel == "email")

    assert (email.due, email.oldest_due_at, email.late_reason) == (2, old, "smtp_451")


@pytest.mark.parametrize(
    "lane", [{"paused_at": NOW}, {"pace_per_minute": 10}, {"not_before": NOW + timedelta(days=9999)}]
)
def test_what_is_late_on_purpose_is_not_late(tenant: Tenant, lane: dict[str, Any]) -> None:
    row = DeliveryFactory(tenant=tenant, next_attempt_at=timezone.now() - timedelta(hours=1))
    Lane.objects.filter(pk=row.lane_id).update(**lane)

    email = next(row for row in figures.read().channels if row.channel == "email")

    assert (email.due, email.oldest_due_at) == (1, None)


@pytest.mark.parametrize(("named", "due"), [({"channel": "email"}, 1), ({"template_code": "order"}, 0)])
def test_what_is_on_hold_is_not_late(tenant: Tenant, named: dict[str, str], due: int) -> None:
    DeliveryFactory(tenant=tenant, template_code="order", next_attempt_at=timezone.now() - timedelta(hours=1))
    hold_place(by="ana", reason="maintenance", **named)
    sweep()

    email = next(row for row in figures.read().channels if row.channel == "email")

    assert (email.due, email.oldest_due_at) == (due, None)


def test_the_chart_has_a_bar_for_every_minute_of_the_hour(tenant: Tenant) -> None:
    finished = timezone.now() - timedelta(minutes=30)
    DeliveryFactory.create_batch(2, tenant=tenant, sent=True, accepted_at=finished, finished_at=finished)
    DeliveryFactory(tenant=tenant, failed=True, accepted_at=finished, finished_at=finished)

    minutes = figures.read().minutes

    assert len(minutes) == 60
    assert [(bar.sent, bar.failed) for bar in minutes if bar.sent or bar.failed] == [(2, 1)]


# The verdict.


def worker(service: str, state: str = "running", silent_seconds: int = 1) -> WorkerHeartbeat:
    beat = NOW - timedelta(seconds=silent_seconds)
    return WorkerHeartbeat(
        service_type=service, instance_id="a", state=state, beat_at=beat, started_at=NOW, progress_at=beat
    )


WELL = Figures(
    read_at=NOW,
    balance=Balance(NOW - timedelta(hours=24), received=10, lost=0, sent=8, failed=1, not_sent=0, waiting=1),
    channels=[ChannelFigures("email", has_sender=True, sent_lately=500)],
    minutes=[],
    causes=[],
    workers=[worker("sender"), worker("consumer"), worker("periodic")],
)
BEHIND = ChannelFigures("email", True, due=9, oldest_due_at=NOW - timedelta(minutes=12), late_reason="smtp_451")
HELD = [
    OnHold(Hold(held_by="ben", held_at=NOW, reason="maintenance", **named), waiting=3)
    for named in ({"channel": "ws"}, {"template_code": "order", "channel": "sms"}, {"category": "news"})
]
GOING = OnHold(Hold(channel="ws", held_by="ben", held_at=NOW, reason="maintenance", let_go_at=NOW))


@pytest.mark.parametrize(
    ("changes", "tone", "sentence"),
    [
        ({}, "ok", "Sending normally"),
        ({"balance": replace(WELL.balance, received=12)}, "bad", "2 accepted jobs are unaccounted for"),
        ({"workers": [worker("consumer"), worker("periodic")]}, "bad", "No sender is running: 1 delivery waits"),
        (
            {"workers": [worker("sender", silent_seconds=31), worker("consumer"), worker("periodic")]},
            "bad",
            "No sender is running",
        ),
        ({"channels": [BEHIND]}, "bad", "E-mail is 12 minutes behind: mail server error (451)"),
        (
            {"workers": [worker("sender", "stuck"), worker("consumer"), worker("periodic")]},
            "warn",
            "1 process is stuck",
        ),
        ({"workers": [worker("sender"), worker("periodic")]}, "warn", "No outbox consumer is running"),
        ({"workers": [worker("sender"), worker("consumer")]}, "warn", "No scheduled tasks are running"),
        ({"holds": HELD[:1]}, "warn", "In-app is on hold"),
        ({"holds": HELD[:2]}, "warn", "In-app and Template order on SMS are on hold"),
        ({"holds": HELD}, "warn", "In-app, Template order on SMS and 1 other are on hold"),
        ({"holds": [GOING]}, "ok", "Sending normally"),
        ({"is_empty": True, "workers": [worker("sender")]}, "quiet", "Ready to send"),
    ],
)
def test_the_verdict_says(changes: dict[str, Any], tone: str, sentence: str) -> None:
    found = verdict(replace(WELL, **changes), down_after=DOWN_AFTER)

    assert found.tone == tone
    assert sentence in found.sentence


def test_the_verdict_puts_the_worst_first() -> None:
    everything = replace(WELL, balance=replace(WELL.balance, received=11), workers=[], channels=[BEHIND], holds=HELD)

    assert "unaccounted" in verdict(everything, down_after=DOWN_AFTER).sentence


# The page and its actions.


def test_an_empty_service_offers_a_first_job_that_is_one(admin_client: Client, tenant: Tenant) -> None:
    ContactFactory(tenant=tenant)

    page = admin_client.get(reverse("admin:index"))

    command = page.context["first_job"]
    body = command.split("-d '")[1].rstrip("'")
    assert parse_job(body.encode(), now=timezone.now()).channel == "ws"
    assert "http://testserver/api/jobs/" in command
    assert "Send me a test" in page.content.decode()


def test_the_live_fragment_has_the_parts_of_the_page(admin_client: Client, tenant: Tenant) -> None:
    DeliveryFactory(tenant=tenant)

    fragment = admin_client.get(reverse("admin:deliveries_live")).content.decode()

    for part in ("verdict", "balance", "holds", "channels", "chart", "causes"):
        assert f'data-part="{part}"' in fragment
    assert "<html" not in fragment


@pytest.mark.parametrize("target", ["//evil.example/", "https://evil.example/", "javascript:alert(1)"])
def test_an_action_never_leads_away(admin_client: Client, tenant: Tenant, target: str) -> None:
    answer = admin_client.post(reverse("admin:deliveries_hold_place"), {"channel": "ws", "reason": "x", "next": target})

    assert answer.url == reverse("admin:index")


@pytest.mark.parametrize("channel", ["ws", "email"])
def test_send_me_a_test_makes_a_delivery_like_any_other(admin_client: Client, tenant: Tenant, channel: str) -> None:
    contact = ContactFactory(tenant=tenant)

    answer = admin_client.post(reverse("admin:deliveries_send_test"), {"person": contact.email, "channel": channel})

    row = Delivery.objects.get()
    assert answer.url == reverse("admin:deliveries_delivery_change", args=[row.pk])
    assert (row.user_id, row.channel, row.entrance, row.status) == (contact.user_id, channel, "admin:admin", "PENDING")
    assert figures.balance(timezone.now()).unaccounted == 0


@pytest.mark.parametrize(
    ("person", "channel", "says"),
    [("nobody@example.com", "ws", "Nobody is known"), ("Ana", "ws", "Several people"), ("Ana", "sms", "valid choice")],
)
def test_a_test_to_nobody_or_to_several_is_refused(
    admin_client: Client, tenant: Tenant, person: str, channel: str, says: str
) -> None:
    ContactFactory.create_batch(2, tenant=tenant)

    answer = admin_client.post(
        reverse("admin:deliveries_send_test"), {"person": person, "channel": channel}, follow=True
    )

    assert says in answer.content.decode()
    assert not Delivery.objects.exists()


def test_a_broadcast_that_waits_its_turn_does_not_make_its_channel_late(tenant: Tenant) -> None:
    long_ago = timezone.now() - timedelta(hours=1)
    lane = Lane.objects.create(tenant=tenant, channel="email", priority=2, source="broadcast:17")
    DeliveryFactory(tenant=tenant, channel="email", lane=lane, next_attempt_at=long_ago)
    assert figures.queues()["email"] == figures.Queue(due=1)

    usual = DeliveryFactory(tenant=tenant, channel="email", next_attempt_at=long_ago + timedelta(minutes=30))
    assert figures.queues()["email"] == figures.Queue(due=2, oldest_due_at=usual.next_attempt_at)
