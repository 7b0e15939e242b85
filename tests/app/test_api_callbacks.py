"""`POST /api/callbacks/{provider_id}/`: reports as providers sign and send them, through Django's client, down to the row.

The signatures are made here, by the providers' own descriptions, and not with what verifies them.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import orjson
import pytest
from django.test import Client, override_settings

from deliveries import lifecycle
from deliveries.admin import words
from deliveries.api.callbacks import MAX_BYTES
from deliveries.channels import Status
from deliveries.models import Delivery, Provider, Tenant
from deliveries.providers.credentials import seal
from deliveries.timeline import timeline
from tests.api import Answer
from tests.factories import DeliveryFactory, TenantFactory
from tests.lifecycle import accept, claim, finish, incoming, start
from tests.sms import ACCOUNT_SID, API_KEY_SID, AUTH_TOKEN, FROM

pytestmark = pytest.mark.django_db
HOST = "http://testserver"
SID = "SM" + "0123456789abcdef" * 2
SECRET = "hush"
DESCRIPTION = {
    "message_id": "id",
    "status": "state",
    "statuses": {"DELIVRD": "delivered", "UNDELIV": "failed", "READ": "opened"},
    "events": "reports",
    "code": "error",
    "at": "at",
    "reference": "ref",
    "signature_header": "X-Hub-Signature-256",
}
SENDS = {"url": "https://sms.example.com/send", "fields": {"to": "{to}", "text": "{text}", "ref": "{reference}"}}


def twilio(tenant: Tenant, *, token: str = AUTH_TOKEN, **options: str) -> Provider:
    secrets = {"auth_token": token} | {key: options.pop(key) for key in ("signing_token",) if key in options}
    given = {"account_sid": ACCOUNT_SID, "from_number": FROM, **options}
    return provider(tenant, "twilio", given, secrets)


def described(tenant: Tenant, **options: Any) -> Provider:
    return provider(
        tenant, "http_sms", {"description": SENDS, "callback": DESCRIPTION, **options}, {"callback_secret": SECRET}
    )


def provider(tenant: Tenant, kind: str, options: dict[str, Any], secrets: dict[str, str]) -> Provider:
    name = f"{kind} {uuid4()}"
    sealed = seal(secrets)
    return Provider.objects.create(
        tenant=tenant, channel="sms", kind=kind, name=name, options=options, sealed_credentials=sealed
    )


def a_text(at: Provider, **values: Any) -> Delivery:
    """A text that the provider took, unless `values` say otherwise."""
    taken = {"channel": "sms", "sent": True, "provider": at.name, "provider_message_id": SID}
    return DeliveryFactory(tenant=at.tenant, **{**taken, **values})


def call(path: str, body: bytes, headers: Mapping[str, str], *, method: str = "POST", **extra: Any) -> Answer:
    client = Client(raise_request_exception=False, enforce_csrf_checks=True)
    sent = {"content_type": "application/x-www-form-urlencoded", **extra}
    return Answer(client.generic(method, path, body, headers=dict(headers), **sent))


def from_twilio(
    at: Provider | int, status: str = "delivered", *, job: object = None, token: str = AUTH_TOKEN, url: str = "",
    body: bytes | None = None, sid: str = SID, error: str = "", **extra: Any,
) -> Answer:  # fmt: skip
    """Call as Twilio does; `url` is what it signs, and `body` what arrives in place of what it signed."""
    path = f"/api/callbacks/{at if isinstance(at, int) else at.pk}/" + (f"?job={job}" if job else "")
    fields = {"MessageSid": sid, "MessageStatus": status, "To": "+15558675310", "AccountSid": ACCOUNT_SID}
    fields |= {"ErrorCode": error} if error else {}
    signed = (url or HOST + path) + "".join(name + fields[name] for name in sorted(fields))
    signature = base64.b64encode(hmac.new(token.encode(), signed.encode(), hashlib.sha1).digest()).decode()
    raw = urlencode(fields).encode() if body is None else body
    return call(path, raw, {"X-Twilio-Signature": signature}, **extra)


def from_described(at: Provider, *reports: dict[str, Any], secret: str = SECRET, body: bytes | None = None) -> Answer:
    raw = orjson.dumps({"reports": reports}) if body is None else body
    signature = "sha256=" + hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()
    path = f"/api/callbacks/{at.pk}/"
    return call(path, raw, {"X-Hub-Signature-256": signature}, content_type="application/json")


def outcome_of(row: Delivery) -> str:
    row.refresh_from_db()
    return row.outcome


@pytest.fixture
def tenant() -> Tenant:
    return TenantFactory()


class TestTwilio:
    @pytest.mark.parametrize(
        ("status", "outcome"),
        [
            ("delivered", "delivered"), ("read", "seen"), ("undelivered", "bounced"), ("failed", "bounced"),
            ("queued", ""), ("sent", ""),
        ],
    )  # fmt: skip
    def test_what_it_reports_becomes_the_row_s_outcome(self, tenant: Tenant, status: str, outcome: str) -> None:
        at = twilio(tenant)
        row, other = a_text(at), a_text(at, provider_message_id="SM" + "f" * 32)
        answer = from_twilio(at, status)
        assert (answer.status, answer.body) == (204, None)
        assert (outcome_of(row), row.status, outcome_of(other)) == (outcome, "SENT", "")

    def test_staff_read_what_became_of_it_and_why(self, tenant: Tenant) -> None:
        at = twilio(tenant)
        row = a_text(at)
        assert from_twilio(at, "undelivered", error="30005").status == 204
        row.refresh_from_db()
        last = timeline(row)[-1]
        assert (last.kind, last.title, last.facts["code"]) == ("bounced", "Bounced", "unknown_subscriber")
        assert "(Twilio 30005)" in last.detail
        assert words.outcome(row) == words.Chip("Bounced", "bad")
        assert words.whats_next(row).startswith("It did not arrive")

    def test_a_repeated_report_changes_nothing(self, tenant: Tenant) -> None:
        at = twilio(tenant)
        row = a_text(at, details={"encoding": "GSM-7", "segments": 2})
        assert from_twilio(at).status == 204
        row.refresh_from_db()
        once = row.details
        assert from_twilio(at).status == 204
        row.refresh_from_db()
        assert row.details == once
        assert (once["segments"], [report["outcome"] for report in once["reports"]]) == (2, ["delivered"])

    @pytest.mark.parametrize(
        ("statuses", "outcome", "told"),
        [
            (["sent", "delivered", "read"], "seen", ["delivered", "seen"]),
            (["read", "delivered", "sent"], "seen", ["seen"]),
            (["delivered", "undelivered"], "delivered", ["delivered"]),
            (["undelivered", "delivered"], "delivered", ["bounced", "delivered"]),
        ],
    )
    def test_in_any_order_it_only_moves_forward(
        self, tenant: Tenant, statuses: list[str], outcome: str, told: list[str]
    ) -> None:
        at = twilio(tenant)
        row = a_text(at)
        assert [from_twilio(at, status).status for status in statuses] == [204] * len(statuses)
        assert outcome_of(row) == outcome
        assert [event.kind for event in timeline(row)[2:]] == told

    def test_with_an_api_key_the_signing_token_signs_and_the_key_s_secret_does_not(self, tenant: Tenant) -> None:
        at = twilio(tenant, token="key-secret", api_key_sid=API_KEY_SID, signing_token="of-the-account")
        row = a_text(at)
        assert from_twilio(at, token="key-secret").status == 404
        assert outcome_of(row) == ""
        assert from_twilio(at, token="of-the-account").status == 204
        assert outcome_of(row) == "delivered"

    def test_while_a_token_is_replaced_both_sign(self, tenant: Tenant) -> None:
        at = twilio(tenant, signing_token="secondary")
        assert [from_twilio(at, token=token).status for token in (AUTH_TOKEN, "secondary", "third")] == [204, 204, 404]

    @override_settings(
        SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https"), ALLOWED_HOSTS=["notify.example.com"]
    )
    def test_behind_a_proxy_the_public_address_is_what_counts(self, tenant: Tenant) -> None:
        at = twilio(tenant)
        row = a_text(at)
        public = f"https://notify.example.com/api/callbacks/{at.pk}/?job={row.job_id}"
        behind = {"HTTP_X_FORWARDED_PROTO": "https", "HTTP_HOST": "notify.example.com"}
        assert from_twilio(at, job=row.job_id, url=public.replace("https", "http"), **behind).status == 404
        assert from_twilio(at, job=row.job_id, url=public, **behind).status == 204
        assert outcome_of(row) == "delivered"

    def test_a_disabled_provider_still_reports_on_what_it_took(self, tenant: Tenant) -> None:
        at = twilio(tenant)
        Provider.objects.update(is_enabled=False)
        row = a_text(at)
        assert from_twilio(at).status == 204
        assert outcome_of(row) == "delivered"


class TestEarly:
    def test_a_report_before_the_receipt_is_kept(self, transactional_db: None, settings: Any) -> None:
        tenant = TenantFactory()
        at = twilio(tenant)
        (row_id,) = accept(incoming(channel="sms", tenant_id=tenant.slug))
        (claimed,) = claim("sms")
        start([claimed])
        assert from_twilio(at, "undelivered", job=claimed.job_id, error="30003").status == 204
        row = Delivery.objects.get(pk=row_id)
        assert (row.status, row.outcome) == ("SENDING", "bounced")
        receipt = lifecycle.Outcome(
            id=row_id, lease_token=claimed.lease_token, status=Status.SENT, provider=at.name, provider_message_id=SID,
            details={"segments": 1},
        )  # fmt: skip
        assert finish(receipt) == {row_id}
        row.refresh_from_db()
        assert (row.status, row.outcome, row.details["segments"]) == ("SENT", "bounced", 1)
        assert [event.kind for event in timeline(row)] == ["accepted", "sent", "bounced"]
        assert from_twilio(at, "delivered", job=claimed.job_id).status == 204
        assert outcome_of(row) == "delivered"

    def test_a_text_that_may_have_been_sent_gains_the_outcome_and_keeps_its_status(self, tenant: Tenant) -> None:
        at = twilio(tenant)
        row = a_text(at, sent=False, failed=True, reason="outcome_unknown", provider="", provider_message_id="")
        assert from_twilio(at, job=row.job_id).status == 204
        assert (outcome_of(row), row.status, row.reason) == ("delivered", "FAILED", "outcome_unknown")
        assert words.whats_next(row) == "Nothing more to do: it arrived."

    @pytest.mark.parametrize("trait", ["failed", "expired", "suppressed", "cancelled", "retrying", "pending"])
    def test_what_no_provider_has_takes_no_report(self, tenant: Tenant, trait: str) -> None:
        at = twilio(tenant)
        traits = {} if trait == "pending" else {trait: True}
        row = a_text(at, sent=False, provider="", provider_message_id="", **traits)
        before = row.status
        assert from_twilio(at, job=row.job_id).status == 204
        assert (outcome_of(row), row.status) == ("", before)

    def test_another_text_s_job_does_not_help(self, tenant: Tenant) -> None:
        at = twilio(tenant)
        row = a_text(at, provider_message_id="SM" + "f" * 32)
        assert from_twilio(at, job=row.job_id).status == 204
        assert outcome_of(row) == ""

    def test_without_a_reference_the_provider_is_asked_to_repeat_it_while_a_text_is_under_way(
        self, tenant: Tenant
    ) -> None:
        at = described(tenant)
        row = a_text(at, sent=False, sending=True, provider="", provider_message_id="")
        answer = from_described(at, {"id": "m-1", "state": "DELIVRD"})
        assert (answer.status, answer.body["code"], answer.headers["Retry-After"]) == (503, "not_known_yet", "5")
        Delivery.objects.filter(pk=row.pk).update(provider=at.name, provider_message_id="m-1")
        assert from_described(at, {"id": "m-1", "state": "DELIVRD"}).status == 204
        assert outcome_of(row) == "delivered"

    @pytest.mark.parametrize("of", ["nobody", "another tenant", "another channel"])
    def test_a_text_that_is_not_ours_is_not_asked_for_again(self, tenant: Tenant, of: str) -> None:
        at = described(tenant)
        if of != "nobody":
            DeliveryFactory(
                tenant=tenant if of == "another channel" else TenantFactory(),
                channel="sms" if of == "another tenant" else "email",
                sending=True,
            )
        assert from_described(at, {"id": "m-1", "state": "DELIVRD"}).status == 204


class TestDescribed:
    def test_a_batch_with_everything(self, tenant: Tenant) -> None:
        at = described(tenant)
        rows = [a_text(at, provider_message_id=f"m-{number}") for number in range(4)]
        unsure = a_text(at, provider_message_id="")
        answer = from_described(
            at,
            {"id": "m-0", "state": "READ", "at": "2999-01-01T00:00:00Z"},
            {"id": "m-0", "state": "DELIVRD", "at": "0001-01-01T00:00:00+14:00"},
            {"id": "m-1", "state": "UNDELIV", "error": "ab\u0000sent"},
            {"id": "m-2", "state": "BUFFERED"},
            {"id": "\u0000", "state": "DELIVRD"},
            {"id": "m-9", "state": "DELIVRD", "ref": str(unsure.job_id)},
            {"id": "m-3", "state": "DELIVRD", "ref": "not a job"},
        )
        assert answer.status == 204
        assert [outcome_of(row) for row in (*rows, unsure)] == ["seen", "bounced", "", "delivered", "delivered"]
        assert timeline(rows[1])[-1].facts["code"] == "ab\ufffdsent"

    @pytest.mark.parametrize("at", ["2999-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", 1e12, "yesterday"])
    def test_a_time_that_cannot_be_is_brought_into_the_row_s_life(self, tenant: Tenant, at: object) -> None:
        provider = described(tenant)
        row = a_text(provider, provider_message_id="m-1")
        assert from_described(provider, {"id": "m-1", "state": "DELIVRD", "at": at}).status == 204
        row.refresh_from_db()
        accepted, _sent, delivered = timeline(row)
        assert accepted.at <= delivered.at <= Delivery.objects.get(pk=DeliveryFactory().pk).accepted_at

    @pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"reports": [{"id": "m-1"}]}', b"\xff" * 99])
    def test_a_signed_body_that_cannot_be_read_says_so(self, tenant: Tenant, body: bytes) -> None:
        answer = from_described(described(tenant), body=body)
        assert (answer.status, answer.body["code"]) == (400, "bad_callback")


class TestRefused:
    """Whoever has no signature learns nothing, and changes nothing."""

    def test_the_answer_is_the_same_whatever_is_wrong(self, tenant: Tenant) -> None:
        at, mail = twilio(tenant), provider(tenant, "smtp", {"host": "127.0.0.1"}, {})
        silent, broken = described(tenant, callback=""), twilio(tenant)
        Provider.objects.filter(pk=broken.pk).update(sealed_credentials=b"sealed with another key")
        row = a_text(at)
        job = row.job_id
        forged = [
            from_twilio(at, token="guessed"),
            from_twilio(at, token=""),
            from_twilio(at, body=b""),
            from_twilio(at, body=urlencode({"MessageSid": SID, "MessageStatus": "delivered"}).encode()),
            from_twilio(at, job=job, url=f"{HOST}/api/callbacks/{at.pk}/?job={uuid4()}"),
            from_twilio(at, url=f"{HOST}/api/callbacks/{at.pk + 1}/"),
            from_described(at, {"id": SID, "state": "DELIVRD"}),
            call(f"/api/callbacks/{at.pk}/", b"", {}),
            from_twilio(mail), from_twilio(silent), from_described(silent), from_twilio(broken),
            from_described(described(tenant), {"id": SID, "state": "DELIVRD"}, secret="guessed"),
            from_twilio(2**40), from_twilio(2**80), from_twilio(0),
        ]  # fmt: skip
        assert {(answer.status, str(answer.body)) for answer in forged} == {
            (404, str({"detail": "No provider of that number signed it.", "code": "not_found"}))
        }
        assert outcome_of(row) == ""

    def test_anothers_provider_reports_on_its_own_tenant_only(self, tenant: Tenant) -> None:
        at = twilio(tenant)
        row = a_text(at)
        theirs = twilio(TenantFactory(), token="theirs")
        Provider.objects.filter(pk=theirs.pk).update(name=at.name)
        assert from_twilio(at, token="theirs").status == 404
        assert from_twilio(theirs, token="theirs").status == 204
        assert from_twilio(theirs, token="theirs", job=row.job_id).status == 204
        assert outcome_of(row) == ""

    def test_nor_does_another_provider_or_channel_of_the_same_tenant(self, tenant: Tenant) -> None:
        at, other = twilio(tenant), twilio(tenant)
        row, mail = a_text(at), a_text(other, channel="email", provider_message_id="SM" + "f" * 32)
        assert from_twilio(other).status == 204
        assert from_twilio(other, sid=mail.provider_message_id, job=mail.job_id).status == 204
        assert (outcome_of(row), outcome_of(mail)) == ("", "")

    def test_a_body_that_is_too_big_is_not_read_to_its_end(self, tenant: Tenant) -> None:
        at = described(tenant)
        full = orjson.dumps({"reports": [], "pad": "x" * (MAX_BYTES - len('{"reports":[],"pad":""}'))})
        assert len(full) == MAX_BYTES
        assert from_described(at, body=full).status == 204
        answer = from_described(at, body=full + b" ")
        assert (answer.status, answer.body["code"]) == (413, "too_big")

    @pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
    def test_another_method_is_refused(self, tenant: Tenant, method: str) -> None:
        for number in (twilio(tenant).pk, 2**40):
            answer = call(f"/api/callbacks/{number}/", b"", {}, method=method)
            assert (answer.status, answer.body["code"]) == (405, "method_not_allowed")

    def test_what_the_provider_says_it_accepts_does_not_matter(self, tenant: Tenant) -> None:
        assert from_twilio(twilio(tenant), HTTP_ACCEPT="text/xml").status == 204


def test_it_takes_the_same_queries_however_many_reports(tenant: Tenant, django_assert_num_queries: Any) -> None:
    at = described(tenant)
    for number in range(300):
        a_text(at, provider_message_id=f"m-{number}")
    with django_assert_num_queries(2):
        from_described(at, {"id": "m-0", "state": "DELIVRD"})
    with django_assert_num_queries(2):
        from_described(at, *({"id": f"m-{number}", "state": "DELIVRD"} for number in range(400)))
    assert Delivery.objects.filter(outcome="delivered").count() == 300
    with django_assert_num_queries(1):
        from_described(at, {"id": "m-0", "state": "DELIVRD"}, secret="guessed")
