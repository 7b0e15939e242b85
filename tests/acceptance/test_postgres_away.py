"""PostgreSQL shuts down without a word and comes back: what was committed stays, what was not is read or sent again on record."""

from __future__ import annotations

from notifyproj.embedded import Postgres
from tests.acceptance.conftest import MakeScenario, migrate
from tests.acceptance.ledger import job
from tests.acceptance.people import people
from tests.acceptance.scenario import SHORT_LEASES
from tests.acceptance.sizes import WAIT_SECONDS, sized

MANNERS = ("", "slow-250ms-", "slow-500ms-")


@sized("shutdowns, jobs", small=(2, 45), full=(20, 600))
def test_postgres_shut_down_immediately(
    make_scenario: MakeScenario, own_postgres: Postgres, shutdowns: int, jobs: int
) -> None:
    migrate(own_postgres.url)
    scenario = make_scenario(database_url=own_postgres.url, **SHORT_LEASES)
    those = [person for manner in MANNERS for person in people(shutdowns * jobs // len(MANNERS), manner=manner)]
    scenario.introduce(those)
    letters = [job(person) for person in those]
    scenario.start(consumers=2)
    for number in range(shutdowns):
        scenario.hand_in(letters[number::shutdowns])
        scenario.wait_for("attempts > 0", number * jobs + 1, within_seconds=WAIT_SECONDS)
        own_postgres.stop_immediately()
        own_postgres.start()

    verdict = scenario.verdict(within_seconds=WAIT_SECONDS)
    assert not verdict.violations, str(verdict)
    assert (len(verdict.lost), scenario.count()) == (0, shutdowns * jobs)
    assert verdict.most_copies <= 3
