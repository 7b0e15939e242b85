"""Records that are no job, and jobs that kill the process that sends them: each is one dead letter, and the good go out."""

from __future__ import annotations

import os
import random
import signal
from uuid import UUID, uuid4

from tests.acceptance.conftest import MakeScenario
from tests.acceptance.ledger import Fate, Letter, job
from tests.acceptance.people import Person, people
from tests.acceptance.scenario import Scenario
from tests.acceptance.sizes import WAIT_SECONDS, sized
from tests.acceptance.system import Process, Role
from tests.waiting import eventually

BAD = (b"", b"{", b"[]", b"NaN", b"\xff\xfe", b'{"job_id": 7}', b'{"job_id": "' + b"x" * 70_000, b'{"a": "\\u0000"}')
KILLER = "slow-3500ms-"
# Leases and deadlines are shorter still, because each loss of a process waits for one lease to end.
SHORT = {"SEND_DEADLINE_SECONDS": "5", "SHUTDOWN_GRACE_SECONDS": "10", "LEASE_SECONDS": "12"}


def kill_holder(scenario: Scenario, sender: Process, killers: list[Person], done: set[tuple[UUID, int]]) -> bool:
    """Kill the process that holds a killer in SENDING, as that job would: once in each attempt, which `done` remembers.

    False: none is being sent now. A row stays in SENDING until the lease of its dead process ends.
    """
    held = scenario.ask(
        "SELECT user_id, attempts FROM notification_delivery WHERE status = 'SENDING' AND user_id = ANY (%s)",
        [[killer.user_id for killer in killers]],
    )
    pid = scenario.pid_of(sender)
    if pid is None or not set(held) - done:
        return False
    os.kill(pid, signal.SIGKILL)
    done.update((user_id, attempts) for user_id, attempts in held)
    return True


def all_failed(scenario: Scenario, killers: list[Person]) -> bool:
    ids = [killer.user_id for killer in killers]
    sql = "SELECT count(*) FROM notification_delivery WHERE status = 'FAILED' AND user_id = ANY (%s)"
    return bool(scenario.ask(sql, [ids])[0][0] == len(killers))


@sized("good, malformed, killers", small=(40, 16, 1), full=(2000, 200, 3))
def test_malformed_and_killing_jobs_among_good_ones(
    make_scenario: MakeScenario, good: int, malformed: int, killers: int
) -> None:
    scenario = make_scenario(**SHORT)
    those, deadly = people(good, manner="slow-50ms-"), people(killers, manner=KILLER)
    scenario.introduce(those + deadly)
    letters = [job(person) for person in those] + [job(person, priority="high") for person in deadly]
    letters += [Letter(BAD[number % len(BAD)], Fate.REJECTED, key=uuid4().bytes) for number in range(malformed)]
    random.Random(7).shuffle(letters)
    scenario.start(senders=0)
    (sender,) = scenario.system.start(Role.SENDER)
    scenario.hand_in(letters)

    done: set[tuple[UUID, int]] = set()

    def killed_or_over() -> bool:
        return kill_holder(scenario, sender, deadly, done) or all_failed(scenario, deadly)

    while not all_failed(scenario, deadly):
        eventually(killed_or_over, within_seconds=WAIT_SECONDS, what="a killer in SENDING, or all of them FAILED")
        if not all_failed(scenario, deadly):
            sender.kill()
            sender.restart()

    verdict = scenario.verdict(within_seconds=WAIT_SECONDS)
    assert not verdict.violations, str(verdict)
    assert not verdict.lost
    assert scenario.count("status = 'SENT'") == good
    failed = scenario.ask("SELECT user_id, attempts, reason FROM notification_delivery WHERE status = 'FAILED'")
    assert sorted(failed) == sorted((killer.user_id, 3, "outcome_unknown") for killer in deadly)
    rejected = scenario.ask("SELECT count(*) FROM deliveries_deadletter WHERE kind = 'rejected'")
    assert rejected == [(malformed,)]
