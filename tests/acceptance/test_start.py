"""A sender that cannot start ends, so that whoever runs it learns so: it never stands there well and idle."""

from __future__ import annotations

from tests.acceptance.conftest import MakeScenario
from tests.acceptance.system import Role
from tests.waiting import eventually


def test_a_sender_that_cannot_start_ends(make_scenario: MakeScenario) -> None:
    scenario = make_scenario(EMAIL_FROM="nobody")
    (sender,) = scenario.system.start(Role.SENDER)
    eventually(lambda: not sender.is_running, what="the end of a sender that cannot send")
    assert sender.exit_code() == 1
    assert "is not an e-mail address" in sender.log_path.read_text()
