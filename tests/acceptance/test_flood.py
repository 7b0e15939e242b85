"""One tenant's flood does not hold up another's few."""

from __future__ import annotations

from tests.acceptance.conftest import MakeScenario
from tests.acceptance.ledger import job
from tests.acceptance.people import people
from tests.acceptance.sizes import WAIT_SECONDS, sized
from tests.acceptance.system import Role

FEW = 10
# Of the flood that finished while the few waited. First come, first served would be all of it.
SHARE = """
SELECT (count(*) FILTER (WHERE finished_at < (
    SELECT max(finished_at) FROM notification_delivery d JOIN deliveries_tenant t ON t.id = d.tenant_id WHERE t.slug = 'few'
)))::float / count(*) FROM notification_delivery d JOIN deliveries_tenant t ON t.id = d.tenant_id WHERE t.slug = 'flood'
"""


@sized("flood", small=(800,), full=(100_000,))
def test_few_jobs_of_one_tenant_beside_the_flood_of_another(make_scenario: MakeScenario, flood: int) -> None:
    scenario = make_scenario()
    many = people(flood, tenant="flood", manner="slow-5ms-")
    few = people(FEW, tenant="few")
    scenario.introduce(many + few)
    scenario.system.start(Role.CONSUMER)
    scenario.hand_in(job(person) for person in many)
    scenario.wait_for("true", flood, within_seconds=WAIT_SECONDS)
    scenario.hand_in(job(person) for person in few)
    scenario.wait_for("true", flood + FEW)
    # Only now does anybody send, so the few stand behind the whole flood, and no clock decides.
    scenario.start(consumers=0)

    verdict = scenario.verdict(within_seconds=WAIT_SECONDS)
    assert not verdict.violations, str(verdict)
    assert (len(verdict.lost), verdict.most_copies) == (0, 1)
    assert scenario.ask(SHARE)[0][0] < 0.5
