"""A claimed row for tests that have no database."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID, uuid4

from deliveries.channels import Priority
from deliveries.lifecycle import ClaimedRow

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def row(number: int, *, person: UUID | None = None, priority: int = Priority.NORMAL) -> ClaimedRow:
    """Return a row as a claim brings it; `number` is its id."""
    return ClaimedRow(
        id=number, tenant_id=1, job_id=uuid4(), user_id=person or uuid4(), channel="ws", priority=priority, template_code="",
        locale="", category="", content=None, data={}, attempts=0, is_test=False, accepted_at=NOW, due_at=NOW, lost_leases=0, refused_by="",
        expires_at=None, lease_token=uuid4(),
    )  # fmt: skip
