"""Before the first chunk of a walk: is it still what was approved? Its words and rules are kept, its lanes opened, and who shares an
address with somebody before is noted. All within the step's transaction (`fan_out.py`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from django.db import connection, transaction
from django.db.models import Max
from django.db.models.functions import Now
from django.utils import timezone

from broadcasts import job_ids
from broadcasts.actor import WORKER
from broadcasts.approval import BAND, approval_hash, is_in_band
from broadcasts.audience import AudienceError, audience_condition, audience_pinned
from broadcasts.changes import WrongState, broadcast_fail, broadcast_pause, needs_approval
from broadcasts.conditions import Params
from broadcasts.message import Words, words_pin
from broadcasts.models import Broadcast, LeftOut
from broadcasts.review import obstacles
from broadcasts.walking import DRAWN, Stopped, judged_of, keep, people_of, prefix_of
from deliveries.channels import Priority
from deliveries.lifecycle import lanes_open, lanes_share_pace
from deliveries.models import Contact

#: A million addresses are compared in memory then, and not on disk.
_SORT_MEMORY: Final = "64MB"


def prepare(broadcast: Broadcast) -> int | None:
    """Begin a walk through the audience: keep the words and rules, open the lanes, say who shares an address with somebody before.

    Returns how many of those there are. None: it is not what was approved any more, so it failed, or paused if something was made of it
    already.
    """
    newest = Contact.objects.filter(tenant=broadcast.tenant_id).aggregate(newest=Max("id"))["newest"] or 0
    broadcast.last_contact_id = newest
    is_first = broadcast.pinned_audience is None
    try:
        with transaction.atomic():
            words = _words_that_were_sent(broadcast) if is_first else None
            if is_first:
                broadcast.pinned_audience = audience_pinned(broadcast.audience, tenant_id=broadcast.tenant_id)
            judgement = _judge_everybody(broadcast)
            _require_size(broadcast, judgement.reached, is_first=is_first)
            if words is not None:
                words_pin(broadcast, words)
    except _NotAsSent as error:
        _stop(broadcast, str(error), is_first=is_first)
        return None
    kept = {"last_contact_id": newest, "prepared_at": Now(), "pinned_audience": broadcast.pinned_audience}
    keep(broadcast, **kept, group_draw=judgement.group_draw if is_first else broadcast.group_draw)
    # Under the lock of that update: a speed that is set meanwhile is either read here, or finds the lanes.
    broadcast.refresh_from_db(fields=["pace_per_minute"])
    lanes = lanes_open(
        tenant_id=broadcast.tenant_id,
        source=broadcast.source,
        priority=Priority(broadcast.priority),
        paces=dict.fromkeys(broadcast.channels),
    )
    lanes_share_pace(lane_ids=list(lanes.values()), pace_per_minute=broadcast.pace_per_minute)
    return judgement.left_out


class _NotAsSent(Exception):
    """What would go out now is not what was approved, or pressed Send for. The message says what to do."""


def _stop(broadcast: Broadcast, reason: str, *, is_first: bool) -> None:
    try:
        if is_first:
            broadcast_fail(broadcast=broadcast, reason=reason)
        else:
            broadcast_pause(broadcast=broadcast, actor=WORKER, reason=reason)
    except WrongState:  # somebody paused or cancelled it meanwhile
        raise Stopped from None


def _words_that_were_sent(broadcast: Broadcast) -> Words:
    """Return the words. Who gets it later gets what was pinned, so this is asked once. Raises: _NotAsSent."""
    words, blockers = obstacles(broadcast, at=timezone.now())
    try:
        now = approval_hash(broadcast, words) if words else ""
        audience_condition(broadcast.audience, tenant_id=broadcast.tenant_id)
    except AudienceError as error:
        blockers.append(f"Audience: {error}")
    if words is None or blockers:
        raise _NotAsSent(" ".join(blockers))
    if now != broadcast.approved_hash:
        told = "The template, the mail frame or the audience was changed after Send was pressed. Look at it again, and send it again."
        raise _NotAsSent(told)
    return words


def _require_size(broadcast: Broadcast, reached: int, *, is_first: bool) -> None:
    """Ask whether about as many people get it as were approved. Later it may only not have grown: who left has left. Raises: _NotAsSent."""
    approved = broadcast.approved_size or 0
    if needs_approval(reached) and not broadcast.approved_by:
        told = f"Nobody approved it for {approved:,} people, and the audience has {reached:,} now."
    elif is_first and not (reached and is_in_band(approved=approved, now=reached)):
        told = f"It was to go to {approved:,} people, and the audience has {reached:,} now."
    elif broadcast.approved_by and reached > approved * (1 + BAND):
        told = f"It was approved for {approved:,} people, and the audience has {reached:,} now."
    else:
        return
    raise _NotAsSent(f"{told} {_AGAIN[is_first]}")


_AGAIN: Final = {
    True: "Check the recipients, and send it again.",
    False: "Cancel the rest; for the others duplicate it, and have that approved.",
}


@dataclass(frozen=True, slots=True)
class _Judgement:
    """What a look at the whole audience found: how many share an address with somebody before, how many people get it, and the draw that
    the small group reaches up to."""

    left_out: int
    reached: int
    group_draw: int | None


def _judge_everybody(broadcast: Broadcast) -> _Judgement:
    """Look at the whole audience, and note everybody who would get it at an address that somebody before them gets it at.

    Before them is who has it already, then who has the lower id. One statement; a million addresses are compared by their hashes, and
    letter by letter only where two hashes are the same.
    """
    params = Params("j")
    people, values = people_of(broadcast, limit=False)
    # A row a message. Only with several channels a person may have more than one.
    is_many = broadcast.reach == Broadcast.Reach.ALL and len(broadcast.channels) > 1
    reached = (
        "(SELECT count(DISTINCT contact_id) FROM judged WHERE reason = '')"
        if is_many
        else "(SELECT count(*) FROM judged WHERE reason = '') - (SELECT coalesce(sum(n - 1), 0) FROM grouped)"
    )
    has_it = "false"
    if broadcast.passes:
        job_id = job_ids.sql("j.contact_id", "j.channel")
        has_it = f"""coalesce((SELECT true FROM notification_delivery d
            WHERE (d.tenant_id, d.job_id) = (%(tenant)s, {job_id})), false)"""
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL work_mem = '{_SORT_MEMORY}'")
        cursor.execute(
            f"""WITH people AS ({people}), judged AS MATERIALIZED (
                    SELECT j.*, {has_it} AS has_it, CASE WHEN j.reason = '' THEN hashtextextended(nullif(j.address, ''), 0) END AS hash
                    FROM ({judged_of(broadcast, params)} OFFSET 0) j),
                alike AS MATERIALIZED (SELECT hash FROM judged WHERE hash IS NOT NULL GROUP BY hash HAVING count(*) > 1),
                shared AS MATERIALIZED (SELECT * FROM judged WHERE coalesce(hash IN (SELECT hash FROM alike), false)),
                grouped AS MATERIALIZED (SELECT channel, address, count(*) AS n,
                        coalesce(min(contact_id) FILTER (WHERE has_it), min(contact_id)) AS first
                    FROM shared GROUP BY channel, address),
                doubles AS (
                    SELECT s.contact_id, s.user_id, s.channel FROM shared s JOIN grouped g USING (channel, address)
                    WHERE g.n > 1 AND s.contact_id <> g.first AND NOT s.has_it),
                stored AS (
                    INSERT INTO broadcasts_leftout (broadcast_id, contact_id, user_id, channel, reason)
                    SELECT %(broadcast)s, contact_id, user_id, channel, '{LeftOut.Reason.SAME_ADDRESS}' FROM doubles
                    ON CONFLICT (broadcast_id, contact_id, channel) DO NOTHING RETURNING 1)
            SELECT (SELECT count(*) FROM stored), {reached}, {_group_draw(broadcast)}""",
            {
                **values,
                **params.values,
                "prefix": prefix_of(broadcast),
                "size": broadcast.group_size,
                "percent": broadcast.group_percent,
            },
        )
        stored, reached_now, group_draw = cursor.fetchone()
    return _Judgement(int(stored), int(reached_now), group_draw)


def _group_draw(broadcast: Broadcast) -> str:
    """Return the SQL value of the draw up to which the small group reaches: exactly so many people, or the share rounded up."""
    if not (broadcast.group_size or broadcast.group_percent):
        return "NULL::bigint"
    drawn = DRAWN.format(contact="p.contact_id")
    return f"""(SELECT max(draw) FROM (
        SELECT {drawn} AS draw FROM (
            SELECT DISTINCT contact_id FROM judged j WHERE reason = ''
                AND NOT EXISTS (SELECT FROM doubles b WHERE (b.contact_id, b.channel) = (j.contact_id, j.channel))) p
        ORDER BY draw LIMIT coalesce(%(size)s, ceil(%(percent)s / 100.0 *
            (SELECT count(DISTINCT contact_id) FROM judged WHERE reason = '')))) drawn)"""
