"""Who does something to a broadcast: a member of staff, an API key, or the worker. A value; named so in events."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Actor:
    """`name`: the login, `key:<prefix>`, or `worker`. `address`: where the request came from."""

    name: str
    staff_id: int | None = None
    address: str = ""


WORKER = Actor("worker")
