"""Processes that stand still for longer than anybody waits for them, and then go on as if nothing had been."""

from __future__ import annotations

import psycopg

from deliveries.lifecycle.claim import CLAIM_LOCK, TAKE_TURN
from tests.acceptance.conftest import MakeScenario
from tests.acceptance.ledger import job
from tests.acceptance.people import people
from tests.acceptance.scenario import SHORT_LEASES, Scenario
from tests.acceptance.sizes import WAIT_SECONDS, sized
from tests.acceptance.system import Process, Role
from tests.waiting import eventually


@sized("jobs", small=(40,), full=(400,))
def test_a_sender_frozen_past_its_leases(make_scenario: MakeScenario, jobs: int) -> None:
    scenario = make_scenario(**SHORT_LEASES)
    those = people(jobs, manner="slow-1000ms-")
    scenario.introduce(those)
    scenario.start()
    (frozen,) = [process for process in scenario.system.processes if process.role is Role.SENDER]
    scenario.hand_in(job(person) for person in those)
    scenario.wait_for("status = 'SENDING'", 1)
    frozen.freeze()
    scenario.system.start(Role.SENDER)
    eventually(lambda: not scenario.pending(), within_seconds=WAIT_SECONDS, what="all done by the other sender")
    frozen.thaw()

    verdict = scenario.verdict(within_seconds=WAIT_SECONDS)
    assert not verdict.violations, str(verdict)
    assert (len(verdict.lost), scenario.count()) == (0, jobs)
    assert verdict.most_copies <= 3


def test_a_claimer_frozen_in_its_turn_holds_nobody_up(make_scenario: MakeScenario) -> None:
    scenario = make_scenario()
    those = people(10)
    scenario.introduce(those)
    with psycopg.connect(scenario.database_url) as frozen:
        frozen.execute(TAKE_TURN, (CLAIM_LOCK, "email"))  # and never another word
        scenario.start()
        scenario.hand_in(job(person) for person in those)
        scenario.wait_for("true", len(those), within_seconds=WAIT_SECONDS)
        verdict = scenario.verdict()
        frozen.close()
    assert not verdict.violations, str(verdict)
    assert scenario.count("status = 'SENT'") == len(those)


@sized("jobs", small=(400,), full=(5000,))
def test_a_consumer_frozen_in_a_transaction_holds_nobody_up(make_scenario: MakeScenario, jobs: int) -> None:
    scenario = make_scenario(OUTBOX_BATCH_SIZE="5")  # many transactions to be caught in
    those = people(jobs)
    scenario.introduce(those)
    (frozen,) = scenario.system.start(Role.CONSUMER)
    scenario.await_processes()
    scenario.hand_in(job(person) for person in those)
    eventually(
        lambda: frozen_in_transaction(scenario, frozen), within_seconds=WAIT_SECONDS, what="a transaction to freeze in"
    )
    scenario.start()
    scenario.wait_for("true", jobs, within_seconds=WAIT_SECONDS)
    frozen.thaw()

    verdict = scenario.verdict(within_seconds=WAIT_SECONDS)
    assert not verdict.violations, str(verdict)
    assert (len(verdict.lost), verdict.most_copies, scenario.count()) == (0, 1, jobs)


def frozen_in_transaction(scenario: Scenario, process: Process) -> bool:
    """Freeze a process; let it go again, and say False, unless that was in the middle of a transaction of Django's connection."""
    process.freeze()
    silent = "state = 'idle in transaction' AND application_name = '' AND datname = current_database()"
    if scenario.ask(f"SELECT 1 FROM pg_stat_activity WHERE {silent}"):
        return True
    process.thaw()
    return False
