"""Every row of the bad-input rules that concerns bytes: the reason, the place, and what is left to others."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from deliveries.channels import Priority
from deliveries.jobs import INVALID_JSON_MESSAGE, MAX_JOB_BYTES, REASONS, InvalidJob, NotificationJob, parse_job
from deliveries.jobs.reasons import NOT_JSON

NOW = datetime(2025, 11, 14, 12, tzinfo=UTC)
JOB_ID = "0b9c1b0e-7f2d-4d0e-9f43-2f6f6a1d3c55"
USER_ID = "2d6a1f64-9a3b-4a55-8f64-1e2f3a4b5c6d"

SMALLEST: dict[str, Any] = {
    "job_id": JOB_ID,
    "user_id": USER_ID,
    "channel": "email",
    "template_code": "welcome_email",
    "created_at": "2025-11-14T12:00:00Z",
}
FULL: dict[str, Any] = SMALLEST | {
    "locale": "ru",
    "data": {"name": "Анна", "items": [{"n": 1}, {"n": 2}], "total": 12.5, "vip": True, "note": "a\r\nb"},
    "meta": {"event_type": "user_registered", "event_id": "e-1", "campaign_id": "c-1", "priority": "high"},
    "send_after": "2025-11-14T15:00:00.5+03:00",
    "expires_at": "2025-11-15T12:00:00Z",
    "tenant_id": "acme",
    "category": "marketing",
}


def parse(job: dict[str, Any]) -> NotificationJob:
    return parse_job(json.dumps(job).encode(), now=NOW)


def refusal(raw: bytes) -> InvalidJob:
    with pytest.raises(InvalidJob) as caught:
        parse_job(raw, now=NOW)
    return caught.value


def smallest_with(text: str) -> bytes:
    """Put literal JSON text into the `data` of a good job."""
    return json.dumps(SMALLEST | {"data": "@"}).replace('"@"', text).encode()


def test_every_field_is_read() -> None:
    job = parse(FULL)
    assert job.job_id == UUID(JOB_ID)
    assert job.user_id == UUID(USER_ID)
    assert (job.channel, job.template_code, job.content, job.locale) == ("email", "welcome_email", None, "ru")
    assert job.data == FULL["data"]
    assert (job.event_type, job.event_id, job.campaign_id) == ("user_registered", "e-1", "c-1")
    assert job.priority is Priority.HIGH
    assert job.created_at == NOW
    assert job.send_after == datetime(2025, 11, 14, 12, 0, 0, 500_000, tzinfo=UTC)
    assert job.send_after.utcoffset() == timedelta(0)
    assert job.expires_at == NOW + timedelta(days=1)
    assert (job.tenant, job.category) == ("acme", "marketing")


def test_the_smallest_job_has_defaults() -> None:
    job = parse(SMALLEST)
    assert (job.locale, job.event_type, job.event_id, job.campaign_id, job.tenant, job.category) == ("",) * 6
    assert (job.data, job.content, job.send_after, job.expires_at) == ({}, None, None, None)
    assert job.priority is Priority.NORMAL


def test_content_takes_the_place_of_a_template() -> None:
    job = parse(SMALLEST | {"template_code": None, "content": {"title": "Hi", "body": "There", "more": 1}})
    assert (job.template_code, job.content) == ("", {"title": "Hi", "body": "There"})
    assert parse(SMALLEST | {"template_code": None, "content": {"body": "x"}}).content == {"title": "", "body": "x"}


def test_unknown_fields_are_ignored() -> None:
    extra = {"trace": {"a": [1, {"b": 2}]}, "meta": {"source": [1, {}]}}
    assert parse(SMALLEST | extra) == parse(SMALLEST)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"channel": "carrier-pigeon"}, id="unknown channel"),
        pytest.param({"template_code": "no_such_template"}, id="unknown template"),
        pytest.param({"expires_at": "2001-01-01T00:00:00Z"}, id="expired long ago"),
        pytest.param({"tenant_id": "nobody"}, id="unknown tenant"),
        pytest.param({"locale": "tlh"}, id="unknown locale"),
        pytest.param({"send_after": "2001-01-01T00:00:00Z"}, id="send_after past"),
        pytest.param({"data": {"subject": "a\r\nBcc: b"}}, id="CR LF in data"),
        pytest.param({"data": {"n": [2**63 - 1, -(2**63), 1e308, -0.0]}}, id="largest numbers"),
        pytest.param({"send_after": "2026-11-15T12:00:00Z"}, id="send_after 366 days ahead"),
        pytest.param({"created_at": "1970-01-01T00:00:00Z"}, id="first year"),
        pytest.param({"created_at": "2199-12-31T23:59:59.999999999Z"}, id="last year, nanoseconds"),
        pytest.param({"data": {"a\\u0000b": "c:\\u0000", "d": '":"', "e": " : { [ [ {"}}, id="looks like trouble"),
        pytest.param({"data": {"emoji": "\U0001f600"}}, id="a whole surrogate pair in JSON"),
        pytest.param({"data": {"a": "\0"[:0], "b": None}}, id="empty text and null in data"),
    ],
)
def test_what_others_judge_or_what_is_fine_is_a_job(change: dict[str, Any]) -> None:
    parse(SMALLEST | change)


@pytest.mark.parametrize("indent", [None, 2, "\t"])
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": "), (" ,", " : "), ("\n,", "\t\r\n:")])
def test_white_space_changes_nothing(indent: int | str | None, separators: tuple[str, str]) -> None:
    raw = json.dumps(FULL, indent=indent, separators=separators).encode()
    assert parse_job(b" \r\n\t" + raw + b"\n", now=NOW) == parse(FULL)


BYTES = [
    ("empty", b""),
    ("empty", b" \n"),
    ("invalid_json", b"{"),
    ("invalid_json", b"hello"),
    ("invalid_json", b"{'a': 1}"),
    ("invalid_json", b'{"a": 1,}'),
    ("invalid_json", b'{"a": 01}'),
    ("invalid_json", b'{"a": "\n"}'),
    ("invalid_json", b"{} {}"),
    ("invalid_json", b'{"a": 1}\0'),
    ("not_finite", smallest_with('{"a": NaN}')),
    ("not_finite", smallest_with('{"a": Infinity}')),
    ("not_finite", smallest_with('{"a": [-Infinity]}')),
    ("number_out_of_range", smallest_with('{"a": 1e999}')),
    ("number_out_of_range", smallest_with('{"a": -1e999}')),
    ("bom", b"\xef\xbb\xbf" + json.dumps(SMALLEST).encode()),
    ("not_utf8", smallest_with('{"a": "@"}').replace(b"@", b"\xff")),
    ("not_utf8", smallest_with('{"a": "@"}').replace(b"@", b"\xed\xa0\x80")),
    ("not_utf8", smallest_with('{"a": "@"}').replace(b"@", b"\xc0\x80")),
    ("not_utf8", smallest_with('{"@": 1}').replace(b"@", b"\xff")),
    ("utf16", json.dumps(SMALLEST).encode("utf-16")),
    ("utf16", json.dumps(SMALLEST).encode("utf-16-le")),
    ("utf16", json.dumps(SMALLEST).encode("utf-16-be")),
    ("utf16", json.dumps(SMALLEST).encode("utf-32")),
    ("too_big", smallest_with('{"a": "' + "x" * MAX_JOB_BYTES + '"}')),
    ("too_deep", smallest_with('{"a": ' + "[" * 31 + "]" * 31 + "}")),
    ("too_deep", smallest_with('{"a": ' * 32 + "1" + "}" * 32)),
    ("too_deep", smallest_with('{"a": ' + "[" * 30 + "{}" + "]" * 30 + "}")),
    ("too_deep", smallest_with("[" * 100_000 + "]" * 100_000)),
    ("too_deep", b"[" * 100_000),
    ("integer_out_of_range", smallest_with('{"a": ' + "7" * 5000 + "}")),
    ("integer_out_of_range", smallest_with('{"a": 9223372036854775808}')),
    ("integer_out_of_range", smallest_with('{"a": [-9223372036854775809]}')),
    ("integer_out_of_range", smallest_with('{"a": {"b": 18446744073709551615}}')),
    ("duplicate_key", smallest_with('{}, "channel": "ws"')),
    ("duplicate_key", smallest_with('{}, "channel": "email"')),
    ("duplicate_key", smallest_with('{"a": 1, "a": 1}')),
    ("duplicate_key", smallest_with('{"a": 1, "\\u0061": 1}')),
    ("duplicate_key", smallest_with('{"a" : 1, "a"\n: 1}')),
    ("duplicate_key", smallest_with('{"a": [{"b": {"c": 1, "c": 2}}]}')),
    ("duplicate_key", smallest_with('{}, "unknown": {"a": {}, "a": 1}')),
    ("duplicate_key", smallest_with('{}, "meta": {"x": 1}, "meta": {"y": 2}')),
    ("duplicate_key", smallest_with('{"": 1, "": 2}')),
    ("nul_character", smallest_with('{"a": "x\\u0000"}')),
    ("nul_character", smallest_with('{"a\\u0000": 1}')),
    ("nul_character", smallest_with('{"a": [["\\u0000"]]}')),
    ("nul_character", smallest_with('{}, "unknown": "\\u0000"')),
    ("lone_surrogate", smallest_with('{"a": "\\ud800"}')),
    ("lone_surrogate", smallest_with('{"a": "\\udc00 and more text"}')),
    ("lone_surrogate", smallest_with('{"a": "\\ud800\\ud800"}')),
    ("lone_surrogate", smallest_with('{"\\ud800": 1}')),
    ("lone_surrogate", smallest_with('{"a": [{"b": "\\udfff"}]}')),
    ("not_an_object", b"[]"),
    ("not_an_object", json.dumps([SMALLEST]).encode()),
    ("not_an_object", b"null"),
    ("not_an_object", b"1"),
    ("not_an_object", b'"text"'),
    ("not_an_object", b"true"),
]


@pytest.mark.parametrize(("reason", "raw"), BYTES, ids=[f"{at}-{reason}" for at, (reason, _) in enumerate(BYTES)])
def test_bytes_that_are_no_storable_object_are_refused(reason: str, raw: bytes) -> None:
    invalid = refusal(raw)
    assert invalid.reason == reason
    assert reason in REASONS
    assert invalid.job is None, "what was refused as JSON is not safe to store as jsonb"
    assert (invalid.dlq_message == INVALID_JSON_MESSAGE) == (reason in NOT_JSON)
    assert "\n" not in invalid.message


FIELDS: list[tuple[str, str, dict[str, Any]]] = [
    ("missing", "job_id", {"job_id": None}),
    ("missing", "user_id", {"user_id": None}),
    ("missing", "channel", {"channel": None}),
    ("missing", "created_at", {"created_at": None}),
    ("missing", "content.body", {"template_code": None, "content": {"title": "x"}}),
    ("no_content", "", {"template_code": None}),
    ("template_and_content", "content", {"content": {"body": "x"}}),
    ("wrong_type", "job_id", {"job_id": 7}),
    ("wrong_type", "user_id", {"user_id": [USER_ID]}),
    ("wrong_type", "channel", {"channel": True}),
    ("wrong_type", "template_code", {"template_code": 5}),
    ("wrong_type", "content", {"template_code": None, "content": "text"}),
    ("wrong_type", "content.body", {"template_code": None, "content": {"body": False}}),
    ("wrong_type", "content.title", {"template_code": None, "content": {"title": 0, "body": "x"}}),
    ("wrong_type", "locale", {"locale": ["ru"]}),
    ("wrong_type", "data", {"data": []}),
    ("wrong_type", "data", {"data": False}),
    ("wrong_type", "meta", {"meta": "high"}),
    ("wrong_type", "meta.priority", {"meta": {"priority": 1}}),
    ("wrong_type", "meta.priority", {"meta": {"priority": False}}),
    ("wrong_type", "meta.event_type", {"meta": {"event_type": {}}}),
    ("wrong_type", "meta.event_id", {"meta": {"event_id": 12}}),
    ("wrong_type", "meta.campaign_id", {"meta": {"campaign_id": 0}}),
    ("wrong_type", "created_at", {"created_at": 1763121600}),
    ("wrong_type", "send_after", {"send_after": True}),
    ("wrong_type", "expires_at", {"expires_at": 0.5}),
    ("wrong_type", "tenant_id", {"tenant_id": 1}),
    ("wrong_type", "category", {"category": {}}),
    ("empty_text", "channel", {"channel": ""}),
    ("empty_text", "template_code", {"template_code": ""}),
    ("empty_text", "content.body", {"template_code": None, "content": {"body": ""}}),
    ("empty_text", "locale", {"locale": ""}),
    ("empty_text", "meta.event_id", {"meta": {"event_id": ""}}),
    ("empty_text", "expires_at", {"expires_at": ""}),
    ("empty_text", "tenant_id", {"tenant_id": ""}),
    ("too_long", "template_code", {"template_code": "x" * 101}),
    ("too_long", "meta.event_type", {"meta": {"event_type": "x" * 101}}),
    ("too_long", "locale", {"locale": "a" * 36}),
    ("too_long", "channel", {"channel": "a" * 33}),
    ("too_long", "content.title", {"template_code": None, "content": {"title": "x" * 201, "body": "x"}}),
    ("not_printable", "template_code", {"template_code": "a\nb"}),
    ("not_printable", "meta.event_id", {"meta": {"event_id": "\u202e"}}),
    ("invalid_uuid", "job_id", {"job_id": "42"}),
    ("invalid_uuid", "job_id", {"job_id": ""}),
    ("invalid_uuid", "job_id", {"job_id": JOB_ID.upper()}),
    ("invalid_uuid", "job_id", {"job_id": JOB_ID.replace("-", "")}),
    ("invalid_uuid", "job_id", {"job_id": "{" + JOB_ID + "}"}),
    ("invalid_uuid", "user_id", {"user_id": USER_ID + "\n"}),
    ("nil_uuid", "job_id", {"job_id": str(UUID(int=0))}),
    ("nil_uuid", "user_id", {"user_id": str(UUID(int=0))}),
    ("reserved_uuid", "job_id", {"job_id": "019a0000-0000-8007-8000-000000010100"}),
    ("reserved_uuid", "job_id", {"job_id": "019a0000-0000-8007-0000-000000010100"}),
    ("invalid_timestamp", "created_at", {"created_at": "yesterday"}),
    ("invalid_timestamp", "created_at", {"created_at": "2025-02-30T00:00:00Z"}),
    ("invalid_timestamp", "created_at", {"created_at": "2025-11-14T24:00:00Z"}),
    ("invalid_timestamp", "created_at", {"created_at": "2025-11-14T23:59:60Z"}),
    ("invalid_timestamp", "created_at", {"created_at": "2025-11-14T12:00Z"}),
    ("invalid_timestamp", "created_at", {"created_at": "2025-11-14 12:00:00Z"}),
    ("invalid_timestamp", "created_at", {"created_at": "2025-11-14T12:00:00+0300"}),
    ("invalid_timestamp", "created_at", {"created_at": "2025-11-14T12:00:00+24:00"}),
    ("invalid_timestamp", "created_at", {"created_at": "2025-11-14T12:00:00Z\n"}),
    ("invalid_timestamp", "created_at", {"created_at": "٢٠٢٥-11-14T12:00:00Z"}),
    ("date_without_time", "send_after", {"send_after": "2025-11-14"}),
    ("timestamp_without_zone", "expires_at", {"expires_at": "2025-11-14T12:00:00"}),
    ("timestamp_without_zone", "expires_at", {"expires_at": "2025-11-14 12:00:00.5"}),
    ("timestamp_out_of_range", "created_at", {"created_at": "0001-01-01T00:00:00Z"}),
    ("timestamp_out_of_range", "created_at", {"created_at": "0001-01-01T00:00:00+05:00"}),
    ("timestamp_out_of_range", "expires_at", {"expires_at": "9999-12-31T23:59:59Z"}),
    ("timestamp_out_of_range", "expires_at", {"expires_at": "9999-12-31T23:59:59-05:00"}),
    ("timestamp_out_of_range", "created_at", {"created_at": "1970-01-01T00:00:00+00:01"}),
    ("send_after_too_far", "send_after", {"send_after": "2026-11-15T12:00:01Z"}),
    (
        "expires_before_send_after",
        "expires_at",
        {"send_after": "2025-12-01T00:00:00Z", "expires_at": "2025-11-30T00:00:00Z"},
    ),
    (
        "expires_before_send_after",
        "expires_at",
        {"send_after": "2025-12-01T00:00:00Z", "expires_at": "2025-12-01T03:00:00+03:00"},
    ),
    ("invalid_priority", "meta.priority", {"meta": {"priority": "urgent"}}),
    ("invalid_priority", "meta.priority", {"meta": {"priority": "HIGH"}}),
    ("invalid_priority", "meta.priority", {"meta": {"priority": ""}}),
    ("invalid_channel", "channel", {"channel": "E-Mail"}),
    ("invalid_channel", "channel", {"channel": "email\n"}),
    ("invalid_locale", "locale", {"locale": "../etc"}),
    ("invalid_locale", "locale", {"locale": "ru\n"}),
]


@pytest.mark.parametrize(
    ("reason", "path", "change"), FIELDS, ids=[f"{at}-{reason}-{path}" for at, (reason, path, _) in enumerate(FIELDS)]
)
def test_a_wrong_field_is_refused_by_name(reason: str, path: str, change: dict[str, Any]) -> None:
    job = SMALLEST | change
    invalid = refusal(json.dumps(job).encode())
    assert (invalid.reason, invalid.path) == (reason, path)
    assert reason in REASONS
    assert invalid.job == job
    assert invalid.dlq_message == invalid.message == str(invalid)
    assert invalid.message.startswith(path)
    assert "\n" not in invalid.message


@pytest.mark.parametrize("version", [version for version in "0123456789abcdef" if version != "8"])
def test_a_job_id_may_be_of_any_version_but_the_reserved_one(version: str) -> None:
    job_id = f"019a0000-0000-{version}007-8000-000000010100"
    assert str(parse_job(json.dumps(SMALLEST | {"job_id": job_id}).encode(), now=NOW).job_id) == job_id


def test_a_person_may_have_an_id_of_version_8() -> None:
    user_id = "019a0000-0000-8007-8000-000000010100"
    assert str(parse_job(json.dumps(SMALLEST | {"user_id": user_id}).encode(), now=NOW).user_id) == user_id


@pytest.mark.parametrize("key", ["job_id", "user_id", "channel", "template_code", "created_at"])
def test_an_absent_field_is_refused_like_null(key: str) -> None:
    absent = refusal(json.dumps({name: value for name, value in SMALLEST.items() if name != key}).encode())
    null = refusal(json.dumps(SMALLEST | {key: None}).encode())
    assert (absent.reason, absent.path) == (null.reason, null.path)


def test_each_reason_says_what_is_wrong_and_what_to_do() -> None:
    assert REASONS.keys() >= NOT_JSON
    for text in REASONS.values():
        assert text.endswith(".")
        assert ". " in text, text


def test_limits_include_their_edge() -> None:
    assert len(parse(SMALLEST | {"template_code": "x" * 100, "channel": "a" * 32}).template_code) == 100
    frame = len(smallest_with('{"a": ""}'))
    parse_job(smallest_with('{"a": "' + "x" * (MAX_JOB_BYTES - frame) + '"}'), now=NOW)
    parse_job(smallest_with('{"a": ' + "[" * 30 + "]" * 30 + "}"), now=NOW)


def test_the_path_of_a_deep_fault_is_named() -> None:
    assert refusal(smallest_with('{"a": [1, {"b": "\\u0000"}]}')).path == "data.a[1].b"
    assert refusal(smallest_with('{"a": [1, 9223372036854775808]}')).path == "data.a[1]"


def test_the_body_hash_is_what_it_always_was() -> None:
    """Rows in the database hold hashes: a change here makes every re-read job a conflict. Then raise the version."""
    assert parse(FULL).body_hash.hex() == "0185ec1fdbc21992dade1172cb70fbbccc1167b7eba85e93c7543b27935a2387b3"
    assert parse(SMALLEST).body_hash.hex() == "016bfef9869d1fd609b86652771cd19643584d66e27b5bb9ad5c98637c7043e8e7"


@pytest.mark.parametrize(
    "same",
    [
        pytest.param(dict(reversed(FULL.items())), id="order of keys"),
        pytest.param(FULL | {"data": dict(reversed(FULL["data"].items()))}, id="order of keys in data"),
        pytest.param(FULL | {"created_at": "2025-11-14T17:30:00.000+05:30"}, id="another zone"),
        pytest.param(FULL | {"unknown": 1, "content": None}, id="unknown field, null"),
    ],
)
def test_the_same_body_has_the_same_hash(same: dict[str, Any]) -> None:
    assert parse(same).body_hash == parse(FULL).body_hash


@pytest.mark.parametrize("key", sorted(FULL))
def test_another_value_has_another_hash(key: str) -> None:
    other: dict[str, Any] = {
        "job_id": USER_ID,
        "user_id": JOB_ID,
        "data": FULL["data"] | {"vip": 1},
        "meta": FULL["meta"] | {"priority": "low"},
        "created_at": "2025-11-14T12:00:00.000001Z",
        "send_after": None,
        "expires_at": None,
    }
    assert parse(FULL | {key: other.get(key, "other")}).body_hash != parse(FULL).body_hash


def test_a_copied_job_keeps_its_hash() -> None:
    job = parse(FULL)
    assert replace(job, created_at=NOW + timedelta(days=1)).body_hash == job.body_hash
