"""/api/deliveries/: filters, keyset pages, one delivery with its timeline, replay and cancel."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlencode
from uuid import uuid4

import pytest
from django.contrib.admin.models import LogEntry
from django.utils import timezone

from deliveries.lifecycle import hold_place
from deliveries.models import Delivery
from tests.api import Caller, a_job, staff
from tests.factories import ApiKeyFactory, ContactFactory, DeliveryAttemptFactory, DeliveryFactory, TenantFactory

pytestmark = pytest.mark.django_db


def found(call: Caller, **query: object) -> set[str]:
    answer = call.get("deliveries/?" + urlencode(query, doseq=True))
    assert answer.status == 200, answer
    return {row["job_id"] for row in answer.body["results"]}


def ids(*rows: Delivery) -> set[str]:
    return {str(row.job_id) for row in rows}


class TestFilters:
    """Every filter finds what it names and nothing else."""

    def test_without_a_filter_all_of_the_tenant_newest_first(self, call, key) -> None:
        rows = [DeliveryFactory(tenant=key.tenant) for _ in range(3)]
        DeliveryFactory()
        answer = call.get("deliveries/").body
        assert [row["job_id"] for row in answer["results"]] == [str(row.job_id) for row in reversed(rows)]
        assert (answer["next"], answer["previous"]) == (None, None)

    def test_status_may_be_repeated(self, call, key) -> None:
        sent, failed = DeliveryFactory(tenant=key.tenant, sent=True), DeliveryFactory(tenant=key.tenant, failed=True)
        DeliveryFactory(tenant=key.tenant)
        assert found(call, status="SENT") == ids(sent)
        assert found(call, status=["SENT", "FAILED"]) == ids(sent, failed)

    @pytest.mark.parametrize("field", ["channel", "user_id", "job_id", "template_code", "reason"])
    def test_one_field(self, call, key, field: str) -> None:
        values = {"channel": "sms", "template_code": "welcome", "reason": "smtp_550"}
        row = DeliveryFactory(tenant=key.tenant, **({field: values[field]} if field in values else {}))
        DeliveryFactory(tenant=key.tenant)
        assert found(call, **{field: getattr(row, field)}) == ids(row)

    def test_address_finds_the_persons_deliveries_also_those_that_wait(self, call, key) -> None:
        ana = ContactFactory(tenant=key.tenant, email="Ana.Maria@example.com", phone="+4915112345678")
        rows = [DeliveryFactory(tenant=key.tenant, user_id=ana.user_id, **trait) for trait in ({}, {"sent": True})]
        DeliveryFactory(tenant=key.tenant)
        DeliveryFactory(user_id=ana.user_id)
        assert found(call, address="ana.maria@EXAMPLE.com") == ids(*rows)
        assert found(call, address="+4915112345678") == ids(*rows)
        assert found(call, address="nobody@example.com") == set()

    def test_times_bound_from_and_before(self, call, key) -> None:
        now = timezone.now()
        rows = [DeliveryFactory(tenant=key.tenant, accepted_at=now - timedelta(hours=hours)) for hours in (3, 2, 1)]
        bounds = {"accepted_after": rows[1].accepted_at.isoformat(), "accepted_before": rows[2].accepted_at.isoformat()}
        assert found(call, **bounds) == ids(rows[1])

    def test_has_problem_is_whatever_has_a_reason(self, call, key) -> None:
        good = DeliveryFactory(tenant=key.tenant, sent=True)
        bad = [DeliveryFactory(tenant=key.tenant, **{trait: True}) for trait in ("failed", "retrying", "suppressed")]
        assert found(call, has_problem="true") == ids(*bad)
        assert found(call, has_problem="false") == ids(good)

    def test_all_conditions_must_hold(self, call, key) -> None:
        row = DeliveryFactory(tenant=key.tenant, sent=True, channel="ws")
        DeliveryFactory(tenant=key.tenant, sent=True)
        DeliveryFactory(tenant=key.tenant, channel="ws")
        assert found(call, status="SENT", channel="ws") == ids(row)

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ("status=sent", "status"), ("user_id=7", "user_id"), ("job_id=%00", "job_id"), ("reason=%00", "reason"),
            ("accepted_after=2026-01-01", "accepted_after"), ("accepted_before=yesterday", "accepted_before"),
            ("has_problem=maybe", "has_problem"), ("limit=0", "detail"), ("limit=201", "detail"), ("limit=x", "detail"),
            ("limit=", "detail"), ("state=SENT", "detail"), ("address=" + "a" * 321, "address"), ("user_id=", "user_id"),
            ("status=", "status"), ("reason=a&reason=b", "detail"),
        ],
    )  # fmt: skip
    def test_a_wrong_parameter_is_named(self, call, query: str, field: str) -> None:
        answer = call.get(f"deliveries/?{query}")
        assert answer.status == 400
        assert answer.body["code"]
        assert field in answer.body

    @pytest.mark.parametrize(
        ("query", "code"),
        [
            ("cursor=x", "invalid_cursor"), ("cursor=", "invalid_cursor"), ("cursor=bzk5OTk5OTk5OTk5OTk5OTk5OTk", "invalid_cursor"),
            ("cursor=bzA", "invalid_cursor"), ("tenant=nobody", "unknown_tenant"), ("tenant=%00", "unknown_tenant"),
        ],
    )  # fmt: skip
    def test_a_page_or_tenant_that_is_not_there_is_404(self, call, query: str, code: str) -> None:
        answer = call.get(f"deliveries/?{query}")
        assert (answer.status, answer.body["code"]) == (404, code)


class TestPages:
    """Keyset pages: no row twice, none left out, also while rows come in."""

    def test_next_and_previous_walk_all_rows_once(self, call, key) -> None:
        rows = [DeliveryFactory(tenant=key.tenant, sent=n % 2 == 0) for n in range(7)]
        DeliveryFactory(sent=True)
        seen, address = [], "deliveries/?status=SENT&limit=2"
        while address:
            answer = call.get(address).body
            seen += [row["job_id"] for row in answer["results"]]
            DeliveryFactory(tenant=key.tenant, sent=True)
            back, address = answer["previous"], answer["next"]
        assert seen == [str(row.job_id) for row in reversed(rows) if row.status == "SENT"]
        before = call.get(back).body
        assert [row["job_id"] for row in before["results"]] == seen[:2]
        assert before["previous"] is not None

    def test_a_page_takes_three_queries_however_many_rows(self, call, key, django_assert_num_queries) -> None:
        old = DeliveryFactory(tenant=key.tenant, failed=True)
        ContactFactory(tenant=key.tenant, user_id=old.user_id, email="ana@example.com")
        for _ in range(9):
            DeliveryFactory(tenant=key.tenant, replay_of=old, user_id=old.user_id)
        call.get("deliveries/")  # writes last_used_at
        for query in ("", "?limit=1", "?address=ana@example.com&has_problem=false&channel=email"):
            with django_assert_num_queries(3):
                assert call.get(f"deliveries/{query}").body["results"]

    def test_what_is_on_hold_says_who_keeps_it_since_when_and_why(self, call, key) -> None:
        DeliveryFactory(tenant=key.tenant, template_code="order", sent=True)
        waiting = DeliveryFactory(tenant=key.tenant, template_code="order")
        DeliveryFactory(tenant=key.tenant)
        hold_place(by="ana", reason="wrong price", template_code="order")
        held = {row["job_id"]: row["on_hold"] for row in call.get("deliveries/").body["results"]}
        assert [value for value in held.values() if value] == [held[str(waiting.job_id)]]
        for asked, ids in (("true", {str(waiting.job_id)}), ("false", held.keys() - {str(waiting.job_id)})):
            assert {row["job_id"] for row in call.get(f"deliveries/?on_hold={asked}").body["results"]} == ids
        assert (held[str(waiting.job_id)]["by"], held[str(waiting.job_id)]["reason"]) == ("ana", "wrong price")
        one = call.get(f"deliveries/{waiting.job_id}/").body
        assert one["on_hold"] == held[str(waiting.job_id)]
        assert (one["timeline"][-1]["kind"], one["timeline"][-1]["detail"]) == ("held", "By ana: wrong price")


class TestOne:
    """One delivery."""

    def test_it_tells_what_it_carries_and_its_story(self, call, key) -> None:
        row = DeliveryFactory(tenant=key.tenant, retrying=True, data={"name": "Ana"}, priority=0)
        DeliveryAttemptFactory(delivery=row)
        body = call.get(f"deliveries/{row.job_id}/").body
        assert (body["job_id"], body["status"], body["priority"], body["data"]) == (
            str(row.job_id), "RETRYING", "high", {"name": "Ana"},
        )  # fmt: skip
        assert [event["kind"] for event in body["timeline"]] == ["accepted", "attempt_failed", "waiting"]
        assert body["timeline"][1]["facts"]["provider"] == "smtp"

    def test_it_takes_a_constant_number_of_queries(self, call, key, django_assert_num_queries) -> None:
        row = DeliveryFactory(tenant=key.tenant, failed=True, attempts=3)
        for number in (1, 2, 3):
            DeliveryAttemptFactory(delivery=row, number=number)
        call.get("deliveries/")
        with django_assert_num_queries(5):
            assert call.get(f"deliveries/{row.job_id}/").status == 200

    def test_unknown_foreign_and_malformed_ids_are_404(self, call) -> None:
        for job_id in (uuid4(), DeliveryFactory().job_id, "x", str(uuid4()).upper()):
            assert call.get(f"deliveries/{job_id}/").status == 404

    def test_staff_are_asked_for_the_tenant_where_two_have_the_id(self) -> None:
        first, second = DeliveryFactory(), DeliveryFactory()
        Delivery.objects.filter(pk=second.pk).update(job_id=first.job_id)
        someone = staff("view_delivery")
        answer = someone.get(f"deliveries/{first.job_id}/")
        assert (answer.status, answer.body["code"]) == (409, "ambiguous")
        chosen = someone.get(f"deliveries/{first.job_id}/?tenant={second.tenant.slug}").body
        assert chosen["tenant"] == second.tenant.slug


class TestReplay:
    """Send again."""

    @pytest.mark.parametrize("trait", ["sent", "failed", "suppressed", "cancelled", "expired"])
    def test_what_is_over_gets_a_new_delivery_and_stays_as_it_was(self, call, key, trait: str) -> None:
        row = DeliveryFactory(tenant=key.tenant, **{trait: True})
        answer = call.post(f"deliveries/{row.job_id}/replay/")
        assert answer.status == 201
        new = Delivery.objects.get(job_id=answer.body["job_id"])
        assert (new.status, new.replay_of, new.tenant) == ("PENDING", row, key.tenant)
        assert new.entrance == f"replay:key:{key.prefix}"
        row.refresh_from_db()
        assert row.status == trait.upper()
        assert call.get(f"deliveries/{new.job_id}/").body["replay_of"] == str(row.job_id)

    @pytest.mark.parametrize("trait", ["retrying", "sending", None])
    def test_what_is_open_is_409_with_its_state(self, call, key, trait: str | None) -> None:
        row = DeliveryFactory(tenant=key.tenant, **({trait: True} if trait else {}))
        answer = call.post(f"deliveries/{row.job_id}/replay/")
        assert (answer.status, answer.body["code"], answer.body["status"]) == (409, "not_finished", row.status)
        assert Delivery.objects.filter(tenant=key.tenant).count() == 1

    def test_a_second_click_makes_no_second_copy(self, call, key) -> None:
        row = DeliveryFactory(tenant=key.tenant, failed=True)
        call.post(f"deliveries/{row.job_id}/replay/")
        answer = call.post(f"deliveries/{row.job_id}/replay/")
        assert (answer.status, answer.body["code"]) == (409, "replay_under_way")
        assert Delivery.objects.filter(replay_of=row).count() == 1

    @pytest.mark.parametrize(("channel", "code"), [("fax", "unknown_channel"), ("sms", "channel_unavailable")])
    def test_what_no_sender_would_take_is_409(self, call, key, channel: str, code: str) -> None:
        row = DeliveryFactory(tenant=key.tenant, failed=True, channel=channel)
        answer = call.post(f"deliveries/{row.job_id}/replay/")
        assert (answer.status, answer.body["code"]) == (409, code)
        assert not Delivery.objects.filter(replay_of=row).exists()

    def test_what_would_be_too_late_is_409(self, call, key) -> None:
        row = DeliveryFactory(tenant=key.tenant, expired=True, expires_at=timezone.now() - timedelta(hours=1))
        answer = call.post(f"deliveries/{row.job_id}/replay/")
        assert (answer.status, answer.body["code"]) == (409, "too_late")


class TestCancel:
    """Cancel what waits."""

    @pytest.mark.parametrize("trait", ["retrying", None])
    def test_what_waits_is_cancelled_once_and_may_be_asked_again(self, call, key, trait: str | None) -> None:
        row = DeliveryFactory(tenant=key.tenant, **({trait: True} if trait else {}))
        path = f"deliveries/{row.job_id}/cancel/"
        assert call.post(path).body == {"job_id": str(row.job_id), "status": "CANCELLED", "changed": True}
        assert call.post(path).body["changed"] is False
        row.refresh_from_db()
        assert (row.status, row.error_message) == ("CANCELLED", f"Cancelled by key:{key.prefix}")

    @pytest.mark.parametrize("trait", ["sending", "sent", "failed"])
    def test_what_does_not_wait_is_409_with_its_state(self, call, key, trait: str) -> None:
        row = DeliveryFactory(tenant=key.tenant, **{trait: True})
        answer = call.post(f"deliveries/{row.job_id}/cancel/")
        assert (answer.status, answer.body["code"], answer.body["status"]) == (409, "not_waiting", row.status)


class TestKeys:
    """What a key may do to deliveries, by its scopes and mode."""

    @pytest.mark.parametrize(("action", "trait"), [("replay", {"failed": True}), ("cancel", {})])
    def test_who_may_only_read_neither_sends_nor_cancels(self, action: str, trait: dict[str, bool]) -> None:
        reader = ApiKeyFactory(scopes=["deliveries"])
        path = f"deliveries/{DeliveryFactory(tenant=reader.tenant, **trait).job_id}/{action}/"
        answer = Caller(reader).post(path)
        assert (answer.status, answer.body["code"]) == (403, "scope_required")
        assert Caller(ApiKeyFactory(tenant=reader.tenant, scopes=["jobs"])).post(path).status in (200, 201)

    def test_what_a_test_key_sends_again_is_a_test(self) -> None:
        key = ApiKeyFactory(mode="test")
        row = DeliveryFactory(tenant=key.tenant, failed=True)
        assert Caller(key).post(f"deliveries/{row.job_id}/replay/").status == 201
        assert Delivery.objects.get(replay_of=row).is_test

    def test_what_a_live_key_sends_again_of_a_test_stays_one(self, call, key) -> None:
        row = DeliveryFactory(tenant=key.tenant, failed=True, is_test=True)
        call.post(f"deliveries/{row.job_id}/replay/")
        assert Delivery.objects.get(replay_of=row).is_test

    def test_a_test_key_cancels_tests_only(self) -> None:
        key = ApiKeyFactory(mode="test")
        live, test = DeliveryFactory(tenant=key.tenant), DeliveryFactory(tenant=key.tenant, is_test=True)
        answer = Caller(key).post(f"deliveries/{live.job_id}/cancel/")
        assert (answer.status, answer.body["code"]) == (403, "test_key")
        live.refresh_from_db()
        assert live.status == "PENDING"
        assert Caller(key).post(f"deliveries/{test.job_id}/cancel/").status == 200


class TestStaff:
    """A session, with Django's permissions and CSRF."""

    def test_staff_with_the_permission_see_every_tenant_or_the_one_they_name(self) -> None:
        rows = DeliveryFactory(), DeliveryFactory()
        someone = staff("view_delivery")
        assert found(someone) == ids(*rows)
        assert found(someone, tenant=rows[0].tenant.slug) == ids(rows[0])

    def test_staff_without_it_get_403(self) -> None:
        assert staff("view_contact").get("deliveries/").status == 403
        assert staff("view_delivery", is_staff=False).get("deliveries/").status == 403
        row = DeliveryFactory(failed=True)
        assert staff("view_delivery").post(f"deliveries/{row.job_id}/replay/").status == 403

    def test_what_staff_do_is_in_the_log_once_and_what_keys_do_is_not(self, call, key) -> None:
        over, waiting = DeliveryFactory(failed=True), DeliveryFactory()
        someone = staff(superuser=True)
        new = someone.post(f"deliveries/{over.job_id}/replay/").body["job_id"]
        for _ in range(2):
            someone.post(f"deliveries/{waiting.job_id}/cancel/")
        call.post(f"deliveries/{DeliveryFactory(tenant=key.tenant).job_id}/cancel/")
        written = {(entry.object_id, entry.change_message) for entry in LogEntry.objects.all()}
        assert written == {(str(over.pk), f"Sent again as job {new}."), (str(waiting.pk), "Cancelled.")}
        assert LogEntry.objects.count() == 2

    def test_superusers_may_and_a_replay_names_them(self) -> None:
        row = DeliveryFactory(failed=True)
        someone = staff(superuser=True)
        assert someone.post(f"deliveries/{row.job_id}/replay/").status == 201
        assert Delivery.objects.get(replay_of=row).entrance.startswith("replay:")

    @pytest.mark.parametrize("action", ["replay", "cancel"])
    def test_a_post_without_a_csrf_token_changes_nothing(self, action: str) -> None:
        row = DeliveryFactory(**({"failed": True} if action == "replay" else {}))
        someone = staff(superuser=True, csrf=True)
        answer = someone.post(f"deliveries/{row.job_id}/{action}/")
        assert (answer.status, "CSRF" in answer.body["detail"]) == (403, True)
        row.refresh_from_db()
        assert row.status != "CANCELLED"
        assert not Delivery.objects.filter(replay_of=row).exists()
        someone.client.cookies["csrftoken"] = token = "a" * 32
        assert someone.post(f"deliveries/{row.job_id}/{action}/", X_CSRFToken=token).status in (200, 201)

    def test_a_key_needs_no_csrf_token_and_cannot_hand_in_jobs_by_session(self) -> None:
        assert staff(superuser=True).post("jobs/", a_job()).status == 401

    def test_a_get_never_acts(self, call, key) -> None:
        row = DeliveryFactory(tenant=key.tenant)
        for action in ("replay", "cancel"):
            assert call.get(f"deliveries/{row.job_id}/{action}/").status == 405


def test_a_key_may_name_only_its_own_tenant(call, key) -> None:
    other = TenantFactory()
    assert call.get(f"deliveries/?tenant={key.tenant.slug}").status == 200
    same = [call.get(f"deliveries/?tenant={slug}") for slug in (other.slug, "nobody")]
    assert [(answer.status, answer.body) for answer in same] == [(404, same[0].body)] * 2
