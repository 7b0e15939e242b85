"""Every action on a broadcast in every state by REST: what is allowed changes it, everything else is 409 and changes nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connections
from django.utils import timezone

from broadcasts.api.urls import ACTIONS
from broadcasts.conditions import Condition
from broadcasts.fan_out import fan_out_step
from broadcasts.models import Broadcast, BroadcastEvent
from broadcasts.review import review
from broadcasts.states import ENDED, State
from deliveries.models import ApiKey, Delivery, Lane
from deliveries.rendering import ContentSource
from deliveries.templating import template_publish, template_save_draft
from tests.api import Answer, Caller, staff
from tests.factories import ApiKeyFactory, AudienceFactory, ContactFactory, TemplateFactory
from tests.lifecycle import claim, failed, finish, send_all, start
from tests.mass import draft, fan_out, run_worker

pytestmark = pytest.mark.django_db(transaction=True)

LATER = "2099-01-01T00:00:00Z"  # further ahead than may be planned
BODIES: dict[str, Any] = {
    "schedule": {"scheduled_at": (timezone.now() + timedelta(days=1)).isoformat()},
    "speed": {"pace_per_minute": 600},
    "retry-failed": {"reason": "timeout", "channel": "ws"},
    "pause": {"reason": "Look first"},
    "reject": {"note": "Shorter, please"},
    "approve": {"hash": "seen"},
}
ALL = frozenset(State)
BEGUN = frozenset({State.SENDING, State.PAUSED, State.COMPLETED, State.CANCELLED})
#: Action → from where → whereto ("": the state stays).
MATRIX: dict[str, dict[State, str]] = {
    "submit": {State.DRAFT: "awaiting_approval"},
    "withdraw": dict.fromkeys((State.AWAITING_APPROVAL, State.APPROVED), "draft"),
    "approve": {State.AWAITING_APPROVAL: "approved"},
    "reject": {State.AWAITING_APPROVAL: "draft"},
    "edit-again": {State.FAILED: "draft"},
    "send-now": {
        **dict.fromkeys((State.DRAFT, State.APPROVED), "scheduled"),
        **dict.fromkeys((State.SCHEDULED, State.SENDING, State.PAUSED, State.COMPLETED), ""),
    },
    "schedule": dict.fromkeys((State.DRAFT, State.APPROVED), "scheduled"),
    "undo": {State.SCHEDULED: "draft"},
    "pause": {State.SENDING: "paused"},
    "resume": {State.PAUSED: "sending"},
    "cancel": dict.fromkeys(
        (State.AWAITING_APPROVAL, State.APPROVED, State.SCHEDULED, State.SENDING, State.PAUSED), "cancelled"
    ),
    "speed": dict.fromkeys(ALL - ENDED, ""),
    "retry-failed": dict.fromkeys((State.SENDING, State.COMPLETED), ""),
    "send-missing": {State.COMPLETED: "sending"},
    "recall": dict.fromkeys(BEGUN, ""),
    "go-on": {},  # what a small group that is being looked at allows: below
    "dry-run": dict.fromkeys(ALL, ""),
    "duplicate": dict.fromkeys(ALL, ""),
}


def in_state(tenant: Any, state: State) -> Broadcast:
    """Return a broadcast that is in a state, with what the database asks of such."""
    broadcast = draft(tenant)
    now = timezone.now()
    values: dict[str, Any] = {"state": state, "approved_hash": "h", "due_at": now}
    if state in BEGUN:
        values |= {
            "started_at": now,
            "stamp_ms": 1_700_000_000_000,
            "fanned_out_at": now,
            "last_contact_id": 0,
            "pinned_audience": {},
        }
    Broadcast.objects.filter(pk=broadcast.pk).update(**values)
    broadcast.refresh_from_db()
    return broadcast


#: What people decide and keys do not.
DECISIONS = {"approve", "reject"}


def body_of(action: str, broadcast: Broadcast) -> Any:
    """Return what an action is given: to approve it, what a dry run answers."""
    return {"hash": review(broadcast).hash} if action == "approve" else BODIES.get(action)


def everything() -> list[Any]:
    return [*Broadcast.objects.values().order_by("id"), *BroadcastEvent.objects.values(), *Lane.objects.values()]


def test_every_action_is_in_the_matrix() -> None:
    assert MATRIX.keys() | {"test-send"} == ACTIONS.keys()


@pytest.mark.parametrize(("action", "state"), [(a, s) for a, s in product(MATRIX, State) if s in MATRIX[a]])
def test_what_a_state_allows_is_done(call, key, action: str, state: State) -> None:
    ContactFactory(tenant=key.tenant)
    broadcast = in_state(key.tenant, state)
    if action in DECISIONS:
        call = staff("approve_broadcast", "view_broadcast")
    answer = call.post(f"broadcasts/{broadcast.pk}/{action}/", body_of(action, broadcast))
    assert answer.status == (201 if action == "duplicate" else 200), answer
    broadcast.refresh_from_db()
    assert broadcast.state == (MATRIX[action][state] or state)
    if MATRIX[action][state]:
        event = BroadcastEvent.objects.filter(broadcast=broadcast).first()
        assert event is not None
        assert (event.address, event.before["state"]) == ("127.0.0.1", state)
        assert event.actor == (User.objects.get().username if action in DECISIONS else f"key:{key.prefix}")


@pytest.mark.parametrize(("action", "state"), [(a, s) for a, s in product(MATRIX, State) if s not in MATRIX[a]])
def test_what_a_state_forbids_is_409_and_changes_nothing(call, key, action: str, state: State) -> None:
    ContactFactory(tenant=key.tenant)
    broadcast = in_state(key.tenant, state)
    before = everything()
    if action in DECISIONS:
        call = staff("approve_broadcast")
    answer = call.post(f"broadcasts/{broadcast.pk}/{action}/", BODIES.get(action))
    assert (answer.status, answer.body["code"], answer.body["status"]) == (409, "wrong_state", state)
    assert everything() == before


@pytest.mark.parametrize(
    ("method", "state"), list(product(["PATCH", "DELETE"], [s for s in State if s != State.DRAFT]))
)
def test_what_is_more_than_a_draft_is_not_deleted_and_what_was_sent_not_edited(call, key, method, state: State) -> None:
    broadcast = in_state(key.tenant, state)
    before = everything()
    answer = call(method, f"broadcasts/{broadcast.pk}/", {"title": "New"} if method == "PATCH" else None)
    if method == "PATCH" and state in (State.AWAITING_APPROVAL, State.APPROVED):
        assert (answer.status, answer.body["status"], answer.body["approval"]) == (200, "draft", None)
    else:
        assert (answer.status, answer.body["code"]) == (409, "wrong_state")
        assert everything() == before


class TestSending:
    """Once, however often; at once, or later; not before it may."""

    def test_twenty_at_once_send_it_once(self, key) -> None:
        ContactFactory.create_batch(3, tenant=key.tenant)
        broadcast = draft(key.tenant)

        def send(_number: int) -> Answer:
            try:
                return Caller(key).post(f"broadcasts/{broadcast.pk}/send-now/")
            finally:
                connections.close_all()

        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(send, range(20)))
        assert [answer.status for answer in answers] == [200] * 20
        assert sorted(answer.body["already"] for answer in answers) == [False, *[True] * 19]
        assert BroadcastEvent.objects.filter(broadcast=broadcast, action="schedule").count() == 1
        run_worker()
        assert Delivery.objects.count() == 3

    def test_a_repeat_changes_nothing_and_says_so(self, call, key) -> None:
        ContactFactory(tenant=key.tenant)
        broadcast = draft(key.tenant)
        assert call.post(f"broadcasts/{broadcast.pk}/send-now/").body["already"] is False
        before = everything()
        answer = call.post(f"broadcasts/{broadcast.pk}/send-now/")
        assert (answer.status, answer.body["already"], answer.body["status"]) == (200, True, "scheduled")
        assert everything() == before

    def test_schedule_keeps_the_time_and_the_approval_and_another_time_needs_undo(self, call, key) -> None:
        ContactFactory(tenant=key.tenant)
        broadcast = draft(key.tenant)
        at = (timezone.now() + timedelta(days=1)).replace(microsecond=0)
        path = f"broadcasts/{broadcast.pk}"
        sent = call.post(f"{path}/schedule/", {"scheduled_at": at.isoformat()})
        assert (sent.status, datetime.fromisoformat(sent.body["due_at"])) == (200, at)
        assert call.post(f"{path}/schedule/", {"scheduled_at": at.isoformat()}).body["already"] is True
        moved = call.post(f"{path}/schedule/", {"scheduled_at": (at + timedelta(hours=1)).isoformat()})
        assert (moved.status, moved.body["code"]) == (409, "wrong_state")
        run_worker()
        broadcast.refresh_from_db()
        assert (broadcast.state, broadcast.scheduled_at) == (State.SCHEDULED, at.astimezone(UTC))
        assert call.post(f"{path}/undo/").body["status"] == "draft"

    def test_send_now_of_what_is_planned_for_later_goes_now(self, call, key) -> None:
        ContactFactory(tenant=key.tenant)
        broadcast = draft(key.tenant, scheduled_at=timezone.now() + timedelta(days=1))
        path = f"broadcasts/{broadcast.pk}/"
        assert call.post(f"{path}schedule/").status == 200
        first, second = (call.post(f"{path}send-now/") for _ in range(2))
        assert (first.body["already"], second.body["already"]) == (False, True)
        assert first.body["scheduled_at"] is None
        assert BroadcastEvent.objects.filter(action="hasten").count() == 1
        run_worker()
        broadcast.refresh_from_db()
        assert broadcast.state == State.SENDING

    @pytest.mark.parametrize(
        ("values", "body", "problem"),
        [
            ({}, {"scheduled_at": "2020-01-01T00:00:00Z"}, "The planned time has passed."),
            ({}, {"scheduled_at": LATER}, "more than a year ahead"),
            ({"audience": {"type": "channel", "channel": "nobody"}}, {}, "The audience is empty."),
            ({"title": "", "body": ""}, {}, "There is no message yet."),
            ({"title": "", "body": "", "template_code": "gone"}, {}, "is not published"),
            ({"channels": []}, {}, "No channel is chosen."),
            ({"channels": ["sms"]}, {}, "has no provider"),
            ({"body": "{{ contact.attributes.city }}"}, {}, "has no attributes.city"),
        ],
    )
    def test_what_blocks_it_is_said_and_nothing_is_half_done(self, call, key, values, body, problem: str) -> None:
        ContactFactory(tenant=key.tenant)
        broadcast = draft(key.tenant, **values)
        before = everything()
        answer = call.post(f"broadcasts/{broadcast.pk}/{'schedule' if body else 'send-now'}/", body)
        assert (answer.status, answer.body["code"]) == (409, "not_ready")
        assert [each for each in answer.body["problems"] if problem in each]
        assert everything() == before

    def test_schedule_without_any_time_is_400(self, call, key) -> None:
        answer = call.post(f"broadcasts/{draft(key.tenant).pk}/schedule/")
        assert (answer.status, [*answer.body]) == (400, ["scheduled_at", "code"])


class TestApproval:
    """From so many people on somebody else looks at it."""

    @pytest.fixture(autouse=True)
    def from_two_people_on(self, settings, key) -> None:
        settings.BROADCAST_APPROVAL_FROM = 2
        ContactFactory.create_batch(2, tenant=key.tenant)

    def test_another_approves_and_then_it_goes(self, call, key) -> None:
        staff("approve_broadcast")
        made = call.post("broadcasts/", {"title": "A", "body": "b", "audience": {"type": "all_users"}}).body
        path = f"broadcasts/{made['id']}/"
        refused = call.post(f"{path}send-now/")
        assert (refused.status, refused.body["code"]) == (409, "not_ready")
        assert "somebody else has to approve" in refused.body["problems"][0]
        assert call.post(f"{path}submit/").body["status"] == "awaiting_approval"
        ben = staff("approve_broadcast", "view_broadcast")
        seen = ben.post(f"{path}dry-run/").body["hash"]
        approved = ben.post(f"{path}approve/", {"hash": seen}).body
        assert approved["status"] == "approved"
        assert (approved["approval"]["approved_size"], approved["approval"]["approved_hash"]) == (2, seen)
        assert call.post(f"{path}send-now/").body["already"] is False

    @pytest.mark.parametrize("action", sorted(DECISIONS))
    def test_a_second_key_is_no_second_person(self, call, key, action: str) -> None:
        broadcast = draft(key.tenant)
        call.post(f"broadcasts/{broadcast.pk}/submit/")
        before = everything()
        other = Caller(ApiKeyFactory(tenant=key.tenant))
        answer = other.post(f"broadcasts/{broadcast.pk}/{action}/", body_of(action, broadcast))
        assert (answer.status, answer.body["code"]) == (403, "staff_only")
        assert everything() == before

    def test_nobody_approves_their_own(self, key) -> None:
        ana = staff("add_broadcast", "change_broadcast", "approve_broadcast")
        asked = {"title": "A", "body": "b", "audience": {"type": "all_users"}}
        made = Broadcast.objects.get(pk=ana.post(f"broadcasts/?tenant={key.tenant.slug}", asked).body["id"])
        ana.post(f"broadcasts/{made.pk}/submit/")
        own = ana.post(f"broadcasts/{made.pk}/approve/", body_of("approve", made))
        assert (own.status, own.body["code"]) == (403, "own_approval")

    def test_an_approved_one_that_is_scheduled_keeps_its_approval(self, call, key) -> None:
        staff("approve_broadcast")
        broadcast = draft(key.tenant)
        for action, caller in (("submit", call), ("approve", staff("approve_broadcast"))):
            assert caller.post(f"broadcasts/{broadcast.pk}/{action}/", body_of(action, broadcast)).status == 200
        at = (timezone.now() + timedelta(days=1)).isoformat()
        assert call.post(f"broadcasts/{broadcast.pk}/schedule/", {"scheduled_at": at}).body["status"] == "scheduled"

    @pytest.mark.parametrize(
        ("body", "status", "code"),
        [({}, 400, "invalid"), ({"hash": ""}, 400, "invalid"), ({"hash": "another"}, 409, "changed_meanwhile")],
    )
    def test_what_was_not_looked_at_is_not_approved(self, call, key, body, status: int, code: str) -> None:
        broadcast = draft(key.tenant)
        call.post(f"broadcasts/{broadcast.pk}/submit/")
        before = everything()
        answer = staff("approve_broadcast").post(f"broadcasts/{broadcast.pk}/approve/", body)
        assert (answer.status, answer.body["code"]) == (status, code)
        assert status == 409 or "dry-run" in answer.body["hash"][0]
        assert everything() == before

    def test_a_template_published_after_the_dry_run_is_not_approved(self, call, key) -> None:
        template = TemplateFactory(tenant=key.tenant, code="offer")
        broadcast = draft(key.tenant, title="", body="", template_code="offer")
        call.post(f"broadcasts/{broadcast.pk}/submit/")
        seen = call.post(f"broadcasts/{broadcast.pk}/dry-run/").body["hash"]
        words = {"en": ContentSource(subject="Other words", text="Hello.", locale="en")}
        template_publish(version=template_save_draft(template=template, contents=words, default_locale="en"))
        answer = staff("approve_broadcast").post(f"broadcasts/{broadcast.pk}/approve/", {"hash": seen})
        assert (answer.status, answer.body["code"]) == (409, "changed_meanwhile")

    @pytest.mark.parametrize(("typed", "goes"), [(None, False), (3, False), (2, True)])
    def test_where_nobody_could_approve_the_number_is_typed(self, call, key, typed, goes: bool) -> None:
        broadcast = draft(key.tenant)
        answer = call.post(f"broadcasts/{broadcast.pk}/send-now/", {"typed_count": typed} if typed else {})
        assert answer.status == (200 if goes else 409)
        assert goes or "Type the number" in answer.body["problems"][0]


class TestSteering:
    """What is on its way."""

    def test_speed_reaches_the_lanes(self, call, key) -> None:
        ContactFactory(tenant=key.tenant)
        broadcast = fan_out(key.tenant)
        assert call.post(f"broadcasts/{broadcast.pk}/speed/", {"pace_per_minute": 60}).body["pace_per_minute"] == 60
        assert Lane.objects.get(source=broadcast.source).pace_per_minute == 60
        for bad in ({}, {"pace_per_minute": 0}, {"pace_per_minute": "fast"}, {"speed": 5}):
            assert call.post(f"broadcasts/{broadcast.pk}/speed/", bad).status == 400

    def test_a_paused_one_makes_no_more_rows_until_it_is_resumed(self, call, key) -> None:
        ContactFactory(tenant=key.tenant)
        broadcast = fan_out(key.tenant)
        paused = call.post(f"broadcasts/{broadcast.pk}/pause/", {"reason": "Look first"})
        assert (paused.body["status"], paused.body["stop_reason"]) == ("paused", "Look first")
        assert claim() == []
        assert not fan_out_step(broadcast.pk).is_ours
        assert call.post(f"broadcasts/{broadcast.pk}/resume/").body["status"] == "sending"
        assert len(claim()) == 1

    def test_a_cause_is_tried_again_once(self, call, key) -> None:
        ContactFactory.create_batch(2, tenant=key.tenant)
        broadcast = fan_out(key.tenant)
        rows = claim()
        start(rows)
        finish(failed(rows[0], reason="render_error"))
        path = f"broadcasts/{broadcast.pk}/retry-failed/"
        asked = {"reason": "render_error", "channel": "ws", "pace_per_minute": 60}
        assert call.post(path, asked).body == {"moved": 1, "too_late": 0, "stopped": 0}
        assert call.post(path, asked).body == {"moved": 0, "too_late": 0, "stopped": 0}
        assert Delivery.objects.filter(replay_of__isnull=False).count() == 1

    def test_the_rest_follows_the_small_group_before_its_time_is_over(self, call, key) -> None:
        ContactFactory.create_batch(3, tenant=key.tenant)
        broadcast = fan_out(key.tenant, group_percent=100.0)
        answer = call.post(f"broadcasts/{broadcast.pk}/go-on/")
        assert (answer.status, answer.body["status"]) == (200, "sending")
        broadcast.refresh_from_db()
        assert (broadcast.is_group_pass, broadcast.group_ends_at) == (False, None)
        assert call.post(f"broadcasts/{broadcast.pk}/go-on/").body["code"] == "wrong_state"

    def test_it_is_taken_out_of_inboxes(self, call, key) -> None:
        ContactFactory.create_batch(2, tenant=key.tenant)
        broadcast = fan_out(key.tenant)
        send_all()
        assert call.post(f"broadcasts/{broadcast.pk}/recall/").body == {"removed": 2, "stopped": 0}
        assert call.post(f"broadcasts/{broadcast.pk}/recall/").body == {"removed": 0, "stopped": 0}
        assert not Delivery.objects.filter(recalled_at=None).exists()

    def test_the_missing_get_it_and_nobody_twice(self, call, key) -> None:
        ContactFactory(tenant=key.tenant)
        broadcast = fan_out(key.tenant)
        send_all()
        run_worker()
        path = f"broadcasts/{broadcast.pk}/send-missing/"
        assert call.post(path).body == {"missing": 0}
        ContactFactory(tenant=key.tenant)
        assert call.post(path).body == {"missing": 1}
        run_worker()
        assert Delivery.objects.count() == 2

    def test_for_an_audience_that_is_gone_nobody_is_missing_and_it_says_why(self, call, key) -> None:
        segment = AudienceFactory(tenant=key.tenant, members=[ContactFactory(tenant=key.tenant).user_id])
        broadcast = fan_out(key.tenant, audience={"type": "audience", "id": segment.pk})
        send_all()
        run_worker()
        segment.delete()
        before = everything()
        answer = call.post(f"broadcasts/{broadcast.pk}/send-missing/")
        assert (answer.status, answer.body["code"]) == (409, "not_ready")
        assert "There is no audience" in answer.body["problems"][0]
        assert everything() == before


class TestChecking:
    """Who would get it, and a test for one's own eyes."""

    def test_the_dry_run_counts_says_why_and_shows_samples(self, call, key) -> None:
        gets = ContactFactory(tenant=key.tenant, name="Ana")
        ContactFactory(tenant=key.tenant, email="")
        broadcast = draft(key.tenant, channels=["email"], pace_per_minute=60)
        body = call.post(f"broadcasts/{broadcast.pk}/dry-run/").body
        assert (body["people"], body["reached"], body["messages"], body["will"]) == (2, 1, 1, {"email": 1})
        assert body["wont"] == [{"channel": "email", "reason": "no_address", "count": 1}]
        assert (body["seconds"], body["blockers"], body["needs_approval"]) == (1.0, [], False)
        assert {(each["user_id"] == str(gets.user_id), each["reason"]) for each in body["samples"]} == {
            (True, ""), (False, "no_address"),
        }  # fmt: skip

    def test_who_may_not_see_contacts_sees_no_samples(self, key) -> None:
        ContactFactory(tenant=key.tenant)
        broadcast = draft(key.tenant)
        only = Caller(ApiKeyFactory(tenant=key.tenant, scopes=[ApiKey.Scope.BROADCASTS]))
        body = only.post(f"broadcasts/{broadcast.pk}/dry-run/").body
        assert (body["reached"], body["samples"]) == (1, None)

    def test_a_draft_that_is_far_from_ready_says_what_blocks_it(self, call, key) -> None:
        broadcast = draft(key.tenant, title="", body="", channels=[], audience={})
        body = call.post(f"broadcasts/{broadcast.pk}/dry-run/").body
        assert (body["people"], body["samples"], len(body["blockers"])) == (0, [], 3)

    def test_a_dry_run_that_takes_too_long_is_stopped(self, call, key, settings, monkeypatch) -> None:
        settings.AUDIENCE_COUNT_TIMEOUT_SECONDS = 0.05
        slow = Condition("(SELECT true FROM pg_sleep(60))")
        monkeypatch.setattr("broadcasts.check.audience_condition", lambda *_, **__: slow)
        ContactFactory(tenant=key.tenant)
        broadcast = draft(key.tenant)
        answer = call.post(f"broadcasts/{broadcast.pk}/dry-run/")
        assert (answer.status, answer.body["code"]) == (503, "too_slow")

    def test_a_test_goes_to_an_address_that_is_nobodys(self, call, key) -> None:
        broadcast = draft(key.tenant)
        path = f"broadcasts/{broadcast.pk}/test-send/"
        answer = call.post(path, {"channel": "email", "to": "me@example.org"})
        assert (answer.status, answer.body["status"], answer.body["detail"]) == (200, "PENDING", "")
        [row] = claim(channel="email")
        delivery = Delivery.objects.get(job_id=answer.body["job_id"])
        assert (row.id, delivery.is_test, delivery.entrance) == (delivery.pk, False, f"api:{key.prefix}")
        assert (delivery.content["title"], delivery.content["to"]) == ("[Test] News", "me@example.org")
        event = BroadcastEvent.objects.get(action="test")
        assert event.after == {"channel": "email", "to": "me@example.org"}

    def test_a_test_reaches_a_contact_as_they_would_read_it(self, call, key) -> None:
        ana = ContactFactory(tenant=key.tenant, name="Ana")
        broadcast = draft(key.tenant)
        path = f"broadcasts/{broadcast.pk}/test-send/"
        assert call.post(path, {"channel": "ws", "user_id": str(ana.user_id)}).status == 200
        row = Delivery.objects.get()
        assert (row.user_id, row.content["body"]) == (ana.user_id, "Hello Ana")
        assert call.post(path, {"channel": "ws", "user_id": str(ContactFactory().user_id)}).status == 404
        assert call.post(path, {"channel": "ws", "to": "x"}).body["user_id"]
        assert call.post(path, {"channel": "email", "to": "nobody"}).body["to"]
        assert Delivery.objects.count() == 1

    def test_of_words_that_hide_personal_data_no_real_persons_test_is_made(self, call, key) -> None:
        TemplateFactory(tenant=key.tenant, code="code", hides_personal_data=True)
        ana = ContactFactory(tenant=key.tenant)
        broadcast = draft(key.tenant, title="", body="", template_code="code")
        asked = {"channel": "ws", "user_id": str(ana.user_id)}
        answer = call.post(f"broadcasts/{broadcast.pk}/test-send/", asked)
        assert (answer.status, answer.body["code"]) == (409, "not_ready")
        assert not Delivery.objects.exists()


PERMISSIONS = {
    "submit": "change_broadcast", "withdraw": "change_broadcast", "edit-again": "change_broadcast", "approve": "approve_broadcast",
    "reject": "approve_broadcast", "dry-run": "view_broadcast", "duplicate": "add_broadcast", "test-send": "change_broadcast",
}  # fmt: skip


@pytest.mark.parametrize("action", list(ACTIONS))
def test_each_action_asks_for_its_permission_and_a_csrf_token(tenant, action: str) -> None:
    ContactFactory(tenant=tenant)
    broadcast = draft(tenant)
    path, wanted = f"broadcasts/{broadcast.pk}/{action}/", PERMISSIONS.get(action, "send_broadcast")
    before = everything()
    others = {
        "view_broadcast",
        "add_broadcast",
        "change_broadcast",
        "delete_broadcast",
        "approve_broadcast",
        "send_broadcast",
    }
    answer = staff(*(others - {wanted})).post(path, BODIES.get(action))
    assert (answer.status, answer.body["code"]) == (403, "permission_required")
    assert wanted in answer.body["detail"]
    shut = staff(wanted, csrf=True).post(path, BODIES.get(action))
    assert (shut.status, "CSRF" in shut.body["detail"]) == (403, True)
    assert everything() == before
    if action != "test-send":
        assert staff(wanted).post(path, BODIES.get(action)).status in (200, 201, 409)


@pytest.mark.parametrize("path", ["", "1/", "1/send-now/", "1/recipients.csv", "1/events/", "1/left-out/"])
def test_a_key_without_the_scope_gets_in_nowhere(path: str) -> None:
    powerless = Caller(ApiKeyFactory(scopes=[ApiKey.Scope.JOBS, ApiKey.Scope.DELIVERIES]))
    method = "POST" if path.endswith("now/") else "GET"
    answer = powerless(method, f"broadcasts/{path}")
    assert (answer.status, answer.body["code"]) == (403, "scope_required")


def test_a_get_never_acts(call, key) -> None:
    broadcast = draft(key.tenant)
    assert {call.get(f"broadcasts/{broadcast.pk}/{action}/").status for action in ACTIONS} == {405}
