"""A channel that goes fast starts rows before its sender has room for them; the sender itself never gets more than it takes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from deliveries.channels import Channel
from deliveries.dispatch import Dispatcher
from deliveries.models import Delivery, DeliveryAttempt, Tenant
from deliveries.senders.base import Message, Receipt, Sender
from deliveries.workers.heartbeat import Heartbeat
from tests.factories import ContactFactory
from tests.lifecycle import accept, incoming
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

ROWS = 60
CAPACITY = 3


class OneAfterAnother(Sender):
    """Takes each message a moment later than the one before."""

    channel = Channel.WS
    capacity = ROWS

    def __init__(self) -> None:
        self.taken = 0

    async def send(self, message: Message) -> Receipt:
        self.taken += 1
        for _ in range(self.taken):
            await asyncio.sleep(0)
        return Receipt("one after another")


class Stalled(Sender):
    """Takes messages and never answers."""

    channel = Channel.WS
    capacity = CAPACITY

    def __init__(self) -> None:
        self.handed_over = 0
        self.inside = 0
        self.most_inside = 0

    async def send(self, message: Message) -> Receipt:
        self.handed_over += 1
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        try:
            await asyncio.Event().wait()
        finally:
            self.inside -= 1
        raise AssertionError("nobody sets the event")


def test_rows_that_were_started_ahead_and_cut_before_their_turn_are_known_not_to_be_handed_over(settings: Any) -> None:
    settings.SEND_DEADLINE_SECONDS = 1
    settings.SHUTDOWN_GRACE_SECONDS = 4
    settings.RETRY_DELAYS_SECONDS = [600.0]
    sender = Stalled()
    dispatcher = Dispatcher({"ws": sender}, heartbeat=Heartbeat("test"))
    dispatcher.start()
    try:
        (run,) = dispatcher.runs.of("ws")
        run._records.rows_per_second = 1000.0  # as after a minute of a provider that was fast until now
        accept(*(incoming() for _ in range(ROWS)))
        dispatcher.look("ws")
        wait_until(lambda: DeliveryAttempt.objects.count() == ROWS, "every try was cut and recorded")
    finally:
        dispatcher.stop()
    assert sender.most_inside == CAPACITY
    assert DeliveryAttempt.objects.filter(is_ambiguous=True).count() == sender.handed_over < ROWS
    assert not Delivery.objects.exclude(status__in=["RETRYING", "FAILED"]).exists()


def test_where_a_second_copy_is_never_risked_only_what_there_is_room_for_counts_as_perhaps_sent(settings: Any) -> None:
    settings.SHUTDOWN_GRACE_SECONDS = 1
    settings.CHANNEL_SENDERS = {"sms": "null"}
    tenant = Tenant.objects.get()
    people = [ContactFactory(tenant=tenant, phone=f"+49151123{number:05}") for number in range(ROWS)]
    sender = Stalled()
    dispatcher = Dispatcher({"sms": sender}, heartbeat=Heartbeat("test"))
    dispatcher.start()
    try:
        (run,) = dispatcher.runs.of("sms")
        run._records.rows_per_second = 1000.0
        urgent = {"priority": "high"}  # which may use all the room there is
        accept(*(incoming(channel="sms", user_id=str(person.user_id), meta=urgent) for person in people))
        dispatcher.look("sms")
        wait_until(lambda: sender.inside == CAPACITY, "the sender has all that it takes")
        statuses = list(Delivery.objects.values_list("status", flat=True))
    finally:
        dispatcher.stop()
    assert (statuses.count("SENDING"), statuses.count("PENDING")) == (CAPACITY, ROWS - CAPACITY)


def test_a_claim_of_urgent_rows_alone_says_nothing_of_the_others(settings: Any) -> None:
    settings.SHUTDOWN_GRACE_SECONDS = 1
    sender = Stalled()
    dispatcher = Dispatcher({"ws": sender}, heartbeat=Heartbeat("test"))
    dispatcher.start()
    try:
        (run,) = dispatcher.runs.of("ws")
        accept(*(incoming() for _ in range(ROWS)))
        dispatcher.look("ws")
        wait_until(lambda: sender.inside and not run.is_looking(), "all that may be held of ordinary rows is held")
        held = run.rows_in_hand()
        asyncio.run_coroutine_threadsafe(run.look(), dispatcher._loop).result(30)
        assert (run.rows_in_hand(), run._claims._more) == (held, True)
    finally:
        dispatcher.stop()


def test_outcomes_wait_for_no_company_when_nothing_is_under_way_that_could_bring_it(settings: Any) -> None:
    settings.FLUSH_INTERVAL_SECONDS = 100_000.0
    dispatcher = Dispatcher({"ws": OneAfterAnother()}, heartbeat=Heartbeat("test"))
    dispatcher.start()
    try:
        accept(*(incoming() for _ in range(ROWS)))
        dispatcher.look("ws")
        wait_until(lambda: Delivery.objects.filter(status="SENT").count() == ROWS, "all outcomes are recorded")
    finally:
        dispatcher.stop()
