"""A delivery's row → the job that it came from, as the contract writes jobs: for the DLQ, and for staff to read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from deliveries.channels import Priority
from deliveries.json_text import with_doubles
from deliveries.models import Delivery


def job_of(delivery: Delivery) -> dict[str, Any]:
    """Return the job with the keys of the contract (section 1), ready to be handed in again; extensions only where they were given.

    Reads the row's tenant: bring it along.
    """
    job: dict[str, Any] = {
        "job_id": str(delivery.job_id),
        "user_id": str(delivery.user_id),
        "channel": delivery.channel,
        "template_code": delivery.template_code or None,
        "locale": delivery.locale or None,
        "data": with_doubles(delivery.data),
        "meta": {
            "event_type": delivery.meta.get("event_type") or None,
            "event_id": delivery.meta.get("event_id") or None,
            "campaign_id": delivery.meta.get("campaign_id") or None,
            "priority": Priority(delivery.priority).name.lower(),
        },
        "created_at": timestamp(delivery.created_at),
        "send_after": timestamp(delivery.send_after),
        "expires_at": timestamp(delivery.expires_at),
        "tenant_id": delivery.tenant.slug,
    }
    if delivery.category:
        job["category"] = delivery.category
    if delivery.content is not None:
        job["content"] = delivery.content
    return job


def timestamp(at: datetime | None) -> str | None:
    """Return a time as the contracts write it: UTC, ending in Z."""
    return None if at is None else at.astimezone(UTC).isoformat().replace("+00:00", "Z")
