"""Wire formats: bytes from Kafka or HTTP become a `NotificationJob`, or an `InvalidJob` that says why not.

The room is pure: no ORM, no settings, no clock (callers pass `now`), nothing cached. What needs the database or the
clock to judge is not refused here but becomes a row or is judged at ingest: an unknown channel, template or tenant, an
`expires_at` in the past, a record older than the retention. The rules are those of "Bad input" in the documentation.

    reasons.py       every reason code, and the error that carries one
    strict_json.py   bytes → one JSON object that PostgreSQL will take
    fields.py        one field of that object → a checked value
    notification.py  the NotificationJob format, one or a list of them
    simple.py        the simple message of the `notifications` topic
"""

from deliveries.jobs.notification import MAX_BATCH_JOBS, NotificationJob, parse_job, parse_jobs
from deliveries.jobs.reasons import INVALID_JSON_MESSAGE, REASONS, InvalidJob
from deliveries.jobs.simple import parse_simple
from deliveries.jobs.strict_json import MAX_BATCH_BYTES, MAX_JOB_BYTES

__all__ = [
    "INVALID_JSON_MESSAGE",
    "MAX_BATCH_BYTES",
    "MAX_BATCH_JOBS",
    "MAX_JOB_BYTES",
    "REASONS",
    "InvalidJob",
    "NotificationJob",
    "parse_job",
    "parse_jobs",
    "parse_simple",
]
