"""Jobs become rows: resolve tenants, settle what cannot be sent, store, and keep the receipts. One transaction. No Kafka, no HTTP.

What is checked here needs the database or the settings: tenants, channels without a provider. SQL of rows is `lifecycle.accept`.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import orjson
from django.conf import settings
from django.db import DataError, transaction

from deliveries import lifecycle
from deliveries.channels import CHANNELS, Channel
from deliveries.jobs import NotificationJob
from deliveries.models import Tenant
from deliveries.receipts import receipt_add

KIND_OF_FATE = {"new": "accepted", "same": "duplicate", "altered": "conflict"}
CONFLICT_MESSAGE = "this job_id was accepted before with another body; the first stays as it is. Send a changed job under a new job_id."


@dataclass(frozen=True, slots=True)
class Incoming:
    """One parsed job and where it came in: `kafka:topic/partition@offset`, or `api:` and the key's prefix."""

    job: NotificationJob
    entrance: str
    is_test: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one job. `kind`: accepted, duplicate (the same job was there), conflict or rejected; `reason` and `message` say why.

    An accepted job may be over already: `status` is then EXPIRED, SUPPRESSED or FAILED.
    """

    kind: str
    reason: str = ""
    message: str = ""
    status: str = ""
    delivery_id: int | None = None


def ingest(incoming: Sequence[Incoming], *, entrance: str) -> list[Verdict]:
    """Store the jobs that are new and return a verdict for each, in order. One transaction, or part of the caller's.

    Idempotent by (tenant, job_id): a repeat is a duplicate, an altered repeat a conflict that leaves the first untouched.
    `entrance` names who counts the receipts (one writer each, so that no two wait for one row). A value that only Postgres refuses
    rejects its own job alone. Raises: django.db.OperationalError when the database is away, lifecycle.RowsMissingError when it made
    no row of a job; then nothing is stored.
    """
    with transaction.atomic():
        default = settings.DEFAULT_TENANT
        tenants = _tenants({one.job.tenant or default for one in incoming})
        unserved = lifecycle.unserved(
            {(tenants[slug], one.job.channel) for one in incoming if (slug := one.job.tenant or default) in tenants}
        )
        verdicts: list[Verdict | None] = [None] * len(incoming)
        rows: list[tuple[int, lifecycle.NewRow]] = []
        for position, one in enumerate(incoming):
            tenant_id = tenants.get(one.job.tenant or default)
            if tenant_id is None:
                verdicts[position] = _unknown_tenant(one.job.tenant)
            else:
                rows.append(
                    (
                        position,
                        _row(
                            one,
                            tenant_id,
                            _refusal(one.job.channel, is_served=(tenant_id, one.job.channel) not in unserved),
                        ),
                    )
                )
        for position, verdict in _store(rows):
            verdicts[position] = verdict
        _keep_receipts(entrance, rows, verdicts)
    return [verdict for verdict in verdicts if verdict is not None]


def judge(incoming: Sequence[Incoming]) -> list[Verdict]:
    """Say what `ingest` would answer, and store nothing: the same statements, rolled back."""
    with transaction.atomic():
        verdicts = ingest(incoming, entrance="validate")
        transaction.set_rollback(True)
    return [Verdict(v.kind, v.reason, v.message, v.status) for v in verdicts]


def api_entrance() -> str:
    """Return the name under which this process counts what it takes by HTTP."""
    return f"api:{socket.gethostname()}"


def refusal_of(tenant_id: int, channel: str) -> tuple[str, str]:
    """Return why a tenant's channel can send nothing (reason, message), or two empty strings."""
    return _refusal(channel, is_served=not lifecycle.unserved([(tenant_id, channel)]))


def _refusal(channel: str, *, is_served: bool) -> tuple[str, str]:
    """Return why a channel can send nothing for a tenant (reason, message), or two empty strings."""
    if channel not in CHANNELS:
        return "unknown_channel", f"There is no channel {channel!r}; use one of {', '.join(Channel)}"
    if not is_served:
        return "channel_unavailable", f"The channel {channel} has no provider; staff can add one under Providers"
    return "", ""


def _tenants(slugs: set[str]) -> dict[str, int]:
    return dict(Tenant.objects.filter(slug__in=slugs).values_list("slug", "id"))


def _unknown_tenant(slug: str) -> Verdict:
    name = slug or settings.DEFAULT_TENANT
    return Verdict(
        "rejected", "unknown_tenant", f"There is no tenant {name!r}; create it in the admin or correct tenant_id"
    )


def _row(one: Incoming, tenant_id: int, refusal: tuple[str, str]) -> lifecycle.NewRow:
    job = one.job
    reason, message = refusal
    meta = {"event_type": job.event_type, "event_id": job.event_id, "campaign_id": job.campaign_id}
    return lifecycle.NewRow(
        tenant_id=tenant_id,
        job_id=job.job_id,
        user_id=job.user_id,
        channel=job.channel,
        priority=int(job.priority),
        template_code=job.template_code,
        locale=job.locale,
        category=job.category,
        content=orjson.dumps(job.content).decode() if job.content is not None else None,
        data=orjson.dumps(job.data).decode(),
        meta=orjson.dumps(meta).decode(),
        body_hash=job.body_hash,
        is_test=one.is_test,
        entrance=one.entrance,
        created_at=job.created_at,
        send_after=job.send_after,
        expires_at=job.expires_at,
        reason=reason,
        error_message=message,
    )


def _store(rows: Sequence[tuple[int, lifecycle.NewRow]]) -> Iterator[tuple[int, Verdict]]:
    """Store rows; where Postgres refuses a value, halve the batch until the one that it refuses stands alone."""
    if not rows:
        return
    try:
        with transaction.atomic():
            accepted = lifecycle.accept([row for _position, row in rows])
    except DataError as error:
        if len(rows) == 1:
            detail = str(error).splitlines()[0]
            yield (
                rows[0][0],
                Verdict("rejected", "refused_by_database", f"The database refuses a value of this job: {detail}"),
            )
            return
        half = len(rows) // 2
        yield from _store(rows[:half])
        yield from _store(rows[half:])
        return
    for (position, _row), one in zip(rows, accepted, strict=True):
        kind = KIND_OF_FATE[one.fate]
        is_conflict = kind == "conflict"
        reason, message = ("job_id_conflict", CONFLICT_MESSAGE) if is_conflict else (one.reason, "")
        yield position, Verdict(kind, reason, message, one.status, one.delivery_id)


def _keep_receipts(
    entrance: str, rows: Sequence[tuple[int, lifecycle.NewRow]], verdicts: Sequence[Verdict | None]
) -> None:
    """Count what this entrance took, so that the balance can fail: what came in less what was found there before or refused.

    Never what the insert said that it stored, so a row that is lost is missed.
    """
    tallies: dict[int, list[int]] = {}
    for position, row in rows:
        verdict = verdicts[position]
        tally = tallies.setdefault(row.tenant_id, [0, 0, 0])
        kind = verdict.kind if verdict else ""
        tally[0] += kind not in ("duplicate", "conflict", "rejected")
        tally[1] += kind == "duplicate"
        tally[2] += kind == "conflict"
    for tenant_id in sorted(tallies):
        accepted, duplicates, conflicts = tallies[tenant_id]
        receipt_add(
            tenant_id=tenant_id, entrance=entrance, accepted=accepted, duplicates=duplicates, conflicts=conflicts
        )
