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

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Max
from django.db.models.functions import Now
from django.utils import timezone

from broadcasts import job_ids
from broadcasts.approval import approval_hash, is_in_band
from broadcasts.audience import AudienceError, audience_condition
from broadcasts.changes import broadcast_fail
from broadcasts.conditions import Params
from broadcasts.judging import COLUMNS, judged, shared_params
from broadcasts.message import Words, words_pin
from broadcasts.models import Broadcast, LeftOut
from broadcasts.review import obstacles
from broadcasts.states import State
from deliveries import hints
from deliveries.channels import Priority
from deliveries.lifecycle import RowsMissingError, insert_people, lanes_open, shared_values, unserved
from deliveries.models import Contact, Lane
from deliveries.receipts import receipt_add

log = structlog.get_logger(__name__)

#: A million addresses are compared in memory then, and not on disk.
_SORT_MEMORY: Final = "64MB"
_LOCK: Final = 0x62636173  # a class of advisory locks of its own
#: The small group is drawn by a hash of the contact's id, so that it is no special kind of people.
_DRAW: Final = "(hashint8(c.id)::bigint + 2147483648) < %(draw)s"
_DRAWN_FROM: Final = 2**32


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
    except _Stopped:
        return Step(is_ours=False)
    if step.accepted:
        hints.hint(channels)
    return step


class _Stopped(Exception):
    """It was paused or cancelled while a step was made of it."""


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
    return (_prepare(broadcast) if broadcast.prepared_at is None else _chunk(broadcast)), broadcast.channels


def _keep(broadcast: Broadcast, **values: Any) -> None:
    """Store how far it is. Raises: _Stopped when it is not being sent any more."""
    if not Broadcast.objects.filter(pk=broadcast.pk, state=State.SENDING).update(**values):
        raise _Stopped


def _prepare(broadcast: Broadcast) -> Step:
    """Keep the words, open the lanes, and say who shares an address with somebody before. Fails the broadcast where it may not go."""
    newest = Contact.objects.filter(tenant=broadcast.tenant_id).aggregate(newest=Max("id"))["newest"] or 0
    broadcast.last_contact_id = newest
    try:
        with transaction.atomic():
            words = None if broadcast.passes else _words_that_were_sent(broadcast)
            left_out, reached = _leave_out_doubles(broadcast)
            if words is not None:
                _require_size(broadcast, reached)
                words_pin(broadcast, words)
    except _NotAsSent as error:
        broadcast_fail(broadcast=broadcast, reason=str(error))
        return Step()
    lanes_open(
        tenant_id=broadcast.tenant_id,
        source=broadcast.source,
        priority=Priority(broadcast.priority),
        paces=paces(broadcast, broadcast.pace_per_minute),
    )
    _keep(broadcast, last_contact_id=newest, prepared_at=Now(), cursor=0)
    return Step(left_out=left_out, is_done=False)


class _NotAsSent(Exception):
    """What would go out now is not what was approved, or pressed Send for. The message says what to do."""


def _words_that_were_sent(broadcast: Broadcast) -> Words:
    """Return the words. Who is missing later gets what was pinned, so this is asked once. Raises: _NotAsSent."""
    words, blockers = obstacles(broadcast, at=timezone.now())
    try:
        now = approval_hash(broadcast, words) if words else ""
        audience_condition(broadcast.audience, tenant_id=broadcast.tenant_id)
    except AudienceError as error:
        blockers.append(f"Audience: {error}")
    if words is None or blockers:
        raise _NotAsSent(" ".join(blockers))
    if now != broadcast.approved_hash:
        told = "The template or the audience was changed after Send was pressed. Look at it again, and send it again."
        raise _NotAsSent(told)
    return words


def _require_size(broadcast: Broadcast, reached: int) -> None:
    approved = broadcast.approved_size or 0
    if not reached or not is_in_band(approved=approved, now=reached):
        raise _NotAsSent(
            f"It was to go to {approved:,} people, and the audience has {reached:,} now. Check the recipients, and send it again."
        )


def paces(broadcast: Broadcast, pace_per_minute: int | None) -> dict[str, int | None]:
    """Return each channel's part of the broadcast's speed: even parts, as nobody knows yet how many go where."""
    count = len(broadcast.channels)
    if pace_per_minute is None:
        return dict.fromkeys(broadcast.channels)
    part, rest = divmod(pace_per_minute, count)
    return {channel: max(1, part + (place < rest)) for place, channel in enumerate(broadcast.channels)}


def missing(broadcast: Broadcast) -> int:
    """Return how many of the audience, as it is now, would get it and have neither a row nor a reason. One statement."""
    params = Params("j")
    newest = Contact.objects.filter(tenant=broadcast.tenant_id).aggregate(newest=Max("id"))["newest"] or 0
    people, values = _people(broadcast, limit=False)
    prefix = job_ids.prefix(stamp_ms=broadcast.stamp_ms or 0, broadcast_id=broadcast.pk)
    with connection.cursor() as cursor:
        cursor.execute(
            f"""WITH people AS MATERIALIZED ({people}), judged AS ({_judged(broadcast, params)})
            SELECT count(*) FROM judged j WHERE j.reason = ''
                AND NOT coalesce((SELECT true FROM broadcasts_leftout x
                    WHERE (x.broadcast_id, x.contact_id, x.channel) = (%(broadcast)s, j.contact_id, j.channel)), false)
                AND NOT coalesce((SELECT true FROM notification_delivery d
                    WHERE (d.tenant_id, d.job_id) = (%(tenant)s, {job_ids.sql("j.contact_id", "j.channel")})), false)""",
            {**values, **params.values, "prefix": prefix, "last": newest},
        )
        return int(cursor.fetchone()[0])


def _people(broadcast: Broadcast, *, limit: bool) -> tuple[str, dict[str, Any]]:
    """Return the SELECT of the contacts that come next, and its parameters."""
    condition = audience_condition(broadcast.audience, tenant_id=broadcast.tenant_id)
    drawn = f"AND {_DRAW}" if broadcast.is_group_pass and limit else ""
    sql = f"""SELECT {COLUMNS} FROM deliveries_contact c
        WHERE c.tenant_id = %(tenant)s AND c.id > %(cursor)s AND c.id <= %(last)s AND ({condition.sql}) {drawn}
        {"ORDER BY c.id LIMIT %(chunk)s" if limit else ""}"""
    values = {
        **condition.params,
        **shared_params(broadcast, mandatory=settings.MANDATORY_CATEGORIES),
        "tenant": broadcast.tenant_id,
        "cursor": broadcast.cursor if limit else 0,
        "last": broadcast.last_contact_id,
        "chunk": settings.BROADCAST_CHUNK_SIZE,
        "draw": _draw(broadcast),
        "broadcast": broadcast.pk,
    }
    return sql, values


def _draw(broadcast: Broadcast) -> int:
    share = (broadcast.group_percent or 0) / 100
    if broadcast.group_size:
        share = broadcast.group_size / max(1, broadcast.approved_size or 1)
    return int(_DRAWN_FROM * min(1.0, share))


def _judged(broadcast: Broadcast, params: Params) -> str:
    missing = unserved([(broadcast.tenant_id, channel) for channel in broadcast.channels])
    return judged(broadcast, "people", unserved={channel for _tenant, channel in missing}, params=params)


def _leave_out_doubles(broadcast: Broadcast) -> tuple[int, int]:
    """Note everybody who would get it at an address that somebody before them gets it at. Return how many, and how many people get it.

    One statement over the audience.
    """
    params = Params("j")
    people, values = _people(broadcast, limit=False)
    # A row a message. Only with several channels a person may have more than one.
    is_many = broadcast.reach == Broadcast.Reach.ALL and len(broadcast.channels) > 1
    reached = (
        "count(DISTINCT contact_id) FROM judged WHERE reason = ''" if is_many else "coalesce(sum(n), 0) FROM firsts"
    )
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL work_mem = '{_SORT_MEMORY}'")
        cursor.execute(
            f"""WITH people AS ({people}), judged AS MATERIALIZED ({_judged(broadcast, params)}),
                grouped AS MATERIALIZED (SELECT channel, address, min(contact_id) AS first, count(*) AS n
                    FROM judged WHERE reason = '' GROUP BY channel, address),
                firsts AS (SELECT CASE WHEN address = '' THEN n ELSE 1 END AS n FROM grouped),
                doubles AS (
                    SELECT j.contact_id, j.user_id, j.channel FROM judged j JOIN grouped g USING (channel, address)
                    WHERE j.reason = '' AND g.n > 1 AND address <> '' AND j.contact_id <> g.first),
                stored AS (
                    INSERT INTO broadcasts_leftout (broadcast_id, contact_id, user_id, channel, reason)
                    SELECT %(broadcast)s, contact_id, user_id, channel, '{LeftOut.Reason.SAME_ADDRESS}' FROM doubles
                    ON CONFLICT (broadcast_id, contact_id, channel) DO NOTHING RETURNING 1)
            SELECT (SELECT count(*) FROM stored), (SELECT {reached})""",
            {**values, **params.values},
        )
        stored, reached_now = cursor.fetchone()
    return int(stored), int(reached_now)


def _chunk(broadcast: Broadcast) -> Step:
    """Make rows of the next contacts, note who is left out, move the cursor. The caller's transaction."""
    params = Params("j")
    people, values = _people(broadcast, limit=True)
    lanes = dict(Lane.objects.filter(tenant=broadcast.tenant_id, source=broadcast.source).values_list("channel", "id"))
    lane = " ".join(f"WHEN '{channel}' THEN {lane_id}" for channel, lane_id in lanes.items())
    prefix = job_ids.prefix(stamp_ms=broadcast.stamp_ms or 0, broadcast_id=broadcast.pk)
    # Who got it in an earlier pass (the small group, before it went on for who is missing) is passed over, and nobody else may be there.
    statement = f"""
    WITH people AS MATERIALIZED ({people}), judged AS ({_judged(broadcast, params)}),
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
            statement, {**values, **shared, **params.values, "prefix": prefix, "again": broadcast.passes > 0}
        )
        seen, last, fresh, stored, left_out = cursor.fetchone()
    if stored != fresh:
        raise RowsMissingError(f"{fresh - stored} of {fresh} rows of {broadcast.source} were not stored")
    receipt_add(tenant_id=broadcast.tenant_id, entrance=broadcast.source, accepted=fresh)
    is_done = seen < settings.BROADCAST_CHUNK_SIZE
    _keep(
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
