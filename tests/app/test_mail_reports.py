"""`POST /api/callbacks/{provider_id}/` by mail providers: their own forms and proofs, through Django's client, down to row and suppression.

The bodies are those of the providers' documentation, the proofs are made here by it and not with what verifies them.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

import orjson
import pytest
from django.test import Client

from deliveries.models import Delivery, Provider, Suppression, Tenant
from deliveries.providers.mail_kinds import MAILS
from deliveries.timeline import timeline
from tests.api import Answer
from tests.factories import DeliveryFactory, ProviderFactory, TenantFactory

pytestmark = pytest.mark.django_db
LOGIN = "hooks:hush"
DEEP = b"[" * 200_000
SIGNING_KEY = "mailgun-signing-key"
AT = "2026-01-02T03:04:05Z"
Report = Callable[[str, str, UUID | None], Any]


def postmark(what: str, message_id: str, job: UUID | None) -> Any:
    """https://postmarkapp.com/developer/webhooks/webhooks-overview"""
    told: dict[str, Any] = {"MessageID": message_id, "Metadata": {"job_id": str(job)} if job else {}}
    bounce = {
        "RecordType": "Bounce",
        "Email": "ana@example.com",
        "BouncedAt": AT,
        "Details": "smtp;550 5.1.1 no such user",
    }
    return told | {
        "delivered": {"RecordType": "Delivery", "Recipient": "ana@example.com", "DeliveredAt": AT},
        "opened": {"RecordType": "Open", "Recipient": "ana@example.com", "ReceivedAt": AT},
        "hard": bounce | {"Type": "HardBounce", "TypeCode": 1, "Description": "The server was unable to deliver your message."},
        "soft": bounce | {"Type": "SoftBounce", "TypeCode": 4096},
        "complaint": bounce | {"RecordType": "SpamComplaint", "Type": "SpamComplaint"},
        "unsubscribed": {"RecordType": "SubscriptionChange", "Recipient": "ana@example.com", "ChangedAt": AT,
                         "SuppressSending": True, "SuppressionReason": "ManualSuppression"},
        "queued": bounce | {"Type": "Transient"},
    }[what]  # fmt: skip


def mailgun(what: str, message_id: str, job: UUID | None, *, signed_hours_ago: float = 0) -> Any:
    """https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks"""
    event: dict[str, Any] = {
        "recipient": "ana@example.com",
        "timestamp": 1767323045.5,
        "message": {"headers": {"message-id": message_id}},
    }
    event["user-variables"] = {"job_id": str(job)} if job else {}
    failed = {"event": "failed", "delivery-status": {"code": 550, "message": "no such user", "description": ""}}
    event |= {
        "delivered": {"event": "delivered"},
        "opened": {"event": "opened"},
        "hard": failed | {"severity": "permanent", "reason": "bounce"},
        "soft": failed | {"severity": "permanent", "reason": "generic"},
        "complaint": {"event": "complained"},
        "unsubscribed": {"event": "unsubscribed"},
        "queued": failed | {"severity": "temporary", "reason": "generic"},
    }[what]
    token = uuid4().hex
    at = str(int(time.time() - signed_hours_ago * 3600))
    signature = hmac.new(SIGNING_KEY.encode(), f"{at}{token}".encode(), hashlib.sha256).hexdigest()
    return {"signature": {"timestamp": at, "token": token, "signature": signature}, "event-data": event}


def brevo(what: str, message_id: str, job: UUID | None) -> Any:
    """https://developers.brevo.com/docs/transactional-webhooks"""
    names = {
        "hard": "hard_bounce",
        "soft": "soft_bounce",
        "complaint": "spam",
        "unsubscribed": "unsubscribe",
        "queued": "request",
    }
    told = {
        "event": names.get(what, what),
        "email": "ana@example.com",
        "message-id": f"<{message_id}>",
        "ts_epoch": 1767323045000,
    }
    return told | ({"X-Mailin-custom": orjson.dumps({"job_id": str(job)}).decode()} if job else {})


def mailjet(what: str, message_id: str, job: UUID | None) -> Any:
    """https://dev.mailjet.com/email/guides/webhooks/"""
    bounce = {"event": "bounce", "error": "user unknown", "error_related_to": "recipient"}
    told: dict[str, Any] = {"time": 1767323045, "email": "ana@example.com", "MessageID": int(message_id)}
    told |= {"Payload": orjson.dumps({"job_id": str(job)}).decode()} if job else {}
    return [
        told | {
            "delivered": {"event": "sent", "smtp_reply": "250 ok"},
            "opened": {"event": "open"},
            "hard": bounce | {"hard_bounce": True},
            "soft": bounce | {"hard_bounce": False, "error": "quota exceeded"},
            "complaint": {"event": "spam"},
            "unsubscribed": {"event": "unsub"},
            "queued": bounce | {"hard_bounce": False, "error": "greylisted"},
        }[what]
    ]  # fmt: skip


def resend(what: str, message_id: str, job: UUID | None) -> Any:
    """https://resend.com/docs/dashboard/webhooks/event-types"""
    names = {"hard": "bounced", "soft": "bounced", "complaint": "complained", "queued": "sent"}
    data: dict[str, Any] = {"email_id": message_id, "to": ["ana@example.com"], "headers": []}
    if job:
        data["headers"] = [{"name": "X-Metadata", "value": orjson.dumps({"job_id": str(job)}).decode()}]
    if what in ("hard", "soft"):
        data["bounce"] = {
            "type": "Permanent" if what == "hard" else "Transient",
            "message": "The inbox sent a bounce message.",
        }
    return {"type": f"email.{names.get(what, what)}", "created_at": AT, "data": data}


def sparkpost(what: str, message_id: str, job: UUID | None) -> Any:
    """https://developers.sparkpost.com/api/webhooks/"""
    group = {"opened": "track_event", "unsubscribed": "unsubscribe_event"}.get(what, "message_event")
    told: dict[str, Any] = {"transmission_id": message_id, "raw_rcpt_to": "ana@example.com", "timestamp": "1767323045"}
    told["rcpt_meta"] = {"job_id": str(job)} if job else {}
    told |= {
        "delivered": {"type": "delivery"},
        "opened": {"type": "open"},
        "hard": {"type": "bounce", "bounce_class": "10", "raw_reason": "550 no such user"},
        "soft": {"type": "bounce", "bounce_class": "22", "raw_reason": "452 mailbox full"},
        "complaint": {"type": "spam_complaint"},
        "unsubscribed": {"type": "list_unsubscribe"},
        "queued": {"type": "injection"},
    }[what]
    return [{"msys": {group: told}}, {"msys": {}}]


REPORTS: dict[str, Report] = {
    "postmark": postmark, "mailgun": mailgun, "brevo": brevo, "mailjet": mailjet, "resend": resend, "sparkpost": sparkpost,
}  # fmt: skip
OUTCOMES = {
    "delivered": ("delivered", ""),
    "opened": ("seen", ""),
    "hard": ("bounced", "hard_bounce"),
    "soft": ("bounced", ""),
    "complaint": ("complained", "complaint"),
    "unsubscribed": ("", "unsubscribed"),
    "queued": ("", ""),
}


def test_every_kind_that_there_is_has_its_reports_here() -> None:
    assert REPORTS.keys() == MAILS.keys()


@pytest.fixture
def tenant() -> Tenant:
    return TenantFactory()


def a_provider(tenant: Tenant, kind: str, **changes: Any) -> Provider:
    secrets = {option.name: "k" for option in MAILS[kind].options if option.is_secret}
    secrets |= {"webhook_signing_key": SIGNING_KEY} if kind == "mailgun" else {"webhook_auth": LOGIN}
    options = {"sender_domain": "mg.example.com"} if kind == "mailgun" else {}
    return ProviderFactory(**{"tenant": tenant, "kind": kind, "options": options, "secrets": secrets, **changes})


def a_mail(at: Provider, **values: Any) -> Delivery:
    taken = {"sent": True, "provider": at.name, "provider_message_id": "12", "address": "Ana@example.com"}
    return DeliveryFactory(tenant=at.tenant, **{**taken, **values})


def post(at: Provider | int, body: Any, *, login: str | None = LOGIN, content_type: str = "application/json") -> Answer:
    headers = {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"} if login is not None else {}
    client = Client(raise_request_exception=False, enforce_csrf_checks=True)
    path = f"/api/callbacks/{at if isinstance(at, int) else at.pk}/"
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return Answer(client.generic("POST", path, raw, headers=headers, content_type=content_type))


def came_to(row: Delivery) -> tuple[str, str]:
    row.refresh_from_db()
    listed = Suppression.objects.filter(tenant=row.tenant, address="ana@example.com").first()
    return row.outcome, listed.reason if listed else ""


@pytest.mark.parametrize("by", ["message id", "job id"])
@pytest.mark.parametrize(("what", "outcome"), OUTCOMES.items())
@pytest.mark.parametrize("name", sorted(REPORTS))
def test_what_each_provider_reports(tenant: Tenant, name: str, what: str, outcome: tuple[str, str], by: str) -> None:
    if (name, what) == ("resend", "unsubscribed"):
        what, outcome = "delivered", OUTCOMES["delivered"]  # Resend reports none
    at = a_provider(tenant, name)
    row = a_mail(at, **({"provider_message_id": ""} if by == "job id" else {}))
    other = a_mail(at, provider_message_id="13", address="ben@example.com")
    answer = post(at, REPORTS[name](what, "12", row.job_id if by == "job id" else None))
    assert (answer.status, answer.body) == (204, None)
    assert came_to(row) == outcome
    assert came_to(other)[0] == "" and other.status == row.status == "SENT"


def test_staff_read_why_it_came_back(tenant: Tenant) -> None:
    at = a_provider(tenant, "postmark")
    row = a_mail(at)
    post(at, postmark("hard", "12", None))
    row.refresh_from_db()
    last = timeline(row)[-1]
    assert last.title == "Bounced" and "550 5.1.1 no such user" in last.detail and last.facts["code"] == "bounced"


def test_what_came_out_of_order_keeps_the_strongest_truth(tenant: Tenant) -> None:
    at = a_provider(tenant, "postmark")
    row = a_mail(at)
    for what in ("opened", "delivered", "opened", "queued"):
        assert post(at, postmark(what, "12", None)).status == 204
    assert came_to(row) == ("seen", "")


def test_a_batch_of_known_and_unknown_mails(tenant: Tenant, django_assert_num_queries: Any) -> None:
    at = a_provider(tenant, "sparkpost")
    rows = [a_mail(at, provider_message_id=str(number)) for number in range(20)]
    batch = [event for number in range(40) for event in sparkpost("delivered", str(number), None)]
    with django_assert_num_queries(2):
        assert post(at, batch).status == 204
    assert {came_to(row) for row in rows} == {("delivered", "")}


@pytest.mark.parametrize("name", sorted(REPORTS))
def test_a_report_that_overtakes_the_receipt_is_kept(tenant: Tenant, name: str) -> None:
    at = a_provider(tenant, name)
    row = a_mail(at, sent=False, sending=True, provider_message_id="", provider="")
    assert post(at, REPORTS[name]("delivered", "12", row.job_id)).status == 204
    assert came_to(row) == ("delivered", "")


@pytest.mark.parametrize("job", [None, UUID(int=1)])
@pytest.mark.parametrize("name", sorted(REPORTS))
def test_another_s_mail_is_not_asked_for_again_while_one_is_under_way(
    tenant: Tenant, name: str, job: UUID | None
) -> None:
    at = a_provider(tenant, name)
    row = a_mail(at, sent=False, sending=True, provider_message_id="", provider="")
    assert post(at, REPORTS[name]("delivered", "12", job)).status == 204
    assert came_to(row) == ("", "")


def test_another_tenant_s_and_another_provider_s_mails_are_not_touched(tenant: Tenant) -> None:
    at = a_provider(tenant, "postmark")
    theirs = a_mail(a_provider(TenantFactory(), "postmark", name=at.name))
    others = a_mail(a_provider(tenant, "postmark"))
    for row in (theirs, others):
        for job in (None, row.job_id) if row is theirs else (None,):
            assert post(at, postmark("hard", "12", job)).status == 204
        assert came_to(row) == ("", "")


class TestRefused:
    """Who proves nothing learns nothing, and changes nothing."""

    @pytest.mark.parametrize("login", [None, "", "hooks:wrong", "hooks", ":", LOGIN + " ", "None"])
    @pytest.mark.parametrize("name", [name for name in sorted(REPORTS) if name != "mailgun"])
    def test_without_the_login(self, tenant: Tenant, name: str, login: str | None) -> None:
        at = a_provider(tenant, name)
        row = a_mail(at)
        answer = post(at, REPORTS[name]("hard", "12", row.job_id), login=login)
        assert (answer.status, answer.body["code"]) == (404, "not_found")
        assert came_to(row) == ("", "")

    @pytest.mark.parametrize("name", sorted(REPORTS))
    def test_a_provider_without_a_login_of_its_own_believes_nobody(self, tenant: Tenant, name: str) -> None:
        secrets = {option.name: "k" for option in MAILS[name].options if option.is_secret}
        at = a_provider(tenant, name, secrets=secrets)
        row = a_mail(at)
        for login in (None, LOGIN, ":"):
            assert post(at, REPORTS[name]("hard", "12", row.job_id), login=login).status == 404
        assert came_to(row) == ("", "")

    @pytest.mark.parametrize("change", ["signature", "timestamp", "token", "none", "no json"])
    def test_without_mailgun_s_signature(self, tenant: Tenant, change: str) -> None:
        at = a_provider(tenant, "mailgun")
        row = a_mail(at)
        body = mailgun("hard", "12", row.job_id)
        if change == "none":
            del body["signature"]
        elif change != "no json":
            body["signature"][change] = "0" * 64
        assert post(at, b"{" if change == "no json" else body).status == 404
        assert came_to(row) == ("", "")

    @pytest.mark.parametrize(("hours_ago", "status"), [(11, 204), (13, 404), (-13, 404)])
    def test_a_signature_of_mailgun_s_ends(self, tenant: Tenant, hours_ago: float, status: int) -> None:
        at = a_provider(tenant, "mailgun")
        row = a_mail(at)
        body = mailgun("hard", "12", row.job_id, signed_hours_ago=hours_ago)
        assert post(at, body).status == status
        assert came_to(row) == (("bounced", "hard_bounce") if status == 204 else ("", ""))

    @pytest.mark.parametrize("timestamp", ["soon", "nan", "inf", "", None, [1]])
    def test_a_signature_of_mailgun_s_without_a_time_counts_for_nothing(self, tenant: Tenant, timestamp: Any) -> None:
        token = uuid4().hex
        signature = hmac.new(SIGNING_KEY.encode(), f"{timestamp}{token}".encode(), hashlib.sha256).hexdigest()
        body = mailgun("hard", "12", None) | {
            "signature": {"timestamp": timestamp, "token": token, "signature": signature}
        }
        assert post(a_provider(tenant, "mailgun"), body).status == 404

    @pytest.mark.parametrize("hours_ago", [0, 13])
    def test_mailgun_s_older_form_ends_too(self, tenant: Tenant, hours_ago: float) -> None:
        at = a_provider(tenant, "mailgun")
        row = a_mail(at)
        signed = mailgun("delivered", "12", row.job_id, signed_hours_ago=hours_ago)["signature"]
        form = urlencode(
            {**signed, "event": "delivered", "recipient": "ana@example.com", "Message-Id": "<12>"}
        ).encode()
        answer = post(at, form, content_type="application/x-www-form-urlencoded")
        assert answer.status == (204 if hours_ago == 0 else 404)
        assert came_to(row)[0] == ("delivered" if hours_ago == 0 else "")

    @pytest.mark.parametrize(
        ("body", "content_type"),
        [(DEEP, "application/json"), (b"x", "multipart/form-data")],
        ids=["deep", "no boundary"],
    )
    def test_what_cannot_be_read_proves_nothing(self, tenant: Tenant, body: bytes, content_type: str) -> None:
        assert post(a_provider(tenant, "mailgun"), body, content_type=content_type).status == 404

    @pytest.mark.parametrize("name", [name for name in sorted(REPORTS) if name != "mailgun"])
    @pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b"[1]", b"null", b"\xff", b'"x"', DEEP])
    def test_a_verified_body_that_cannot_be_read_says_so(self, tenant: Tenant, name: str, body: bytes) -> None:
        answer = post(a_provider(tenant, name), body)
        assert answer.status in (204, 400)
        assert answer.status == 204 or answer.body["code"] == "bad_callback"

    def test_a_mail_server_reports_nothing(self, tenant: Tenant) -> None:
        assert post(ProviderFactory(tenant=tenant), postmark("hard", "12", None)).status == 404
