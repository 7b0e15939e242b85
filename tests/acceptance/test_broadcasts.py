"""Broadcasts whose processes die: everybody gets one row, each is run once, and none is called finished before it is."""

from __future__ import annotations

import itertools

from tests.acceptance.broadcasting import APPROVE_FROM, do
from tests.acceptance.conftest import MakeScenario
from tests.acceptance.people import people
from tests.acceptance.scenario import SHORT_LEASES, Scenario
from tests.acceptance.sizes import WAIT_SECONDS, sized
from tests.acceptance.system import Role
from tests.waiting import eventually

#: What the broadcasts say of themselves, beside what a plain count of the rows says.
FIGURES = """
SELECT (SELECT coalesce(sum((row ->> 4)::bigint), 0) FROM notification_broadcasts b, jsonb_array_elements(b.counts -> 'rows') row),
    (SELECT coalesce(sum((row ->> 4)::bigint), 0) FROM notification_broadcasts b, jsonb_array_elements(b.counts -> 'rows') row
        WHERE row ->> 1 = 'SENT'),
    (SELECT coalesce(sum(accepted), 0)::bigint FROM deliveries_receipt),
    count(*), count(*) FILTER (WHERE status = 'SENT'), count(DISTINCT (entrance, user_id)), count(DISTINCT job_id)
FROM notification_delivery
"""


def await_completed(scenario: Scenario, count: int) -> None:
    """Wait until so many broadcasts are completed."""
    asked = "SELECT count(*) FROM notification_broadcasts WHERE state = 'completed'"
    eventually(
        lambda: scenario.ask(asked)[0][0] == count, within_seconds=WAIT_SECONDS, what=f"{count} completed broadcasts"
    )


@sized("recipients, kills", small=(1_500, 2), full=(100_000, 10))
def test_fan_out_killed_again_and_again(make_scenario: MakeScenario, recipients: int, kills: int) -> None:
    chunk = recipients // 100
    scenario = make_scenario(BROADCAST_APPROVAL_FROM=APPROVE_FROM, BROADCAST_CHUNK_SIZE=str(chunk))
    scenario.introduce(people(recipients))
    do(scenario.system.environment, "create", "1", "ws")
    assert do(scenario.system.environment, "send", "100") == "1"  # pressed a hundred times at once
    workers = scenario.system.start(Role.BROADCASTER, 2)
    for number, victim in zip(range(kills), itertools.cycle(workers), strict=False):
        scenario.wait_for("true", number * recipients // (2 * kills) + 1, within_seconds=WAIT_SECONDS)
        victim.kill()
        victim.restart()
    scenario.wait_for("true", recipients, within_seconds=WAIT_SECONDS)
    scenario.system.start(Role.SENDER)
    await_completed(scenario, 1)

    assert scenario.ask(FIGURES) == [(recipients,) * 7]
    assert scenario.ask("SELECT count(*) FROM broadcasts_broadcastevent WHERE action = 'start'") == [(1,)]
    assert scenario.ask("SELECT count(*) FROM broadcasts_leftout") == [(0,)]


@sized("due", small=(12,), full=(200,))
def test_two_schedulers_run_each_due_broadcast_once(make_scenario: MakeScenario, due: int) -> None:
    recipients = 5
    scenario = make_scenario(BROADCAST_APPROVAL_FROM=APPROVE_FROM)
    scenario.introduce(people(recipients))
    do(scenario.system.environment, "create", str(due), "ws")
    do(scenario.system.environment, "send", "1")
    scenario.system.start(Role.BROADCASTER, 2)
    scenario.system.start(Role.SENDER)
    await_completed(scenario, due)

    assert scenario.ask(FIGURES) == [(due * recipients,) * 7]
    for action in ("start", "complete"):
        told = "SELECT count(*), count(DISTINCT broadcast_id) FROM broadcasts_broadcastevent WHERE action = %s"
        assert scenario.ask(told, [action]) == [(due, due)]


@sized("mails, manner", small=(200, "slow-100ms-"), full=(20_000, "slow-5ms-"))
def test_senders_killed_in_the_middle_of_a_broadcast(make_scenario: MakeScenario, mails: int, manner: str) -> None:
    scenario = make_scenario(BROADCAST_APPROVAL_FROM=APPROVE_FROM, **SHORT_LEASES)
    scenario.introduce(people(mails, manner=manner))
    do(scenario.system.environment, "create", "1", "email")
    do(scenario.system.environment, "send", "1")
    scenario.start(consumers=0, senders=0)
    scenario.system.start(Role.BROADCASTER)
    senders = scenario.system.start(Role.SENDER, 2)
    scenario.wait_for("status = 'SENT'", mails // 20, within_seconds=WAIT_SECONDS)
    for victim in senders:
        victim.kill()
    left = scenario.count("status <> 'SENT'")
    scenario.system.start(Role.SENDER, 2)
    await_completed(scenario, 1)

    assert left > 0, "everything was sent before the senders died: nothing was tried"
    assert scenario.ask(FIGURES) == [(mails,) * 7]
    early = "SELECT count(*) FROM notification_delivery WHERE finished_at > (SELECT finished_at FROM notification_broadcasts)"
    assert scenario.ask(early) == [(0,)]
    assert len(scenario.sink.copies()) == mails
