"""The negative control: the checker acquits the naive build while nothing breaks, and convicts it once something does.

Faults and checker are those that the service itself has to pass.
"""

from __future__ import annotations

import psycopg
import pytest
import redis

from notifyproj.embedded import Valkey
from tests.acceptance.checker import Evidence, Row, Verdict, judge
from tests.acceptance.conftest import MakeScenario
from tests.acceptance.ledger import job
from tests.acceptance.people import people
from tests.acceptance.scenario import Scenario
from tests.acceptance.system import Process, Role
from tests.waiting import eventually

JOBS = 60
# The naive build never says that it gave up, so it has this long without any change.
STILL_SECONDS = 8.0
TABLE = """
CREATE TABLE naive_delivery (
    id bigserial PRIMARY KEY, job_id uuid NOT NULL, user_id uuid NOT NULL, status text NOT NULL DEFAULT 'PENDING',
    attempts int NOT NULL DEFAULT 0)
"""


@pytest.fixture
def naive(make_scenario: MakeScenario, own_valkey: Valkey) -> Scenario:
    """Set the naive build up with jobs on the topic; its processes are not started."""
    scenario = make_scenario(redis_url=own_valkey.url)
    with psycopg.connect(scenario.database_url) as database:
        database.execute(TABLE)
    those = people(JOBS, manner="slow-250ms-")
    scenario.introduce(those)
    scenario.hand_in(job(person) for person in those)
    return scenario


def start(scenario: Scenario) -> tuple[Process, Process]:
    return scenario.system.start(Role.NAIVE_CONSUMER)[0], scenario.system.start(Role.NAIVE_SENDER)[0]


def rows(scenario: Scenario) -> list[Row]:
    return [Row(*values) for values in scenario.ask("SELECT job_id, status, attempts FROM naive_delivery")]


def wait_for_sent(scenario: Scenario, least: int) -> None:
    eventually(lambda: sum(row.status == "SENT" for row in rows(scenario)) >= least, what=f"{least} SENT")


def wait_until_over(scenario: Scenario) -> None:
    """Wait until every row is SENT, or for long enough nothing has changed, neither in the rows nor at the far end."""

    def is_over() -> bool:
        before = state()
        try:
            eventually(lambda: state() != before, within_seconds=STILL_SECONDS, what="a change")
        except AssertionError:
            return True
        return False

    def state() -> tuple[int, int, int]:
        all_rows = rows(scenario)
        return len(all_rows), sum(row.attempts for row in all_rows), sum(scenario.sink.copies().values())

    eventually(is_over, within_seconds=300, what="the naive build to come to rest")


def verdict(scenario: Scenario) -> Verdict:
    wait_until_over(scenario)
    copies = scenario.sink.copies()
    return judge(Evidence(jobs=scenario.ledger.job_ids(), rejected=set(), rows=rows(scenario), copies=copies))


def test_the_naive_build_is_acquitted_while_nothing_breaks(naive: Scenario) -> None:
    start(naive)
    wait_for_sent(naive, JOBS)
    found = verdict(naive)
    assert not found.violations, str(found)


def test_the_naive_build_is_convicted_when_its_senders_are_killed(naive: Scenario) -> None:
    _consumer, sender = start(naive)
    for number in range(3):
        wait_for_sent(naive, number * JOBS // 4 + 1)
        sender.kill()
        sender.restart()
    found = verdict(naive)
    assert found.violations
    assert found.lost or found.most_copies > 1, str(found)


def test_the_naive_build_is_convicted_when_redis_forgets(naive: Scenario, own_valkey: Valkey) -> None:
    start(naive)
    wait_for_sent(naive, 1)
    with redis.Redis.from_url(own_valkey.url) as client:
        client.flushall()
    found = verdict(naive)
    assert found.lost, str(found)
    assert any("without a terminal status" in violation for violation in found.violations), str(found)
