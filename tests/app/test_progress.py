"""How far a broadcast is: the rate, the end, the chart, and what adds up. Figures in, figures out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from broadcasts.counting import Counts
from broadcasts.models import Broadcast, BroadcastPoint
from broadcasts.progress import MOST_BARS, chart, progress
from broadcasts.states import State

NOW = datetime(2026, 5, 4, 12, 30, 30, tzinfo=UTC)


def broadcast(rows: list[Any], **values: Any) -> Broadcast:
    given = {
        "state": State.SENDING,
        "stamp_ms": 1,
        "started_at": NOW - timedelta(minutes=2),
        "fanned_out_at": NOW,
        "counted_at": NOW,
        "counts": Counts([tuple(row) for row in rows], {"no_address": 4}).as_json(),
    }
    return Broadcast(pk=17, **{**given, **values})


def point(seconds_ago: float, over: int, failed: int = 0, **sent: int) -> BroadcastPoint:
    at = NOW - timedelta(seconds=seconds_ago)
    return BroadcastPoint(
        minute=at.replace(second=0), counted_at=at, sent=sent or {"ws": over}, failed=failed, over=over
    )


ROWS = [("ws", "SENT", "", "", 300), ("ws", "FAILED", "x", "", 10), ("ws", "PENDING", "", "", 600)]


def test_the_rate_is_that_of_the_newest_stretch_that_is_long_enough() -> None:
    points = [point(90, 0), point(60, 100), point(1, 309)]
    now = progress(broadcast(ROWS), points, made=910, now=NOW)
    assert now.rate == pytest.approx(210)
    assert now.left == 600
    assert now.ends_at == NOW + timedelta(minutes=600 / 210)


def test_at_first_the_rate_is_that_since_it_began() -> None:
    assert progress(broadcast(ROWS), [point(1, 309)], made=910, now=NOW).rate == pytest.approx(155)


@pytest.mark.parametrize("state", [State.PAUSED, State.COMPLETED])
def test_what_does_not_move_has_no_rate_and_no_end(state: State) -> None:
    now = progress(broadcast(ROWS, state=state), [point(60, 100)], made=910, now=NOW)
    assert (now.rate, now.ends_at) == (0.0, None)


def test_while_rows_are_made_so_many_are_expected_as_were_approved() -> None:
    now = progress(broadcast(ROWS, fanned_out_at=None, approved_size=5_000), [], made=910, now=NOW)
    assert (now.expected, now.left) == (5_000, 4_690)


def test_the_parts_are_the_whole_and_the_audience_is_recipients_and_left_out() -> None:
    rows = [
        *ROWS,
        ("ws", "CANCELLED", "cancelled", "", 5),
        ("email", "EXPIRED", "", "", 2),
        ("email", "SUPPRESSED", "y", "", 3),
    ]
    now = progress(broadcast(rows), [], made=920, now=NOW)
    assert now.sent + now.failed + now.not_sent + now.cancelled + now.waiting == now.counts.total == 920
    assert (now.not_sent, now.cancelled, now.audience) == (5, 5, 924)


@pytest.mark.parametrize(("made", "unaccounted"), [(310, 0), (312, 2)])
def test_what_was_accepted_and_is_not_there_is_unaccounted_once_all_is_over(made: int, unaccounted: int) -> None:
    ended = {"state": State.COMPLETED, "finished_at": NOW - timedelta(seconds=1)}
    now = progress(broadcast(ROWS[:2], **ended), [], made=made, now=NOW)
    assert (now.unaccounted, now.is_over) == (unaccounted, True)
    assert progress(broadcast(ROWS[:2]), [], made=made, now=NOW).unaccounted is None


@pytest.mark.parametrize(
    ("values", "is_over"),
    [
        ({"state": State.SENDING}, False),
        ({"state": State.CANCELLED, "finished_at": NOW - timedelta(minutes=1)}, False),
        ({"state": State.COMPLETED, "finished_at": NOW + timedelta(seconds=1)}, False),
        ({"state": State.FAILED}, True),
        ({"state": State.CANCELLED, "stamp_ms": None}, True),
    ],
    ids=["sending", "rows being cancelled", "not counted since", "failed", "never began"],
)
def test_it_is_over_when_it_ended_and_its_figures_stand(values: dict[str, Any], is_over: bool) -> None:
    assert progress(broadcast(ROWS, **values), [], made=0, now=NOW).is_over is is_over


def test_the_chart_shows_what_came_about_in_each_minute_and_gaps_as_nothing() -> None:
    points = [point(240, 5, ws=5), point(60, 20, failed=3, ws=9, email=8), point(1, 25, failed=3, ws=12, email=10)]
    drawn = chart(points)
    assert drawn.sent == {"email": [0, 0, 0, 8, 2], "ws": [5, 0, 0, 4, 3]}
    assert drawn.failed == [0, 0, 0, 3, 0]
    assert drawn.step_minutes == 1


def test_a_long_one_has_wider_steps_and_the_same_sums() -> None:
    drawn = chart([point(60 * (599 - number), number + 1) for number in range(600)])
    assert (len(drawn.labels), drawn.step_minutes) == (MOST_BARS, 5)
    assert sum(drawn.sent["ws"]) == 600


def test_nothing_counted_draws_nothing() -> None:
    assert chart([]).labels == []
