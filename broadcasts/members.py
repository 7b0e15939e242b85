"""Who is in a list and who subscribed to a topic: adding and removing many at once, and reading what staff paste or upload.

One statement for each call, safe to repeat. Whether a person is a contact is asked by `people_read` only; other systems may name
people before they are known here.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final
from uuid import UUID

from django.db import connection
from django.db.models import Count
from django.db.models.functions import Lower

from broadcasts.models import Audience, AudienceMember, TopicSubscription
from broadcasts.models.audiences import MAX_TOPIC
from deliveries.models import Contact

MOST_SHOWN: Final = 100
CHUNK: Final = 1000
LONGEST_LINE: Final = 400
#: How the first line of a file may call its first column; such a line names nobody.
HEADERS: Final = frozenset({"user_id", "userid", "user id", "id", "uuid", "email", "e-mail", "mail", "e-mail address"})

_ADD_MEMBERS: Final = """
INSERT INTO broadcasts_audiencemember (audience_id, user_id)
SELECT %(audience)s, one FROM unnest(%(ids)s::uuid[]) AS one ORDER BY one
ON CONFLICT (audience_id, user_id) DO NOTHING
"""
_ADD_SUBSCRIBERS: Final = """
INSERT INTO broadcasts_topicsubscription (tenant_id, topic, user_id, created_at)
SELECT %(tenant)s, %(topic)s, one, statement_timestamp() FROM unnest(%(ids)s::uuid[]) AS one ORDER BY one
ON CONFLICT (tenant_id, topic, user_id) DO NOTHING
"""
# One look into an index for each name.
_TOPICS: Final = """
WITH RECURSIVE topics AS (
    (SELECT topic FROM broadcasts_topicsubscription WHERE tenant_id = %(tenant)s AND topic > %(after)s ORDER BY topic LIMIT 1)
    UNION ALL
    SELECT (SELECT s.topic FROM broadcasts_topicsubscription s
        WHERE s.tenant_id = %(tenant)s AND s.topic > topics.topic ORDER BY s.topic LIMIT 1)
    FROM topics WHERE topics.topic IS NOT NULL)
SELECT topic FROM topics WHERE topic IS NOT NULL LIMIT %(limit)s
"""


def members_add(*, audience: Audience, user_ids: Iterable[UUID]) -> int:
    """Put people into a list; return how many were not in it before."""
    with connection.cursor() as cursor:
        # Sorted, so that two calls that share people wait for each other and never deadlock.
        cursor.execute(_ADD_MEMBERS, {"audience": audience.pk, "ids": list(user_ids)})
        return int(cursor.rowcount)


def members_remove(*, audience: Audience, user_ids: Iterable[UUID]) -> int:
    """Take people out of a list; return how many were in it."""
    return AudienceMember.objects.filter(audience=audience, user_id__in=list(user_ids)).delete()[0]


def subscribers_add(*, tenant_id: int, topic: str, user_ids: Iterable[UUID]) -> int:
    """Subscribe people to a topic; return how many were not subscribed before."""
    with connection.cursor() as cursor:
        cursor.execute(_ADD_SUBSCRIBERS, {"tenant": tenant_id, "topic": topic, "ids": list(user_ids)})
        return int(cursor.rowcount)


def subscribers_remove(*, tenant_id: int, topic: str, user_ids: Iterable[UUID]) -> int:
    """Unsubscribe people from a topic; return how many were subscribed."""
    rows = TopicSubscription.objects.filter(tenant_id=tenant_id, topic=topic, user_id__in=list(user_ids))
    return rows.delete()[0]


def topics_of(*, tenant_id: int, limit: int, after: str = "") -> list[str]:
    """Return the topics that somebody of a tenant is subscribed to, in order, those after `after`. One statement."""
    with connection.cursor() as cursor:
        cursor.execute(_TOPICS, {"tenant": tenant_id, "limit": limit, "after": after.replace("\0", "")})
        return [str(topic) for (topic,) in cursor.fetchall()]


def subscribers_counted(*, tenant_id: int, topics: Sequence[str]) -> dict[str, int]:
    """Return how many people are subscribed to each of some topics. One query."""
    rows = TopicSubscription.objects.filter(tenant_id=tenant_id, topic__in=topics)
    return dict(rows.values_list("topic").annotate(people=Count("*")).order_by())


def topic_problem(topic: str) -> str:
    """Return why this cannot be the name of a topic, or ""."""
    if 0 < len(topic) <= MAX_TOPIC and topic.isprintable() and topic == topic.strip() and "/" not in topic:
        return ""
    return f"Name a topic in 1 to {MAX_TOPIC} visible characters, like news, without / and without spaces around it."


@dataclass(frozen=True, slots=True)
class UnknownLine:
    """A line that names no contact: its number, what stands there, and why that is nobody."""

    number: int
    text: str
    why: str


@dataclass(slots=True)
class PeopleRead:
    """Whom some lines name. `known`: each person once, in the order of the lines; `unknown`: the first `MOST_SHOWN`."""

    known: dict[UUID, None] = field(default_factory=dict)
    unknown: list[UnknownLine] = field(default_factory=list)
    unknown_count: int = 0
    repeated_count: int = 0

    @property
    def more_unknown(self) -> int:
        """Return how many unknown lines are not shown."""
        return self.unknown_count - len(self.unknown)

    def miss(self, number: int, text: str, why: str) -> None:
        """Note a line that names nobody."""
        self.unknown_count += 1
        if len(self.unknown) < MOST_SHOWN:
            self.unknown.append(UnknownLine(number, text[:LONGEST_LINE], why))


def people_read(lines: Iterable[str], *, tenant_id: int) -> PeopleRead:
    """Look up whom lines name: a user id or an e-mail address each, in the first column of a CSV.

    Stores nothing. Two queries for a thousand lines. An address that several contacts have means all of them.
    """
    read, named = PeopleRead(), _named(lines)
    while chunk := list(islice(named, CHUNK)):
        _look_up(chunk, tenant_id, read)
    return read


def _named(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Yield the number of each line that is not empty, and its first column."""
    is_first = True
    for number, line in enumerate(lines, 1):
        text = line[:LONGEST_LINE].strip().strip("\ufeff")
        if not text:
            continue
        first = next(csv.reader([text.replace("\t", ",").replace(";", ",")]), [""])[0].strip()
        if not (is_first and first.lower() in HEADERS):
            yield number, first
        is_first = False


def _look_up(chunk: Sequence[tuple[int, str]], tenant_id: int, read: PeopleRead) -> None:
    ids = {number: user_id for number, text in chunk if (user_id := _uuid(text))}
    emails = {number: text.lower() for number, text in chunk if number not in ids and "@" in text and "\0" not in text}
    contacts = Contact.objects.filter(tenant_id=tenant_id)
    found: dict[UUID | str, list[UUID]] = {}
    if ids:
        known = contacts.filter(user_id__in=set(ids.values())).values_list("user_id", flat=True)
        found = {user_id: [user_id] for user_id in known}
    if emails:
        rows = contacts.alias(lower=Lower("email")).filter(lower__in=set(emails.values()))
        for email, user_id in rows.order_by("id").values_list("email", "user_id"):
            found.setdefault(email.lower(), []).append(user_id)
    for number, text in chunk:
        people = found.get(ids.get(number) or emails.get(number, ""), [])
        if not people:
            read.miss(number, text, _why(number in ids, number in emails))
        elif all(person in read.known for person in people):
            read.repeated_count += 1
        read.known.update(dict.fromkeys(people))


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _why(is_id: bool, is_email: bool) -> str:
    if is_id:
        return "No contact has this user id."
    return "No contact has this address." if is_email else "This is neither a user id nor an e-mail address."
