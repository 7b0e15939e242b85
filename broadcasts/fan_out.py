"""Fan-out: an audience becomes rows, BROADCAST_CHUNK_SIZE contacts at a time, each chunk and the cursor in one transaction.

Any number of processes may call `fan_out_step` at once; an advisory lock gives each step to one of them. The broadcast's row is not
locked meanwhile: a pause waits for nothing, and a chunk that finds itself paused at its end is not committed. A process may die anywhere:
what was committed is done, what was not is done by the next. Everybody of the audience becomes a row or a LeftOut, or the transaction
fails. Contacts never leave the database.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Max
from django.db.models.functions import Now

from broadcasts import job_ids
from broadcasts.conditions import Params
from broadcasts.models import Broadcast
from broadcasts.preparing import prepare
from broadcasts.states import State
from broadcasts.walking import Stopped, judged_of, keep, people_of, prefix_of
from deliveries import hints
from deliveries.channels import Priority
from deliveries.lifecycle import RowsMissingError, insert_people, shared_values
from deliveries.models import Contact, Lane
from deliveries.receipts import receipt_add

_LOCK: Final = 0x62636173  # a class of advisory locks of its own


@dataclass(frozen=True, slots=True)
class Step:
    """What one step did. `is_done`: no chunk is left for now. `is_ours` False: another process has it, or it is not being sent."""

    accepted: int = 0
    left_out: int = 0
    is_done: bool = True
    is_ours: bool = True


def fan_out_step(broadcast_id: int) -> Step:
    """Do the next piece of a broadcast that is being sent: prepare it, or one chunk. One transaction, then a hint.

    Raises: django.db.OperationalError when the database is away; RowsMissingError when Postgres made no row of somebody. Nothing is
    committed then.
    """
    try:
        with transaction.atomic():
            step, channels = _step(broadcast_id)
    except Stopped:
        return Step(is_ours=False)
    if step.accepted:
        hints.hint(channels)
    return step


def _step(broadcast_id: int) -> tuple[Step, list[str]]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", [_LOCK, broadcast_id % 2**31])
        if not cursor.fetchone()[0]:
            return Step(is_ours=False), []
    sending = Broadcast.objects.select_related("tenant").filter(state=State.SENDING, fanned_out_at=None)
    broadcast = sending.filter(pk=broadcast_id).first()
    if broadcast is None:
        return Step(is_ours=False), []
    if broadcast.group_ends_at is not None:
        return Step(), []  # the small group has its messages and is being looked at
    if broadcast.prepared_at is None:
        left_out = prepare(broadcast)
        return Step(left_out=left_out or 0, is_done=left_out is None), []
    return _chunk(broadcast), broadcast.channels


def missing(broadcast: Broadcast) -> int:
    """Return how many of the audience, as it is now, would get it and have neither a row nor a reason. One statement."""
    params = Params("j")
    newest = Contact.objects.filter(tenant=broadcast.tenant_id).aggregate(newest=Max("id"))["newest"] or 0
    people, values = people_of(broadcast, limit=False)
    with connection.cursor() as cursor:
        cursor.execute(
            f"""WITH people AS MATERIALIZED ({people}), judged AS ({judged_of(broadcast, params)})
            SELECT count(*) FROM judged j WHERE j.reason = ''
                AND NOT coalesce((SELECT true FROM broadcasts_leftout x
                    WHERE (x.broadcast_id, x.contact_id, x.channel) = (%(broadcast)s, j.contact_id, j.channel)), false)
                AND NOT coalesce((SELECT true FROM notification_delivery d
                    WHERE (d.tenant_id, d.job_id) = (%(tenant)s, {job_ids.sql("j.contact_id", "j.channel")})), false)""",
            {**values, **params.values, "prefix": prefix_of(broadcast), "last": newest},
        )
        return int(cursor.fetchone()[0])


def _chunk(broadcast: Broadcast) -> Step:
    """Make rows of the next contacts, note who is left out, move the cursor. The caller's transaction."""
    params = Params("j")
    people, values = people_of(broadcast, limit=True)
    lanes = dict(Lane.objects.filter(tenant=broadcast.tenant_id, source=broadcast.source).values_list("channel", "id"))
    lane = " ".join(f"WHEN '{channel}' THEN {lane_id}" for channel, lane_id in lanes.items())
    # Who got it in an earlier pass (the small group, before it went on for who is missing) is passed over, and nobody else may be there.
    statement = f"""
    WITH people AS MATERIALIZED ({people}), judged AS ({judged_of(broadcast, params)}),
    known AS MATERIALIZED (
        SELECT x.contact_id, x.channel, x.reason FROM broadcasts_leftout x
        WHERE x.broadcast_id = %(broadcast)s AND x.contact_id > %(cursor)s AND x.contact_id <= (SELECT max(id) FROM people)
    ), ours AS MATERIALIZED (
        SELECT j.contact_id, j.user_id, j.channel, {job_ids.sql("j.contact_id", "j.channel")} AS job_id,
            CASE j.channel {lane} END::bigint AS lane_id,
            coalesce(k.reason, j.reason) AS reason
        FROM judged j LEFT JOIN known k ON (k.contact_id, k.channel) = (j.contact_id, j.channel)
    ), fresh AS MATERIALIZED (
        SELECT * FROM ours o WHERE o.reason = '' AND NOT (%(again)s AND coalesce((SELECT true FROM notification_delivery d
            WHERE (d.tenant_id, d.job_id) = (%(tenant)s, o.job_id)), false))
    ), stored AS ({insert_people("fresh")} RETURNING 1
    ), left_out AS (
        INSERT INTO broadcasts_leftout (broadcast_id, contact_id, user_id, channel, reason)
        SELECT %(broadcast)s, contact_id, user_id, channel, reason FROM ours WHERE reason <> ''
        ON CONFLICT (broadcast_id, contact_id, channel) DO NOTHING RETURNING 1
    )
    SELECT (SELECT count(*) FROM people), (SELECT max(id) FROM people), (SELECT count(*) FROM fresh),
        (SELECT count(*) FROM stored), (SELECT count(*) FROM left_out)"""
    shared = shared_values(
        tenant_id=broadcast.tenant_id,
        source=broadcast.source,
        priority=Priority(broadcast.priority),
        template_code=broadcast.source,
        category=broadcast.category,
        created_at=broadcast.started_at or broadcast.created_at,
        expires_at=broadcast.expires_at,
        is_test=broadcast.is_test,
    )
    with connection.cursor() as cursor:
        cursor.execute(
            statement,
            {**values, **shared, **params.values, "prefix": prefix_of(broadcast), "again": broadcast.passes > 0},
        )
        seen, last, fresh, stored, left_out = cursor.fetchone()
    if stored != fresh:
        raise RowsMissingError(f"{fresh - stored} of {fresh} rows of {broadcast.source} were not stored")
    receipt_add(tenant_id=broadcast.tenant_id, entrance=broadcast.source, accepted=fresh)
    is_done = seen < settings.BROADCAST_CHUNK_SIZE
    keep(
        broadcast, cursor=last if last is not None else broadcast.cursor, **(_end_of_pass(broadcast) if is_done else {})
    )
    return Step(fresh, left_out, is_done)


def _end_of_pass(broadcast: Broadcast) -> dict[str, Any]:
    ended = (
        {"group_ends_at": Now() + timedelta(minutes=broadcast.group_minutes)}
        if broadcast.is_group_pass
        else {"fanned_out_at": Now()}
    )
    return {**ended, "passes": broadcast.passes + 1}
