"""Holds: what staff keep waiting. A hold of lanes is asked at the claim; rows of a template or category are put aside.

A hold of a tenant or channel keeps whole lanes from being claimed: one row, effective at the next claim. A hold of a template or
category concerns some rows of a lane, so these are put aside: `hold_id` takes them out of the claim's index, whoever comes upon them
first: accept and replay as they make them, start as it refuses them, the sweeper as it goes once through what waited before. When it is
let go, the sweeper gives them back in chunks, in their order. Why so: docs/decisions/0015-holds.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connection, transaction
from django.db.models import Q
from django.db.models.functions import Now

from deliveries.lifecycle.lanes import lanes_empty_buckets
from deliveries.models import Hold, Lane

# How many waiting rows the sweeper looks at in one step of its walk, and how many it gives back in one.
LOOK = 5000
BACK = 2000

IN_FORCE = "h.let_go_at IS NULL AND h.ended_at IS NULL"
# What comes in while a hold's rows go back queues up behind them, so that a person's jobs keep their order.
NOT_ENDED = "h.ended_at IS NULL"
OF_ROWS = "(h.template_code <> '' OR h.category <> '')"

# A hold of rows that was let go before the sweeper had been through all of them keeps its lanes until what was put aside is back: else
# a person's later job, which was not reached, would go before the earlier one.
KEEPS_LANES = f"""(({IN_FORCE} AND NOT {OF_ROWS})
    OR (h.let_go_at IS NOT NULL AND {NOT_ENDED} AND h.walked_at IS NULL AND {OF_ROWS}))"""


def lane_is_held(lane: str) -> str:
    """Return the SQL condition that a hold keeps the whole of `lane`, an alias of the lane table."""
    return f"""EXISTS (SELECT FROM deliveries_hold h WHERE {KEEPS_LANES}
        AND coalesce(h.tenant_id = {lane}.tenant_id, true) AND h.channel IN ('', {lane}.channel))"""


def covers(row: str) -> str:
    """Return the SQL condition that hold `h` means `row`, an alias with tenant_id, channel, template_code and category."""
    return f"""coalesce(h.tenant_id = {row}.tenant_id, true) AND h.channel IN ('', {row}.channel)
        AND h.template_code IN ('', {row}.template_code) AND h.category IN ('', {row}.category)"""


def aside_for(row: str, *, which: str = NOT_ENDED) -> str:
    """Return the SQL value of `hold_id` for a row that waits: the first hold that it is put aside for, or NULL.

    Whether there is any is asked once a statement, so that the rest costs nothing where nothing is on hold.
    """
    return f"""CASE WHEN (SELECT EXISTS (SELECT FROM deliveries_hold h WHERE {which} AND {OF_ROWS}))
        THEN (SELECT h.id FROM deliveries_hold h WHERE {which} AND {OF_ROWS} AND {covers(row)}
            ORDER BY h.let_go_at NULLS FIRST, h.id LIMIT 1) END"""


ANYTHING = f"""
SELECT EXISTS (SELECT FROM deliveries_hold h WHERE {NOT_ENDED}), EXISTS (SELECT FROM notification_delivery WHERE hold_id IS NOT NULL)
"""

# One step through the rows that waited before the hold was made, lane by lane, each in the order of its index, however few of them
# are meant. Rows that move meanwhile (a retry, a lease given back) are refused by their start and put aside there.
PUT_ASIDE = f"""
WITH hold AS MATERIALIZED (
    SELECT h.* FROM deliveries_hold h WHERE {IN_FORCE} AND {OF_ROWS} AND h.walked_at IS NULL
    ORDER BY h.id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
), seen AS MATERIALIZED (
    SELECT w.* FROM hold h
    CROSS JOIN LATERAL (
        SELECT l.id, l.channel, l.id = h.walk_lane_id AS is_begun FROM deliveries_lane l
        WHERE l.id >= h.walk_lane_id AND coalesce(h.tenant_id = l.tenant_id, true) AND h.channel IN ('', l.channel) ORDER BY l.id) l
    CROSS JOIN LATERAL (
        SELECT d.id, d.lane_id, d.next_attempt_at, h.template_code IN ('', d.template_code) AND h.category IN ('', d.category) AS is_meant
        FROM notification_delivery d
        WHERE d.channel = l.channel AND d.lane_id = l.id
            AND d.lease_expires_at IS NULL AND d.next_attempt_at IS NOT NULL AND d.hold_id IS NULL
            AND (d.next_attempt_at, d.id) > (CASE WHEN l.is_begun THEN h.walk_due_at ELSE '-infinity' END,
                CASE WHEN l.is_begun THEN h.walk_id ELSE 0 END)
        ORDER BY d.next_attempt_at, d.id LIMIT %(look)s) w
    LIMIT %(look)s
), locked AS (
    SELECT d.id FROM notification_delivery d
    WHERE d.id = ANY (ARRAY(SELECT id FROM seen WHERE is_meant))
        AND d.lease_token IS NULL AND d.next_attempt_at IS NOT NULL AND d.hold_id IS NULL
    FOR NO KEY UPDATE SKIP LOCKED
), done AS (
    UPDATE notification_delivery d SET hold_id = hold.id FROM locked CROSS JOIN hold WHERE d.id = locked.id RETURNING d.id
), step AS (
    UPDATE deliveries_hold h SET walk_lane_id = coalesce(last.lane_id, h.walk_lane_id),
        walk_due_at = coalesce(last.next_attempt_at, h.walk_due_at), walk_id = coalesce(last.id, h.walk_id),
        walked_at = CASE WHEN (SELECT count(*) FROM seen) < %(look)s THEN statement_timestamp() END
    FROM hold LEFT JOIN LATERAL (
        SELECT lane_id, next_attempt_at, id FROM seen ORDER BY lane_id DESC, next_attempt_at DESC, id DESC LIMIT 1) last ON true
    WHERE h.id = hold.id RETURNING h.walked_at
)
SELECT (SELECT count(*) FROM done), coalesce((SELECT walked_at IS NULL FROM step), false)
"""

# Those whose hold is over, to the next hold that means them or back among what is claimed; and those whose lane was cancelled, to be
# settled there. Which holds and lanes have rows aside is found by a loose index scan.
ASIDE = """
WITH RECURSIVE aside (hold_id, lane_id) AS (
    (SELECT d.hold_id, d.lane_id FROM notification_delivery d WHERE d.hold_id IS NOT NULL ORDER BY d.hold_id, d.lane_id LIMIT 1)
    UNION ALL
    SELECT n.hold_id, n.lane_id FROM aside a CROSS JOIN LATERAL (
        SELECT d.hold_id, d.lane_id FROM notification_delivery d
        WHERE d.hold_id IS NOT NULL AND (d.hold_id, d.lane_id) > (a.hold_id, a.lane_id) ORDER BY d.hold_id, d.lane_id LIMIT 1) n
)"""
GIVE_BACK = f"""{ASIDE}, free AS MATERIALIZED (
    SELECT a.hold_id, a.lane_id FROM aside a JOIN deliveries_lane l ON l.id = a.lane_id
    WHERE l.cancelled_at IS NOT NULL OR NOT EXISTS (SELECT FROM deliveries_hold h WHERE h.id = a.hold_id AND {IN_FORCE})
), picked AS MATERIALIZED (
    SELECT w.id FROM free f CROSS JOIN LATERAL (
        SELECT d.id FROM notification_delivery d WHERE d.hold_id = f.hold_id AND d.lane_id = f.lane_id
        ORDER BY d.next_attempt_at, d.id LIMIT %(back)s) w
    LIMIT %(back)s
), locked AS (
    SELECT d.id FROM notification_delivery d WHERE d.id = ANY (ARRAY(SELECT id FROM picked)) AND d.hold_id IS NOT NULL
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE notification_delivery d SET hold_id = CASE WHEN l.cancelled_at IS NULL THEN {aside_for("d", which=IN_FORCE)} END
FROM locked, deliveries_lane l WHERE d.id = locked.id AND l.id = d.lane_id
"""

END = """
UPDATE deliveries_hold h SET ended_at = statement_timestamp()
WHERE h.let_go_at IS NOT NULL AND h.ended_at IS NULL AND NOT EXISTS (SELECT FROM notification_delivery d WHERE d.hold_id = h.id)
"""


def hold_place(
    *,
    by: str,
    reason: str,
    tenant_id: int | None = None,
    channel: str = "",
    template_code: str = "",
    category: str = "",
) -> tuple[Hold, bool]:
    """Hold what all that is named means: it waits and costs no attempt. Return the hold and whether it is new.

    Idempotent: what is held already keeps its hold. What is being sent at this moment still goes out. Raises:
    django.db.IntegrityError when nothing is named, or no reason.
    """
    asked: dict[str, Any] = {
        "tenant_id": tenant_id, "channel": channel, "template_code": template_code, "category": category,
    }  # fmt: skip
    told = {"held_by": by[:150], "held_at": Now(), "reason": reason[:300]}
    hold, is_new = Hold.objects.get_or_create(**asked, let_go_at=None, defaults=told)
    if is_new:
        hold.refresh_from_db()
    return hold, is_new


def hold_let_go(*, hold_ids: Sequence[int], by: str) -> list[Hold]:
    """Let holds go and return those that were in force. What waited goes on within the rates; a person's jobs keep their order.

    Lanes with a pace begin from an empty token bucket, so that nothing bursts. The first rows that were put aside go back at once, the
    rest with the sweeper. One transaction. Idempotent.
    """
    with transaction.atomic():
        holds = list(Hold.objects.select_for_update().filter(id__in=hold_ids, let_go_at=None).order_by("id"))
        for hold in holds:
            held = Q(tenant=hold.tenant_id) if hold.tenant_id else Q()
            held &= Q(channel=hold.channel) if hold.channel else Q()
            lanes_empty_buckets(Lane.objects.filter(held))
        Hold.objects.filter(id__in=[hold.pk for hold in holds]).update(let_go_at=Now(), let_go_by=by[:150])
    if holds:
        holds_settle()
    return holds


def holds_settle() -> tuple[int, int, bool]:
    """Do one step: put aside, give back, end what is over. Return how many rows were put aside and given back, and whether more is there.

    Any number may run at once. A step costs the same however many rows wait, and a look when nothing is on hold.
    """
    with connection.cursor() as cursor:
        cursor.execute(ANYTHING)
        has_holds, has_rows_aside = cursor.fetchone()
        put_aside, is_walking, given_back = 0, False, 0
        if has_holds:
            cursor.execute(PUT_ASIDE, {"look": LOOK})
            put_aside, is_walking = cursor.fetchone()
        if has_rows_aside or put_aside:
            cursor.execute(GIVE_BACK, {"back": BACK})
            given_back = cursor.rowcount
        if has_holds:
            cursor.execute(END)
    return put_aside, given_back, is_walking or given_back >= BACK
