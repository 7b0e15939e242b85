"""The simple message: one job a channel, the same jobs again on a re-read, and refusals by name."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from deliveries.channels import Priority
from deliveries.jobs import INVALID_JSON_MESSAGE, REASONS, InvalidJob, NotificationJob, parse_simple
from tests.unit.test_jobs import BYTES, NOW, USER_ID

SIMPLE: dict[str, Any] = {
    "message_type": "simple",
    "user_uuid": USER_ID,
    "content": "It is on its way.",
    "title": "Your order",
    "channels": ["webhook", "email"],
    "priority": 1,
}


def parse(message: dict[str, Any], **place: Any) -> list[NotificationJob]:
    record: dict[str, Any] = {
        "topic": "notifications",
        "partition": 3,
        "offset": 42,
        "timestamp_ms": 1_763_121_600_123,
    } | place
    return parse_simple(json.dumps(message).encode(), now=NOW, **record)


def test_one_message_makes_a_job_for_each_channel() -> None:
    webhook, email = parse(SIMPLE)
    assert (webhook.channel, email.channel) == ("webhook", "email")
    assert webhook.job_id != email.job_id
    assert email.user_id == UUID(USER_ID)
    assert email.content == {"title": "Your order", "body": "It is on its way."}
    assert (email.template_code, email.data, email.tenant) == ("", {}, "")
    assert email.created_at == datetime(2025, 11, 14, 12, 0, 0, 123_000, tzinfo=UTC)


def test_a_reread_makes_the_same_jobs() -> None:
    assert parse(SIMPLE) == parse(dict(reversed(SIMPLE.items())))
    # Job ids must never change: a re-read would send everything again.
    assert str(parse(SIMPLE)[0].job_id) == "1c361b30-c865-5c60-9280-1ea3afc38fc7", (
        "ids must never change: a re-read would send again"
    )


@pytest.mark.parametrize(
    "place", [{"topic": "other"}, {"partition": 4}, {"offset": 43}, {"timestamp_ms": 1_763_121_600_124}]
)
def test_another_record_makes_other_jobs(place: dict[str, Any]) -> None:
    assert {job.job_id for job in parse(SIMPLE)}.isdisjoint(job.job_id for job in parse(SIMPLE, **place))


@pytest.mark.parametrize("timestamp_ms", [-1, 10**17])
def test_a_record_without_usable_time_is_still_the_same_on_a_reread(timestamp_ms: int) -> None:
    raw = json.dumps(SIMPLE).encode()
    place: dict[str, Any] = {"topic": "t", "partition": 0, "offset": 0, "timestamp_ms": timestamp_ms}
    first = parse_simple(raw, now=NOW, **place)
    later = datetime(2025, 11, 15, tzinfo=UTC)
    again = parse_simple(raw, now=later, **place)
    assert [job.created_at for job in again] == [later, later]
    assert [(job.job_id, job.body_hash) for job in first] == [(job.job_id, job.body_hash) for job in again]


def test_a_channel_named_twice_counts_once() -> None:
    assert [job.channel for job in parse(SIMPLE | {"channels": ["ws", "email", "ws"]})] == ["ws", "email"]


@pytest.mark.parametrize(
    ("sent", "meant"),
    [(None, Priority.NORMAL), (0, Priority.HIGH), (1, Priority.NORMAL), (2, Priority.LOW), (99, Priority.LOW)],
)
def test_numbers_name_priorities(sent: int | None, meant: Priority) -> None:
    assert parse(SIMPLE | {"priority": sent})[0].priority is meant


def test_title_may_be_left_out() -> None:
    assert parse(SIMPLE | {"title": None})[0].content == {"title": "", "body": "It is on its way."}


FIELDS: list[tuple[str, str, dict[str, Any]]] = [
    ("missing", "message_type", {"message_type": None}),
    ("unknown_message_type", "message_type", {"message_type": "template"}),
    ("wrong_type", "message_type", {"message_type": 1}),
    ("missing", "user_uuid", {"user_uuid": None}),
    ("invalid_uuid", "user_uuid", {"user_uuid": USER_ID.upper()}),
    ("nil_uuid", "user_uuid", {"user_uuid": str(UUID(int=0))}),
    ("missing", "content", {"content": None}),
    ("empty_text", "content", {"content": ""}),
    ("wrong_type", "content", {"content": {"body": "x"}}),
    ("too_long", "title", {"title": "x" * 201}),
    ("missing", "channels", {"channels": None}),
    ("wrong_type", "channels", {"channels": "email"}),
    ("no_channels", "channels", {"channels": []}),
    ("too_many_channels", "channels", {"channels": ["email"] * 17}),
    ("missing", "channels[1]", {"channels": ["email", None]}),
    ("wrong_type", "channels[0]", {"channels": [True]}),
    ("invalid_channel", "channels[0]", {"channels": ["E-Mail"]}),
    ("wrong_type", "priority", {"priority": True}),
    ("wrong_type", "priority", {"priority": 1.0}),
    ("wrong_type", "priority", {"priority": "high"}),
    ("negative_number", "priority", {"priority": -1}),
]


@pytest.mark.parametrize(
    ("reason", "path", "change"), FIELDS, ids=[f"{at}-{reason}-{path}" for at, (reason, path, _) in enumerate(FIELDS)]
)
def test_a_wrong_field_refuses_the_whole_message(reason: str, path: str, change: dict[str, Any]) -> None:
    with pytest.raises(InvalidJob) as caught:
        parse(SIMPLE | change)
    assert (caught.value.reason, caught.value.path) == (reason, path)
    assert reason in REASONS
    assert caught.value.job == SIMPLE | change


@pytest.mark.parametrize(("reason", "raw"), BYTES, ids=[f"{at}-{reason}" for at, (reason, _) in enumerate(BYTES)])
def test_bytes_that_are_no_storable_object_are_refused(reason: str, raw: bytes) -> None:
    with pytest.raises(InvalidJob) as caught:
        parse_simple(raw, topic="t", partition=0, offset=0, timestamp_ms=0, now=NOW)
    assert caught.value.reason == reason
    assert caught.value.dlq_message in {INVALID_JSON_MESSAGE, caught.value.message}
