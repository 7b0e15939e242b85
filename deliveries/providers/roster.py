"""The providers of one sending process: rows of the table become chains, and a changed row a new chain."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import structlog
from django.conf import settings
from psycopg import AsyncConnection

from deliveries.channels import Channel
from deliveries.providers.breaker import Breaker, Forced
from deliveries.providers.chain import Chain, Link
from deliveries.providers.credentials import CredentialsError, unseal
from deliveries.providers.kinds import KINDS, complete
from deliveries.providers.shared import Shared

log = structlog.get_logger(__name__)

# What of a send's deadline a message may wait for a provider that may be used, so that the send itself has the rest.
WAITING_PART = 0.5

ENABLED = """
SELECT tenant_id, channel, id, name, kind, rate_per_second, deadline_seconds, options, sealed_credentials, breaker_forced
FROM deliveries_provider WHERE is_enabled ORDER BY tenant_id, channel, position, id
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One enabled provider as the table has it."""

    tenant_id: int
    channel: str
    id: int
    name: str
    kind: str
    rate_per_second: float | None
    deadline_seconds: float | None
    options: Mapping[str, Any]
    sealed_credentials: bytes
    breaker_forced: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One tenant's chain of one channel, and what it was made of."""

    chain: Chain
    made_of: bytes


Key = tuple[str, int]


class Roster:
    """Chains by (channel, tenant id). For one event loop."""

    def __init__(self, shared: Shared) -> None:
        self.entries: dict[Key, Entry] = {}
        self._shared = shared

    async def read(self, connection: AsyncConnection[Any]) -> tuple[dict[Key, Chain], list[Chain]]:
        """Read the table in one query. Returns the chains that are new, not yet open, and those that are no longer used, for the caller
        to drain and close. A provider whose options or credentials cannot be used is left out, and the log says why."""
        rows = [Row(*values) for values in await (await connection.execute(ENABLED)).fetchall()]
        wanted: dict[Key, list[Row]] = {}
        for row in rows:
            wanted.setdefault((row.channel, row.tenant_id), []).append(row)
        gone = [self.entries.pop(key).chain for key in list(self.entries) if key not in wanted]
        new: dict[Key, Chain] = {}
        for key, members in wanted.items():
            made_of = _fingerprint(members)
            old = self.entries.get(key)
            if old is not None and old.made_of == made_of:
                continue
            if old is not None:
                gone.append(old.chain)
            breakers = {link.id: link.breaker for link in old.chain.links} if old is not None else {}
            new[key] = Chain(
                Channel(key[0]),
                _links(members, breakers),
                shared=self._shared,
                wait_seconds=settings.SEND_DEADLINE_SECONDS * WAITING_PART,
            )
            self.entries[key] = Entry(new[key], made_of)
        return new, gone

    def forget(self, key: Key) -> None:
        """Let the next `read` give this chain as a new one."""
        del self.entries[key]

    async def refresh_breakers(self) -> None:
        """Take over what other processes found out about these providers, in one round trip."""
        links = [link for entry in self.entries.values() for link in entry.chain.links]
        verdicts = await self._shared.verdicts([link.id for link in links])
        for link in links:
            if link.id in verdicts:
                link.breaker.adopt(verdicts[link.id])

    async def close(self) -> None:
        """Let go of Redis. The chains are the caller's to close."""
        await self._shared.close()


def _fingerprint(members: Sequence[Row]) -> bytes:
    return hashlib.sha256(orjson.dumps([[*_plain(row)] for row in members], option=orjson.OPT_SORT_KEYS)).digest()


def _plain(row: Row) -> tuple[Any, ...]:
    sealed = bytes(row.sealed_credentials).hex()
    return (
        row.id,
        row.name,
        row.kind,
        row.rate_per_second,
        row.deadline_seconds,
        row.options,
        sealed,
        row.breaker_forced,
    )


def _links(members: Sequence[Row], breakers: Mapping[int, Breaker]) -> list[Link]:
    links: list[Link] = []
    for row in members:
        deadline = min(row.deadline_seconds or settings.SEND_DEADLINE_SECONDS, settings.SEND_DEADLINE_SECONDS)
        try:
            kind = KINDS[row.kind]
            sender = kind.make(complete(kind, {**row.options, **unseal(row.sealed_credentials)}), deadline)
        except (KeyError, ValueError, OSError, CredentialsError) as error:
            log.error(
                "provider left out",
                provider=row.name,
                channel=row.channel,
                error=str(error),
                help="mend it in the admin",
            )
            continue
        breaker = breakers.get(row.id) or Breaker()
        breaker.forced = Forced(row.breaker_forced)
        links.append(Link(row.id, row.name, sender, breaker, row.rate_per_second, deadline))
    return links
