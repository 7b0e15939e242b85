"""Processes that stand still for longer than anybody waits for them, and then go on as if nothing had been."""

from __future__ import annotations

import psycopg

from deliveries.lifecycle.claim import CLAIM_LOCK, TAKE_TURN
from tests.acceptance.conftest import MakeScenario
from tests.acceptance.ledger import job
from tests.acceptance.people import people
from tests.acceptance.sizes import WAIT_SECONDS, sized
from tests.acceptance.system import Role
from tests.waiting import eventually


@sized("jobs", small=(40,), full=(400,))
def test_a_sender_frozen_past_its_leases(make_scenario: MakeScenario, jobs: int) -> None:
    scenario = make_scenario()
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
        verdict = scenario.verdict()
        frozen.close()
    assert not verdict.violations, str(verdict)
    assert scenario.count("status = 'SENT'") == len(those)
