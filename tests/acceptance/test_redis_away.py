"""Redis forgets everything, again and again, or dies: hints are lost, and nothing else. One copy of each job."""

from __future__ import annotations

import redis

from notifyproj.embedded import Valkey
from tests.acceptance.conftest import MakeScenario
from tests.acceptance.ledger import job
from tests.acceptance.people import people
from tests.acceptance.scenario import Scenario
from tests.acceptance.sizes import WAIT_SECONDS, sized

# Some wait for a retry when it happens: a retry that lived in Redis would be lost.
MANNERS = ("", "slow-100ms-", "dot-451-x1-", "dot-451-x2-")


def hand_in_some(scenario: Scenario, jobs: int) -> None:
    those = [person for manner in MANNERS for person in people(jobs // len(MANNERS), manner=manner)]
    scenario.introduce(those)
    scenario.hand_in(job(person) for person in those)


@sized("rounds, jobs", small=(4, 40), full=(60, 200))
def test_redis_flushed_again_and_again(make_scenario: MakeScenario, own_valkey: Valkey, rounds: int, jobs: int) -> None:
    scenario = make_scenario(redis_url=own_valkey.url)
    scenario.start()
    with redis.Redis.from_url(own_valkey.url) as client:
        for number in range(rounds):
            hand_in_some(scenario, jobs)
            # The new jobs are in and not all of them out: some hints are on their way, some rows wait for a retry.
            scenario.wait_for("true", number * jobs + jobs // 2)
            client.flushall()

    verdict = scenario.verdict(within_seconds=WAIT_SECONDS)
    assert not verdict.violations, str(verdict)
    assert (len(verdict.lost), verdict.most_copies, scenario.count("status = 'SENT'")) == (0, 1, rounds * jobs)


@sized("rounds, jobs", small=(1, 60), full=(20, 500))
def test_redis_killed_and_started_again(
    make_scenario: MakeScenario, own_valkey: Valkey, rounds: int, jobs: int
) -> None:
    scenario = make_scenario(redis_url=own_valkey.url)
    scenario.start()
    for number in range(rounds):
        hand_in_some(scenario, jobs)
        scenario.wait_for("true", number * jobs + jobs // 2)
        own_valkey.kill()
        hand_in_some(scenario, jobs)
        # Nobody can hint now, and yet the work goes on.
        scenario.wait_for("status = 'SENT'", (2 * number + 2) * jobs * 3 // 4, within_seconds=WAIT_SECONDS)
        own_valkey.start()

    verdict = scenario.verdict(within_seconds=WAIT_SECONDS)
    assert not verdict.violations, str(verdict)
    assert (len(verdict.lost), verdict.most_copies, scenario.count("status = 'SENT'")) == (0, 1, 2 * rounds * jobs)
