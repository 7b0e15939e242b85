"""Which words a tenant's template code stands for now, kept by the worker's event loop. Reads templates; renders
nothing.

A published version never changes and a frame counts its revisions, so only *which* they are is asked again, at most once
in `refresh_seconds` for a batch. The words of an entry stay the same objects until then, and so does what is compiled of
them (messages.py).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from psycopg import AsyncConnection
from psycopg.rows import tuple_row

from deliveries.rendering.errors import RenderError
from deliveries.rendering.frames import Frame
from deliveries.rendering.locales import in_first_locale, normal_locale
from deliveries.rendering.source import ContentSource
from deliveries.rendering.variables import variables_of

MAX_ENTRIES = 10_000
Key = tuple[int, str]

# The words of a version that the book already holds, in the frame of the same revision, are not read again.
NEWEST = """
    SELECT asked.tenant_id, asked.code, newest.id, newest.default_locale, coalesce(brand.revision, 0),
           content.locale, content.subject, content.text, content.html, content.action_url, content.preheader,
           content.from_address, content.reply_to, content.body_format, content.markdown,
           CASE WHEN content.id IS NOT NULL THEN to_jsonb(brand)::text END,
           CASE WHEN content.id IS NOT NULL THEN newest.variables::text END,
           CASE WHEN content.id IS NOT NULL THEN newest.contact_fallbacks::text END
    FROM unnest(%(tenants)s::bigint[], %(codes)s::text[]) AS asked (tenant_id, code)
    JOIN deliveries_template template ON template.tenant_id = asked.tenant_id AND template.code = asked.code
    LEFT JOIN deliveries_brand brand ON brand.tenant_id = asked.tenant_id
    JOIN LATERAL (
        SELECT id, default_locale, variables, contact_fallbacks FROM deliveries_templateversion
        WHERE template_id = template.id AND state = 'published' ORDER BY number DESC LIMIT 1
    ) newest ON true
    LEFT JOIN deliveries_templatecontent content
        ON content.version_id = newest.id AND NOT EXISTS (
            SELECT FROM unnest(%(known)s::bigint[], %(revisions)s::int[]) AS known (id, revision)
            WHERE known.id = newest.id AND known.revision = coalesce(brand.revision, 0))
"""
WORDS = ("subject", "text", "html", "action_url", "preheader", "from_address", "reply_to", "body_format", "markdown")


@dataclass(slots=True)
class _Entry:
    """`version_id` None: there is no such template, or none of its versions is published."""

    version_id: int | None
    default_locale: str
    frame_revision: int
    sources: dict[str, ContentSource]
    read_at: float


class TemplateBook:
    """The newest published words by tenant and code. For one event loop; not thread-safe. A publication is seen
    within `refresh_seconds`."""

    def __init__(self, refresh_seconds: float = 1.0) -> None:
        self.refresh_seconds = refresh_seconds
        self._entries: dict[Key, _Entry] = {}

    async def load(self, connection: AsyncConnection[Any], keys: Iterable[Key]) -> None:
        """Make `find` ready for these (tenant id, template code): one query for all that are unknown or stale, none
        when none are."""
        now = time.monotonic()
        stale = [key for key in set(keys) if not self._is_fresh(key, now)]
        if not stale:
            return
        known = [entry for key in stale if (entry := self._entries.get(key)) and entry.version_id]
        parameters = {
            "tenants": [key[0] for key in stale],
            "codes": [key[1] for key in stale],
            "known": [entry.version_id for entry in known],
            "revisions": [entry.frame_revision for entry in known],
        }
        async with connection.cursor(row_factory=tuple_row) as cursor:
            await cursor.execute(NEWEST, parameters)
            rows = await cursor.fetchall()
        self._remember(stale, rows, now)

    def find(self, tenant_id: int, code: str, locales: Sequence[str]) -> tuple[int, ContentSource]:
        """Return the version's id and its words: for each locale itself, then its language (pt-BR, pt), then the
        version's default.

        Raises: RenderError `unknown_template`, also for a key that was never loaded.
        """
        entry = self._entries.get((tenant_id, code))
        if entry is None or entry.version_id is None:
            raise RenderError(
                "unknown_template",
                f"There is no published template {code!r}. Publish it, or mend the job's template_code.",
            )
        source = in_first_locale(entry.sources, (*locales, entry.default_locale))
        if source is None:
            raise RenderError("unknown_template", f"The template {code!r} has no text for {entry.default_locale!r}.")
        return entry.version_id, source

    def _is_fresh(self, key: Key, now: float) -> bool:
        entry = self._entries.get(key)
        return entry is not None and now - entry.read_at < self.refresh_seconds

    def _remember(self, asked: Sequence[Key], rows: Iterable[tuple[Any, ...]], now: float) -> None:
        found: dict[Key, _Entry] = {}
        for tenant_id, code, version_id, default_locale, revision, locale, *columns in rows:
            key = tenant_id, code
            entry = found.setdefault(key, _Entry(version_id, default_locale, revision, {}, now))
            if locale is not None:
                *words, brand, variables, fallbacks = columns
                entry.sources[normal_locale(locale)] = ContentSource(
                    **dict(zip(WORDS, words, strict=True)),
                    locale=locale,
                    frame=Frame.of(orjson.loads(brand)) if brand else None,
                    variables=variables_of(orjson.loads(variables or "null")),
                    contact_fallbacks=orjson.loads(fallbacks) if fallbacks else None,
                )
            elif (old := self._entries.get(key)) is not None and (old.version_id, old.frame_revision) == (
                version_id,
                revision,
            ):
                entry.sources = old.sources
        for key in asked:
            # Taken out first, so that the dict stays in the order of reading and the oldest are the first to go.
            self._entries.pop(key, None)
            self._entries[key] = found.get(key) or _Entry(None, "", 0, {}, now)
        while len(self._entries) > max(MAX_ENTRIES, len(asked)):
            del self._entries[next(iter(self._entries))]
