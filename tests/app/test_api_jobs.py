"""POST /api/jobs/: the same rules as on Kafka, answered job by job."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import orjson
import pytest
from django.db import OperationalError
from django.utils import timezone

from deliveries.jobs import MAX_BATCH_BYTES, MAX_JOB_BYTES
from deliveries.lifecycle import hold_place
from deliveries.models import Delivery
from tests.api import Caller, a_job
from tests.factories import ApiKeyFactory, ContactFactory, TemplateFactory, TenantFactory

pytestmark = pytest.mark.django_db

#: Bytes → reason. What HTTP adds to the table of tests/unit/test_jobs*: that the same bytes get here unharmed.
BAD_BODIES = {
    b"": "empty",
    b"   ": "empty",
    b"{": "invalid_json",
    b"nonsense": "invalid_json",
    b"\xef\xbb\xbf{}": "bom",
    "{}".encode("utf-16"): "utf16",
    b'{"job_id": "\xff"}': "not_utf8",
    b'{"a": NaN}': "not_finite",
    b'{"a": 1e999}': "number_out_of_range",
    b'{"a": ' + b"9" * 5000 + b"}": "integer_out_of_range",
    b'{"a": 1, "a": 1}': "duplicate_key",
    b'{"a": "\\u0000"}': "nul_character",
    b'{"a": "\\ud800"}': "lone_surrogate",
    b'{"a": ' + b"[" * 40 + b"]" * 40 + b"}": "too_deep",
    b'"text"': "not_an_object",
    b"[]": "no_jobs",
    b"{}": "missing",
}
BAD_FIELDS = {
    "job_id": ("019a0000-0000-8007-8000-000000010100", "reserved_uuid"),
    "user_id": ("ABC", "invalid_uuid"),
    "channel": (True, "wrong_type"),
    "created_at": ("2026-01-02", "date_without_time"),
    "send_after": ("2026-01-02T03:04:05", "timestamp_without_zone"),
    "data": ([], "wrong_type"),
    "locale": ("!", "invalid_locale"),
}


def test_one_job_becomes_one_waiting_delivery_of_the_keys_tenant(call, key) -> None:
    job = a_job()
    answer = call.post("jobs/", job)
    assert answer.status == 202
    assert (answer.body["accepted"], answer.body["duplicate"], answer.body["rejected"]) == (1, 0, 0)
    assert answer.body["results"] == [
        {
            "job_id": job["job_id"],
            "status": "accepted",
            "delivery_status": "PENDING",
            "reason": "",
            "path": "",
            "message": "",
        }
    ]
    row = Delivery.objects.get(tenant=key.tenant, job_id=job["job_id"])
    assert (row.status, row.entrance, row.is_test) == ("PENDING", f"api:{key.prefix}", False)


def test_a_test_keys_jobs_are_tests() -> None:
    job = a_job()
    Caller(ApiKeyFactory(mode="test")).post("jobs/", job)
    assert Delivery.objects.get(job_id=job["job_id"]).is_test


def test_the_same_job_twice_makes_one_delivery(call) -> None:
    job = a_job()
    call.post("jobs/", job)
    answer = call.post("jobs/", job)
    assert (answer.status, answer.body["duplicate"]) == (202, 1)
    assert Delivery.objects.filter(job_id=job["job_id"]).count() == 1


def test_the_same_id_with_another_body_is_a_conflict_and_the_first_stays(call) -> None:
    job = a_job()
    call.post("jobs/", job)
    answer = call.post("jobs/", {**job, "data": {"changed": 1}})
    assert (answer.status, answer.body["code"], answer.body["path"]) == (409, "job_id_conflict", "job_id")
    assert Delivery.objects.get(job_id=job["job_id"]).data == {}


@pytest.mark.parametrize(("body", "reason"), BAD_BODIES.items(), ids=BAD_BODIES.values())
def test_unreadable_bytes_are_refused_with_their_reason(call, body: bytes, reason: str) -> None:
    answer = call.post("jobs/", body)
    assert (answer.status, answer.body["code"]) == (400, reason)
    assert answer.body["detail"]
    assert not Delivery.objects.exists()


@pytest.mark.parametrize(("field", "value", "reason"), [(name, *bad) for name, bad in BAD_FIELDS.items()])
def test_a_bad_field_is_named(call, field: str, value: object, reason: str) -> None:
    answer = call.post("jobs/", {**a_job(), field: value})
    assert (answer.status, answer.body["code"], answer.body["path"]) == (400, reason, field)


def test_limits_of_size_are_413(call, settings) -> None:
    assert call.post("jobs/", a_job(data={"x": "x" * MAX_JOB_BYTES})).status == 413
    assert call.post("jobs/", b" " * (MAX_BATCH_BYTES + 1)).status == 413
    settings.API_MAX_JOBS = 2
    answer = call.post("jobs/", [a_job(), a_job(), a_job()])
    assert (answer.status, answer.body["code"]) == (413, "too_many_jobs")
    assert not Delivery.objects.exists()


def test_of_a_list_the_good_are_accepted_and_the_bad_named_in_order(call) -> None:
    good, other, known = a_job(), a_job(), a_job()
    call.post("jobs/", known)
    bad = a_job(meta={"priority": "now"})
    answer = call.post("jobs/", [good, bad, known, other, {**known, "locale": "ru"}])
    assert answer.status == 202
    assert [result["status"] for result in answer.body["results"]] == [
        "accepted", "rejected", "duplicate", "accepted", "rejected",
    ]  # fmt: skip
    assert [result["path"] for result in answer.body["results"]] == ["", "[1].meta.priority", "", "", "job_id"]
    assert [result["job_id"] for result in answer.body["results"]][:2] == [good["job_id"], bad["job_id"]]
    assert (answer.body["accepted"], answer.body["duplicate"], answer.body["rejected"]) == (2, 1, 2)


def test_a_list_without_a_good_job_is_400_and_says_why_for_each(call) -> None:
    answer = call.post("jobs/", [a_job(channel=1), b"".decode(), a_job(user_id="x")])
    assert (answer.status, answer.body["code"]) == (400, "no_job_accepted")
    reasons = [result["reason"] for result in answer.body["results"]]
    assert reasons == ["wrong_type", "not_an_object", "invalid_uuid"]


def test_an_item_over_the_size_of_a_job_is_rejected_alone(call) -> None:
    answer = call.post("jobs/", [a_job(), a_job(data={"x": "x" * MAX_JOB_BYTES})])
    assert [result["reason"] for result in answer.body["results"]] == ["", "too_big"]


def test_a_job_may_name_the_keys_own_tenant(call, key) -> None:
    assert call.post("jobs/", a_job(tenant_id=key.tenant.slug)).status == 202


@pytest.mark.parametrize("exists", [True, False])
def test_another_tenant_is_refused_alike_whether_it_exists(call, exists: bool) -> None:
    slug = TenantFactory().slug if exists else "nobody"
    answer = call.post("jobs/", a_job(tenant_id=slug))
    assert (answer.status, answer.body["code"], answer.body["path"]) == (400, "wrong_tenant", "tenant_id")
    assert not Delivery.objects.exists()


def test_two_tenants_may_use_one_job_id() -> None:
    job = a_job()
    for key in (ApiKeyFactory(), ApiKeyFactory()):
        assert Caller(key).post("jobs/", job).body["accepted"] == 1
    assert Delivery.objects.filter(job_id=job["job_id"]).count() == 2


def test_a_job_that_is_over_already_is_accepted_and_says_so(call, key) -> None:
    optout = ContactFactory(tenant=key.tenant, opted_out=["ws"])
    late, unwanted = a_job(expires_at="2026-01-03T00:00:00Z"), a_job(user_id=optout.user_id)
    results = call.post("jobs/", [late, unwanted, a_job(channel="fax")]).body["results"]
    assert [result["status"] for result in results] == ["accepted"] * 3
    assert [result["delivery_status"] for result in results] == ["EXPIRED", "SUPPRESSED", "FAILED"]
    assert [result["reason"] for result in results] == ["expired", "opted_out", "unknown_channel"]


def test_other_content_than_json_is_415(call) -> None:
    response = call.client.post("/api/jobs/", "job_id=1", content_type="text/plain", headers=call.headers)
    assert response.status_code == 415


def test_with_the_database_away_the_answer_is_503_and_says_when_to_come_back(call, monkeypatch) -> None:
    def away(*_args: object, **_named: object) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr("deliveries.ingest.lifecycle.accept", away)
    answer = call.post("jobs/", a_job())
    assert (answer.status, answer.body["code"]) == (503, "database_away")
    assert int(answer.headers["Retry-After"]) > 0


def test_a_thousand_jobs_take_as_many_queries_as_one(call, django_assert_max_num_queries) -> None:
    call.post("jobs/", a_job())  # writes last_used_at and makes the lane
    with django_assert_max_num_queries(20) as few:
        call.post("jobs/", [a_job()])
    with django_assert_max_num_queries(len(few)):
        answer = call.post("jobs/", [a_job() for _ in range(1000)])
    assert answer.body["accepted"] == 1000


class TestValidate:
    """jobs/validate/: says what would happen, stores nothing."""

    def ask(self, call: Caller, *jobs: object) -> list[dict[str, str]]:
        answer = call.post("jobs/validate/", list(jobs))
        assert answer.status == 200
        assert not Delivery.objects.filter(entrance__startswith="api:", accepted_at__gt=timezone.now()).exists()
        return answer.body["results"]

    def test_it_stores_nothing(self, call) -> None:
        job = a_job()
        assert self.ask(call, job)[0]["delivery_status"] == "SENT"
        assert not Delivery.objects.exists()
        assert call.post("jobs/", job).body["accepted"] == 1
        assert self.ask(call, job)[0]["status"] == "duplicate"

    def test_it_tells_what_stands_in_the_way(self, call, key) -> None:
        nameless = ContactFactory(tenant=key.tenant, email="")
        optout = ContactFactory(tenant=key.tenant, opted_out=["email"])
        known = ContactFactory(tenant=key.tenant)
        template = TemplateFactory(tenant=key.tenant, text="Hi {{ name }}")
        draft = TemplateFactory(tenant=key.tenant, published=False)
        mail = {"channel": "email"}
        templated = {**mail, "content": None, "user_id": known.user_id}
        jobs = [
            a_job(**mail),
            a_job(**mail, user_id=nameless.user_id),
            a_job(**mail, user_id=optout.user_id),
            a_job(**templated, template_code="nope"),
            a_job(**templated, template_code=draft.code),
            a_job(**templated, template_code=template.code),
            a_job(**templated, template_code=template.code, data={"name": "Ana"}),
            a_job(channel="sms"),
            a_job(expires_at="2026-01-03T00:00:00Z"),
            a_job(locale=7),
        ]
        results = self.ask(call, *jobs)
        assert [(result["delivery_status"], result["reason"]) for result in results] == [
            ("FAILED", "no_contact"),
            ("FAILED", "no_contact"),
            ("SUPPRESSED", "opted_out"),
            ("FAILED", "unknown_template"),
            ("FAILED", "unknown_template"),
            ("FAILED", "render_error"),
            ("SENT", ""),
            ("FAILED", "channel_unavailable"),
            ("EXPIRED", "expired"),
            ("", "wrong_type"),
        ]
        assert all(result["message"] for result in results)

    def test_it_tells_what_would_wait_on_hold(self, call, key) -> None:
        hold_place(by="ana", reason="wrong price", category="news", tenant_id=key.tenant.pk)
        hold_place(by="ben", reason="for others", tenant_id=TenantFactory().pk)
        held, free, bad = self.ask(
            call, a_job(category="news"), a_job(), a_job(category="news", content=None, template_code="nope")
        )
        assert (held["status"], held["delivery_status"], held["reason"]) == ("accepted", "PENDING", "on_hold")
        assert "by ana: wrong price" in held["message"]
        assert (free["delivery_status"], bad["reason"]) == ("SENT", "unknown_template")

    def test_another_tenants_template_is_unknown(self, call) -> None:
        job = a_job(content=None, template_code=TemplateFactory().code)
        assert self.ask(call, job)[0]["reason"] == "unknown_template"

    def test_many_jobs_take_as_many_queries_as_one(self, call, django_assert_max_num_queries) -> None:
        call.post("jobs/", a_job())
        with django_assert_max_num_queries(30) as few:
            self.ask(call, a_job(content=None, template_code="a"))
        with django_assert_max_num_queries(len(few)):
            self.ask(call, *(a_job(content=None, template_code=f"a{n}") for n in range(50)))


def test_the_answer_keeps_no_time_of_its_own(call) -> None:
    later = timezone.now() + timedelta(days=3)
    job = a_job(job_id=uuid4(), send_after=later.isoformat().replace("+00:00", "Z"))
    assert call.post("jobs/", orjson.dumps(job)).status == 202
    assert Delivery.objects.get(job_id=job["job_id"]).next_attempt_at == later
