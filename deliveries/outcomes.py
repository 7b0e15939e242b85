"""What a try came to, as `lifecycle.finish` records it: a receipt or an error becomes an Outcome. Pure; no I/O, no settings."""

from __future__ import annotations

from dataclasses import dataclass

from deliveries.channels import Status
from deliveries.lifecycle import ClaimedRow, Outcome
from deliveries.retry import RetryPolicy, next_delay_seconds
from deliveries.senders.base import Message, Receipt, SendError


@dataclass(slots=True)
class Tried:
    """How far one try got: the message when it could be composed, then a receipt or an error."""

    message: Message | None = None
    version_id: int | None = None
    receipt: Receipt | None = None
    error: SendError | None = None


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
        provider=receipt.provider,
        provider_message_id=receipt.message_id,
        duration_ms=duration_ms,
        address=message.to,
        template_version_id=tried.version_id,
        rendered={"subject": content.subject, "text": content.text, "action_url": content.action_url}
        if keeps_content
        else None,
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
    is_unknown = delay is None and error.ambiguous and not policy.retry_ambiguous
    return Outcome(
        id=row.id,
        lease_token=row.lease_token,
        status=Status.FAILED if delay is None else Status.RETRYING,
        delay_seconds=delay or 0.0,
        reason="outcome_unknown" if is_unknown else error.code,
        message=error.message,
        is_ambiguous=error.ambiguous,
        provider=error.provider,
        duration_ms=duration_ms,
        address=tried.message.to if tried.message is not None else "",
        template_version_id=tried.version_id,
    )
