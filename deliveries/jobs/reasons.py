"""Why a job is refused: the reason codes of the input rules and the error that carries one. No parsing here."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Final

INVALID_JSON_MESSAGE: Final = "Invalid JSON in Kafka message"

#: Reason code → what is wrong and what the producer should do. Shown to staff as the likely fix, and in the docs.
REASONS: Final = MappingProxyType(
    {
        # Not JSON at all: nothing can be read from these bytes.
        "empty": "The message has no content. Send one JSON object.",
        "bom": "The bytes begin with a byte order mark. Write UTF-8 without one (Python: encoding='utf-8').",
        "utf16": "The bytes are UTF-16 or UTF-32. Encode the JSON as UTF-8.",
        "not_utf8": "The bytes are not valid UTF-8. Encode the JSON as UTF-8 before sending.",
        "invalid_json": "The bytes are not JSON. Serialise the job with a JSON library, not by hand.",
        "not_finite": "NaN and Infinity are not JSON. Send null or leave the field out.",
        # JSON, but of a kind that cannot be stored or that readers understand differently.
        "too_big": "The message is larger than allowed. Keep large content elsewhere and send a link to it.",
        "too_deep": "Objects and lists are nested too deeply. Flatten `data`.",
        "duplicate_key": "A key appears twice in one object, so readers disagree about its value. Send it once.",
        "number_out_of_range": "A number is too large for a double. Send it as text.",
        "integer_out_of_range": "An integer does not fit in 64 bits. Send it as text.",
        "nul_character": "A text holds the character U+0000, which PostgreSQL cannot store. Remove it.",
        "lone_surrogate": "A text holds half of a surrogate pair: it was cut in mid-character. Cut whole characters.",
        "not_an_object": "The message is JSON but not an object. Send one object for one job.",
        # Fields.
        "missing": "A required field is absent or null. Send it.",
        "wrong_type": "A field has the wrong JSON type. true and false are not numbers; numbers are not text.",
        "empty_text": "A field is an empty text. Fill it, or leave it out when it is optional.",
        "too_long": "A text is longer than its field allows. Shorten it.",
        "not_printable": "A code holds a line break, tab or another invisible character. Use visible characters.",
        "negative_number": "A number is negative where that has no meaning. Send 0 or more.",
        "invalid_uuid": "An id is not a canonical lower-case UUID. Send it as 8-4-4-4-12 lower-case hex digits.",
        "nil_uuid": "An id is the nil UUID (all zeros). Send the real id.",
        "reserved_uuid": "A `job_id` is a UUID of version 8, which the service keeps for itself. Use version 4 or 7.",
        "invalid_timestamp": "A time is not RFC 3339. Write it like 2025-11-14T12:00:00Z.",
        "date_without_time": "A time is only a date. Add the time and zone, like 2025-11-14T12:00:00Z.",
        "timestamp_without_zone": "A time has no zone, so its moment is unknown. Add Z or an offset such as +03:00.",
        "timestamp_out_of_range": "A time lies outside the years 1970 to 2199. Check how the producer builds it.",
        "send_after_too_far": "`send_after` is more than 366 days ahead. Schedule the job nearer to its time.",
        "expires_before_send_after": "`expires_at` is not after `send_after`, so it could never be sent. Correct one.",
        "invalid_priority": "The priority is none of high, normal, low. Use one of them.",
        "invalid_channel": "The channel is no name of up to 32 a-z, 0-9, _ and -. Use email, push, ws, sms or webhook.",
        "invalid_locale": "The locale is no language tag. Write it like ru or pt-BR.",
        "no_content": "The job names no template and has no content. Send `template_code` or `content`.",
        "template_and_content": "The job has both `template_code` and `content`. Send only one of them.",
        # Simple messages.
        "unknown_message_type": "The message type is not `simple`. Send simple messages to this topic only.",
        "no_channels": "`channels` is empty. Name at least one channel.",
        "too_many_channels": "`channels` names more channels than allowed. Name each wanted channel once.",
        # Lists over HTTP.
        "no_jobs": "The list is empty. Send at least one job.",
        "too_many_jobs": "The list holds more jobs than one request may. Split it.",
    }
)

#: What the DLQ calls by one fixed message (contracts, section 1): the bytes are not JSON text.
NOT_JSON: Final = frozenset({"empty", "bom", "utf16", "not_utf8", "invalid_json", "not_finite"})


class InvalidJob(ValueError):
    """The input is no job. Tells the reason code, where, and what to do.

    `reason` is a key of REASONS. `path` names the field (`meta.priority`, in a list `[3].meta.priority`), "" for the
    whole message. `job` is the decoded object when there is one; it is then safe to store as jsonb.
    """

    def __init__(self, reason: str, problem: str, *, path: str = "", job: dict[str, Any] | None = None) -> None:
        super().__init__(reason, problem, path)
        self.reason = reason
        self.problem = problem
        self.path = path
        self.job = job

    @property
    def message(self) -> str:
        """Say where, what is wrong and what to do, in one line."""
        return f"{self.path}: {self.problem}" if self.path else self.problem

    @property
    def dlq_message(self) -> str:
        """Give the `error_message` of the dead letter: the fixed text of the contract when the bytes are not JSON."""
        return INVALID_JSON_MESSAGE if self.reason in NOT_JSON else self.message

    def __str__(self) -> str:
        return self.message
