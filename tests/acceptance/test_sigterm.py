"""Everything is told to stop under load, again and again: each process ends by itself with code 0, and nothing is sent twice."""

from __future__ import annotations

from tests.acceptance.conftest import MakeScenario
from tests.acceptance.ledger import job
from tests.acceptance.people import people
from tests.acceptance.sizes import WAIT_SECONDS, sized

MANNERS = ("", "slow-250ms-", "slow-1000ms-")


@sized("restarts, jobs", small=(2, 60), full=(20, 300))
def test_everything_stopped_under_load(make_scenario: MakeScenario, restarts: int, jobs: int) -> None:
    scenario = make_scenario()
    those = [person for manner in MANNERS for person in people(restarts * jobs // len(MANNERS), manner=manner)]
    scenario.introduce(those)
    letters = [job(person) for person in those]
    scenario.start()
    for number in range(restarts):
        scenario.hand_in(letters[number::restarts])
        # Some of this round are in: the consumer is a member. Tansu never gets over one that leaves while it joins.
        scenario.wait_for("true", number * jobs + 1)
        scenario.wait_for("status = 'SENDING'", 1)
        scenario.await_processes()
        assert set(scenario.system.stop()) == {0}
        assert scenario.count("lease_token IS NOT NULL") == 0, "a process that ended well still holds rows"
        for process in scenario.system.processes:
            process.restart()

    verdict = scenario.verdict(within_seconds=WAIT_SECONDS)
    assert not verdict.violations, str(verdict)
    assert (len(verdict.lost), verdict.most_copies, scenario.count("status = 'SENT'")) == (0, 1, restarts * jobs)
    # Nothing was cut and sent again: what was given back had not been started.
    assert scenario.count("attempts > 1") == 0
