"""Sending processes that die with mails on the wire: no copy without a recorded attempt, never more than three."""

from __future__ import annotations

import itertools

from tests.acceptance.conftest import MakeScenario
from tests.acceptance.ledger import job
from tests.acceptance.people import Person, people
from tests.acceptance.scenario import SHORT_LEASES
from tests.acceptance.sizes import WAIT_SECONDS, sized
from tests.acceptance.system import Role

SLOW = ("slow-250ms-", "slow-500ms-", "slow-1000ms-", "slow-2000ms-")


@sized("jobs, kills", small=(60, 2), full=(2000, 50))
def test_senders_killed_while_the_far_end_is_slow(make_scenario: MakeScenario, jobs: int, kills: int) -> None:
    scenario = make_scenario(**SHORT_LEASES)
    those: list[Person] = [person for manner in SLOW for person in people(jobs // len(SLOW), manner=manner)]
    scenario.introduce(those)
    scenario.start(senders=0)
    senders = scenario.system.start(Role.SENDER, 2)
    scenario.hand_in(job(person) for person in those)

    for number, victim in zip(range(kills), itertools.cycle(senders), strict=False):
        scenario.wait_for("attempts > 0", number * jobs // (2 * kills) + 1)
        scenario.wait_for("status = 'SENDING' AND lease_expires_at > now()", 1)
        victim.kill()
        victim.restart()

    verdict = scenario.verdict(within_seconds=WAIT_SECONDS)
    assert not verdict.violations, str(verdict)
    assert (len(verdict.lost), scenario.count()) == (0, jobs)
    assert verdict.most_copies <= 3
    # The test hit what it aimed at: mails were on the wire when their process died.
    assert scenario.ask("SELECT count(*) FROM deliveries_deliveryattempt WHERE code = 'outcome_unknown'")[0][0] > 0
