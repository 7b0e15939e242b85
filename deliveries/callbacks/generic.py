"""Status callbacks of providers that are described by configuration: signed with HMAC-SHA-256, read by paths. Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from deliveries.callbacks.base import BadCallback, EventKind, ProviderEvent
from deliveries.dotted import find, text_at

MAX_FIELDS = 100
MAX_EVENTS = 1000
_PREFIX = "sha256="
_HEADER_NAME = re.compile(r"[A-Za-z0-9-]+")


class Description(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a provider's report reads, whether it comes as JSON or as a form. Paths are dotted, as those into its replies.

    `events` is where a list of reports stands (`.` when the body is one), empty when a body is one report; the other paths
    begin at a report. `statuses` says which of the provider's statuses is which kind; any other reports nothing yet.
    `reference` is where the job's id comes back, if it went out with the text; only then is no report ever too early.
    `signature_header` is the header that holds the signature.
    """

    message_id: str
    status: str
    statuses: dict[str, EventKind]
    events: str = ""
    code: str = ""
    message: str = ""
    address: str = ""
    at: str = ""
    reference: str = ""
    signature_header: str = "X-Signature"


def check(raw: object) -> Description:
    """Return the description that `raw` (decoded JSON) is. Raises: ValueError that says what is wrong, and where."""
    try:
        description = msgspec.convert(raw, Description)
    except msgspec.ValidationError as error:
        raise ValueError(f"{error}.") from error
    if not description.message_id or not description.status:
        raise ValueError("message_id and status: say where a report holds them.")
    if not _HEADER_NAME.fullmatch(description.signature_header):
        raise ValueError("signature_header: is no name of a header; enter one such as X-Signature.")
    if not description.statuses:
        raise ValueError(
            'statuses: is empty; name at least one, such as {"DELIVRD": "delivered", "UNDELIV": "failed"}.'
        )
    return description


def verify(*, secrets: Sequence[str], body: bytes, signature: str) -> bool:
    """Say whether a header holds the HMAC-SHA-256 of the body under one of the secrets (two while one is being replaced).

    In hexadecimal or base64, with or without `sha256=` before it. An empty secret fits nothing.
    """
    given = signature.strip().removeprefix(_PREFIX).encode("utf-8", "replace")
    digests = [hmac.new(secret.encode(), body, hashlib.sha256).digest() for secret in secrets if secret]
    return any(
        hmac.compare_digest(digest.hex().encode(), given.lower())
        or hmac.compare_digest(base64.b64encode(digest), given)
        for digest in digests
    )


def read(body: bytes, description: Description) -> list[ProviderEvent]:
    """Return what a verified callback reports; statuses that are not described report nothing. Raises: BadCallback."""
    data = _data(body)
    if not description.events:
        reports = [data]
    elif not isinstance(reports := data if description.events == "." else find(data, description.events), list):
        raise BadCallback(f"There is no list of reports at {description.events!r}.")
    if len(reports) > MAX_EVENTS:
        raise BadCallback(f"There are {len(reports)} reports at once; at most {MAX_EVENTS} are read.")
    return [event for report in reports if (event := _event(report, description)) is not None]


def _event(report: Any, description: Description) -> ProviderEvent | None:
    message_id, status = text_at(report, description.message_id), text_at(report, description.status)
    if not message_id or not status:
        raise BadCallback(f"A report has nothing at {description.message_id!r} or {description.status!r}.")
    kind = description.statuses.get(status)
    if kind is None:
        return None
    return ProviderEvent(
        message_id,
        kind,
        at=_time(find(report, description.at)) if description.at else None,
        code=text_at(report, description.code),
        message=text_at(report, description.message),
        address=text_at(report, description.address),
        reference=text_at(report, description.reference),
    )


def _data(body: bytes) -> Any:
    try:
        if body.lstrip()[:1] in (b"{", b"["):
            return msgspec.json.decode(body)
        return dict(parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS))
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise BadCallback("The body is neither JSON nor a form.") from error


def _time(value: Any) -> datetime | None:
    """Read ISO 8601 or seconds since the epoch; a time without a zone says nothing certain."""
    if isinstance(value, bool):
        return None
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else datetime.fromtimestamp(value, UTC)
    except (ValueError, TypeError, OverflowError, OSError):
        return None
    return at if at.tzinfo else None
