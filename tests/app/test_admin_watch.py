"""The page that watches a broadcast: what each state shows, that the sum adds up, who may do what, and what is refused."""

from __future__ import annotations

import csv
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from broadcasts.actor import WORKER
from broadcasts.changes import broadcast_pause, broadcast_send
from broadcasts.counting import count, count_and_keep
from broadcasts.models import Broadcast, BroadcastEvent, BroadcastPoint, LeftOut
from broadcasts.review import review
from broadcasts.running import Runner
from broadcasts.states import State
from broadcasts.watching import tell_stopped
from deliveries import lifecycle
from deliveries.models import Delivery, Lane, Tenant
from tests.factories import ContactFactory
from tests.lifecycle import claim, failed, finish, send_all, start
from tests.mass import ANA, BEN, draft, fan_out, run_worker, send

pytestmark = pytest.mark.django_db(transaction=True)

ACTIONS = ["undo", "pause", "resume", "cancel", "speed", "retry", "recall", "go_on", "look_for_missing", "send_missing"]


def url(broadcast: Broadcast, action: str = "change") -> str:
    return reverse(f"admin:broadcasts_broadcast_{action}", args=[broadcast.pk])


def page(client: Client, broadcast: Broadcast, **asked: str) -> str:
    answer = client.get(url(broadcast), asked)
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())


def do(client: Client, broadcast: Broadcast, action: str, **values: str) -> str:
    """Press a button; return the page that it leads to."""
    answer = client.post(url(broadcast, action), values, follow=True)
    assert answer.status_code == 200
    broadcast.refresh_from_db()
    return " ".join(answer.content.decode().split())


def counted(broadcast: Broadcast) -> Broadcast:
    count_and_keep(broadcast)
    broadcast.refresh_from_db()
    return broadcast


def mixed(tenant: Tenant) -> Broadcast:
    """One that is over: two sent, one failed, one left out."""
    ContactFactory.create_batch(3, tenant=tenant)
    ContactFactory(tenant=tenant, opted_out=["ws"])
    broadcast = fan_out(tenant)
    rows = claim(limit=1)
    start(rows)
    finish(failed(rows[0]))
    send_all()
    run_worker()
    broadcast.refresh_from_db()
    assert broadcast.state == State.COMPLETED
    return broadcast


# What the states show.


def test_the_undo_window_counts_down_with_undo(admin_client: Client, tenant: Tenant) -> None:
    ContactFactory(tenant=tenant)
    made = draft(tenant)
    broadcast, _is_new = broadcast_send(broadcast=made, actor=ANA, review=review(made), undo_seconds=30)
    shown = page(admin_client, broadcast)
    assert "It goes out in" in shown
    assert f'data-due="{broadcast.due_at.timestamp():.6f}"' in shown  # type: ignore[union-attr]

    assert "Undone: nobody got anything. It is draft again." in do(admin_client, broadcast, "undo")
    assert broadcast.state == State.DRAFT


def test_one_that_is_planned_says_when_and_can_be_unscheduled(admin_client: Client, tenant: Tenant) -> None:
    ContactFactory(tenant=tenant)
    broadcast = send(draft(tenant, scheduled_at=timezone.now() + timedelta(hours=3)))
    shown = page(admin_client, broadcast)
    assert "It goes out at" in shown
    assert "Unschedule" in shown
    assert "It goes out in" not in shown


def test_before_rows_exist_recipients_are_being_prepared(admin_client: Client, tenant: Tenant) -> None:
    ContactFactory(tenant=tenant)
    broadcast = send(draft(tenant))
    Broadcast.objects.filter(pk=broadcast.pk).update(state=State.SENDING, started_at=timezone.now(), stamp_ms=1)
    assert "Preparing recipients" in page(admin_client, broadcast)


def test_what_is_over_adds_up_and_says_so(admin_client: Client, tenant: Tenant) -> None:
    broadcast = mixed(tenant)
    shown = page(admin_client, broadcast)
    assert "Adds up</span> 3 accepted, 3 found." in shown
    assert "Audience 4 = 3 recipients +" in shown
    assert 'aria-label="2 Sent, 1 Failed, 0 Not sent, 0 Cancelled"'.lower() in shown.lower()
    assert "Opted out of the channel" in shown

    Delivery.objects.filter(entrance=broadcast.source, status="SENT").first().delete()  # type: ignore[union-attr]
    counted(broadcast)
    shown = page(admin_client, broadcast)
    assert "1 unaccounted" in shown
    assert "Adds up" not in shown


def test_every_figure_leads_to_its_rows(
    admin_client: Client, tenant: Tenant, staff_with: Callable[..., Client]
) -> None:
    broadcast = mixed(tenant)
    context = admin_client.get(url(broadcast)).context
    for part in context["parts"]:
        listed = admin_client.get(part.url).content.decode().count("/change/") if part.count else 0
        assert bool(listed) == bool(part.count)
    assert "jobs=" not in page(staff_with("view_broadcast"), broadcast)


def test_a_broadcast_the_worker_stopped_says_why_and_who_may_resume(
    admin_client: Client, tenant: Tenant, staff_with: Callable[..., Client]
) -> None:
    ContactFactory.create_batch(2, tenant=tenant)
    broadcast = fan_out(tenant)
    broadcast_pause(broadcast=broadcast, actor=BEN, reason="Of the small group 9 of 10 failed")
    counted(broadcast)
    shown = page(admin_client, broadcast)
    assert "Of the small group 9 of 10 failed" in shown
    assert "2 left; people already sent to are skipped." in shown
    assert "Somebody with the permission to send broadcasts may resume it." in page(
        staff_with("view_broadcast"), broadcast
    )


def test_the_small_group_is_waited_for_until_somebody_goes_on(admin_client: Client, tenant: Tenant) -> None:
    ContactFactory.create_batch(20, tenant=tenant)
    broadcast = fan_out(tenant, group_percent=50)
    assert "The small group has its messages." in page(admin_client, counted(broadcast))

    assert "The rest gets it now." in do(admin_client, broadcast, "go_on")
    run_worker()
    assert Delivery.objects.filter(entrance=broadcast.source).count() == 20
    assert "Nothing was changed: It is sending" in do(admin_client, broadcast, "go_on")
    assert BroadcastEvent.objects.filter(action="group_passed").count() == 1


def test_the_notice_of_a_stopped_broadcast_leads_to_its_page_for_who_may_see_it(
    admin_client: Client, tenant: Tenant, staff_with: Callable[..., Client]
) -> None:
    ContactFactory(tenant=tenant)
    broadcast = fan_out(tenant, name="Spring")
    broadcast_pause(broadcast=broadcast, actor=WORKER, reason="Of the small group 9 of 10 failed. Look at the causes.")
    tell_stopped()
    notices = reverse("admin:deliveries_notice_changelist")
    shown = admin_client.get(notices).content.decode()
    assert "Broadcast stopped" in shown
    assert "Spring: Of the small group 9 of 10 failed. Look at the causes." in shown
    assert url(broadcast) in shown
    assert url(broadcast) not in staff_with("view_notice").get(notices).content.decode()


# What is done to it.


def test_pause_speed_and_resume(admin_client: Client, tenant: Tenant) -> None:
    ContactFactory.create_batch(3, tenant=tenant)
    broadcast = fan_out(tenant)
    assert "Paused." in do(admin_client, broadcast, "pause")
    counted(broadcast)
    assert "The speed is 600 a minute now." in do(admin_client, broadcast, "speed", pace="600")
    assert "Resumed: 3 left; people already sent to are skipped." in do(admin_client, broadcast, "resume")
    assert list(Lane.objects.filter(source=broadcast.source).values_list("pace_per_minute", "paused_at")) == [
        (600, None)
    ]
    assert "as fast as its channels go" in do(admin_client, broadcast, "speed", pace="")
    actors = set(BroadcastEvent.objects.filter(action__in=["pause", "speed", "resume"]).values_list("actor", "address"))
    assert actors == {("admin", "127.0.0.1")}


@pytest.mark.parametrize("pace", ["0", "-5", "fast", "1e9", "99999999999"])
def test_a_speed_that_is_none_changes_nothing(admin_client: Client, tenant: Tenant, pace: str) -> None:
    ContactFactory(tenant=tenant)
    broadcast = fan_out(tenant, pace_per_minute=60)
    assert "Nothing was changed:" in do(admin_client, broadcast, "speed", pace=pace)
    assert broadcast.pace_per_minute == 60


def test_cancelling_the_rest_keeps_what_was_sent(admin_client: Client, tenant: Tenant) -> None:
    ContactFactory.create_batch(3, tenant=tenant)
    broadcast = fan_out(tenant)
    assert "Cancelled: nothing more goes out." in do(admin_client, broadcast, "cancel")
    assert broadcast.state == State.CANCELLED
    assert "Nothing was changed: It is cancelled" in do(admin_client, broadcast, "resume")


@pytest.mark.parametrize("how", ["pause", "cancel"])
def test_a_retry_is_offered_only_where_it_can_go(admin_client: Client, tenant: Tenant, how: str) -> None:
    broadcast = mixed(tenant)
    assert "Retry 1</button>" in page(admin_client, broadcast)
    Broadcast.objects.filter(pk=broadcast.pk).update(state=State.SENDING)
    do(admin_client, broadcast, how)
    shown = page(admin_client, broadcast)
    assert "Why messages failed" in shown and "Retry 1</button>" not in shown


def test_what_failed_is_retried_by_its_cause_once(admin_client: Client, tenant: Tenant) -> None:
    broadcast = mixed(tenant)
    shown = page(admin_client, broadcast)
    assert "Retry 1</button>" in shown
    assert "#the-mail-server" in shown or 'href="/admin/deliveries/delivery/runbook/#' in shown

    assert "1 message goes out again." in do(admin_client, broadcast, "retry", cause="smtp_550|ws")
    assert "Nothing was retried" in do(admin_client, broadcast, "retry", cause="smtp_550|ws")
    send_all()
    assert count(broadcast).by_status["SENT"] == 3


def test_it_is_removed_from_inboxes_and_says_from_how_many(admin_client: Client, tenant: Tenant) -> None:
    broadcast = mixed(tenant)
    assert "be taken back.</p>" in page(admin_client, broadcast)
    assert "Removed from 2 inboxes." in do(admin_client, broadcast, "recall")
    assert "Removed from 0 inboxes." in do(admin_client, broadcast, "recall")
    assert Delivery.objects.filter(recalled_at__isnull=False).count() == 2


def test_who_is_missing_is_looked_for_when_asked_and_gets_it(admin_client: Client, tenant: Tenant) -> None:
    broadcast = mixed(tenant)
    assert "Look for missing people" in page(admin_client, broadcast)
    assert "Nobody is missing" in do(admin_client, broadcast, "look_for_missing")
    ContactFactory.create_batch(2, tenant=tenant)
    assert "Send to the 2 missing" in do(admin_client, broadcast, "look_for_missing")
    assert "2 messages go to who was missing." in do(admin_client, broadcast, "send_missing")
    run_worker()
    assert Delivery.objects.filter(entrance=broadcast.source).count() == 5


def test_for_an_audience_that_is_gone_nobody_is_looked_for(admin_client: Client, tenant: Tenant) -> None:
    broadcast = mixed(tenant)
    Broadcast.objects.filter(pk=broadcast.pk).update(audience={"type": "audience", "id": 1})
    assert "There is no audience 1" in do(admin_client, broadcast, "look_for_missing")
    assert "There is no audience 1" in do(admin_client, broadcast, "send_missing")


@pytest.mark.parametrize("text", ["x", "-1", "9" * 30, "٣"])
def test_a_number_of_missing_that_is_none_is_not_shown(admin_client: Client, tenant: Tenant, text: str) -> None:
    assert "bc-send-missing" not in page(admin_client, mixed(tenant), missing=text)


# Who may, and what it costs.


@pytest.mark.parametrize("action", ACTIONS)
def test_actions_are_for_senders_by_post(tenant: Tenant, staff_with: Callable[..., Client], action: str) -> None:
    ContactFactory(tenant=tenant)
    broadcast = fan_out(tenant)
    before = BroadcastEvent.objects.count()
    assert staff_with("view_broadcast", "change_broadcast").post(url(broadcast, action)).status_code == 403
    assert staff_with("view_broadcast", "send_broadcast").get(url(broadcast, action)).status_code == 405
    strict = staff_with("view_broadcast", "send_broadcast")
    strict.handler.enforce_csrf_checks = True
    assert strict.post(url(broadcast, action)).status_code == 403
    assert BroadcastEvent.objects.count() == before


def test_who_may_only_view_sees_figures_and_no_buttons(tenant: Tenant, staff_with: Callable[..., Client]) -> None:
    ContactFactory(tenant=tenant)
    shown = page(staff_with("view_broadcast"), counted(fan_out(tenant)))
    assert "Recipients" in shown
    for button in ("bc-pause", "bc-apply", "bc-cancel", "bc-recall", "bc-retry"):
        assert f'id="{button}' not in shown


@pytest.mark.parametrize("action", ["live", "events"])
def test_the_live_parts_are_refused_without_a_login_or_the_permission(
    client: Client, tenant: Tenant, staff_with: Callable[..., Client], action: str
) -> None:
    ContactFactory(tenant=tenant)
    broadcast = fan_out(tenant)
    assert client.get(url(broadcast, action)).status_code == 403
    assert staff_with("view_delivery").get(url(broadcast, action)).status_code == 403


def test_the_live_parts_are_those_of_the_page(admin_client: Client, tenant: Tenant) -> None:
    ContactFactory(tenant=tenant)
    broadcast = counted(fan_out(tenant))
    live = " ".join(admin_client.get(url(broadcast, "live")).content.decode().split())
    assert live.strip() in page(admin_client, broadcast)


def test_the_page_asks_as_much_for_many_as_for_few_and_counts_no_rows(admin_client: Client, tenant: Tenant) -> None:
    def queries(broadcast: Broadcast) -> list[str]:
        with CaptureQueriesContext(connection) as asked:
            page(admin_client, broadcast)
        return [query["sql"] for query in asked]

    few = mixed(tenant)
    many = mixed(tenant)
    BroadcastPoint.objects.bulk_create(
        BroadcastPoint(
            broadcast=many,
            minute=timezone.now() - timedelta(minutes=number + 2),
            counted_at=timezone.now(),
            sent={"ws": 1, "email": 2},
            failed=0,
            over=3,
        )
        for number in range(300)
    )
    queries(few)
    assert len(queries(few)) == len(queries(many))
    assert not [sql for sql in queries(many) if "notification_delivery" in sql]


# Who was left out.


def test_who_was_left_out_is_listed_by_reason_page_by_page(admin_client: Client, tenant: Tenant) -> None:
    names = [f"Person {number:03}" for number in range(60)]
    for name in names:
        ContactFactory(tenant=tenant, name=name, opted_out=["ws"])
    ContactFactory(tenant=tenant)
    broadcast = fan_out(tenant)
    first = admin_client.get(url(broadcast, "left_out"), {"reason": "opted_out"})
    second = admin_client.get(url(broadcast, "left_out"), {"reason": "opted_out", "after": first.context["next_after"]})
    shown = [str(person) for answer in (first, second) for _row, person, _why in answer.context["rows"]]
    assert shown == names
    assert second.context["next_after"] is None
    assert "Nobody." in admin_client.get(url(broadcast, "left_out"), {"reason": "no_address"}).content.decode()
    assert LeftOut.objects.count() == 60


def test_who_was_left_out_is_for_who_may_see_broadcasts(tenant: Tenant, staff_with: Callable[..., Client]) -> None:
    ContactFactory(tenant=tenant)
    assert staff_with("view_delivery").get(url(fan_out(tenant), "left_out")).status_code == 403


# The download.


def test_the_results_tell_what_became_of_everybody_and_run_in_no_spreadsheet(
    admin_client: Client, tenant: Tenant
) -> None:
    broadcast = mixed(tenant)
    Delivery.objects.filter(entrance=broadcast.source, status="FAILED").update(address="=HYPERLINK(1)")
    answer = admin_client.get(url(broadcast, "results"))
    table = b"".join(answer.streaming_content).decode().lstrip("\ufeff")  # type: ignore[attr-defined]
    rows = list(csv.DictReader(table.splitlines()))
    assert sorted(row["status"] for row in rows) == ["FAILED", "LEFT_OUT", "SENT", "SENT"]
    assert [row["address"] for row in rows if row["status"] == "FAILED"] == ["'=HYPERLINK(1)"]
    assert f'broadcast-{broadcast.pk}.csv"' in answer["Content-Disposition"]


@pytest.mark.parametrize("permissions", [["view_broadcast"], ["view_delivery"]])
def test_the_results_are_for_who_may_see_both(
    tenant: Tenant, staff_with: Callable[..., Client], permissions: list[str]
) -> None:
    ContactFactory(tenant=tenant)
    broadcast = fan_out(tenant)
    assert staff_with(*permissions).get(url(broadcast, "results")).status_code == 403


# What the worker keeps for it.


def test_the_worker_keeps_a_point_of_each_minute_and_the_last_one(tenant: Tenant) -> None:
    broadcast = mixed(tenant)
    (point,) = list(BroadcastPoint.objects.filter(broadcast=broadcast))[-1:]
    assert (point.sent, point.failed, point.over) == ({"ws": 2}, 1, 3)


def test_what_is_told_after_the_end_is_counted_again_more_and_more_rarely(tenant: Tenant) -> None:
    broadcast = mixed(tenant)
    Delivery.objects.filter(entrance=broadcast.source, status="SENT").update(outcome="acknowledged")

    def looked_at(**ago: float) -> dict[str, Any]:
        moved = {name: timezone.now() - timedelta(minutes=minutes) for name, minutes in ago.items()}
        Broadcast.objects.filter(pk=broadcast.pk).update(counts={"waiting": 0}, **moved)
        run_worker(Runner())
        broadcast.refresh_from_db()
        return broadcast.counts

    assert "rows" not in looked_at(finished_at=5, counted_at=0.5)
    assert "rows" not in looked_at(finished_at=100, counted_at=5)
    assert ["ws", "SENT", "", "acknowledged", 2] in looked_at(finished_at=100, counted_at=15)["rows"]


def test_rows_that_are_being_cancelled_are_counted_until_they_are_over(admin_client: Client, tenant: Tenant) -> None:
    ContactFactory.create_batch(3, tenant=tenant)
    broadcast = counted(fan_out(tenant))
    do(admin_client, broadcast, "cancel")
    assert "data-live-events" in page(admin_client, broadcast)
    lifecycle.sweep()
    run_worker(Runner())
    shown = page(admin_client, broadcast)
    assert "data-live-events" not in shown
    assert "Adds up</span> 3 accepted, 3 found." in shown
