"""The history of a broadcast as its pages show it: who did what, when, from where, and what changed by it. Reads only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from broadcasts.actor import WORKER
from broadcasts.admin import words
from broadcasts.audience import audience_names
from broadcasts.models import Broadcast, BroadcastEvent
from broadcasts.states import Change

#: A draft saves itself while somebody writes. Their edits this close together are one entry: from its first before to its last after.
ONE_EDIT: Final = timedelta(minutes=10)
MOST: Final = 500


@dataclass(frozen=True, slots=True)
class Altered:
    """One field, before and after."""

    name: str
    before: str
    after: str


@dataclass(slots=True)
class Entry:
    """One line of the history. `times`: how many edits it tells of together."""

    action: str
    who: str
    what: str
    at: datetime
    address: str
    note: str
    altered: list[Altered] = field(default_factory=list)
    times: int = 1


def history_of(broadcast: Broadcast) -> list[Entry]:
    """Return what was done to it, the newest first. Two queries at most."""
    events = list(BroadcastEvent.objects.filter(broadcast=broadcast).order_by("-id")[:MOST])
    audiences = [each["audience"] for event in events for each in (event.before, event.after) if "audience" in each]
    names = audience_names(audiences, tenant_ids=[broadcast.tenant_id])
    return [_entry(run, names) for run in _runs(events)]


def sent_back(history: Iterable[Entry]) -> Entry | None:
    """Return who sent it back and why, unless approval was asked for again since."""
    asked = next((entry for entry in history if entry.action in (Change.SUBMIT, Change.REJECT)), None)
    return asked if asked and asked.action == Change.REJECT else None


def _runs(events: Iterable[BroadcastEvent]) -> list[list[BroadcastEvent]]:
    """Put edits of one person that follow each other closely together."""
    runs: list[list[BroadcastEvent]] = []
    for event in events:
        newer = runs[-1][-1] if runs else None
        is_same = newer is not None and newer.action == event.action == "edit" and newer.actor == event.actor
        if newer is not None and is_same and newer.address == event.address and newer.at - event.at <= ONE_EDIT:
            runs[-1].append(event)
        else:
            runs.append([event])
    return runs


def _entry(run: list[BroadcastEvent], names: Mapping[int, str]) -> Entry:
    newest = run[0]
    before, after = dict[str, Any](), dict[str, Any]()
    for event in reversed(run):
        before = {**event.before, **before}
        after = {**after, **event.after}
    fields = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return Entry(
        action=newest.action,
        who="Scheduled task" if newest.actor == WORKER.name else newest.actor,
        what=words.done(newest.action),
        at=newest.at,
        address=newest.address,
        note=newest.note,
        altered=[_altered(name, before, after, names) for name in fields],
        times=len(run),
    )


def _altered(name: str, before: dict[str, Any], after: dict[str, Any], names: Mapping[int, str]) -> Altered:
    old, new = (words.value_text(name, values.get(name), names) for values in (before, after))
    return Altered(words.field_name(name), old, new)
