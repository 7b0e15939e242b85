"""What a try came to, as `lifecycle.finish` records it: a receipt or an error becomes an Outcome. Pure; no I/O, no settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from deliveries.addresses import Told
from deliveries.channels import Channel, Status
from deliveries.lifecycle import ClaimedRow, Outcome
from deliveries.retry import RetryPolicy, next_delay_seconds
from deliveries.segments import segments
from deliveries.senders.base import DeviceResult, Message, Receipt, SendError
from deliveries.senders.sms import text_of

PROVIDER_LENGTH = 255
MESSAGE_ID_LENGTH = 255
ADDRESS_LENGTH = 320
REASON_LENGTH = 64
ERROR_LENGTH = 2000


class Tried(msgspec.Struct):
    """How far one try got: the message when it could be composed, then a receipt or an error."""

    channel: str
    message: Message | None = None
    version_id: int | None = None
    receipt: Receipt | None = None
    error: SendError | None = None
    is_handed_over: bool = False


def sent(row: ClaimedRow, tried: Tried, *, duration_ms: int, keeps_content: bool) -> Outcome:
    """Return the outcome of a message that the provider took. `keeps_content`: the row is where the person reads it."""
    message, receipt = tried.message, tried.receipt
    if message is None or receipt is None:
        raise ValueError("a try without an error has a message and a receipt")
    content = message.content
    return Outcome(
        id=row.id,
        lease_token=row.lease_token,
        status=Status.SENT,
        provider=storable(receipt.provider, PROVIDER_LENGTH),
        provider_message_id=storable(receipt.message_id, MESSAGE_ID_LENGTH),
        duration_ms=duration_ms,
        address=storable(message.to, ADDRESS_LENGTH),
        template_version_id=tried.version_id,
        rendered={"subject": content.subject, "text": content.text, "action_url": content.action_url}
        if keeps_content
        else None,
        details=details_of(tried),
    )


def failed(row: ClaimedRow, tried: Tried, error: SendError, *, duration_ms: int, policy: RetryPolicy) -> Outcome:
    """Return the outcome of a try that brought no receipt: RETRYING while the policy allows, otherwise FAILED."""
    delay = next_delay_seconds(
        policy,
        attempts=row.attempts + 1,
        permanent=error.permanent,
        ambiguous=error.ambiguous,
        retry_after_seconds=error.retry_after_seconds,
    )
    if error.elsewhere and delay is not None:
        delay = 0.0
    is_unknown = delay is None and error.ambiguous and not policy.retry_ambiguous
    return Outcome(
        id=row.id,
        lease_token=row.lease_token,
        status=Status.FAILED if delay is None else Status.RETRYING,
        delay_seconds=delay or 0.0,
        reason="outcome_unknown" if is_unknown else storable(error.code, REASON_LENGTH),
        message=storable(error.message, ERROR_LENGTH),
        is_ambiguous=error.ambiguous,
        provider=storable(error.provider, PROVIDER_LENGTH),
        duration_ms=duration_ms,
        address=storable(tried.message.to, ADDRESS_LENGTH) if tried.message is not None else "",
        template_version_id=tried.version_id,
        details=details_of(tried),
    )


def details_of(tried: Tried) -> dict[str, Any] | None:
    """Return what the channel adds to the row: a push's result for each device, a text's segments. None where there is nothing."""
    if tried.message is None:
        return None
    if results := devices_of(tried):
        keep = [{"device": r.device_id, "ok": r.ok, "code": r.code, "message_id": r.message_id} for r in results]
        return {"devices": keep}
    if tried.channel == Channel.SMS:
        counted = segments(text_of(tried.message.content))
        return {"encoding": counted.encoding, "segments": counted.parts}
    return None


def devices_of(tried: Tried) -> Sequence[DeviceResult]:
    """Return each device's result."""
    if tried.receipt is not None:
        return tried.receipt.devices
    return tried.error.devices if tried.error is not None else ()


def told(tried: Tried) -> Told | None:
    """Return what the far end said of where this message went, None when it was not asked."""
    if tried.message is None or not tried.is_handed_over:
        return None
    dead = tuple(result.device_id for result in devices_of(tried) if result.is_dead)
    return Told(tried.message, took=tried.error is None, dead_devices=dead)


def refused(outcome: Outcome, error: Exception) -> Outcome:
    """Return what is recorded in place of an outcome that the database refuses: what happened stays true, the rest is left out.

    A message whose content could not be stored where the person reads it was not delivered, so that one is FAILED.
    """
    what = f"The record of this send could not be stored: {type(error).__name__}; the log of this time has the rest"
    is_sent = outcome.status == Status.SENT and outcome.rendered is None
    return Outcome(
        id=outcome.id,
        lease_token=outcome.lease_token,
        status=Status.SENT if is_sent else Status.FAILED,
        reason="" if is_sent else "internal_error",
        message="" if is_sent else what,
        is_ambiguous=outcome.is_ambiguous,
        duration_ms=outcome.duration_ms,
    )


def storable(text: str, length: int) -> str:
    """Return a far end's words as PostgreSQL takes them: no NUL, no half characters, cut to the column."""
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode("utf-8")
    return text.replace("\x00", "\ufffd")[:length]
