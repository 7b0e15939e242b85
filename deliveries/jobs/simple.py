"""The simple message of the `notifications` topic: one message, one job for each channel it names."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid5

from msgspec.structs import replace

from deliveries.channels import Priority
from deliveries.jobs import fields
from deliveries.jobs.notification import NotificationJob
from deliveries.jobs.reasons import InvalidJob
from deliveries.jobs.strict_json import decode_object, kind

#: Namespace of the job ids made here. Never change it: a re-read would send everything a second time.
JOB_NAMESPACE: Final = UUID("6d1d5f0e-5f43-4c6b-9a57-0f6b0b8c7e21")
MAX_CHANNELS: Final = 16

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_END_OF_TIME_MS: Final = int(datetime(fields.LAST_YEAR + 1, 1, 1, tzinfo=UTC).timestamp()) * 1000


def parse_simple(
    raw: bytes, *, topic: str, partition: int, offset: int, timestamp_ms: int, now: datetime
) -> list[NotificationJob]:
    """Read a simple message into one job for each channel, in the order named; a channel named twice counts once.

    The job ids follow from the place and time of the record and the channel, so reading the record again makes the same
    jobs (contracts, section 1). `timestamp_ms` is the record's; it becomes `created_at`. A record without a usable one
    (Kafka says -1) gets `now`, which then stays out of the body hash.

    Raises: InvalidJob; then no channel of the message gets a job.
    """
    decoded = decode_object(raw)
    try:
        values, channels = _read(decoded)
    except InvalidJob as invalid:
        invalid.job = decoded
        raise
    place = f"{topic}/{partition}/{offset}/{timestamp_ms}"
    timed = 0 <= timestamp_ms < _END_OF_TIME_MS
    created_at = _EPOCH + timedelta(milliseconds=timestamp_ms if timed else 0)
    jobs = [
        NotificationJob(
            job_id=uuid5(JOB_NAMESPACE, f"{place}/{channel}"), channel=channel, created_at=created_at, **values
        )
        for channel in channels
    ]
    return jobs if timed else [replace(job, created_at=now) for job in jobs]


def _read(decoded: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    message_type = fields.take_code(decoded, "message_type", "message_type")
    if message_type != "simple":
        if not message_type:
            raise InvalidJob("missing", 'this field is required; send "simple".', path="message_type")
        raise InvalidJob("unknown_message_type", f'{message_type!a} is not "simple".', path="message_type")
    values: dict[str, Any] = {
        "user_id": fields.take_uuid(decoded, "user_uuid", "user_uuid"),
        "template_code": "",
        "content": {
            "title": fields.take_title(decoded, "title", "title"),
            "body": fields.take_body(decoded, "content", "content"),
        },
        "locale": "",
        "data": {},
        "event_type": "",
        "event_id": "",
        "campaign_id": "",
        "priority": _priority(decoded.get("priority")),
        "send_after": None,
        "expires_at": None,
        "tenant": "",
        "category": "",
    }
    return values, _channels(decoded.get("channels"))


def _channels(value: object) -> list[str]:
    if value is None:
        raise InvalidJob("missing", "this field is required; send a list of channels.", path="channels")
    if type(value) is not list:
        raise InvalidJob("wrong_type", f"this is {kind(value)}; send a list of channels.", path="channels")
    if not value:
        raise InvalidJob("no_channels", "the list is empty; name at least one channel.", path="channels")
    if len(value) > MAX_CHANNELS:
        problem = f"{len(value):,} channels; send at most {MAX_CHANNELS}."
        raise InvalidJob("too_many_channels", problem, path="channels")
    return list(dict.fromkeys(fields.check_channel(item, f"channels[{at}]") for at, item in enumerate(value)))


def _priority(value: object) -> Priority:
    if value is None:
        return Priority.NORMAL
    if type(value) is not int:
        raise InvalidJob("wrong_type", f"this is {kind(value)}; send 0, 1 or 2 as a whole number.", path="priority")
    if value < 0:
        raise InvalidJob("negative_number", f"{value} is negative; send 0 for high, 1 normal, 2 low.", path="priority")
    return Priority(min(value, Priority.LOW))
