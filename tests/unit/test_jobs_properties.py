"""What holds for any bytes: a job or a reason, the reason agrees with a plain reader, and a job fits PostgreSQL."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import event, example, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from deliveries.job_schema import NOTIFICATION_JOB_SCHEMA
from deliveries.jobs import REASONS, InvalidJob, NotificationJob, fields, parse_job, parse_jobs, parse_simple
from deliveries.jobs.reasons import NOT_JSON
from deliveries.jobs.strict_json import MAX_DEPTH, decode_object
from tests.unit.test_jobs import FIELDS, FULL, NOW, SMALLEST
from tests.unit.test_jobs_simple import SIMPLE

SCHEMA = Draft202012Validator(NOTIFICATION_JOB_SCHEMA)

texts = st.text(st.characters(), max_size=8) | st.sampled_from(['":', " :", "{[", "\0", "\ud800", "\\u0000", "a", ""])
numbers = st.integers() | st.integers(-(2**65), 2**65) | st.floats() | st.sampled_from([2**63, 2**63 - 1, -(2**63) - 1])
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
likely = {
    "job_id": st.uuids().map(str),
    "user_id": st.uuids().map(str),
    "channel": st.sampled_from(["email", "ws", "pigeon", "E"]),
    "template_code": st.none() | texts,
    "content": st.none() | st.fixed_dictionaries({}, optional={"title": texts, "body": texts}),
    "locale": st.none() | st.from_regex(r"[A-Za-z]{2}(-[A-Z]{2})?", fullmatch=True) | texts,
    "data": st.none() | st.dictionaries(texts, values, max_size=4),
    "meta": st.none()
    | st.fixed_dictionaries({}, optional={"event_id": texts, "priority": st.just("low"), "x": values}),
    "created_at": st.datetimes(timezones=st.timezones() | st.just(UTC)).map(datetime.isoformat),
    "send_after": st.none() | st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat),
    "expires_at": st.none() | st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat),
    "tenant_id": st.none() | texts,
}


@st.composite
def damaged_jobs(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a good job with some fields replaced by likely values or by anything, and some of its own."""
    job = dict(draw(st.sampled_from([SMALLEST, FULL])))
    for key in draw(st.lists(st.sampled_from(sorted(likely)), max_size=4)):
        job[key] = draw(likely[key] if draw(st.integers(0, 4)) else values)
    return job | draw(st.dictionaries(texts, values, max_size=1))


def encoded(job: Any, ascii_only: bool) -> bytes:
    return json.dumps(job, ensure_ascii=ascii_only).encode(errors="surrogatepass")


@st.composite
def raw_jobs(draw: st.DrawFn) -> bytes:
    """Draw the bytes of a damaged job, sometimes damaged once more."""
    raw = encoded(draw(damaged_jobs()), draw(st.booleans()))
    if not draw(st.integers(0, 3)):
        at = draw(st.integers(0, len(raw)))
        raw = raw[:at] + draw(st.binary(max_size=3)) + raw[at + draw(st.integers(0, 3)) :]
    return raw


def storable(value: Any) -> bool:
    """Say whether PostgreSQL takes the value, as text or inside jsonb."""
    if isinstance(value, dict):
        return all(storable(key) and storable(item) for key, item in value.items())
    if isinstance(value, list):
        return all(map(storable, value))
    if isinstance(value, str):
        return "\0" not in value and not any("\ud800" <= character <= "\udfff" for character in value)
    if isinstance(value, float):
        return math.isfinite(value)
    return not isinstance(value, int) or -(2**63) <= value < 2**63


def assert_fits_postgres(job: NotificationJob) -> None:
    for name in job.__struct_fields__:
        value = getattr(job, name)
        if isinstance(value, datetime):
            assert value.tzinfo is UTC
            assert 1970 <= value.year < 2200
        assert storable(value), name
    assert json.loads(json.dumps(job.data, allow_nan=False)) == job.data
    assert len(job.body_hash) == 33
    assert 0 < len(job.channel) <= 32
    assert max(map(len, (job.template_code, job.event_type, job.event_id, job.campaign_id, job.tenant))) <= 100


@given(st.binary(max_size=200) | st.text(max_size=60).map(lambda text: text.encode(errors="replace")))
def test_no_bytes_crash_any_parser(raw: bytes) -> None:
    parsers: list[Callable[[], Any]] = [
        lambda: [parse_job(raw, now=NOW)],
        lambda: parse_jobs(raw, now=NOW),
        lambda: parse_simple(raw, topic="t", partition=0, offset=0, timestamp_ms=-1, now=NOW),
    ]
    for parse in parsers:
        try:
            refused = [item for item in parse() if isinstance(item, InvalidJob)]
        except InvalidJob as invalid:
            refused = [invalid]
        assert refused, "bytes drawn blindly are no job"
        assert {invalid.reason for invalid in refused} <= REASONS.keys()


@given(raw_jobs())
def test_any_accepted_job_fits_postgres_and_the_schema(raw: bytes) -> None:
    try:
        job = parse_job(raw, now=NOW)
    except InvalidJob as invalid:
        event(invalid.reason)
        assert invalid.reason in REASONS
        assert storable(invalid.job)
        return
    event("accepted")
    assert_fits_postgres(job)
    SCHEMA.validate(json.loads(raw))
    assert parse_jobs(b"[" + raw + b"]", now=NOW) == [job]


@given(st.fixed_dictionaries({}, optional={key: values | st.just(value) for key, value in SIMPLE.items()}))
def test_any_accepted_simple_message_fits_postgres(changes: dict[str, Any]) -> None:
    raw = encoded(SIMPLE | changes, True)
    try:
        jobs = parse_simple(raw, topic="t", partition=0, offset=0, timestamp_ms=5, now=NOW)
    except InvalidJob as invalid:
        assert invalid.reason in REASONS
        return
    assert jobs
    for job in jobs:
        assert_fits_postgres(job)


class Twice(Exception):
    """A key was repeated."""


def plain_reading(raw: bytes) -> Any:
    """Read JSON slowly and strictly with the standard library, sharing nothing with the product."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in pairs}) < len(pairs):
            raise Twice
        return dict(pairs)

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    return json.loads(raw.decode(), object_pairs_hook=unique, parse_constant=refuse)


def depth_of(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    return 1 + max(map(depth_of, value), default=0) if isinstance(value, list) else 0


nested = st.builds(
    lambda levels, inner: f"{''.join(levels)}{inner}{''.join('}' if '{' in one else ']' for one in reversed(levels))}",
    st.lists(st.sampled_from(["[", '{"a":', '{"data" : ']), max_size=MAX_DEPTH + 3),
    st.sampled_from(
        ["1", '{"a":1,"a":2}', '{"a" : 1, "b":"\\":"}', '"{[:"', "9223372036854775808", "1234567890123456789"]
    ),
)
members = st.tuples(
    st.sampled_from(['"a"', '"b"', '"\\u0061"', '"data"', '"meta"', '"x\\":"', '"\\u0000"', '"\\\\u0000"']),
    st.sampled_from([":", " :", "\n:", ": ", "\t\r :  "]),
    nested | values.map(json.dumps),
)
objects = st.lists(members, max_size=4).map(lambda pairs: "{" + ",".join(map("".join, pairs)) + "}")


@given(objects | nested)
@example('{"a":"\\":","b" :1}')
@example('{"a":1,"a":"x"}')
def test_cheap_tests_on_bytes_agree_with_a_plain_reading(text: str) -> None:
    raw = text.encode()
    try:
        expected = plain_reading(raw)
        good = isinstance(expected, dict) and storable(expected) and depth_of(expected) <= MAX_DEPTH
    except (ValueError, Twice):
        expected, good = None, False
    try:
        decoded = decode_object(raw)
    except InvalidJob as invalid:
        event(invalid.reason)
        assert not good, invalid
    else:
        event("accepted")
        assert good
        assert decoded == expected


@given(
    st.text("0123456789abcdefABCDEF-{}\u0661", min_size=30, max_size=38)
    | st.uuids().map(str).flatmap(st.permutations).map("".join)
)
@example("0b9c1b0e-7f2d-4d0e-9f43-2f6f6a1d3c55")
@example("0b9c1b0e7-f2d-4d0e-9f43-2f6f6a1d3c55")
def test_only_the_canonical_spelling_is_a_uuid(text: str) -> None:
    canonical = re.fullmatch(fields.UUID_PATTERN, text) is not None
    try:
        assert str(fields.take_uuid({"id": text}, "id", "id")) == text
    except InvalidJob as invalid:
        assert invalid.reason == "invalid_uuid"
        assert not canonical
    else:
        assert canonical


EXPRESSIBLE = [
    (reason, path, change)
    for reason, path, change in FIELDS
    # What no pattern says: calendars, years in UTC, relations of two times, and Unicode's invisible characters.
    if reason not in {"timestamp_out_of_range", "send_after_too_far", "expires_before_send_after"}
    and change not in ({"created_at": "2025-02-30T00:00:00Z"}, {"meta": {"event_id": "\u202e"}})
    and not any(isinstance(value, str) and ("T24:" in value or "+24:" in value) for value in change.values())
    # Python's `$` also matches before a last line feed; a schema reader in another language refuses these.
    and not any(isinstance(value, str) and value.endswith("\n") for value in change.values())
]


@pytest.mark.parametrize(
    "change",
    [change for *_, change in EXPRESSIBLE],
    ids=[f"{at}-{row[0]}-{row[1]}" for at, row in enumerate(EXPRESSIBLE)],
)
def test_the_schema_refuses_what_the_parser_refuses(change: dict[str, Any]) -> None:
    assert not SCHEMA.is_valid(SMALLEST | change)


@pytest.mark.parametrize("key", ["job_id", "user_id", "channel", "template_code", "created_at"])
def test_the_schema_requires_what_the_parser_requires(key: str) -> None:
    assert not SCHEMA.is_valid({name: value for name, value in SMALLEST.items() if name != key})


def test_the_schema_is_one_and_its_examples_are_jobs() -> None:
    Draft202012Validator.check_schema(NOTIFICATION_JOB_SCHEMA)
    for job in NOTIFICATION_JOB_SCHEMA["examples"]:
        SCHEMA.validate(job)
        parse_job(json.dumps(job).encode(), now=NOW)
    for name, part in NOTIFICATION_JOB_SCHEMA["properties"].items():
        assert part["description"], name
        for value in part.get("examples", []):
            assert Draft202012Validator(part).is_valid(value), name


def test_only_text_that_is_not_json_gets_the_fixed_message() -> None:
    for reason in REASONS:
        invalid = InvalidJob(reason, "problem", path="x")
        assert (invalid.dlq_message == "Invalid JSON in Kafka message") == (reason in NOT_JSON)
