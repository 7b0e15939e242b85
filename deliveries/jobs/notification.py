"""The NotificationJob format (contracts, section 1): bytes → one checked, immutable job, or a list of them."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec.structs import force_setattr

from deliveries.channels import Priority
from deliveries.jobs import fields
from deliveries.jobs.reasons import InvalidJob
from deliveries.jobs.strict_json import decode_object, kind, split_list

MAX_BATCH_JOBS: Final = 1000
MAX_SEND_AFTER: Final = timedelta(days=366)
#: The first byte of every body hash. Raise it when the fields or their spelling change: hashes of two versions differ
#: for the same job, so the comparison must not be made between them.
BODY_HASH_VERSION: Final = b"\x01"

PRIORITIES: Final = {"high": Priority.HIGH, "normal": Priority.NORMAL, "low": Priority.LOW}

_canonical: Final = msgspec.json.Encoder(order="sorted").encode


# gc=False spares the garbage collector a visit per job; a job holds only decoded JSON, which cannot form a cycle.
class NotificationJob(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """One request to tell one person something over one channel. Every value fits its PostgreSQL column.

    Absent optional texts are "", times are aware and in UTC. Two jobs of one `(tenant, job_id)` are the same exactly if
    their `body_hash` is: BODY_HASH_VERSION and the SHA-256 of the other fields as JSON, keys sorted at every level.
    """

    job_id: UUID
    user_id: UUID
    channel: str
    template_code: str
    content: dict[str, str] | None
    locale: str
    data: dict[str, Any]
    event_type: str
    event_id: str
    campaign_id: str
    priority: Priority
    created_at: datetime
    send_after: datetime | None
    expires_at: datetime | None
    tenant: str
    category: str
    body_hash: bytes = b""

    def __post_init__(self) -> None:
        """Compute the hash of a new job; one that is copied with `msgspec.structs.replace` keeps the hash it had."""
        if not self.body_hash:
            digest = hashlib.sha256(_canonical(self)).digest()
            force_setattr(self, "body_hash", BODY_HASH_VERSION + digest)


def parse_job(raw: bytes, *, now: datetime) -> NotificationJob:
    """Read one NotificationJob from the bytes of a Kafka record.

    Pure: the same bytes give an equal job; `now` bounds only `send_after`. Unknown fields are ignored.

    Raises: InvalidJob, whose `job` is the decoded object when the bytes held one.
    """
    decoded = decode_object(raw)
    try:
        return _job(decoded, now)
    except InvalidJob as invalid:
        invalid.job = decoded
        raise


def parse_jobs(raw: bytes, *, now: datetime, most: int = MAX_BATCH_JOBS) -> list[NotificationJob | InvalidJob]:
    """Read one NotificationJob, or a JSON list of up to `most`, from the body of an HTTP request.

    Every item of a list is judged by itself, by the rules of `parse_job`; the answer keeps their order, and an
    InvalidJob in it names its place (`[3].meta.priority`). A body of one object gives a list of one, without a place.

    Raises: InvalidJob when the body as a whole cannot be read: no JSON, too big, neither object nor list, a list that
    is empty or too long.
    """
    items = split_list(raw, most=most)
    if items is None:
        return [_judge(raw, now, "")]
    if not items:
        raise InvalidJob("no_jobs", "the list is empty; send at least one job.")
    if len(items) > most:
        raise InvalidJob("too_many_jobs", f"the list has more than {most:,} jobs; split it.")
    return [_judge(item, now, f"[{index}]") for index, item in enumerate(items)]


def _judge(raw: bytes, now: datetime, place: str) -> NotificationJob | InvalidJob:
    try:
        return parse_job(raw, now=now)
    except InvalidJob as invalid:
        if not place and invalid.job is None:
            raise
        invalid.path = f"{place}.{invalid.path}" if place and invalid.path else place or invalid.path
        return invalid


def _job(decoded: dict[str, Any], now: datetime) -> NotificationJob:
    job_id = fields.take_job_id(decoded, "job_id", "job_id")
    user_id = fields.take_uuid(decoded, "user_id", "user_id")
    channel = fields.check_channel(decoded.get("channel"), "channel")
    meta = fields.take_object(decoded, "meta", "meta") or {}
    template_code, content = _template_or_content(decoded)
    created_at, send_after, expires_at = _times(decoded, now)
    return NotificationJob(
        job_id=job_id,
        user_id=user_id,
        channel=channel,
        template_code=template_code,
        content=content,
        locale=fields.take_locale(decoded, "locale", "locale"),
        data=fields.take_object(decoded, "data", "data") or {},
        event_type=fields.take_code(meta, "event_type", "meta.event_type"),
        event_id=fields.take_code(meta, "event_id", "meta.event_id"),
        campaign_id=fields.take_code(meta, "campaign_id", "meta.campaign_id"),
        priority=_priority(meta.get("priority")),
        created_at=created_at,
        send_after=send_after,
        expires_at=expires_at,
        tenant=fields.take_code(decoded, "tenant_id", "tenant_id"),
        category=fields.take_code(decoded, "category", "category"),
    )


def _template_or_content(decoded: dict[str, Any]) -> tuple[str, dict[str, str] | None]:
    template_code = fields.take_code(decoded, "template_code", "template_code")
    content = fields.take_object(decoded, "content", "content")
    if content is None:
        if not template_code:
            raise InvalidJob("no_content", "there is nothing to send; name a `template_code` or give `content`.")
        return template_code, None
    if template_code:
        raise InvalidJob("template_and_content", "send `template_code` or `content`, not both.", path="content")
    title = fields.take_title(content, "title", "content.title")
    return "", {"title": title, "body": fields.take_body(content, "body", "content.body")}


def _times(decoded: dict[str, Any], now: datetime) -> tuple[datetime, datetime | None, datetime | None]:
    created_at = fields.take_timestamp(decoded, "created_at", "created_at")
    if created_at is None:
        raise InvalidJob("missing", "this field is required; send the time the job was made.", path="created_at")
    send_after = fields.take_timestamp(decoded, "send_after", "send_after")
    expires_at = fields.take_timestamp(decoded, "expires_at", "expires_at")
    if send_after is not None:
        if send_after - now > MAX_SEND_AFTER:
            problem = f"more than {MAX_SEND_AFTER.days} days ahead; schedule the job nearer to its time."
            raise InvalidJob("send_after_too_far", problem, path="send_after")
        if expires_at is not None and expires_at <= send_after:
            problem = "not after `send_after`, so the job could never be sent; correct one of them."
            raise InvalidJob("expires_before_send_after", problem, path="expires_at")
    return created_at, send_after, expires_at


def _priority(value: object) -> Priority:
    if value is None:
        return Priority.NORMAL
    if type(value) is not str:
        raise InvalidJob("wrong_type", f"this is {kind(value)}; send high, normal or low.", path="meta.priority")
    priority = PRIORITIES.get(value)
    if priority is None:
        problem = f"{value[:60]!a} is no priority; send high, normal or low."
        raise InvalidJob("invalid_priority", problem, path="meta.priority")
    return priority
