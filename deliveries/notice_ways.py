"""Telling notices outside, past our own pipeline: a Slack-style webhook, and mails straight through the SMTP server of the settings.

Each notice is told once on each way, and once more when it is over and has stayed away for NOTICE_QUIET_SECONDS. Two processes may
run: a conditional UPDATE gives each telling to one of them. A way that fails pauses by itself; what it did not take stands on the
notices page. Several notices at once are one message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit
from uuid import NAMESPACE_URL, uuid5

import orjson
import structlog
from django.conf import settings
from django.db import connection
from django.db.models import Q
from django.utils import timezone

from deliveries.admin import words
from deliveries.channel_senders import mail_sender
from deliveries.models import Notice, NoticeTelling
from deliveries.notices import notice_help_path, notice_path
from deliveries.senders.base import Content, Message, SendError
from deliveries.senders.http import HttpClient

log = structlog.get_logger(__name__)

WEBHOOK: Final = "webhook"
EMAIL: Final = "email:"
HIDDEN: Final = "•••"

#: The longest that one way takes, and how long a telling belongs to the process that took it.
TIMEOUT_SECONDS: Final = 10.0
CLAIM_SECONDS: Final = 60
FIRST_PAUSE_SECONDS: Final = 15.0
LONGEST_PAUSE_SECONDS: Final = 600.0
AT_ONCE: Final = 500
LINES: Final = 10
SAID_CHARACTERS: Final = 100

# What ended before a way heard of it is told only when it stays away, and not at all a day later.
_LIST: Final = """
INSERT INTO deliveries_noticetelling (notice_id, way, next_at, tries, problem)
SELECT notice.id, way.name, statement_timestamp(), 0, ''
FROM deliveries_notice notice CROSS JOIN unnest(%(ways)s::text[]) AS way (name)
WHERE (notice.ended_at IS NULL OR notice.ended_at > statement_timestamp() - (%(quiet)s + 60) * interval '1 second')
    AND NOT EXISTS (SELECT FROM deliveries_noticetelling told WHERE told.notice_id = notice.id AND told.way = way.name)
ON CONFLICT (notice_id, way) DO NOTHING
"""
_CLAIM: Final = """
WITH due AS (
    SELECT telling.id FROM deliveries_noticetelling telling JOIN deliveries_notice notice ON notice.id = telling.notice_id
    WHERE telling.way = %(way)s AND telling.next_at <= statement_timestamp()
        AND ((notice.ended_at IS NULL AND telling.told_at IS NULL)
            OR (notice.ended_at <= statement_timestamp() - %(quiet)s * interval '1 second' AND telling.over_told_at IS NULL
                AND notice.ended_at > statement_timestamp() - interval '1 day'))
    ORDER BY notice.id LIMIT %(limit)s FOR UPDATE OF telling SKIP LOCKED
)
UPDATE deliveries_noticetelling telling
SET next_at = statement_timestamp() + %(claim)s * interval '1 second', tries = telling.tries + 1
FROM due WHERE telling.id = due.id
RETURNING telling.id
"""
_TOLD: Final = """
UPDATE deliveries_noticetelling telling
SET told_at = coalesce(telling.told_at, statement_timestamp()), problem = '', tries = 0, next_at = statement_timestamp(),
    over_told_at = CASE WHEN telling.id = ANY (%(over)s) THEN statement_timestamp() END
WHERE telling.id = ANY (%(ids)s)
"""
_FAILED: Final = """
UPDATE deliveries_noticetelling SET problem = %(problem)s, next_at = statement_timestamp() + greatest(%(least)s,
    least(%(longest)s, %(first)s * 2 ^ (least(tries, 20) - 1))) * interval '1 second'
WHERE id = ANY (%(ids)s)
"""


class Told(NamedTuple):
    """How many notices were told, and how many a way did not take."""

    told: int
    not_told: int


@dataclass(frozen=True, slots=True)
class Batch:
    """What one way is to be told now, in one message. `ids`: of the tellings; `over`: those that say that it is over."""

    way: str
    ids: tuple[int, ...]
    over: tuple[int, ...]
    notices: tuple[Notice, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a way did not take a message, for staff. `pause_seconds`: how long the far end wants to be left alone."""

    said: str
    pause_seconds: float = 0.0


def ways() -> list[str]:
    """Return the ways of the settings. Each address is one by itself, so that one that fails keeps nothing from the others."""
    return [
        *([WEBHOOK] if settings.NOTICE_WEBHOOK_URL else []),
        *(EMAIL + address for address in settings.NOTICE_EMAIL_TO),
    ]


def way_name(way: str) -> str:
    """Name a way for staff: the webhook's server, as its path is a secret, or the address."""
    return (
        way.removeprefix(EMAIL) if way != WEBHOOK else urlsplit(settings.NOTICE_WEBHOOK_URL).hostname or "The webhook"
    )


def trouble() -> list[tuple[str, datetime]]:
    """Return what each way that fails last said, and when it is tried again. One query."""
    recent = Q(notice__ended_at=None) | Q(notice__ended_at__gt=timezone.now() - timedelta(days=1))
    failing = NoticeTelling.objects.filter(recent, way__in=ways()).exclude(problem="")
    last = failing.order_by("way", "-next_at").distinct("way")
    return [(_said(one.way, one.problem), one.next_at) for one in last]


def tell_outside() -> Told:
    """Tell every way what it has not heard, all ways at once, each within TIMEOUT_SECONDS.

    Once, but for an answer of the far end that never reaches us or our note of it: such a notice is told again. Not to be called in a
    transaction.
    """
    wanted = ways()
    if not wanted:
        return Told(0, 0)
    _execute(_LIST, ways=wanted, quiet=settings.NOTICE_QUIET_SECONDS)
    batches = [batch for way in wanted if (batch := _claim(way)) is not None]
    if not batches:
        return Told(0, 0)
    problems = asyncio.run(_tell_all(batches))
    for batch, problem in zip(batches, problems, strict=True):
        _note(batch, problem)
    told = sum(len(batch.ids) for batch, problem in zip(batches, problems, strict=True) if problem is None)
    return Told(told, sum(len(batch.ids) for batch in batches) - told)


def _said(way: str, problem: str) -> str:
    return problem if way == WEBHOOK else f"{way_name(way)}: {problem}"


def _claim(way: str) -> Batch | None:
    values = {"way": way, "quiet": settings.NOTICE_QUIET_SECONDS, "limit": AT_ONCE, "claim": CLAIM_SECONDS}
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, values)
        ids = [row[0] for row in cursor.fetchall()]
    if not ids:
        return None
    rows = list(NoticeTelling.objects.filter(pk__in=ids).select_related("notice__tenant").order_by("notice_id"))
    over = tuple(row.pk for row in rows if row.notice.ended_at is not None)
    return Batch(way, tuple(row.pk for row in rows), over, tuple(row.notice for row in rows))


def _note(batch: Batch, problem: Problem | None) -> None:
    ids = list(batch.ids)
    if problem is None:
        _execute(_TOLD, ids=ids, over=list(batch.over))
        return
    log.warning("notice not told", way=way_name(batch.way), error=problem.said, help="it is tried again after a pause")
    _execute(
        _FAILED,
        ids=ids,
        problem=problem.said[:300],
        least=min(problem.pause_seconds, LONGEST_PAUSE_SECONDS),
        first=FIRST_PAUSE_SECONDS,
        longest=LONGEST_PAUSE_SECONDS,
    )


async def _tell_all(batches: Iterable[Batch]) -> list[Problem | None]:
    """Tell each way its batch. Returns what went wrong, None for nothing."""
    return await asyncio.gather(*map(_tell, batches))


async def _tell(batch: Batch) -> Problem | None:
    try:
        return await (_post(batch) if batch.way == WEBHOOK else _mail(batch))
    except Exception as error:  # nothing that is wrong with one way may keep the others from being told
        log.exception(
            "notice not told", way=way_name(batch.way), help="look at the settings of this way, then report it"
        )
        return Problem(f"It could not be told: {type(error).__name__}; the log of notices.tell says more.")


async def _post(batch: Batch) -> Problem | None:
    """Post to the webhook what Slack, Mattermost and others take: text in their markup."""
    name, url = way_name(WEBHOOK), settings.NOTICE_WEBHOOK_URL
    client = HttpClient(
        connections=1,
        timeout_seconds=TIMEOUT_SECONDS,
        allow_private=settings.PRIVATE_ADDRESSES_ALLOWED,
        ca_file=settings.OUTGOING_CA_FILE,
    )
    body = orjson.dumps({"text": _text(batch, escape=_for_slack, link=_slack_link)})
    await client.open()
    try:
        reply = await client.request(
            "POST", url, headers={"Content-Type": "application/json"}, body=body, provider=name
        )
    except SendError as error:
        return Problem(error.message)
    finally:
        await client.close()
    if 200 <= reply.status < 300:
        return None
    said = " ".join(reply.body[:1000].decode(errors="replace").split())
    said = "".join(filter(str.isprintable, said.replace(urlsplit(url).path, HIDDEN)))[:SAID_CHARACTERS]
    return Problem(f"{name} did not take it: {reply.status} {said}".strip(), reply.retry_after_seconds or 0.0)


async def _mail(batch: Batch) -> Problem | None:
    """Mail the address, over a connection of its own to the SMTP server of the settings."""
    sender = mail_sender(connections=1, timeout_seconds=TIMEOUT_SECONDS)
    await sender.open()
    try:
        await sender.send(_message(batch))
    except SendError as error:
        return Problem(error.message)
    finally:
        await sender.close()
    return None


def _message(batch: Batch) -> Message:
    """Make the mail. Its id stays the same when the same batch is tried again, so that a second copy can be told."""
    made_of = f"notices:{batch.way}:{batch.ids}:{batch.over}"
    job_id = uuid5(NAMESPACE_URL, made_of)
    count = len(batch.notices)
    what = _line(batch.notices[0]) if count == 1 else words.count(count, "notice")
    return Message(
        delivery_id=0,
        job_id=job_id,
        tenant_id=0,
        user_id=job_id,
        to=batch.way.removeprefix(EMAIL),
        content=Content(
            subject=" ".join(f"[{_system()}] {what}".split()),
            text=_text(batch, escape=str, link=lambda url, label: f"{label}: {url}"),
        ),
        attempt=1,
        accepted_at=timezone.now(),
        headers={"Auto-Submitted": "auto-generated"},
    )


def _text(batch: Batch, *, escape: Callable[[str], str], link: Callable[[str, str], str]) -> str:
    """Say the notices, a paragraph each, the first LINES of them."""
    paragraphs = []
    for notice in batch.notices[:LINES]:
        paths = ((notice_path(notice), "Show"), (notice_help_path(notice), "What to do"))
        links = [link(settings.PUBLIC_URL + path, label) for path, label in paths if path and settings.PUBLIC_URL]
        paragraphs.append("\n".join([escape(f"[{_system()}] {_line(notice)}"), *links]))
    if (more := len(batch.notices) - LINES) > 0:
        paragraphs.append(f"And {words.count(more, 'more notice')}: see the bell in the admin.")
    return "\n\n".join(paragraphs)


def _line(notice: Notice) -> str:
    whose = f" ({notice.tenant.name})" if notice.tenant is not None else ""
    return f"{_over(notice.opened_at, notice.ended_at)}{notice.sentence}{whose}"


def _over(opened_at: datetime, ended_at: datetime | None) -> str:
    return f"Over after {words.duration(ended_at - opened_at)}: " if ended_at is not None else ""


def _system() -> str:
    return " ".join(filter(None, [settings.SITE_NAME, settings.ENVIRONMENT_LABEL]))


def _for_slack(text: str) -> str:
    """Escape what Slack reads as markup, so that no name in a sentence mentions anybody or becomes a link."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _slack_link(url: str, label: str) -> str:
    return f"<{url}|{label}>"


def _execute(sql: str, **parameters: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
