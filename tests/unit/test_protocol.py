"""Frames in and out (contracts.md, section 4)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliveries.realtime import protocol
from deliveries.realtime.protocol import MAX_IDS, Ack, Code, FrameError, Item, Ping
from deliveries.realtime.publish import MAX_BATCH_BYTES, batches

ONE, TWO = UUID(int=1), UUID(int=2)


def test_ping_is_read() -> None:
    assert protocol.parse('{"type": "ping", "extra": 1}') == Ping()


@pytest.mark.parametrize(
    ("fields", "ids"),
    [
        ({"notification_id": str(ONE)}, (ONE,)),
        ({"notification_ids": [str(ONE), str(TWO)]}, (ONE, TWO)),
        ({"notification_ids": [str(ONE), str(ONE)], "notification_id": str(TWO)}, (ONE, TWO)),
    ],
)
def test_ack_names_one_or_several(fields: dict[str, object], ids: tuple[UUID, ...]) -> None:
    assert protocol.parse(json.dumps({"type": "ack", **fields})) == Ack(ids)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", Code.INVALID_JSON),
        ("{", Code.INVALID_JSON),
        ("NaN", Code.INVALID_JSON),
        ("ping", Code.INVALID_JSON),
        ('{"type": "ping"} x', Code.INVALID_JSON),
        ('{"type": "ping", "x": ' + "[" * 100_000 + "}", Code.INVALID_JSON),
        ('{"type": "ping"}\ud800', Code.INVALID_JSON),
        ("[]", Code.INVALID_FRAME),
        ("null", Code.INVALID_FRAME),
        ("{}", Code.INVALID_FRAME),
        ('{"type": null}', Code.INVALID_FRAME),
        ('{"type": 1}', Code.INVALID_FRAME),
        ('{"type": "ack"}', Code.INVALID_FRAME),
        ('{"type": "ack", "notification_ids": []}', Code.INVALID_FRAME),
        ('{"type": "ack", "notification_ids": "x"}', Code.INVALID_FRAME),
        ('{"type": "ack", "notification_id": "x"}', Code.INVALID_FRAME),
        ('{"type": "ack", "notification_id": 7}', Code.INVALID_FRAME),
        ('{"type": "shutdown"}', Code.UNKNOWN_TYPE),
        ('{"type": "PING"}', Code.UNKNOWN_TYPE),
        ('{"type": "connected"}', Code.UNKNOWN_TYPE),
    ],
)
def test_bad_frames_are_refused_by_code(text: str, code: Code) -> None:
    with pytest.raises(FrameError) as caught:
        protocol.parse(text)

    assert caught.value.code == code


def test_an_ack_is_bounded() -> None:
    frame = {"type": "ack", "notification_ids": [str(UUID(int=number)) for number in range(MAX_IDS + 1)]}

    with pytest.raises(FrameError) as caught:
        protocol.parse(json.dumps(frame))

    assert caught.value.code == Code.INVALID_FRAME


@given(st.text() | st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists).map(json.dumps))
def test_no_text_crashes_the_parser(text: str) -> None:
    try:
        protocol.parse(text)
    except FrameError as error:
        assert error.code in Code


def test_a_notification_says_all_that_the_contract_names() -> None:
    job_id = uuid4()

    frame = protocol.notification(
        job_id=job_id,
        rendered={"subject": "Hi", "text": "Line 1\nLine 2", "action_url": "https://example.com/"},
        data={"order": 7},
        priority=0,
        created_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    )

    assert "\n" not in frame
    assert json.loads(frame) == {
        "type": "notification",
        "id": str(job_id),
        "job_id": str(job_id),
        "title": "Hi",
        "body": "Line 1\nLine 2",
        "action_url": "https://example.com/",
        "data": {"order": 7},
        "channel": "ws",
        "priority": "high",
        "created_at": "2026-01-02T03:04:05Z",
        "read_at": None,
    }


@given(st.lists(st.text(min_size=1, max_size=40_000), max_size=30))
def test_batches_lose_nothing_and_stay_small(texts: list[str]) -> None:
    items = [Item(1, "u", str(number), text) for number, text in enumerate(texts)]

    cut = list(batches(items))

    assert [item for batch in cut for item in batch] == items
    assert all(sum(len(item.frame.encode()) for item in batch) <= MAX_BATCH_BYTES or len(batch) == 1 for batch in cut)
