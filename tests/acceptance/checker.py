"""The checker: after things are quiet, hold what was handed in against what is stored and what arrived.

`judge` is pure: evidence in, verdict out, every violation in words. It trusts neither the service's code nor its own
counters, so nothing of the service is imported here. Where the evidence comes from is `evidence.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

TERMINAL = frozenset({"SENT", "FAILED", "EXPIRED", "SUPPRESSED", "CANCELLED"})
SHOWN = 5

Place = tuple[int, int]
"""Partition and offset of a record."""


@dataclass(frozen=True, slots=True)
class Row:
    """One stored delivery. `unknown_outcomes`: its recorded attempts of which the provider may have taken the message."""

    job_id: UUID
    status: str
    attempts: int
    unknown_outcomes: int = 0
    failed_attempts: int = 0


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was handed in (`jobs`, `rejected`), what is stored (`rows`, `dead_letters`), what arrived (`copies`, `dlq`).

    `dead_letters` and `dlq` hold a job's id where it failed and the record's place where it was rejected.
    """

    jobs: set[UUID]
    rejected: set[Place]
    rows: Sequence[Row]
    copies: Mapping[UUID | str, int]
    dead_letters: Sequence[UUID | Place] = ()
    dlq: set[UUID | Place] = field(default_factory=set)
    max_attempts: int = 3


@dataclass(slots=True)
class Verdict:
    """`lost` is L: the jobs without exactly one terminal status. `most_copies` is D. `violations`: all that is wrong."""

    lost: set[UUID]
    most_copies: int
    violations: list[str]

    def __str__(self) -> str:
        head = f"L={len(self.lost)} D={self.most_copies}, {len(self.violations)} violations"
        return "\n  ".join([head, *self.violations])


def judge(evidence: Evidence) -> Verdict:
    """Return what the evidence says of the promise (reliability, section 1)."""
    by_job: dict[UUID, list[Row]] = {}
    for row in evidence.rows:
        by_job.setdefault(row.job_id, []).append(row)
    lost = {job for job in evidence.jobs if [row.status in TERMINAL for row in by_job.get(job, [])] != [True]}
    return Verdict(
        lost=lost,
        most_copies=max(evidence.copies.values(), default=0),
        violations=[
            *_loss(evidence, by_job),
            *_copies(evidence, by_job),
            *_attempts(evidence),
            *_dead_letters(evidence),
        ],
    )


def _loss(evidence: Evidence, by_job: Mapping[UUID, list[Row]]) -> Iterable[str]:
    jobs = evidence.jobs
    yield from _say("acknowledged by Kafka, but without a row", jobs - by_job.keys())
    yield from _say("with more than one row", [job for job, rows in by_job.items() if len(rows) > 1])
    yield from _say("without a terminal status", {r.job_id for r in evidence.rows if r.status not in TERMINAL})
    yield from _say("with a row, though nobody handed it in", by_job.keys() - jobs)


def _copies(evidence: Evidence, by_job: Mapping[UUID, list[Row]]) -> Iterable[str]:
    copies = evidence.copies
    yield from _say("that arrived, though nobody handed it in", [job for job in copies if job not in evidence.jobs])
    single = {job: rows[0] for job, rows in by_job.items() if len(rows) == 1}
    yield from _say(
        "SENT, but never arrived", [j for j, row in single.items() if row.status == "SENT" and not copies.get(j)]
    )
    yield from _say(
        "of which more copies arrived than attempts were recorded",
        [job for job, row in single.items() if copies.get(job, 0) > row.attempts],
    )
    yield from _say(
        "of which a copy arrived that is neither the one SENT nor an attempt with an unknown outcome",
        [j for j, row in single.items() if copies.get(j, 0) - (row.status == "SENT") > row.unknown_outcomes],
    )
    yield from _say(
        f"of which more than {evidence.max_attempts} copies arrived",
        [job for job, count in copies.items() if count > evidence.max_attempts],
    )


def _attempts(evidence: Evidence) -> Iterable[str]:
    yield from _say(
        f"with more than {evidence.max_attempts} attempts",
        [row.job_id for row in evidence.rows if row.attempts > evidence.max_attempts],
    )
    yield from _say(
        "whose attempts are not all on record",
        [row.job_id for row in evidence.rows if row.attempts != row.failed_attempts + (row.status == "SENT")],
    )


def _dead_letters(evidence: Evidence) -> Iterable[str]:
    kept = Counter(evidence.dead_letters)
    due = {row.job_id for row in evidence.rows if row.status == "FAILED"} | evidence.rejected
    yield from _say("FAILED or rejected, but without a dead letter", due - kept.keys())
    yield from _say("with a dead letter, though neither FAILED nor rejected", kept.keys() - due)
    yield from _say("with more than one dead letter", [one for one, count in kept.items() if count > 1])
    yield from _say("FAILED or rejected, but not on the DLQ topic", due - evidence.dlq)
    yield from _say("on the DLQ topic, though neither FAILED nor rejected", evidence.dlq - due)


def _say(what: str, those: Iterable[UUID | str | Place]) -> Iterable[str]:
    """Name a violation once, with a few of those that it concerns."""
    names = sorted(map(str, those))
    if names:
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        yield f"{len(names)} {what}: {', '.join(names[:SHOWN])}{more}"
