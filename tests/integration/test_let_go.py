"""A hold in the middle of a run, through the whole path: what is meant stops, others go on, and what is let go keeps the rate."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse

from deliveries import lifecycle
from deliveries.models import Delivery, DeliveryAttempt, Hold, Tenant
from deliveries.providers import shared
from tests.dispatching import dispatching, look_until, settle
from tests.factories import ContactFactory, TemplateFactory
from tests.integration.test_failover import provider
from tests.lifecycle import accept, incoming
from tests.smtp import SmtpServer
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)
OPEN = ("PENDING", "SENDING", "RETRYING")


@pytest.fixture
def smtp(tmp_path: Path) -> Iterator[SmtpServer]:
    with SmtpServer(tmp_path) as server:
        yield server


@pytest.fixture
def tenant() -> Tenant:
    tenant = Tenant.objects.get(slug="default")
    for code in ("order", "news"):
        TemplateFactory(tenant=tenant, code=code)
    return tenant


def mails(tenant: Tenant, *codes: str, each: int) -> None:
    people = [ContactFactory(tenant=tenant) for _ in range(each * len(codes))]
    accept(
        *(
            incoming(
                channel="email", user_id=str(person.user_id), content=None, template_code=codes[number % len(codes)]
            )
            for number, person in enumerate(people)
        )
    )


def sent(code: str) -> int:
    return Delivery.objects.filter(status="SENT", template_code=code).count()


def test_a_template_held_in_mid_run_waits_without_an_attempt_while_others_go_on(
    smtp: SmtpServer, tenant: Tenant, admin_client: Client
) -> None:
    provider(tenant, "A", smtp, rate=25)
    mails(tenant, "order", "news", each=40)
    with dispatching() as dispatcher:
        look_until(dispatcher, "email", lambda: sent("order") >= 2, "the run has begun")
        admin_client.post(
            reverse("admin:deliveries_hold_place"), {"template_code": "order", "reason": "The price is wrong"}
        )
        mails(tenant, "order", "news", each=5)

        def others_are_over() -> bool:
            lifecycle.sweep()
            dispatcher.look("email")
            under_way = Delivery.objects.filter(template_code="order", lease_token__isnull=False)
            return sent("news") == 45 and not under_way.exists()

        wait_until(others_are_over, "every other mail is out and none of those on hold is under way")
        waiting = Delivery.objects.filter(template_code="order", status="PENDING")
        held = waiting.count()
        assert held >= 5
        assert set(waiting.values_list("attempts", "claims", "hold")) == {(0, 0, Hold.objects.get().pk)}
        assert len(smtp.receipts()) == sent("order") + 45
        assert lifecycle.sweep().due_channels == []

        admin_client.post(reverse("admin:deliveries_hold_let_go", args=[Hold.objects.get().pk]))
        settle(dispatcher)
    assert set(Delivery.objects.values_list("status", "attempts")) == {("SENT", 1)}
    assert len({receipt["to"] for receipt in smtp.receipts()}) == len(smtp.receipts()) == 90
    assert not DeliveryAttempt.objects.exists()


@pytest.mark.parametrize("named", [{"template_code": "order"}, {"channel": "email"}])
def test_what_is_let_go_leaves_no_faster_than_its_providers_rate(
    smtp: SmtpServer, tenant: Tenant, named: dict[str, str]
) -> None:
    rate = 10.0
    provider(tenant, "A", smtp, rate=rate)
    hold, _is_new = lifecycle.hold_place(by="ana", reason="provider maintenance", **named)
    mails(tenant, "order", each=60)
    with dispatching() as dispatcher:
        look_until(dispatcher, "email", lambda: "email" not in lifecycle.sweep().due_channels, "nothing is due")
        assert not smtp.receipts()
        began = time.monotonic()
        lifecycle.hold_let_go(hold_ids=[hold.pk], by="ben")

        seen: list[tuple[int, float]] = []

        def a_good_part_is_out() -> bool:
            lifecycle.sweep()
            dispatcher.look("email")
            seen.append((len(smtp.receipts()), time.monotonic() - began))
            return seen[-1][0] >= 25

        wait_until(a_good_part_is_out, "a good part of it is out")
    # The shared bucket, and what this process was granted while nothing came (decision 0014): at most a bucket more.
    at_once = 2 * shared.bucket_size(rate)
    assert [(out, seconds) for out, seconds in seen if out > at_once + rate * seconds] == []
