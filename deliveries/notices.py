"""Notices: what staff should know about the service itself, raised once for each incident and ended when it is over.

Here: the kinds, and the only statements that open, touch and end notices. What is looked at is in `notice_looks.py`, who is told
outside in `notice_ways.py`, the bell and the page in `admin/notices.py`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from django.conf import settings
from django.db import connection, transaction
from django.db.models.functions import Now
from django.urls import reverse

from deliveries.models import Notice


class Kind(StrEnum):
    """What a notice may be about."""

    BREAKER_OPEN = "breaker_open"
    ENDPOINT_DISABLED = "endpoint_disabled"
    CHANNEL_BEHIND = "channel_behind"
    WORKER_GONE = "worker_gone"
    WORKER_STUCK = "worker_stuck"
    UNACCOUNTED = "unaccounted"
    BROADCAST_STOPPED = "broadcast_stopped"


class About(NamedTuple):
    """A kind for staff: its title, its heading in the runbook, and whether it touches the sending of messages."""

    title: str
    anchor: str
    harms_sending: bool = True


KINDS: Final = {
    Kind.BREAKER_OPEN: About("Provider left alone", "a-provider-is-broken"),
    Kind.ENDPOINT_DISABLED: About("Endpoint disabled", "an-endpoint-is-disabled", harms_sending=False),
    Kind.CHANNEL_BEHIND: About("Channel behind", "a-channel-is-behind"),
    Kind.WORKER_GONE: About("Process gone", "a-worker-is-gone"),
    Kind.WORKER_STUCK: About("Process stuck", "a-worker-is-stuck"),
    Kind.UNACCOUNTED: About("Unaccounted", "unaccounted-is-above-zero"),
    Kind.BROADCAST_STOPPED: About("Broadcast stopped", "a-broadcast-stopped", harms_sending=False),
}

HARMS_SENDING: Final = frozenset(kind for kind, about in KINDS.items() if about.harms_sending)

TOUCH_SECONDS: Final = 30
_FOUND: Final = """found AS (
    SELECT * FROM jsonb_to_recordset(%(found)s::jsonb) AS found (kind text, subject text, tenant_id bigint, sentence text, anchor text,
        page text, page_pk bigint)
)"""
# An open one is touched now and then, one that ended a moment ago opens again: the same incident, already told.
_SEEN: Final = f"""
WITH {_FOUND}
UPDATE deliveries_notice notice
SET ended_at = NULL, last_seen_at = statement_timestamp(), count = notice.count + (notice.ended_at IS NOT NULL)::int,
    sentence = found.sentence, anchor = found.anchor
FROM found
WHERE notice.id = (
        SELECT last.id FROM deliveries_notice last
        WHERE last.kind = found.kind AND last.subject = found.subject AND last.tenant_id IS NOT DISTINCT FROM found.tenant_id
            AND (last.ended_at IS NULL OR last.ended_at > statement_timestamp() - %(quiet)s * interval '1 second')
        ORDER BY last.ended_at DESC NULLS FIRST LIMIT 1
    )
    AND (notice.ended_at IS NOT NULL OR (notice.sentence, notice.anchor) <> (found.sentence, found.anchor)
        OR notice.last_seen_at < statement_timestamp() - {TOUCH_SECONDS} * interval '1 second')
"""
_ADD: Final = f"""
WITH {_FOUND}
INSERT INTO deliveries_notice (kind, subject, tenant_id, sentence, anchor, page, page_pk, opened_at, last_seen_at, count, read_by)
SELECT kind, subject, tenant_id, sentence, anchor, page, page_pk, statement_timestamp(), statement_timestamp(), 1, '' FROM found
WHERE NOT EXISTS (
    SELECT FROM deliveries_notice open
    WHERE open.ended_at IS NULL AND open.kind = found.kind AND open.subject = found.subject
        AND open.tenant_id IS NOT DISTINCT FROM found.tenant_id
)
ON CONFLICT (tenant_id, kind, subject) WHERE ended_at IS NULL DO NOTHING
"""
_END: Final = f"""
WITH {_FOUND}
UPDATE deliveries_notice notice SET ended_at = statement_timestamp()
WHERE notice.ended_at IS NULL AND notice.kind = ANY (%(kinds)s)
    AND NOT EXISTS (
        SELECT FROM found WHERE found.kind = notice.kind AND found.subject = notice.subject
            AND found.tenant_id IS NOT DISTINCT FROM notice.tenant_id
    )
    AND (notice.kind, notice.subject) NOT IN (
        SELECT unsure.kind, unsure.subject FROM jsonb_to_recordset(%(unsure)s::jsonb) AS unsure (kind text, subject text)
    )
"""


@dataclass(frozen=True, slots=True)
class Found:
    """Something wrong, as it stands now. `page`: the admin page that shows it, by its URL's name. `anchor`: "" for the kind's own."""

    kind: Kind
    subject: str
    sentence: str
    tenant_id: int | None = None
    page: str = ""
    page_pk: int | None = None
    anchor: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """Everything that is wrong of one kind. `unsure`: subjects of which nobody could tell, so that their notices stay as they are."""

    kind: Kind
    found: Sequence[Found] = ()
    unsure: Collection[str] = ()


class Settled(NamedTuple):
    """How many notices opened and ended."""

    opened: int
    ended: int


def notice_raise(
    *,
    kind: Kind,
    subject: str,
    sentence: str,
    tenant_id: int | None = None,
    page: str = "",
    page_pk: int | None = None,
    anchor: str = "",
) -> bool:
    """Say that something is wrong. Idempotent, from any number of processes, and part of the caller's transaction.

    True: this is a new incident. False: it is open already, or ended less than NOTICE_QUIET_SECONDS ago and is open again.
    """
    found = Found(kind, subject, sentence, tenant_id, page, page_pk, anchor)
    return bool(notices_raise([found]))


def notices_raise(found: Sequence[Found]) -> int:
    """Say that all of these are wrong, as `notice_raise` does, in two statements. Returns how many incidents are new."""
    values = {"found": _as_json(found), "quiet": settings.NOTICE_QUIET_SECONDS}
    _execute(_SEEN, **values)
    return _execute(_ADD, **values)


def notice_end(*, kind: Kind, subject: str, tenant_id: int | None = None) -> bool:
    """Say that it is over. False when it was not open."""
    open_ones = Notice.objects.filter(ended_at=None, kind=kind, subject=subject, tenant=tenant_id)
    return bool(open_ones.update(ended_at=Now()))


def notices_settle(looks: Sequence[Look]) -> Settled:
    """Open what these looks found, and end what is open of their kinds and was not found. Three statements, however many notices."""
    found = [one for look in looks for one in look.found]
    unsure = [{"kind": look.kind, "subject": subject} for look in looks for subject in look.unsure]
    opened = notices_raise(found)
    ended = _execute(_END, found=_as_json(found), unsure=json.dumps(unsure), kinds=[look.kind.value for look in looks])
    return Settled(opened, ended)


@transaction.atomic
def notices_read(*, by: str, notice_id: int | None = None) -> list[Notice]:
    """Note that somebody of the staff has seen one open notice, or (None) all of them. Returns those that nobody had seen before."""
    unread = Notice.objects.filter(ended_at=None, read_at=None)
    rows = list((unread if notice_id is None else unread.filter(pk=notice_id)).select_for_update())
    Notice.objects.filter(pk__in=[row.pk for row in rows]).update(read_at=Now(), read_by=by)
    return rows


def notices_forget(*, days: float) -> int:
    """Delete notices that ended so long ago, with what was told of them. Returns how many."""
    _all, deleted = Notice.objects.filter(ended_at__lt=Now() - timedelta(days=days)).delete()
    return deleted.get(Notice._meta.label, 0)


def notice_path(notice: Notice) -> str:
    """Return the path of the admin page that shows what a notice is about, "" for none."""
    if not notice.page:
        return ""
    path = reverse(notice.page, args=[] if notice.page_pk is None else [notice.page_pk])
    if notice.kind == Kind.CHANNEL_BEHIND:
        # What waits for a reason of its own was refused before.
        view = "waiting" if notice.anchor == KINDS[Kind.CHANNEL_BEHIND].anchor else "retrying"
        path += "?" + urlencode({"view": view, "channel": notice.subject.removeprefix("channel:")})
    return path


def notice_help_path(notice: Notice) -> str:
    """Return the path of the runbook's heading."""
    return f"{reverse('admin:deliveries_runbook')}#{notice.anchor}"


def _as_json(found: Sequence[Found]) -> str:
    longest = Notice._meta.get_field("sentence").max_length
    rows = [
        asdict(one) | {"sentence": one.sentence[:longest], "anchor": one.anchor or KINDS[one.kind].anchor}
        for one in found
    ]
    return json.dumps(rows)


def _execute(sql: str, **parameters: Any) -> int:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return int(cursor.rowcount)
