"""Who is well: the heartbeat rows as monitors and pages read them. The database's clock decides, not this process's.
Reads only."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from django.conf import settings

from deliveries.models import WorkerHeartbeat
from deliveries.workers.impatient import ImpatientConnection

SHOW_STOPPED_SECONDS = 3600
SILENT = "silent"

WORKERS = """
SELECT service_type, instance_id, host, pid, state,
    extract(epoch FROM beat_at - started_at)::float8, extract(epoch FROM statement_timestamp() - beat_at)::float8,
    messages_consumed, messages_sent, messages_failed, messages_retried, avg_processing_time_ms, detail
FROM deliveries_workerheartbeat
WHERE beat_at > statement_timestamp() - interval '1 day'
    AND (state <> 'stopped' OR beat_at > statement_timestamp() - %s * interval '1 second')
ORDER BY service_type, instance_id
"""


@dataclass(frozen=True, slots=True)
class WorkerHealth:
    """One process. `status`: running, stuck, stopping, stopped, or silent when it has not beaten for
    HEARTBEAT_TTL_SECONDS.

    Counters count since its start; times are in seconds, `avg_processing_time_ms` in milliseconds (contracts, section
    6).
    """

    service_type: str
    instance_id: str
    host: str
    pid: int
    status: str
    uptime_seconds: float
    silent_seconds: float
    messages_consumed: int
    messages_sent: int
    messages_failed: int
    messages_retried: int
    avg_processing_time_ms: float
    detail: dict[str, Any]

    @property
    def is_healthy(self) -> bool:
        """Say whether nothing is wrong: a process that stopped as it should is well."""
        return self.status not in (SILENT, WorkerHeartbeat.State.STUCK)

    def as_json(self) -> dict[str, Any]:
        """Return the shape of `/health/workers` (contracts, section 3), which calls the uptime `uptime`."""
        return {**asdict(self), "uptime": round(self.uptime_seconds, 3)}


def read_workers(database: ImpatientConnection) -> list[WorkerHealth]:
    """Return every process that was heard of within a day; those that stopped, for an hour. Raises: psycopg.Error
    when it cannot ask."""
    rows = database.execute(WORKERS, [SHOW_STOPPED_SECONDS])
    return [WorkerHealth(*(*row[:4], _status(row[4], row[6]), *row[5:])) for row in rows]


def _status(state: str, silent_seconds: float) -> str:
    if state != WorkerHeartbeat.State.STOPPED and silent_seconds > settings.HEARTBEAT_TTL_SECONDS:
        return SILENT
    return state
