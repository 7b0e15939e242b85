"""/api/broadcasts/: list, create, read, edit, delete, duplicate, history, who was left out, results; and 001's addresses."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from broadcasts.models import Broadcast, BroadcastEvent
from broadcasts.states import State
from deliveries.channels import Status
from deliveries.models import ApiKey, Delivery
from tests.api import Answer, Caller, staff
from tests.factories import ApiKeyFactory, ContactFactory, TemplateFactory
from tests.lifecycle import claim, failed, finish, send_all, start
from tests.mass import ANA, draft, fan_out, run_worker

pytestmark = pytest.mark.django_db(transaction=True)

OF_001 = "/v1/admin/notifications/broadcasts"
NEW = {"title": "Feature launch", "body": "We are live!", "created_by": "ops", "audience": {"type": "all_users"}}


def created(call: Caller, **values: Any) -> dict[str, Any]:
    answer = call.post("broadcasts/", {**NEW, **values})
    assert answer.status == 201, answer
    body: dict[str, Any] = answer.body
    return body


def table(response: Any) -> list[dict[str, str]]:
    text = b"".join(response.streaming_content).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text)))


class TestWriting:
    """Drafts by REST."""

    def test_the_body_of_001_makes_a_draft_for_the_inbox_by_who_calls(self, call, key) -> None:
        made = created(call)
        assert (made["status"], made["channels"], made["name"], made["title"]) == (
            "draft",
            ["ws"],
            *2 * ["Feature launch"],
        )
        assert (made["created_by"], made["total"], made["sent"], made["failed"]) == (f"key:{key.prefix}", 0, 0, 0)
        assert BroadcastEvent.objects.get().note == "created_by: ops"
        assert call.get(f"broadcasts/{made['id']}/").body == made

    def test_everything_that_a_person_writes_can_be_given_and_is_read_again(self, call, key) -> None:
        TemplateFactory(tenant=key.tenant, code="launch")
        values = {
            "name": "Launch", "template_code": "launch", "title": "", "body": "", "data": {"city": "Rome"}, "reach": "first",
            "contact_fallbacks": {"name": "friend"}, "skip_missing": ["attributes.city"], "channels": ["email", "sms"],
            "category": "news", "priority": "high", "scheduled_at": "2030-01-01T10:00:00Z", "time_zone": "Europe/Berlin",
            "expires_at": "2030-01-02T10:00:00Z", "pace_per_minute": 600, "group_size": 10, "group_percent": None,
            "group_minutes": 5, "group_failure_percent": 2.5, "audience": {"type": "channel", "channel": "news"},
        }  # fmt: skip
        made = created(call, **values)
        assert {field: made[field] for field in values} == values

    @pytest.mark.parametrize(
        ("values", "field"),
        [
            ({"pace_per_minut": 5}, "pace_per_minut"),
            ({"pace_per_minute": 0}, "pace_per_minute"),
            ({"channels": ["fax"]}, "channels"),
            ({"channels": ["ws", "ws"]}, "channels"),
            ({"audience": {"type": "nobody"}}, "audience"),
            ({"audience": "all"}, "audience"),
            ({"template_code": "welcome"}, "template_code"),
            ({"time_zone": "Mars/Base"}, "time_zone"),
            ({"scheduled_at": "tomorrow"}, "scheduled_at"),
            ({"data": {"1": 2}}, "data"),
            ({"contact_fallbacks": {"shoe": "42"}}, "contact_fallbacks"),
            ({"group_size": 5, "group_percent": 5}, "group_percent"),
            ({"priority": 1}, "priority"),
            ({"title": 5}, "title"),
        ],
    )
    def test_what_is_wrong_in_itself_is_400_by_field_and_nothing_is_stored(self, call, values, field) -> None:
        answer = call.post("broadcasts/", {**NEW, **values})
        assert (answer.status, answer.body["code"]) == (400, "invalid")
        assert answer.body[field]
        assert not Broadcast.objects.exists()

    def test_an_edit_changes_what_is_given_and_the_second_of_two_is_told(self, call) -> None:
        made = created(call)
        path = f"broadcasts/{made['id']}/"
        saved = call("PATCH", path, {"title": "New", "revision": made["revision"]})
        assert (saved.status, saved.body["title"], saved.body["body"], saved.body["revision"]) == (
            200,
            "New",
            NEW["body"],
            2,
        )
        late = call("PATCH", path, {"title": "Newer", "revision": made["revision"]})
        assert (late.status, late.body["code"], late.body["revision"]) == (409, "changed_meanwhile", 2)
        again = call("PATCH", path, {"title": "New", "revision": 2})
        assert (again.status, again.body["revision"]) == (200, 2)
        assert BroadcastEvent.objects.filter(action="edit").count() == 1

    def test_only_a_draft_is_deleted_and_staff_are_noted(self, tenant) -> None:
        someone = staff(superuser=True)
        first, second = draft(tenant), draft(tenant)
        Broadcast.objects.filter(pk=second.pk).update(state=State.AWAITING_APPROVAL)
        assert someone("DELETE", f"broadcasts/{first.pk}/").status == 204
        answer = someone("DELETE", f"broadcasts/{second.pk}/")
        assert (answer.status, answer.body["code"], answer.body["status"]) == (409, "wrong_state", "awaiting_approval")
        assert list(Broadcast.objects.all()) == [second]
        assert [entry.object_id for entry in LogEntry.objects.all()] == [str(first.pk)]

    def test_a_copy_has_the_words_and_no_times(self, call, key) -> None:
        made = created(call, scheduled_at="2030-01-01T10:00:00Z", pace_per_minute=60)
        copy = call.post(f"broadcasts/{made['id']}/duplicate/")
        assert copy.status == 201
        kept = ("title", "body", "audience", "pace_per_minute", "created_by")
        assert {name: copy.body[name] for name in kept} == {name: made[name] for name in kept}
        assert (copy.body["name"], copy.body["scheduled_at"]) == ("Copy of Feature launch", None)


class TestReading:
    """Lists, figures, history, results."""

    def test_filters(self, call, key) -> None:
        news, sale = created(call, name="News"), created(call, title="Big Sale", name="")
        ContactFactory(tenant=key.tenant)
        fan_out(key.tenant, name="Others")

        def ids(query: str) -> list[int]:
            return [row["id"] for row in call.get(f"broadcasts/?{query}").body["results"]]

        assert ids("status=draft") == [sale["id"], news["id"]]
        assert len(ids("status=draft&status=sending")) == 3
        assert ids(f"created_by=key:{key.prefix}") == [sale["id"], news["id"]]
        assert ids("q=sale") == [sale["id"]]
        assert call.get("broadcasts/?state=draft").body["code"] == "unknown_parameter"
        assert call.get("broadcasts/?status=sent").status == 400

    def test_pages_lead_on_and_back(self, call, key) -> None:
        made = [draft(key.tenant).pk for _ in range(5)]
        first = call.get("broadcasts/?limit=2").body
        second = call.get(first["next"]).body
        assert [row["id"] for row in first["results"] + second["results"]] == made[::-1][:4]
        assert call.get(second["previous"]).body["results"] == first["results"]

    def test_queries_do_not_grow_with_broadcasts_or_people(self, call, key, django_assert_num_queries) -> None:
        taken = []
        for many in (5, 45):
            for _ in range(many):
                broadcast = draft(key.tenant)
            for path in ("broadcasts/?limit=200", f"broadcasts/{broadcast.pk}/"):
                with CaptureQueriesContext(connection) as queries:
                    assert call.get(path).status == 200
                taken.append(len([each for each in queries.captured_queries if "apikey" not in each["sql"]]))
        assert taken == [1, 1, 1, 1]

    def test_figures_are_those_that_were_counted(self, call, key) -> None:
        ContactFactory.create_batch(3, tenant=key.tenant)
        ContactFactory(tenant=key.tenant, opted_out=["ws"])
        broadcast = fan_out(key.tenant)
        [first] = claim(limit=1)
        start([first])
        finish(failed(first, reason="render_error"))
        send_all()
        run_worker()
        body = call.get(f"broadcasts/{broadcast.pk}/").body
        assert (body["status"], body["total"], body["sent"], body["failed"]) == ("completed", 3, 2, 1)
        assert body["left_out"] == {"opted_out": 1}
        assert body["by_channel"] == {"ws": {"sent": 2, "failed": 1}}
        assert body["causes"] == [{"reason": "render_error", "channel": "ws", "count": 1}]

    def test_its_history_says_who_when_and_from_where(self, tenant) -> None:
        someone = staff(superuser=True)
        broadcast = draft(tenant)
        someone("PATCH", f"broadcasts/{broadcast.pk}/", {"title": "New"})
        edit, create = someone.get(f"broadcasts/{broadcast.pk}/events/").body["results"]
        assert (create["action"], create["actor"], create["address"]) == ("create", ANA.name, "")
        assert (edit["action"], edit["before"], edit["after"]) == ("edit", {"title": "News"}, {"title": "New"})
        assert edit["address"] == "127.0.0.1"
        assert BroadcastEvent.objects.get(action="edit").staff is not None

    def test_who_was_left_out_in_pages_by_reason(self, call, key) -> None:
        ContactFactory(tenant=key.tenant)
        people = ContactFactory.create_batch(4, tenant=key.tenant, email="", opted_out=["ws"])
        broadcast = fan_out(key.tenant, channels=["ws", "email"])
        path = f"broadcasts/{broadcast.pk}/left-out/"
        seen, address = [], f"{path}?limit=3"
        while address:
            page = call.get(address).body
            seen += page["results"]
            last, address = page, page["next"]
        wanted = [
            (str(each.user_id), *why) for each in people for why in (("email", "no_address"), ("ws", "opted_out"))
        ]
        assert [tuple(row.values()) for row in seen] == wanted
        before = call.get(last["previous"]).body
        assert before["results"] == seen[3:6]
        assert call.get(before["previous"]).body["results"] == seen[:3]
        assert len(call.get(f"{path}?reason=no_address").body["results"]) == 4
        assert call.get(f"{path}?cursor=eA").body["code"] == "invalid_cursor"

    def test_results_as_a_table_that_no_spreadsheet_runs(self, call, key) -> None:
        good = ContactFactory(tenant=key.tenant)
        bad = ContactFactory(tenant=key.tenant)
        out = ContactFactory(tenant=key.tenant, opted_out=["ws"])
        broadcast = fan_out(key.tenant)
        for row in claim():
            start([row])
            finish(failed(row, reason="render_error") if row.user_id == bad.user_id else failed(row))
        Delivery.objects.filter(user_id=good.user_id).update(address="=HYPERLINK(1)")
        response = call.client.get(
            f"/api/broadcasts/{broadcast.pk}/recipients.csv", headers={**call.headers, "Accept": "text/csv"}
        )
        assert response["Content-Disposition"] == f'attachment; filename="broadcast-{broadcast.pk}.csv"'
        rows = {row["user_id"]: row for row in table(response)}
        assert rows.keys() == {str(each.user_id) for each in (good, bad, out)}
        assert rows[str(good.user_id)]["address"] == "'=HYPERLINK(1)"
        assert (rows[str(bad.user_id)]["status"], rows[str(bad.user_id)]["reason"]) == ("FAILED", "render_error")
        assert (rows[str(out.user_id)]["status"], rows[str(out.user_id)]["reason"]) == ("LEFT_OUT", "opted_out")

    def test_the_table_holds_addresses_so_it_asks_for_more(self, key) -> None:
        broadcast = draft(key.tenant)
        path = f"broadcasts/{broadcast.pk}/recipients.csv"
        only = Caller(ApiKeyFactory(tenant=key.tenant, scopes=[ApiKey.Scope.BROADCASTS]))
        assert only.get(path).body["code"] == "scope_required"
        assert staff("view_broadcast").get(path).status == 403


class TestAddressesOf001:
    """The same views under /v1/, in 001's words."""

    @pytest.mark.parametrize("digits", [18, 19, 5000])
    def test_a_number_of_any_length_names_nothing(self, call, digits: int) -> None:
        assert call.get(f"{OF_001}/{'9' * digits}").status == 404
        assert call.post(f"{OF_001}/{'9' * digits}/actions/pause").status == 404

    def test_create_with_a_time_schedules_it_and_send_now_brings_it_forward(self, call, key) -> None:
        ContactFactory(tenant=key.tenant)
        at = timezone.now() + timedelta(days=1)
        made = call.post(OF_001, {**NEW, "scheduled_at": at.isoformat()})
        assert (made.status, made.body["status"], made.body["problems"]) == (201, "scheduled", [])
        path = f"{OF_001}/{made.body['id']}"
        sent = call.post(f"{path}/actions/send-now")
        assert (sent.status, sent.body["already"]) == (200, False)
        assert sent.body["due_at"] < at.isoformat()
        run_worker()
        send_all()
        run_worker()
        done = call.get(path).body
        assert (done["status"], done["total"], done["sent"], done["failed"]) == ("sent", 1, 1, 0)
        assert call.get(f"broadcasts/{done['id']}/").body["status"] == "completed"
        refused = call.post(f"{path}/actions/pause")
        assert (refused.status, refused.body["code"], refused.body["status"]) == (409, "wrong_state", "sent")

    def test_what_cannot_be_scheduled_stays_a_draft_and_says_why(self, call) -> None:
        made = call.post(OF_001, {**NEW, "scheduled_at": "2020-01-01T00:00:00Z"})
        assert (made.status, made.body["status"]) == (201, "draft")
        assert "The planned time has passed." in made.body["problems"][0]

    def test_staff_without_the_permission_to_send_only_write(self, tenant) -> None:
        ContactFactory(tenant=tenant)
        at = (timezone.now() + timedelta(days=1)).isoformat()
        made = staff("add_broadcast").post(OF_001, {**NEW, "scheduled_at": at})
        assert (made.status, made.body["status"], len(made.body["problems"])) == (201, "draft", 1)

    @pytest.mark.parametrize("path", ["", "/nothing", "/1/actions/nothing"])
    def test_slashes_are_as_one_likes_and_the_unknown_is_json(self, call, path) -> None:
        assert call.get(f"{OF_001}/").status == call.get(OF_001).status == 200
        if path:
            answer: Answer = call.get(OF_001 + path)
            assert (answer.status, answer.body["code"]) == (404, "not_found")

    def test_the_csrf_token_comes_under_001s_name_and_must_be_there(self, tenant) -> None:
        someone = staff(superuser=True, csrf=True)
        refused = someone.post(OF_001, NEW)
        assert (refused.status, "CSRF" in refused.body["detail"]) == (403, True)
        assert not Broadcast.objects.exists()
        someone.client.cookies["csrftoken"] = token = "a" * 32
        assert someone.post(OF_001, NEW, X_CSRF_Token=token).status == 201
        assert someone.post("broadcasts/", NEW, X_CSRF_Token=token).status == 403


class TestTestKeys:
    """What a test key makes reaches nobody, and it touches nothing else."""

    def test_what_it_sends_is_a_test_in_every_row(self, key) -> None:
        ContactFactory(tenant=key.tenant)
        test = Caller(ApiKeyFactory(tenant=key.tenant, mode=ApiKey.Mode.TEST))
        made = created(test)
        assert made["is_test"] is True
        assert test.post(f"broadcasts/{made['id']}/send-now/").status == 200
        run_worker()
        assert [(row.is_test, row.status) for row in Delivery.objects.all()] == [(True, Status.PENDING)]

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("PATCH", ""),
            ("DELETE", ""),
            ("POST", "send-now/"),
            ("POST", "cancel/"),
            ("POST", "approve/"),
            ("POST", "speed/"),
        ],
    )
    def test_it_changes_no_live_one(self, key, method: str, path: str) -> None:
        broadcast = draft(key.tenant)
        test = Caller(ApiKeyFactory(tenant=key.tenant, mode=ApiKey.Mode.TEST))
        answer = test(method, f"broadcasts/{broadcast.pk}/{path}", {} if method != "DELETE" else None)
        assert (answer.status, answer.body["code"]) == (403, "test_key")
        assert test.get(f"broadcasts/{broadcast.pk}/").status == 200
        copy = test.post(f"broadcasts/{broadcast.pk}/duplicate/").body
        assert copy["is_test"] is True
