"""The checker can fail: whatever goes against the promise, it names."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from tests.acceptance.checker import Evidence, Row, judge

A, B, STRANGER = UUID(int=1), UUID(int=2), UUID(int=99)

# Two jobs: one sent at its second attempt, after one whose outcome is unknown, and one failed for good; and one bad record.
WELL = Evidence(
    jobs={A, B},
    rejected={(0, 7)},
    rows=[Row(A, "SENT", 2, unknown_outcomes=1, failed_attempts=1), Row(B, "FAILED", 1, failed_attempts=1)],
    copies={A: 2},
    dead_letters=[B, (0, 7)],
    dlq={B, (0, 7)},
)
SENT, FAILED = WELL.rows


def test_what_keeps_the_promise_is_acquitted() -> None:
    verdict = judge(WELL)
    assert (verdict.lost, verdict.most_copies, verdict.violations) == (set(), 2, [])


@pytest.mark.parametrize(
    ("wrong", "lost", "said"),
    [
        pytest.param({"rows": [FAILED]}, {A}, "acknowledged by Kafka, but without a row", id="lost"),
        pytest.param({"rows": [SENT, SENT, FAILED]}, {A}, "more than one row", id="two rows"),
        pytest.param({"rows": [replace(SENT, status="SENDING"), FAILED]}, {A}, "without a terminal status", id="open"),
        pytest.param({"rows": [*WELL.rows, Row(STRANGER, "EXPIRED", 0)]}, set(), "nobody handed it in", id="invented"),
        pytest.param({"copies": {}}, set(), "never arrived", id="never arrived"),
        pytest.param({"copies": {A: 1, STRANGER: 1}}, set(), "nobody handed it in", id="a stranger's copy"),
        pytest.param({"copies": {A: 1, "<a@b>": 1}}, set(), "nobody handed it in", id="another Message-ID"),
        pytest.param({"copies": {A: 3}}, set(), "than attempts were recorded", id="copies above attempts"),
        pytest.param({"copies": {A: 4}}, set(), "more than 3 copies", id="too many copies"),
        pytest.param({"copies": {A: 1, B: 1}}, set(), "neither the one SENT", id="a copy of what failed"),
        pytest.param(
            {"rows": [replace(SENT, unknown_outcomes=0), FAILED]},
            set(),
            "neither the one SENT",
            id="doubled in silence",
        ),
        pytest.param(
            {"rows": [replace(SENT, attempts=4), FAILED]}, set(), "more than 3 attempts", id="too many attempts"
        ),
        pytest.param({"rows": [replace(SENT, failed_attempts=0), FAILED]}, set(), "not all on record", id="unrecorded"),
        pytest.param({"dead_letters": [B]}, set(), "without a dead letter", id="rejected in silence"),
        pytest.param({"dead_letters": [A, B, (0, 7)]}, set(), "with a dead letter, though", id="buried alive"),
        pytest.param({"dead_letters": [B, B, (0, 7)]}, set(), "more than one dead letter", id="buried twice"),
        pytest.param({"dlq": {B}}, set(), "not on the DLQ topic", id="unpublished"),
        pytest.param({"dlq": {A, B, (0, 7)}}, set(), "on the DLQ topic, though", id="published alive"),
    ],
)
def test_what_breaks_the_promise_is_named(wrong: dict[str, Any], lost: set[UUID], said: str) -> None:
    verdict = judge(replace(WELL, **wrong))
    assert verdict.lost == lost
    assert any(said in violation for violation in verdict.violations), str(verdict)
