"""A body of one job or a list: each item by itself, the whole refused only when the whole is wrong."""

from __future__ import annotations

import json

import pytest

from deliveries.jobs import MAX_BATCH_BYTES, REASONS, InvalidJob, NotificationJob, parse_job, parse_jobs
from tests.unit.test_jobs import FULL, NOW, SMALLEST


def test_one_object_is_a_list_of_one() -> None:
    raw = json.dumps(FULL).encode()
    assert parse_jobs(raw, now=NOW) == [parse_job(raw, now=NOW)]


def test_one_bad_object_is_judged_without_a_place() -> None:
    (invalid,) = parse_jobs(json.dumps(SMALLEST | {"channel": 1}).encode(), now=NOW)
    assert isinstance(invalid, InvalidJob)
    assert (invalid.reason, invalid.path) == ("wrong_type", "channel")


def test_each_item_is_judged_by_itself_and_in_order() -> None:
    good = json.dumps(SMALLEST)
    bad_meta = json.dumps(SMALLEST | {"meta": {"priority": "urgent"}})
    items = [good, "5", bad_meta, '{"a": 1, "a": 2}', good, '{"a": 1e999}', '{"a": "\\ud800"}', "NaN"]
    items += ['{"a": ' + "9" * 5000 + "}", "null"]
    results = parse_jobs(f" [{' ,'.join(items)}]\n".encode(), now=NOW)
    assert [result.reason if isinstance(result, InvalidJob) else result.channel for result in results] == [
        "email",
        "not_an_object",
        "invalid_priority",
        "duplicate_key",
        "email",
        "number_out_of_range",
        "lone_surrogate",
        "not_finite",
        "integer_out_of_range",
        "not_an_object",
    ]
    refused = {at: result for at, result in enumerate(results) if isinstance(result, InvalidJob)}
    assert refused[2].path == "[2].meta.priority"
    assert all(invalid.path == f"[{at}]" for at, invalid in refused.items() if at != 2)
    assert refused[2].message.startswith("[2].meta.priority: ")


def test_a_list_does_not_count_as_a_level_of_its_items() -> None:
    deep = json.dumps(SMALLEST | {"data": "@"}).replace('"@"', '{"a": ' + "[" * 30 + "]" * 30 + "}")
    assert isinstance(parse_jobs(f"[{deep}]".encode(), now=NOW)[0], NotificationJob)


@pytest.mark.parametrize(
    ("reason", "raw"),
    [
        ("empty", b""),
        ("invalid_json", b"["),
        ("invalid_json", b"[{}] {}"),
        ("invalid_json", b"[{},]"),
        ("invalid_json", b"[{} {}]"),
        ("invalid_json", b"[,{}]"),
        ("invalid_json", b"[] x"),
        ("invalid_json", b"[x]"),
        ("bom", b"\xef\xbb\xbf[]"),
        ("utf16", "[{}]".encode("utf-16")),
        ("utf16", "[{}]".encode("utf-16-le")),
        ("not_utf8", b'[{"a": "\xff"}]'),
        ("too_deep", b"[" * 50_000 + b"]" * 50_000),
        ("not_an_object", b"7"),
        ("no_jobs", b" [ ] "),
        ("too_many_jobs", b"[{},{},{},{}]"),
        ("too_many_jobs", b"[" + b"1," * 1_000_000),
        ("too_big", b"[" + b" " * MAX_BATCH_BYTES + b"]"),
    ],
)
def test_a_body_that_is_wrong_as_a_whole_is_refused(reason: str, raw: bytes) -> None:
    with pytest.raises(InvalidJob) as caught:
        parse_jobs(raw, now=NOW, most=3)
    assert caught.value.reason == reason
    assert caught.value.path == ""
    assert reason in REASONS


def test_a_thousand_jobs_are_the_most() -> None:
    good = json.dumps(SMALLEST)
    assert len(parse_jobs(f"[{','.join([good] * 1000)}]".encode(), now=NOW)) == 1000
    with pytest.raises(InvalidJob, match="more than 1,000"):
        parse_jobs(f"[{','.join([good] * 1001)}]".encode(), now=NOW)
