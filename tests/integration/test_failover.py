"""A tenant's own providers, through the whole path: who carries what, what a broken one costs, and whom it does not concern."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import uuid4

import pytest

from deliveries.models import Delivery, DeliveryAttempt, Provider, Tenant
from deliveries.providers import breaker
from deliveries.senders.ws import InboxSender
from tests.dispatching import dispatching, look_until, mailer, settle
from tests.factories import ContactFactory, TenantFactory
from tests.lifecycle import accept, incoming
from tests.smtp import SmtpServer
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)
MAILS = 60


@pytest.fixture
def a(tmp_path: Path) -> Iterator[SmtpServer]:
    (tmp_path / "a").mkdir()
    with SmtpServer(tmp_path / "a") as server:
        yield server


@pytest.fixture
def b(tmp_path: Path) -> Iterator[SmtpServer]:
    (tmp_path / "b").mkdir()
    with SmtpServer(tmp_path / "b") as server:
        yield server


@pytest.fixture
def rests_are_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaker, "FIRST_REST_SECONDS", 0.5)


def provider(tenant: Tenant, name: str, server: SmtpServer, position: int = 1, rate: float | None = None) -> Provider:
    options = {"host": "127.0.0.1", "port": server.port, "security": "none", "connections": 4}
    made: Provider = Provider.objects.create(
        tenant=tenant, channel="email", name=name, kind="smtp", position=position, options=options, rate_per_second=rate
    )
    return made


def mails(tenant: Tenant, count: int = MAILS, local_part: str = "ana") -> list[int]:
    people = [ContactFactory(tenant=tenant, email=f"{local_part}-{uuid4().hex[:8]}@example.com") for _ in range(count)]
    return accept(*(incoming(channel="email", user_id=str(person.user_id), tenant_id=tenant.slug) for person in people))


def carried() -> Counter[str]:
    return Counter(Delivery.objects.filter(status="SENT").values_list("provider", flat=True))


def test_the_first_that_works_carries_everything_and_other_tenants_keep_the_settings(
    a: SmtpServer, b: SmtpServer
) -> None:
    own, other = TenantFactory(), TenantFactory()
    provider(own, "First", a, 1)
    provider(own, "Second", b, 2)
    mails(own, 5)
    [theirs] = mails(other, 1)
    with dispatching(email=mailer(b)) as dispatcher:
        settle(dispatcher)
    assert carried()["First"] == 5
    assert len(a.receipts()) == 5
    assert Delivery.objects.get(id=theirs).provider not in ("First", "Second")
    assert len(b.receipts()) == 1


def test_a_broken_provider_costs_few_attempts_and_the_next_carries_the_rest(a: SmtpServer, b: SmtpServer) -> None:
    tenant = Tenant.objects.get(slug="default")
    provider(tenant, "A", a, 1)
    provider(tenant, "B", b, 2)
    a.kill()
    mails(tenant)
    with dispatching() as dispatcher:
        settle(dispatcher)
    assert carried() == {"B": MAILS}
    assert len(b.receipts()) == MAILS
    refused = DeliveryAttempt.objects.filter(provider="A")
    assert 0 < refused.count() <= 20
    assert set(refused.values_list("code", flat=True)) == {"connection_refused"}
    assert max(Delivery.objects.values_list("attempts", flat=True)) <= 3


def test_while_every_provider_rests_rows_wait_and_nothing_counts_against_them(
    a: SmtpServer, rests_are_short: None
) -> None:
    tenant = Tenant.objects.get(slug="default")
    provider(tenant, "A", a)
    a.kill()
    mails(tenant)
    with dispatching() as dispatcher:
        look_until(
            dispatcher,
            "email",
            lambda: DeliveryAttempt.objects.count() >= breaker.FAILURES_TO_OPEN,
            "the breaker has opened",
        )
        assert Delivery.objects.filter(status="PENDING", attempts=0).exists()
        a.start()
        settle(dispatcher)
    ended = Counter(Delivery.objects.values_list("status", flat=True))
    assert ended == {"SENT": MAILS}
    assert DeliveryAttempt.objects.count() <= 20  # those under way when it opened, and probes
    assert len({receipt["to"] for receipt in a.receipts()}) == MAILS


def test_a_rate_holds_back_what_is_too_much_and_costs_no_attempt(a: SmtpServer) -> None:
    tenant = Tenant.objects.get(slug="default")
    provider(tenant, "A", a, rate=1e-6)
    mails(tenant, 10)
    with dispatching() as dispatcher:
        look_until(dispatcher, "email", lambda: carried()["A"] == 1, "the one that the bucket holds is sent")
        dispatcher.look("email")
    assert Counter(Delivery.objects.values_list("status", "attempts")) == {("SENT", 1): 1, ("PENDING", 0): 9}


def test_a_far_end_that_hangs_holds_up_no_other_tenant(a: SmtpServer, b: SmtpServer) -> None:
    slow, quick = TenantFactory(), TenantFactory()
    provider(slow, "Slow", a)
    provider(quick, "Quick", b)
    mails(slow, 40, local_part="silent-rcpt")
    mails(quick, 40)
    with dispatching() as dispatcher:
        look_until(dispatcher, "email", lambda: carried()["Quick"] == 40, "the quick tenant's mails are out")
        assert Delivery.objects.filter(tenant=slow, status="SENDING").exists()
        a.kill()


def test_a_far_end_that_hangs_holds_up_no_other_channel(a: SmtpServer) -> None:
    tenant = TenantFactory()
    provider(tenant, "Slow", a)
    mails(tenant, 40, local_part="silent-rcpt")
    accept(
        *(incoming(tenant_id=tenant.slug, channel="ws", content={"title": "Hi", "body": "There"}) for _ in range(40))
    )
    pushed: list[object] = []

    async def publish(items: Sequence[object]) -> None:
        pushed.extend(items)

    with dispatching(ws=InboxSender(publish=publish)) as dispatcher:
        look_until(dispatcher, "email", lambda: Delivery.objects.filter(status="SENDING").exists(), "mails hang")
        look_until(dispatcher, "ws", lambda: len(pushed) == 40, "the in-app ones are there")
        assert Delivery.objects.filter(channel="email", status="SENDING").exists()
        a.kill()


def test_a_provider_that_staff_switch_off_hands_over_without_a_restart(a: SmtpServer, b: SmtpServer) -> None:
    tenant = Tenant.objects.get(slug="default")
    first = provider(tenant, "A", a, 1)
    provider(tenant, "B", b, 2)
    with dispatching() as dispatcher:
        mails(tenant, 3)
        settle(dispatcher)
        Provider.objects.filter(pk=first.pk).update(is_enabled=False)
        wait_until(lambda: [len(run.sender.links) for run in dispatcher.runs.of("email")] == [1], "the chain is new")
        mails(tenant, 3)
        settle(dispatcher)
    assert carried() == {"A": 3, "B": 3}
