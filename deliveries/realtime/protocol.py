"""The frames of contracts.md, section 4: text from a client → a request, and what the server says → text.

Pure: no sockets, no ORM, no settings. Each frame is one JSON object on one line, so several may be joined by newlines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from deliveries.channels import Channel, Priority
from deliveries.json_text import json_bytes

MAX_IDS = 1000


class Code(StrEnum):
    """The codes of an `error` frame. A client may rely on them; the texts beside them are for people."""

    INVALID_JSON = "invalid_json"
    INVALID_FRAME = "invalid_frame"
    UNKNOWN_TYPE = "unknown_type"
    NOT_FOUND = "not_found"
    FRAME_TOO_LARGE = "frame_too_large"
    TOKEN_MISSING = "token_missing"  # noqa: S105
    TOKEN_INVALID = "token_invalid"  # noqa: S105
    TOKEN_EXPIRED = "token_expired"  # noqa: S105
    TOO_MANY_CONNECTIONS = "too_many_connections"
    UNAVAILABLE = "unavailable"


class Close(IntEnum):
    """The codes that the server closes a socket with. After UNAUTHORIZED a client needs another token; after the rest, back-off."""

    GOING_AWAY = 1001
    TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    TRY_AGAIN_LATER = 1013
    UNAUTHORIZED = 4401
    NO_SUCH_ENDPOINT = 4404
    TOO_SLOW = 4408
    TOO_MANY = 4429


class Resync(StrEnum):
    """Why a client's picture has a hole. `slow`: frames were dropped, the unacknowledged follow. `more`: the oldest were
    replayed, more wait; they follow as these are acknowledged, or may be read over REST."""

    SLOW = "slow"
    MORE = "more"


class Item(NamedTuple):
    """One ready frame for every socket of one user. `notification_id`: empty for a frame without a row behind it.
    `origin`: the id of a connection that knows already. `removes`: the notification that it takes out of the inbox."""

    tenant_id: int
    user_id: str
    notification_id: str
    frame: str
    origin: str = ""
    removes: str = ""


@dataclass(frozen=True, slots=True)
class Ack:
    """The person acknowledges these notifications."""

    ids: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class Ping:
    """Asks for a `pong`."""


Request = Ack | Ping


class FrameError(Exception):
    """A client's frame cannot be understood. `code` goes back to the client; the connection lives on."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class _Envelope(msgspec.Struct):
    type: str


class _Ack(msgspec.Struct):
    notification_id: UUID | None = None
    notification_ids: list[UUID] | None = None


_envelope = msgspec.json.Decoder(_Envelope)
_ack = msgspec.json.Decoder(_Ack)


def parse(text: str) -> Request:
    """Read one frame of a client. Unknown fields are ignored. Raises: FrameError."""
    try:
        kind = _envelope.decode(text).type
        if kind == "ping":
            return Ping()
        if kind == "ack":
            return _parse_ack(_ack.decode(text))
    except msgspec.ValidationError as error:
        raise FrameError(Code.INVALID_FRAME, str(error)) from None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        # A lone surrogate cannot be encoded, and JSON may nest deeper than any reader goes.
        raise FrameError(Code.INVALID_JSON, "The frame is not JSON.") from None
    raise FrameError(Code.UNKNOWN_TYPE, "This type of frame is not known here.")


def _parse_ack(frame: _Ack) -> Ack:
    ids = list(frame.notification_ids or ())
    if frame.notification_id is not None:
        ids.append(frame.notification_id)
    if not ids:
        raise FrameError(Code.INVALID_FRAME, "An ack names a notification_id or notification_ids.")
    if len(ids) > MAX_IDS:
        raise FrameError(Code.INVALID_FRAME, f"An ack names at most {MAX_IDS} notifications.")
    return Ack(tuple(dict.fromkeys(ids)))


def connected(*, connection_id: str, unacknowledged: int) -> str:
    """Say that the socket is served. `unacknowledged` counts what the inbox holds, not what is replayed."""
    return _frame({"type": "connected", "connection_id": connection_id, "unacknowledged": unacknowledged})


def notification(
    *,
    job_id: UUID,
    rendered: Mapping[str, str],
    data: Mapping[str, Any],
    priority: int,
    created_at: datetime,
    read_at: datetime | None = None,
) -> str:
    """Say one notification, live or replayed.

    `id` is the job's id: a row number could be counted up by a stranger. `created_at`: when the service accepted the job.
    """
    return _frame(
        {
            "type": "notification",
            "id": str(job_id),
            "job_id": str(job_id),
            "title": rendered.get("subject", ""),
            "body": rendered.get("text", ""),
            "action_url": rendered.get("action_url", ""),
            "data": dict(data),
            "channel": Channel.WS.value,
            "priority": Priority(priority).name.lower(),
            "created_at": created_at.astimezone(UTC),
            "read_at": read_at and read_at.astimezone(UTC),
        }
    )


def removed(job_id: UUID) -> str:
    """Say that staff took a notification out of the inbox."""
    return _frame({"type": "removed", "id": str(job_id)})


def unread(count: int) -> str:
    """Say how many items of the inbox are unread."""
    return _frame({"type": "unread", "count": count})


def acked(ids: Sequence[UUID]) -> str:
    """Say that these are acknowledged: now, before, or by another socket of the same person."""
    return _frame({"type": "acked", "notification_ids": [str(one) for one in ids]})


def not_found(ids: Sequence[UUID]) -> str:
    """Say that these are not in the person's inbox. Another's notification gets the same answer as one that does not exist."""
    return _frame(
        {
            "type": "error",
            "code": Code.NOT_FOUND.value,
            "message": "There is no such notification in this inbox.",
            "notification_ids": [str(one) for one in ids],
        }
    )


def pong() -> str:
    """Answer a ping."""
    return _frame({"type": "pong"})


def resync(reason: Resync) -> str:
    """Say that the client's picture has a hole, and why."""
    return _frame({"type": "resync", "reason": reason.value})


def error(code: Code, message: str) -> str:
    """Say that something was wrong with a frame or with the connection."""
    return _frame({"type": "error", "code": code.value, "message": message})


def _frame(value: dict[str, Any]) -> str:
    return json_bytes(value).decode()
