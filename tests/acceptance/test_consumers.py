"""Consumers that die, and records that come more than once: one row for each job, and one copy."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

import pytest

from tests.acceptance.conftest import MakeScenario
from tests.acceptance.evidence import PARTITIONS
from tests.acceptance.ledger import Fate, Letter, job
from tests.acceptance.people import people
from tests.acceptance.sizes import WAIT_SECONDS, sized
from tests.acceptance.system import Role

pytestmark = pytest.mark.kafka


@sized("jobs, kills", small=(300, 3), full=(5000, 50))
def test_consumers_killed_lose_and_double_nothing(make_scenario: MakeScenario, jobs: int, kills: int) -> None:
    scenario = make_scenario(OUTBOX_BATCH_SIZE="10")
    those = people(jobs)
    scenario.introduce(those)
    scenario.hand_in(job(person) for person in those)
    scenario.start(consumers=0)
    consumers = scenario.system.start(Role.CONSUMER, 3)

    # Each kill comes when some more rows are in, so it hits a consumer at work and never one that waits for the others.
    for number, victim in zip(range(kills), itertools.cycle(consumers), strict=False):
        scenario.wait_for("true", number * jobs // (kills + 1) + 1)
        victim.kill()
        victim.restart()

    verdict = scenario.verdict(within_seconds=WAIT_SECONDS)
    assert not verdict.violations, str(verdict)
    assert (len(verdict.lost), verdict.most_copies, scenario.count()) == (0, 1, jobs)


@sized("ids, altered", small=(100, 10), full=(1000, 50))
def test_repeated_jobs_make_one_copy_and_altered_ones_a_dead_letter(
    make_scenario: MakeScenario, ids: int, altered: int
) -> None:
    scenario = make_scenario()
    those = people(ids)
    scenario.introduce(those)
    scenario.start(consumers=2)

    firsts = [job(person) for person in those]
    repeats = [replace(first, fate=Fate.DUPLICATE) for first in firsts for _ in range(4)]
    shuffled: list[Letter] = random.Random(7).sample(firsts + repeats, 5 * ids)
    scenario.hand_in(replace(one, partition=number % PARTITIONS) for number, one in enumerate(shuffled))
    scenario.wait_for("true", ids)
    other_bodies = [
        replace(job(person, job_id=first.job_id, title="Another"), fate=Fate.REJECTED)
        for person, first in zip(those[:altered], firsts, strict=False)
    ]
    scenario.hand_in(other_bodies)

    verdict = scenario.verdict(within_seconds=WAIT_SECONDS)
    assert not verdict.violations, str(verdict)
    assert (len(verdict.lost), verdict.most_copies, scenario.count("status = 'SENT'")) == (0, 1, ids)
    reasons = scenario.ask("SELECT reason, count(*) FROM deliveries_deadletter GROUP BY reason")
    assert reasons == [("job_id_conflict", altered)]
