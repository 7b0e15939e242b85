"""Webhook, push and SMS through the whole path: an accepted job, the far end that speaks the provider's protocol, and what the row says."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid4

import pytest
from django.utils import timezone
from standardwebhooks import Webhook

from deliveries.endpoints import endpoint_add, endpoint_rotate_secret, endpoints_disable_failing
from deliveries.models import Delivery, Device, Provider, Tenant, WebhookEndpoint
from deliveries.providers.credentials import seal
from deliveries.senders.webhook import WebhookSender
from tests import sms
from tests.dispatching import dispatching, settle
from tests.factories import ContactFactory
from tests.far_end import OK, beside, far_end, says
from tests.fcm import Fcm, fcm_server
from tests.lifecycle import accept, incoming
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)
T = TypeVar("T")


@pytest.fixture(autouse=True)
def loopback_is_allowed(settings: Any) -> None:
    settings.PRIVATE_ADDRESSES_ALLOWED = True


def default() -> Tenant:
    return Tenant.objects.get(slug="default")


def job(channel: str, user_id: UUID, body: str = "It is on its way.") -> Delivery:
    content = {"title": "Your order", "body": body}
    [row_id] = accept(incoming(channel=channel, user_id=str(user_id), content=content, template_code=None))
    return Delivery.objects.get(pk=row_id)


def posting() -> WebhookSender:
    return WebhookSender(allow_private=True, timeout_seconds=18)


def test_a_webhook_is_posted_signed_by_both_secrets_and_the_row_says_so() -> None:
    person = uuid4()
    with beside(far_end(says(OK))) as far, dispatching(webhook=posting()) as dispatcher:
        first = endpoint_add(tenant=default(), user_id=person, url=f"{far.url}hook")
        second = endpoint_rotate_secret(endpoint=first.endpoint)
        row = job("webhook", person)
        settle(dispatcher, channel="webhook")
        (request,) = far.requests
    row.refresh_from_db()
    assert (row.status, row.attempts, row.provider_message_id) == ("SENT", 1, str(row.job_id))
    for secret in (first.plain, second.plain):
        posted = Webhook(secret).verify(request.body, request.headers)
        assert posted["data"]["text"] == "It is on its way."


def test_an_endpoint_that_takes_nothing_is_noted_and_in_the_end_disabled() -> None:
    person = uuid4()
    with beside(far_end(says(b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"))) as far:
        endpoint = endpoint_add(tenant=default(), user_id=person, url=far.url).endpoint
        with dispatching(webhook=posting()) as dispatcher:
            row = job("webhook", person)
            settle(dispatcher, channel="webhook")
            failing = WebhookEndpoint.objects.filter(pk=endpoint.pk, failing_since__isnull=False)
            wait_until(failing.exists, "that it fails is noted")
            assert endpoints_disable_failing(days=3) == 0
            WebhookEndpoint.objects.update(failing_since=timezone.now() - timedelta(days=4))
            assert endpoints_disable_failing(days=3) == 1
            later = job("webhook", person)
            settle(dispatcher, channel="webhook")
    row.refresh_from_db()
    later.refresh_from_db()
    assert (row.status, row.reason) == ("FAILED", "endpoint_gone")
    assert (later.status, later.reason) == ("FAILED", "no_contact")
    assert len(far.requests) == 1


def test_an_endpoint_that_takes_again_is_forgiven() -> None:
    person = uuid4()
    with beside(far_end(says(OK))) as far, dispatching(webhook=posting()) as dispatcher:
        endpoint = endpoint_add(tenant=default(), user_id=person, url=far.url).endpoint
        WebhookEndpoint.objects.update(failing_since=timezone.now())
        job("webhook", person)
        settle(dispatcher, channel="webhook")
    endpoint.refresh_from_db()
    assert endpoint.failing_since is None


def phones(fcm: Fcm) -> Provider:
    made: Provider = Provider.objects.create(
        tenant=default(),
        channel="push",
        name="Phones",
        kind="push",
        options={"fcm_base_url": fcm.url},
        sealed_credentials=seal({"fcm_service_account": fcm.service_account()}),
    )
    return made


def test_a_push_goes_to_every_device_and_a_dead_one_is_forgotten() -> None:
    person = uuid4()
    with beside(fcm_server()) as fcm:
        phones(fcm)
        alive, dead = (
            Device.objects.create(tenant=default(), user_id=person, platform="fcm", token=token, seen_at=timezone.now())
            for token in ("alive", "error-404-UNREGISTERED")
        )
        with dispatching() as dispatcher:
            row, nobodys = job("push", person), job("push", uuid4())
            settle(dispatcher, channel="push")
        assert fcm.taken == ["alive"]
    row.refresh_from_db()
    nobodys.refresh_from_db()
    assert (row.status, row.attempts, row.provider) == ("SENT", 1, "Phones")
    results = {one["device"]: one["ok"] for one in row.details["devices"]}
    assert results == {alive.pk: True, dead.pk: False}
    assert list(Device.objects.values_list("token", flat=True)) == ["alive"]
    assert (nobodys.status, nobodys.reason) == ("FAILED", "no_contact")
    assert nobodys.error_message.startswith("User has no device")


def texting(far: sms.Far, *, deadline_seconds: float = 18) -> Provider:
    made: Provider = Provider.objects.create(
        tenant=default(),
        channel="sms",
        name="Texts",
        kind="twilio",
        options={"account_sid": sms.ACCOUNT_SID, "from_number": sms.FROM, "base_url": far.url},
        deadline_seconds=deadline_seconds,
        sealed_credentials=seal({"auth_token": sms.AUTH_TOKEN}),
    )
    return made


def test_a_text_goes_out_and_the_row_says_what_it_costs() -> None:
    person = ContactFactory(tenant=default(), phone=sms.GOOD)
    with beside(sms.serving(sms.twilio)) as far:
        texting(far)
        with dispatching() as dispatcher:
            row = job("sms", person.user_id, body="ж" * 100)
            settle(dispatcher, channel="sms")
        assert [got.form["To"] for got in far.got] == [sms.GOOD]
    row.refresh_from_db()
    assert (row.status, row.provider, row.details) == ("SENT", "Texts", {"encoding": "UCS-2", "segments": 2})
    assert row.provider_message_id.startswith("SM")


def test_a_text_whose_outcome_is_unknown_is_never_sent_a_second_time() -> None:
    person = ContactFactory(tenant=default(), phone=sms.SILENT)
    with beside(sms.serving(sms.twilio)) as far:
        texting(far, deadline_seconds=5)
        with dispatching() as dispatcher:
            row = job("sms", person.user_id)
            settle(dispatcher, channel="sms")
        assert len(far.got) == 1
    row.refresh_from_db()
    assert (row.status, row.reason, row.attempts) == ("FAILED", "outcome_unknown", 1)


def test_channels_that_nobody_serves_for_a_tenant_say_so_at_once() -> None:
    rows = [job(channel, uuid4()) for channel in ("push", "sms")]
    assert Counter((row.status, row.reason) for row in rows) == {("FAILED", "channel_unavailable"): 2}
