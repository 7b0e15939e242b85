"""Notices: one for each incident, however many look; what each look finds, and what it leaves alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import redis
from django.conf import settings as django_settings
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from deliveries import hints, notice_looks
from deliveries.admin.runbook import anchor_of, path
from deliveries.endpoints import endpoint_disable, endpoint_enable, endpoints_disable_failing
from deliveries.models import Notice, OutboxPosition, Provider, Tenant, WorkerHeartbeat
from deliveries.notice_looks import Watcher
from deliveries.notices import (
    KINDS,
    Found,
    Kind,
    Look,
    notice_end,
    notice_help_path,
    notice_path,
    notice_raise,
    notices_forget,
    notices_settle,
)
from deliveries.providers.shared import verdict_key
from notifyproj.embedded.process import free_port
from tests.factories import DeliveryFactory, ProviderFactory, TenantFactory, WebhookEndpointFactory

pytestmark = pytest.mark.django_db

SAID = "Provider A is left alone"


@pytest.fixture
def verdict(redis_url: str) -> Iterator[Callable[..., None]]:
    """Return what tells all processes that a provider rests, or (`rests=False`) that it works."""
    client = redis.Redis.from_url(redis_url)
    keys = []

    def tell(provider: Provider, *, rests: bool = True, ends_in_seconds: float = 60.0) -> None:
        key = verdict_key(provider.pk, prefix=django_settings.REDIS_PREFIX)
        keys.append(key)
        if rests:
            client.set(key, f"1 {time.time() + ends_in_seconds!r}")
        else:
            client.delete(key)

    yield tell
    if keys:
        client.delete(*keys)
    client.close()


def raise_one(**changes: Any) -> bool:
    values: dict[str, Any] = {"kind": Kind.BREAKER_OPEN, "subject": "provider:1", "sentence": SAID, **changes}
    return notice_raise(**values)


def ended_ago(notice: Notice, seconds: float) -> None:
    Notice.objects.filter(pk=notice.pk).update(ended_at=timezone.now() - timedelta(seconds=seconds))


def open_subjects() -> set[str]:
    return set(Notice.objects.filter(ended_at=None).values_list("subject", flat=True))


def queries_of(work: Callable[[], object]) -> int:
    with CaptureQueriesContext(connection) as captured:
        work()
    return len(captured)


# Raising and ending.


@pytest.mark.parametrize("tenanted", [False, True])
def test_what_is_raised_again_and_again_is_one_notice(tenant: Tenant, tenanted: bool) -> None:
    whose = tenant.pk if tenanted else None

    assert raise_one(tenant_id=whose)
    assert not raise_one(tenant_id=whose, sentence="It is worse now")

    notice = Notice.objects.get()
    assert (notice.sentence, notice.count, notice.ended_at) == ("It is worse now", 1, None)
    assert (notice.tenant_id, notice.anchor) == (whose, "a-provider-is-broken")


def test_another_subject_kind_or_tenant_is_another_notice(tenant: Tenant) -> None:
    raise_one()

    assert raise_one(subject="provider:2")
    assert raise_one(kind=Kind.WORKER_GONE)
    assert raise_one(tenant_id=tenant.pk)
    assert Notice.objects.count() == 4


def test_what_ends_is_over_once() -> None:
    raise_one()

    assert notice_end(kind=Kind.BREAKER_OPEN, subject="provider:1")
    assert not notice_end(kind=Kind.BREAKER_OPEN, subject="provider:1")
    assert Notice.objects.get().ended_at is not None


def test_what_comes_back_soon_is_the_same_incident(settings: Any) -> None:
    settings.NOTICE_QUIET_SECONDS = 100
    raise_one()
    began = Notice.objects.get().opened_at
    ended_ago(Notice.objects.get(), 50)

    assert not raise_one()

    notice = Notice.objects.get()
    assert (notice.ended_at, notice.count, notice.opened_at) == (None, 2, began)


def test_what_comes_back_later_is_a_new_incident(settings: Any) -> None:
    settings.NOTICE_QUIET_SECONDS = 100
    raise_one()
    ended_ago(Notice.objects.get(), 101)

    assert raise_one()
    assert [notice.ended_at is None for notice in Notice.objects.order_by("id")] == [False, True]


def test_a_look_ends_what_it_does_not_find_and_leaves_what_it_cannot_tell() -> None:
    for subject in ("a", "b", "c"):
        raise_one(subject=subject)
    raise_one(kind=Kind.WORKER_GONE, subject="a")

    settled = notices_settle([Look(Kind.BREAKER_OPEN, [Found(Kind.BREAKER_OPEN, "b", SAID)], unsure=["c"])])

    assert settled == (0, 1)
    assert set(Notice.objects.filter(ended_at=None).values_list("kind", "subject")) == {
        ("breaker_open", "b"),
        ("breaker_open", "c"),
        ("worker_gone", "a"),
    }


def test_settling_costs_the_same_however_much_is_wrong() -> None:
    def settle(count: int) -> int:
        found = [Found(Kind.WORKER_GONE, f"w{number}", "It is gone") for number in range(count)]
        return queries_of(lambda: notices_settle([Look(Kind.WORKER_GONE, found)]))

    assert settle(1) == settle(50) == settle(0) == 3


def test_a_sentence_that_is_too_long_is_cut() -> None:
    raise_one(sentence="x" * 1000)

    assert len(Notice.objects.get().sentence) == 300


def test_old_notices_are_forgotten_and_open_ones_kept() -> None:
    raise_one(subject="old")
    raise_one(subject="new")
    ended_ago(Notice.objects.get(subject="old"), 10 * 86400)

    assert notices_forget(days=9) == 1
    assert Notice.objects.get().subject == "new"


@pytest.mark.django_db(transaction=True)
def test_many_who_see_the_same_raise_one_notice_and_one_of_them_is_told_that_it_is_new() -> None:
    together, told = threading.Barrier(8), []

    def look() -> None:
        together.wait()
        told.append(raise_one())
        connections.close_all()

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(told) == [False] * 7 + [True]
    assert Notice.objects.get().count == 1


def test_every_kind_has_a_title_and_a_heading_in_the_runbook() -> None:
    headings = {anchor_of(line.lstrip("# ")) for line in path().read_text().splitlines() if line.startswith("## ")}

    assert KINDS.keys() == set(Kind)
    assert {about.anchor for about in KINDS.values()} <= headings


# Providers.


def test_a_provider_that_rests_is_told_with_who_takes_over(tenant: Tenant, verdict: Callable[..., None]) -> None:
    a = ProviderFactory(tenant=tenant, name="SES", position=1)
    ProviderFactory(tenant=tenant, name="Postmark", position=2)
    ProviderFactory(tenant=TenantFactory(), name="Stranger")
    verdict(a)

    Watcher().run()

    notice = Notice.objects.get()
    assert notice.sentence == "SES (E-mail) is left alone after failing: Postmark takes over"
    assert (notice.tenant, notice.anchor) == (tenant, "a-provider-is-broken")
    assert notice_path(notice) == f"/admin/deliveries/provider/{a.pk}/change/"
    assert notice_help_path(notice).endswith("/runbook/#a-provider-is-broken")


def test_a_provider_without_another_says_that_messages_wait(tenant: Tenant, verdict: Callable[..., None]) -> None:
    verdict(ProviderFactory(tenant=tenant, name="SES"))
    Watcher().run()

    assert Notice.objects.get().sentence.endswith("its messages wait")


def test_a_breaker_that_opens_and_half_opens_and_closes_is_one_incident(
    tenant: Tenant, verdict: Callable[..., None]
) -> None:
    provider, watcher = ProviderFactory(tenant=tenant), Watcher()
    for rests, seconds in ((True, 60), (True, -1), (False, 0), (True, 60)):
        verdict(provider, rests=rests, ends_in_seconds=seconds)
        watcher.run()
        assert bool(open_subjects()) is rests

    assert Notice.objects.get().count == 2
    verdict(provider, rests=False)
    watcher.run()
    assert not open_subjects()


@pytest.mark.parametrize("forced", ["open", "closed"])
def test_a_breaker_that_staff_forced_is_as_they_want_it(
    tenant: Tenant, verdict: Callable[..., None], forced: str
) -> None:
    verdict(ProviderFactory(tenant=tenant, breaker_forced=forced))
    Watcher().run()

    assert not Notice.objects.exists()


def test_while_redis_is_away_breakers_notices_stay_as_they_are(
    tenant: Tenant, verdict: Callable[..., None], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider, watcher = ProviderFactory(tenant=tenant), Watcher()
    verdict(provider)
    watcher.run()

    settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"
    monkeypatch.setattr(hints, "_client", None)
    watcher.run()

    assert open_subjects() == {f"provider:{provider.pk}"}


# Webhook endpoints.


def test_an_endpoint_that_fails_for_days_is_disabled_with_a_notice_until_it_is_enabled(tenant: Tenant) -> None:
    now = timezone.now()
    endpoint = WebhookEndpointFactory(tenant=tenant, failing_since=now - timedelta(days=4), failed_at=now)
    healthy = WebhookEndpointFactory(tenant=tenant, failing_since=now - timedelta(days=2), failed_at=now)

    assert endpoints_disable_failing(days=3) == 1
    assert endpoints_disable_failing(days=3) == 0

    watcher = Watcher()
    watcher.run()
    notice = Notice.objects.get()
    assert notice.sentence == "The webhook endpoint at hooks.example.com is disabled: it took nothing for 3 days"
    assert "path-of-ana" not in notice.sentence
    assert notice_path(notice) == f"/admin/deliveries/webhookendpoint/{endpoint.pk}/change/"
    assert notice.ended_at is None

    endpoint_enable(endpoint=endpoint)
    endpoint_disable(endpoint=healthy, why="asked for")
    watcher.run()
    assert not open_subjects()
    assert Notice.objects.count() == 1


def test_disabling_costs_the_same_however_many_endpoints(tenant: Tenant) -> None:
    def disable(count: int) -> int:
        now = timezone.now()
        WebhookEndpointFactory.create_batch(count, tenant=tenant, failing_since=now - timedelta(days=4), failed_at=now)
        return queries_of(lambda: endpoints_disable_failing(days=3))

    assert disable(1) == disable(30)
    assert Notice.objects.count() == 31


# Channels.


def test_a_channel_that_is_behind_is_told_with_the_reason(tenant: Tenant, settings: Any) -> None:
    settings.NOTICE_OLDEST_DUE_SECONDS = 300
    old = timezone.now() - timedelta(minutes=12)
    DeliveryFactory(tenant=tenant, channel="email", retrying=True, next_attempt_at=old, reason="timeout")
    DeliveryFactory(tenant=tenant, channel="ws", next_attempt_at=timezone.now() - timedelta(minutes=1))

    Watcher().run()

    notice = Notice.objects.get()
    assert notice.sentence.startswith("E-mail is 12 minutes behind: ")
    assert notice.anchor == "a-provider-is-broken"
    assert notice_path(notice) == "/admin/deliveries/delivery/?view=retrying&channel=email"


@pytest.mark.parametrize(
    "lane",
    [
        {"paused_at": timezone.now(), "paused_by": "ana"},
        {"not_before": timezone.now() + timedelta(hours=1)},
        {"pace_per_minute": 1},
        {"cancelled_at": timezone.now()},
    ],
    ids=["on hold", "held back", "paced", "cancelled"],
)
def test_what_is_late_on_purpose_is_no_notice(tenant: Tenant, lane: dict[str, Any]) -> None:
    row = DeliveryFactory(tenant=tenant, channel="email", next_attempt_at=timezone.now() - timedelta(hours=1))
    type(row.lane).objects.filter(pk=row.lane_id).update(**lane)

    Watcher().run()

    assert not Notice.objects.exists()


def test_what_is_scheduled_for_later_is_no_notice(tenant: Tenant) -> None:
    DeliveryFactory(tenant=tenant, next_attempt_at=timezone.now() + timedelta(hours=1))
    Watcher().run()

    assert not Notice.objects.exists()


def test_a_channel_that_caught_up_is_over(tenant: Tenant) -> None:
    row = DeliveryFactory(tenant=tenant, channel="email", next_attempt_at=timezone.now() - timedelta(hours=1))
    watcher = Watcher()
    watcher.run()
    assert open_subjects() == {"channel:email"}
    assert notice_path(Notice.objects.get()) == "/admin/deliveries/delivery/?view=waiting&channel=email"

    row.delete()
    watcher.run()
    assert not open_subjects()


# Processes.


def process(instance: str, *, silent_seconds: float = 0.0, state: str = "running") -> WorkerHeartbeat:
    at = timezone.now() - timedelta(seconds=silent_seconds)
    return WorkerHeartbeat.objects.create(
        service_type="sender", instance_id=instance, pid=7, host="a-host", state=state,
        started_at=at - timedelta(hours=1), beat_at=at, progress_at=at,
    )  # fmt: skip


def test_processes_that_are_gone_or_stuck_are_told_and_those_that_stopped_are_not(settings: Any) -> None:
    process("well")
    process("stopped", silent_seconds=3600, state="stopped")
    process("gone", silent_seconds=60)
    process("died while stopping", silent_seconds=60, state="stopping")
    process("stuck", state="stuck")
    process("of last week", silent_seconds=8 * 86400)

    Watcher().run()

    assert dict(Notice.objects.values_list("subject", "kind")) == {
        "sender:gone": "worker_gone",
        "sender:died while stopping": "worker_gone",
        "sender:stuck": "worker_stuck",
    }
    gone = Notice.objects.get(subject="sender:gone")
    assert gone.sentence.startswith("Sender on a-host (pid 7) is gone: no sign since ")
    assert notice_path(gone) == "/admin/deliveries/workerheartbeat/"


def test_a_process_that_breathes_again_is_over() -> None:
    row, watcher = process("slow", silent_seconds=60), Watcher()
    watcher.run()
    assert open_subjects() == {"sender:slow"}

    WorkerHeartbeat.objects.filter(pk=row.pk).update(beat_at=timezone.now())
    watcher.run()
    assert not open_subjects()


# The balance.


@pytest.fixture
def always_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notice_looks, "BALANCE_SECONDS", 0.0)
    monkeypatch.setattr(notice_looks.figures, "LOAD_SHARE", 1e9)


def test_unaccounted_is_told_once_it_lasts_and_ends_when_it_is_dealt_with(
    always_counted: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = OutboxPosition.objects.create(topic="t", partition=0, next_offset=9, lost=2, updated_at=timezone.now())
    watcher, other = Watcher(), Watcher()
    watcher.run()
    assert not Notice.objects.exists()

    monkeypatch.setattr(notice_looks, "UNACCOUNTED_GRACE_SECONDS", 0.0)
    watcher.run()
    assert Notice.objects.get().sentence == "2 accepted jobs are unaccounted for"

    monkeypatch.setattr(notice_looks, "UNACCOUNTED_GRACE_SECONDS", 60.0)
    other.run()  # it began later, is within its own grace and must not end what the first one knows
    assert open_subjects() == {"balance"}

    OutboxPosition.objects.filter(pk=lost.pk).update(lost=0)
    watcher.run()
    assert not open_subjects()


def test_the_balance_is_not_counted_at_every_look() -> None:
    watcher = Watcher()
    first = queries_of(watcher.run)

    assert queries_of(watcher.run) < first


def test_a_round_costs_the_same_however_much_is_wrong(tenant: Tenant, verdict: Callable[..., None]) -> None:
    watcher = Watcher()
    watcher.run()

    def add(count: int) -> int:
        for number in range(count):
            verdict(ProviderFactory(tenant=tenant))
            process(f"gone {tenant.pk} {time.monotonic()} {number}", silent_seconds=60)
            endpoint = WebhookEndpointFactory(tenant=tenant, disabled_at=timezone.now())
            raise_one(kind=Kind.ENDPOINT_DISABLED, subject=f"endpoint:{endpoint.pk}", page_pk=endpoint.pk)
            DeliveryFactory(tenant=tenant, channel=f"c{number}", next_attempt_at=timezone.now() - timedelta(hours=1))
        return queries_of(watcher.run)

    assert add(1) == add(12)
