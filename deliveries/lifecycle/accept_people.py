"""Rows for many people by one statement: what a fan-out makes, beside the jobs that `accept.py` takes one by one.

No job is parsed and nothing is staged: a relation says who gets a row over which channel, and all share their words. Who is in the
relation has been judged before; `start.py` asks again who must get nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from deliveries.channels import Priority
from deliveries.lifecycle.holds import aside_for

#: What the entrance of such rows begins with. A replay of one gets the next id of its own range (`replay.py`).
ENTRANCE: Final = "broadcast:"


def insert_people(people: str) -> str:
    """Return the INSERT that makes a waiting row of each of `people`: the name of a relation with job_id, user_id, channel and lane_id.

    Its other values are the parameters of `shared_values`. It has no ON CONFLICT: an id that is there already is an error, so the
    caller leaves out whom it has served before, and gives the others in the order of their ids, as their index has them.
    """
    return f"""
    INSERT INTO notification_delivery (tenant_id, job_id, user_id, channel, priority, lane_id, template_code, category, data, meta,
        body_hash, is_test, entrance, created_at, accepted_at, expires_at, status, next_attempt_at, hold_id)
    SELECT p.tenant_id, p.job_id, p.user_id, p.channel, %(priority)s, p.lane_id, p.template_code, p.category, '{{}}', '{{}}',
        %(body_hash)s, %(is_test)s, %(entrance)s, %(created_at)s, transaction_timestamp(), %(expires_at)s, 'PENDING', statement_timestamp(),
        {aside_for("p")}
    FROM (SELECT %(tenant)s::bigint AS tenant_id, %(template_code)s AS template_code, %(category)s AS category,
            job_id, user_id, channel, lane_id FROM {people}) p"""


def shared_values(
    *,
    tenant_id: int,
    source: str,
    priority: Priority,
    template_code: str,
    category: str,
    created_at: datetime,
    expires_at: datetime | None,
    is_test: bool = False,
) -> Mapping[str, Any]:
    """Return the parameters of `insert_people`. `source` names what makes the rows, such as `broadcast:17`."""
    return {
        "tenant": tenant_id,
        "priority": int(priority),
        "template_code": template_code,
        "category": category,
        "body_hash": b"\x00" + hashlib.sha256(source.encode()).digest(),
        "entrance": source,
        "created_at": created_at,
        "expires_at": expires_at,
        "is_test": is_test,
    }
