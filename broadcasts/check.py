"""Check recipients: who will get a broadcast, who will not and why, how long it takes. Counts and samples by SQL; stores nothing.

The same judgement as the fan-out's (`judging.py`), so what is shown is what happens, but for what changes in between.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db import connection
from django.utils import timezone

from broadcasts.audience import audience_condition
from broadcasts.conditions import Params
from broadcasts.judging import COLUMNS, judged, lacks, shared_params
from broadcasts.message import Words
from broadcasts.models import Broadcast, LeftOut
from deliveries.lifecycle import unserved
from deliveries.rendering import in_first_locale, normal_locale

SAMPLE: Final = 10
EXPORT_CHUNK: Final = 5_000


@dataclass(frozen=True, slots=True)
class Lacking:
    """How many people lack a field that the words name. `fails`: without a decision their messages would fail."""

    field: str
    people: int
    fails: bool


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found. `will` and `wont` count messages, by channel and by (channel, reason); `people` is the audience's size
    and `reached` how many of it get something. `other_locales`: people whose language the words do not have. `seconds`: how long
    sending takes at the broadcast's speed, None where it has none; `too_late`: messages that would expire first."""

    at: datetime
    people: int = 0
    reached: int = 0
    will: dict[str, int] = field(default_factory=dict)
    wont: dict[tuple[str, str], int] = field(default_factory=dict)
    lacking: list[Lacking] = field(default_factory=list)
    other_locales: dict[str, int] = field(default_factory=dict)
    seconds: float | None = None
    too_late: int = 0

    @property
    def messages(self) -> int:
        """How many messages go out."""
        return sum(self.will.values())

    @property
    def left_out(self) -> dict[str, int]:
        """How many messages do not, by reason."""
        found: dict[str, int] = {}
        for (_channel, reason), count in self.wont.items():
            found[reason] = found.get(reason, 0) + count
        return dict(sorted(found.items(), key=lambda each: -each[1]))


@dataclass(frozen=True, slots=True)
class Recipient:
    """One row of a sample or download. `reason` is "" for who gets it."""

    contact_id: int
    user_id: str
    name: str
    channel: str
    address: str
    reason: str


def check(broadcast: Broadcast, words: Words, fields: list[tuple[str, bool]]) -> Checked:
    """Count who will get it and who will not. `fields`: what `message.fields_that_may_lack` found. One statement.

    Raises: broadcasts.audience.AudienceError for an audience that is not sound; django.db.OperationalError past STATEMENT_SECONDS.
    """
    undecided = [(name, fails) for name, fails in fields if name not in broadcast.skip_missing]
    found = _count(broadcast, undecided)
    counted = found.counted
    will = {channel: count for (channel, reason), count in counted.items() if reason == "" and count}
    messages = sum(will.values())
    seconds = messages * 60 / broadcast.pace_per_minute if broadcast.pace_per_minute else None
    return Checked(
        at=timezone.now(),
        people=found.people,
        reached=messages if found.reached is None else found.reached,
        will=will,
        wont={key: count for key, count in sorted(counted.items()) if key[1] and count},
        lacking=[Lacking(name, gap, fails) for (name, fails), gap in zip(undecided, found.gaps, strict=True) if gap],
        other_locales=_other_locales(found.locales, words),
        seconds=seconds,
        too_late=_too_late(broadcast, messages, seconds),
    )


def sample(broadcast: Broadcast, *, reason: str = "", channel: str = "", limit: int = SAMPLE) -> list[Recipient]:
    """Return some of those who get it (`reason` "") or who do not for a reason, the first by id. Raises: as `check`."""
    sql, values = _recipients(broadcast)
    with connection.cursor() as cursor:
        cursor.execute(
            f"{sql} WHERE n.why = %(reason)s AND (%(channel)s = '' OR n.channel = %(channel)s) ORDER BY n.contact_id LIMIT %(limit)s",
            {**values, "reason": reason, "channel": channel, "limit": limit},
        )
        return [_recipient(row) for row in cursor.fetchall()]


def everybody(broadcast: Broadcast) -> Iterator[Recipient]:
    """Yield who gets it and who does not, everybody, in the order of their ids. Few are held in memory. Raises: as `check`."""
    sql, values = _recipients(broadcast)
    with connection.chunked_cursor() as cursor:
        cursor.execute(f"{sql} ORDER BY n.contact_id, n.channel", values)
        while rows := cursor.fetchmany(EXPORT_CHUNK):
            yield from map(_recipient, rows)


def _people(broadcast: Broadcast) -> tuple[str, dict[str, Any]]:
    condition = audience_condition(broadcast.audience, tenant_id=broadcast.tenant_id)
    values = {**condition.params, **shared_params(broadcast, mandatory=settings.MANDATORY_CATEGORIES)}
    sql = f"SELECT {COLUMNS} FROM deliveries_contact c WHERE c.tenant_id = %(tenant)s AND ({condition.sql})"
    return sql, {**values, "tenant": broadcast.tenant_id}


def _judged(broadcast: Broadcast, params: Params, also: str = "") -> str:
    missing = unserved([(broadcast.tenant_id, channel) for channel in broadcast.channels])
    return judged(broadcast, "people", unserved={channel for _tenant, channel in missing}, params=params, also=also)


@dataclass(slots=True)
class _Counts:
    """What one statement counts. `reached` is None where that is the number of messages."""

    counted: dict[tuple[str, str], int] = field(default_factory=dict)
    people: int = 0
    reached: int | None = None
    gaps: list[int] = field(default_factory=list)
    locales: dict[str, int] = field(default_factory=dict)

    def take(self, kind: str, first: str, second: str, count: int, more: list[int] | None) -> None:
        """Take one row of the statement."""
        if kind == "messages":
            doubled = int(more[0]) if more else 0
            for reason, number in ((second, count), (LeftOut.Reason.SAME_ADDRESS.value, doubled)):
                if number:
                    self.counted[first, reason] = self.counted.get((first, reason), 0) + number
        elif kind == "people":
            self.people += count
            self.locales[first] = count
            self.gaps = [have + got for have, got in zip(self.gaps, more or (), strict=True)]
        else:
            self.reached = count


def _count(broadcast: Broadcast, fields: list[tuple[str, bool]]) -> _Counts:
    params = Params("j")
    people, values = _people(broadcast)
    gaps = ", ".join(lacks(name, params) for name, _fails in fields)
    rows = _judged(broadcast, params, also=f", c.locale, t.place, ARRAY[{gaps}]::boolean[] AS gaps")
    sums = ", ".join(f"count(*) FILTER (WHERE gaps[{place}])" for place in range(1, len(fields) + 1))
    # A row a message; of several channels the first stands for the person.
    sql = f"""WITH people AS ({people}), judged AS MATERIALIZED ({rows}),
        grouped AS (SELECT channel, reason, CASE WHEN reason = '' THEN address ELSE '' END AS address, count(*) AS n
            FROM judged GROUP BY 1, 2, 3)
        SELECT 'messages', channel, reason, sum(CASE WHEN address = '' THEN n ELSE 1 END)::bigint,
            ARRAY[sum(CASE WHEN address = '' THEN 0 ELSE n - 1 END)]::bigint[] FROM grouped GROUP BY channel, reason
        UNION ALL
        SELECT 'people', locale, '', count(*), ARRAY[{sums}]::bigint[] FROM judged WHERE place = 0 GROUP BY locale"""
    if broadcast.reach == Broadcast.Reach.ALL and len(broadcast.channels) > 1:
        sql += " UNION ALL SELECT 'reached', '', '', count(DISTINCT contact_id), NULL FROM judged WHERE reason = ''"
    found = _Counts(gaps=[0] * len(fields))
    with connection.cursor() as cursor:
        cursor.execute(sql, {**values, **params.values})
        for row in cursor.fetchall():
            found.take(*row)
    return found


def _recipients(broadcast: Broadcast) -> tuple[str, dict[str, Any]]:
    """Return the SELECT of everybody with why they do not get it, for WHERE and ORDER BY over `n`, and its parameters."""
    params = Params("j")
    people, values = _people(broadcast)
    sql = f"""WITH people AS MATERIALIZED ({people}), judged AS ({_judged(broadcast, params)}), numbered AS (
            SELECT *, CASE WHEN reason <> '' THEN reason WHEN address <> ''
                AND row_number() OVER (PARTITION BY channel, reason, address ORDER BY contact_id) > 1
                THEN '{LeftOut.Reason.SAME_ADDRESS}' ELSE '' END AS why FROM judged)
        SELECT n.contact_id, n.user_id, c.name, n.channel,
            CASE n.channel WHEN 'email' THEN c.email WHEN 'sms' THEN c.phone ELSE '' END, n.why
        FROM numbered n JOIN people c ON c.id = n.contact_id"""
    return sql, {**values, **params.values}


def _recipient(row: tuple[Any, ...]) -> Recipient:
    return Recipient(row[0], str(row[1]), *row[2:])


def _other_locales(locales: dict[str, int], words: Words) -> dict[str, int]:
    known = {normal_locale(locale): True for locale in words.contents}
    return {
        locale: count
        for locale, count in sorted(locales.items())
        if locale and in_first_locale(known, [locale]) is None
    }


def _too_late(broadcast: Broadcast, messages: int, seconds: float | None) -> int:
    if broadcast.expires_at is None or seconds is None:
        return 0
    begins = max(broadcast.scheduled_at or timezone.now(), timezone.now())
    in_time = max(0.0, (broadcast.expires_at - begins) / timedelta(minutes=1)) * (broadcast.pace_per_minute or 0)
    return max(0, messages - math.floor(in_time))
