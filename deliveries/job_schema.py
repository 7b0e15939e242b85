"""The JSON Schema of a NotificationJob, for producers and for `schemas/notification-job.json`. It parses nothing.

`deliveries.jobs` decides. The schema takes everything that the parser takes (a test holds them together); it cannot say
what lies outside of one field: sizes in bytes, duplicate keys, depth, and how the times relate.
"""

from __future__ import annotations

from typing import Any, Final

from deliveries.channels import Channel
from deliveries.jobs import fields
from deliveries.jobs.notification import MAX_SEND_AFTER, PRIORITIES
from deliveries.jobs.strict_json import MAX_DEPTH, MAX_JOB_BYTES

_NIL_UUID: Final = {"const": "00000000-0000-0000-0000-000000000000"}
_NULL: Final[dict[str, Any]] = {"type": "null"}


def _uuid(description: str, example: str) -> dict[str, Any]:
    return {
        "type": "string",
        "format": "uuid",
        "pattern": f"^{fields.UUID_PATTERN}$",
        "not": _NIL_UUID,
        "description": f"{description} A canonical lower-case UUID, not the nil UUID.",
        "examples": [example],
    }


def _code(description: str, example: str) -> dict[str, Any]:
    return {
        "type": ["string", "null"],
        "minLength": 1,
        "maxLength": fields.MAX_CODE,
        "pattern": r"^[^\u0000-\u001f\u007f-\u009f]*$",
        "description": description,
        "examples": [example],
    }


def _timestamp(description: str, *, required: bool = False) -> dict[str, Any]:
    rule = f"RFC 3339 with a zone, in the years {fields.FIRST_YEAR} to {fields.LAST_YEAR}."
    return {
        "type": "string" if required else ["string", "null"],
        "format": "date-time",
        "pattern": f"^{fields.TIMESTAMP_PATTERN}$",
        "description": f"{description} {rule}",
        "examples": ["2025-11-14T12:00:00Z", "2025-11-14T15:00:00+03:00"],
    }


_META: Final[dict[str, Any]] = {
    "type": ["object", "null"],
    "description": "Where the job comes from and how urgent it is.",
    "properties": {
        "event_type": _code("What happened.", "user_registered"),
        "event_id": _code("The event's id, to find the job by.", "6f1c8a2e-40c5-4f0c-8f5e-0b1f6f0a7d11"),
        "campaign_id": _code("The campaign that the job belongs to.", "spring-sale"),
        "priority": {
            "enum": [*PRIORITIES, None],
            "default": "normal",
            "description": "Which jobs of one tenant go first.",
        },
    },
}

_CONTENT: Final[dict[str, Any]] = {
    "type": ["object", "null"],
    "description": "The ready text, in place of `template_code`.",
    "required": ["body"],
    "properties": {
        "title": {
            "type": ["string", "null"],
            "maxLength": fields.MAX_TITLE,
            "description": "Subject or headline.",
            "examples": ["Your order"],
        },
        "body": {
            "type": "string",
            "minLength": 1,
            "description": "The text itself.",
            "examples": ["It is on its way."],
        },
    },
}

NOTIFICATION_JOB_SCHEMA: Final[dict[str, Any]] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "NotificationJob",
    "description": (
        "One message to one person over one channel. Unknown fields are ignored, null means absent. "
        f"At most {MAX_JOB_BYTES:,} bytes of UTF-8 JSON and {MAX_DEPTH} levels; no duplicate keys, no U+0000, no lone "
        "surrogates, integers of 64 bits. `expires_at` must be after `send_after`."
    ),
    "type": "object",
    "required": ["job_id", "user_id", "channel", "created_at"],
    "oneOf": [
        {"required": ["template_code"], "properties": {"template_code": {"type": "string"}, "content": _NULL}},
        {"required": ["content"], "properties": {"content": {"type": "object"}, "template_code": _NULL}},
    ],
    "properties": {
        "job_id": {
            **_uuid(
                "The idempotency key within the tenant: the same job again is dropped, another body is rejected. Version 8 is reserved.",
                "0b9c1b0e-7f2d-4d0e-9f43-2f6f6a1d3c55",
            ),
            "pattern": f"^{fields.JOB_ID_PATTERN}$",
        },
        "user_id": _uuid("The contact to reach.", "2d6a1f64-9a3b-4a55-8f64-1e2f3a4b5c6d"),
        "channel": {
            "type": "string",
            "pattern": f"^{fields.CHANNEL_PATTERN}$",
            "description": f"One of {', '.join(Channel)}. A job for any other is stored as FAILED `unknown_channel`.",
            "examples": [channel.value for channel in Channel],
        },
        "template_code": _code("The template to render with `data`; or send `content`.", "welcome_email"),
        "content": _CONTENT,
        "locale": {
            "type": ["string", "null"],
            "maxLength": fields.MAX_LOCALE,
            "pattern": f"^{fields.LOCALE_PATTERN}$",
            "description": "The language of the template; falls back from `pt-BR` to `pt` to the default.",
            "examples": ["ru", "pt-BR"],
        },
        "data": {
            "type": ["object", "null"],
            "description": "The variables of the template.",
            "examples": [{"name": "Anna"}],
        },
        "meta": _META,
        "created_at": _timestamp("When the job was made.", required=True),
        "send_after": _timestamp(f"Not to be sent before; at most {MAX_SEND_AFTER.days} days ahead."),
        "expires_at": _timestamp("Not to be sent from then on."),
        "tenant_id": _code("The tenant; the default one when absent.", "acme"),
        "category": _code("The preference that lets the person opt out.", "marketing"),
    },
    "examples": [
        {
            "job_id": "0b9c1b0e-7f2d-4d0e-9f43-2f6f6a1d3c55",
            "user_id": "2d6a1f64-9a3b-4a55-8f64-1e2f3a4b5c6d",
            "channel": "email",
            "template_code": "welcome_email",
            "locale": "ru",
            "data": {"name": "Anna"},
            "meta": {
                "event_type": "user_registered",
                "event_id": "6f1c8a2e-40c5-4f0c-8f5e-0b1f6f0a7d11",
                "campaign_id": None,
                "priority": "normal",
            },
            "created_at": "2025-11-14T12:00:00Z",
            "send_after": None,
            "expires_at": None,
        }
    ],
}
