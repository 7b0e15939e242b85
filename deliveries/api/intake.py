"""Jobs from HTTP to `ingest`: whose they are, and what became of each, in order. No parsing and no wording of errors.

The tenant is the key's. A job that names no tenant belongs to it; one that names another is rejected.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from deliveries import hints, ingest
from deliveries.channels import Status
from deliveries.ingest import Incoming, Verdict
from deliveries.jobs import InvalidJob, NotificationJob
from deliveries.models import ApiKey

Parsed = NotificationJob | InvalidJob


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one job. `status`: accepted, duplicate or rejected; an accepted one has a `delivery_status`."""

    job_id: str | None
    status: str
    delivery_status: str = ""
    reason: str = ""
    path: str = ""
    message: str = ""


def take(parsed: Sequence[Parsed], *, key: ApiKey) -> list[Result]:
    """Store the jobs that are new, then hint their channels. Idempotent by job_id, like ingest.

    Raises: django.db.OperationalError when the database is away; nothing is stored then.
    """
    results = judged(parsed, key=key, ingest=lambda jobs: ingest.ingest(jobs, entrance=ingest.api_entrance()))
    waiting = {
        job.channel
        for job, result in zip(parsed, results, strict=True)
        if isinstance(job, NotificationJob) and result.delivery_status == Status.PENDING
    }
    hints.hint(sorted(waiting))
    return results


def judged(
    parsed: Sequence[Parsed], *, key: ApiKey, ingest: Callable[[list[Incoming]], Sequence[Verdict]]
) -> list[Result]:
    """Say what becomes of each job, in order; `ingest` decides about those that the key may hand in."""
    results: list[Result | None] = [_refusal(job, key) for job in parsed]
    own = [
        _own(job, key)
        for job, result in zip(parsed, results, strict=True)
        if result is None and isinstance(job, NotificationJob)
    ]
    verdicts = iter(ingest(own))
    return [result or _result(job, next(verdicts)) for job, result in zip(parsed, results, strict=True)]


def totals(results: Sequence[Result]) -> dict[str, int]:
    """Count the results by status."""
    counted = Counter(result.status for result in results)
    return {status: counted[status] for status in ("accepted", "duplicate", "rejected")}


def _refusal(job: Parsed, key: ApiKey) -> Result | None:
    if isinstance(job, InvalidJob):
        return Result(_claimed_id(job.job), "rejected", "", job.reason, job.path, job.message)
    if job.tenant not in ("", key.tenant.slug):
        message = f"tenant_id: this key belongs to another tenant than {job.tenant!r}; leave tenant_id out."
        return Result(str(job.job_id), "rejected", "", "wrong_tenant", "tenant_id", message)
    return None


def _own(job: NotificationJob, key: ApiKey) -> Incoming:
    owned = msgspec.structs.replace(job, tenant=key.tenant.slug)
    return Incoming(owned, entrance=f"api:{key.prefix}", is_test=key.mode == ApiKey.Mode.TEST)


def _result(job: Parsed, verdict: Verdict) -> Result:
    job_id = str(job.job_id) if isinstance(job, NotificationJob) else None
    if verdict.kind in ("accepted", "duplicate"):
        return Result(job_id, verdict.kind, verdict.status, verdict.reason, "", verdict.message)
    path = "job_id" if verdict.kind == "conflict" else ""
    return Result(job_id, "rejected", "", verdict.reason, path, verdict.message)


def _claimed_id(job: dict[str, Any] | None) -> str | None:
    claimed = (job or {}).get("job_id")
    return claimed if isinstance(claimed, str) and 0 < len(claimed) <= 64 else None
