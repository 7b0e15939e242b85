"""A lane's speed is kept by the senders themselves, whoever else may be late with a hint."""

from __future__ import annotations

import pytest

from deliveries import dispatch
from deliveries.channels import Channel
from deliveries.dispatch import Dispatcher
from deliveries.lifecycle import lane_set_pace
from deliveries.models import Delivery, Lane
from deliveries.senders.base import Message, Receipt, Sender
from deliveries.workers.heartbeat import Heartbeat
from tests.lifecycle import accept, incoming
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

#: Five a second, and ten at once at the most.
PACE, ROWS = 300, 16


class Willing(Sender):
    """Takes every message at once."""

    channel = Channel.WS

    async def send(self, message: Message) -> Receipt:
        return Receipt(provider="willing")


def test_a_lane_with_a_speed_goes_on_without_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "LOOK_EVERY_SECONDS", 100_000)
    dispatcher = Dispatcher({"ws": Willing()}, heartbeat=Heartbeat("test"))
    accept(*(incoming() for _ in range(ROWS)))
    lane_set_pace(lane_ids=list(Lane.objects.values_list("id", flat=True)), pace_per_minute=PACE)
    dispatcher.start()
    try:
        dispatcher.look("ws")
        wait_until(lambda: Delivery.objects.filter(status="SENT").count() == ROWS, "all are sent")
    finally:
        dispatcher.stop()
