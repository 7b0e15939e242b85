"""Writing broadcasts: create, edit, duplicate. The only writer of their words, audience and plan; the state is `changes.py`'s.

What can be wrong in itself is refused here, field by field; what is merely not finished yet is `review.py`'s to say.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson
from django.db import transaction

from broadcasts.actor import Actor
from broadcasts.audience import AudienceError, audience_check
from broadcasts.changes import WrongState, broadcast_unapprove
from broadcasts.events import event_record
from broadcasts.message import ALWAYS_THERE
from broadcasts.models import Broadcast
from broadcasts.states import EDITABLE
from deliveries.channels import CHANNELS
from deliveries.models import Tenant
from deliveries.rendering.language import unstorable
from deliveries.rendering.variables import NAME, TAKEN

#: What a person writes, in the order of the steps. Everything else is written by services.
FIELDS: Final = (
    "name", "template_code", "title", "body", "action_url", "data", "contact_fallbacks", "skip_missing", "channels", "reach", "category",
    "audience", "priority", "scheduled_at", "time_zone", "expires_at", "pace_per_minute", "group_size", "group_percent", "group_minutes",
    "group_failure_percent",
)  # fmt: skip
MAX_DATA_BYTES: Final = 64 * 1024
MAX_BODY: Final = 100_000
MAX_PACE: Final = 10_000_000
MAX_LENGTHS: Final = {
    "name": 200, "template_code": 100, "title": 500, "action_url": 2000, "category": 100, "time_zone": 64,
}  # fmt: skip
_TEXTS: Final = ("name", "template_code", "title", "body", "action_url", "category", "time_zone")


class DraftRefused(Exception):
    """Nothing was saved. `problems`: sentences by field."""

    def __init__(self, problems: Mapping[str, list[str]]) -> None:
        super().__init__("; ".join(f"{field}: {' '.join(told)}" for field, told in problems.items()))
        self.problems = dict(problems)


@dataclass(slots=True)
class DraftChanged(Exception):
    """Nothing was saved: somebody saved since the writer began. `newest` says who and when."""

    newest: Broadcast

    def __str__(self) -> str:
        at = f"{self.newest.updated_at:%H:%M}"
        return f"{self.newest.updated_by or self.newest.created_by} changed this at {at}."


@transaction.atomic
def broadcast_create(
    *, tenant: Tenant, actor: Actor, values: Mapping[str, Any], is_test: bool = False, note: str = ""
) -> Broadcast:
    """Make a draft. Not idempotent. `is_test`: all that it ever sends stops short of providers and inboxes. Raises: DraftRefused."""
    broadcast = Broadcast(tenant=tenant, created_by=actor.name[:150], updated_by=actor.name[:150], is_test=is_test)
    _take(broadcast, values)
    if not broadcast.name:
        broadcast.name = broadcast.title[:200] or "Untitled"
    broadcast.save()
    event_record(broadcast=broadcast, actor=actor, action="create", after=_plain(broadcast, values), note=note)
    broadcast.refresh_from_db()
    return broadcast


@transaction.atomic
def broadcast_edit(
    *, broadcast: Broadcast, actor: Actor, values: Mapping[str, Any], revision: int | None = None
) -> Broadcast:
    """Change some fields. An approval is taken away if anything changed. Saying the same again changes nothing.

    `revision`: the one that the writer began from; None overwrites whatever is there. Raises: DraftRefused, DraftChanged,
    changes.WrongState once it is scheduled.
    """
    locked = Broadcast.objects.select_for_update(of=("self",)).select_related("tenant").get(pk=broadcast.pk)
    if locked.state not in EDITABLE:
        raise WrongState(locked, "edit")
    if revision is not None and revision != locked.revision:
        raise DraftChanged(locked)
    before = _plain(locked, FIELDS)
    _take(locked, values)
    after = _plain(locked, FIELDS)
    changed = [field for field in FIELDS if before[field] != after[field]]
    if not changed:
        return locked
    locked.revision += 1
    locked.updated_by = actor.name[:150]
    locked.save(update_fields=[*changed, "revision", "updated_by", "updated_at"])
    event_record(
        broadcast=locked,
        actor=actor,
        action="edit",
        before={field: before[field] for field in changed},
        after={field: after[field] for field in changed},
    )
    return broadcast_unapprove(broadcast=locked, actor=actor)


def broadcast_with(*, broadcast: Broadcast, values: Mapping[str, Any]) -> Broadcast:
    """Return a copy with other values, as somebody types them; it is not saved. Raises: DraftRefused."""
    made = copy(broadcast)
    _take(made, values)
    return made


@transaction.atomic
def broadcast_duplicate(*, broadcast: Broadcast, actor: Actor, is_test: bool = False) -> Broadcast:
    """Make a new draft of another's words, audience and speed, without its times. A copy of a test is one; `is_test`: the copy is."""
    copied = {field: getattr(broadcast, field) for field in FIELDS if field not in ("scheduled_at", "expires_at")}
    copied["name"] = f"Copy of {broadcast.name}"[:200]
    copied |= {"is_test": is_test or broadcast.is_test, "created_by": actor.name[:150], "updated_by": actor.name[:150]}
    made = Broadcast(tenant=broadcast.tenant, **copied)
    made.save()
    event_record(broadcast=made, actor=actor, action="create", note=f"A copy of broadcast {broadcast.pk}")
    made.refresh_from_db()
    return made


def plain_values(broadcast: Broadcast) -> dict[str, Any]:
    """Return all that a person writes of a broadcast, as events keep it: plain JSON."""
    return _plain(broadcast, FIELDS)


@transaction.atomic
def broadcast_delete(*, broadcast: Broadcast) -> None:
    """Delete a draft. Raises: changes.WrongState for anything that was more than that."""
    locked = Broadcast.objects.select_for_update(of=("self",)).get(pk=broadcast.pk)
    if locked.state != "draft" or locked.started_at is not None:
        raise WrongState(locked, "delete")
    locked.delete()


def _take(broadcast: Broadcast, values: Mapping[str, Any]) -> None:
    """Put values on it. Raises: DraftRefused for those that cannot be."""
    problems: dict[str, list[str]] = {}
    for field, value in values.items():
        if field not in FIELDS:
            problems[field] = ["There is no such field of a broadcast."]
        else:
            setattr(
                broadcast,
                field,
                value.strip() if field in _TEXTS and field != "body" and isinstance(value, str) else value,
            )
    for field, problem in _problems(broadcast, values):
        problems.setdefault(field, []).append(problem)
    if problems:
        raise DraftRefused(problems)


def _problems(broadcast: Broadcast, values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what is wrong in itself, of the given fields and of those that depend on each other."""
    found = [
        *_text_problems(broadcast),
        *_channel_problems(broadcast),
        *_data_problems(broadcast),
        *_plan_problems(broadcast),
    ]
    if "audience" in values and broadcast.audience:
        try:
            audience_check(broadcast.audience, tenant_id=broadcast.tenant_id)
        except AudienceError as error:
            found.append(("audience", str(error)))
    if broadcast.template_code and (broadcast.title or broadcast.body):
        found.append(("template_code", "It has words of its own too. Keep the template, or the title and body."))
    return found


def _text_problems(broadcast: Broadcast) -> list[tuple[str, str]]:
    found = []
    for field in _TEXTS:
        value = getattr(broadcast, field)
        if not isinstance(value, str):
            found.append((field, "It must be text."))
            continue
        longest = MAX_LENGTHS.get(field, MAX_BODY)
        if len(value) > longest:
            found.append((field, f"It has {len(value):,} characters; at most {longest:,} fit."))
        if problem := unstorable(value):
            found.append((field, f"It {problem[1]}"))
    if broadcast.time_zone not in zoneinfo.available_timezones():
        found.append(("time_zone", "There is no such time zone. Use a name such as Europe/Berlin or UTC."))
    return found


def _channel_problems(broadcast: Broadcast) -> list[tuple[str, str]]:
    channels = broadcast.channels
    if not isinstance(channels, list) or not all(isinstance(each, str) for each in channels):
        return [("channels", "It must be a list of channels.")]
    if unknown := sorted(set(channels) - CHANNELS):
        return [("channels", f"There is no channel {unknown[0]!r}. There are: {', '.join(sorted(CHANNELS))}.")]
    if len(set(channels)) < len(channels):
        return [("channels", "A channel is named twice.")]
    if broadcast.reach not in Broadcast.Reach.values:
        return [("reach", f"It must be one of: {', '.join(Broadcast.Reach.values)}.")]
    return []


def _data_problems(broadcast: Broadcast) -> list[tuple[str, str]]:
    found = []
    for field in ("data", "contact_fallbacks"):
        value = getattr(broadcast, field)
        if not isinstance(value, dict):
            found.append((field, "It must be an object of names and values."))
            continue
        try:
            size = len(orjson.dumps(value))
        except (TypeError, orjson.JSONEncodeError):
            found.append((field, "It holds something that JSON cannot hold."))
            continue
        if size > MAX_DATA_BYTES or "\\u0000" in orjson.dumps(value).decode():
            found.append((field, f"It must be at most {MAX_DATA_BYTES // 1024} KiB, without NUL characters."))
    if isinstance(broadcast.data, dict):
        bad = [name for name in broadcast.data if not NAME.fullmatch(name) or name in TAKEN]
        found += [("data", f"{name!r} cannot be a name here: use letters, digits and _.") for name in bad[:3]]
    fields = [
        *(broadcast.contact_fallbacks if isinstance(broadcast.contact_fallbacks, dict) else ()),
        *broadcast.skip_missing,
    ]
    found += [
        (
            "contact_fallbacks" if name in broadcast.contact_fallbacks else "skip_missing",
            f"{name!r} is no field of a contact.",
        )
        for name in fields
        if not _is_contact_field(name)
    ]
    return found


def _is_contact_field(name: Any) -> bool:
    return isinstance(name, str) and (
        name in ALWAYS_THERE - {"user_id"}
        or (name.startswith("attributes.") and 0 < len(name[11:]) <= 100 and "\0" not in name)
    )


def _plan_problems(broadcast: Broadcast) -> list[tuple[str, str]]:
    found = []
    for field in ("scheduled_at", "expires_at"):
        value = getattr(broadcast, field)
        if value is not None and not (isinstance(value, datetime) and value.tzinfo is not None):
            found.append((field, "It must be a time with its zone."))
    for field, lowest, highest in (
        ("pace_per_minute", 1, MAX_PACE), ("group_size", 1, 1_000_000), ("group_minutes", 0, 7 * 24 * 60),
    ):  # fmt: skip
        value = getattr(broadcast, field)
        if value is not None and (type(value) is not int or not lowest <= value <= highest):
            found.append((field, f"It must be a whole number from {lowest} to {highest:,}."))
    for field, least in (("group_percent", 0.01), ("group_failure_percent", 0.0)):
        value = getattr(broadcast, field)
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= 100
        ):
            found.append((field, f"It must be a number from {least:g} to 100."))
    if broadcast.group_size is not None and broadcast.group_percent is not None:
        found.append(("group_percent", "Give the small group a number of people or a share, not both."))
    if isinstance(broadcast.priority, bool) or broadcast.priority not in (0, 1, 2):
        found.append(("priority", "It must be high, normal or low."))
    return found


def _plain(broadcast: Broadcast, fields: Any) -> dict[str, Any]:
    values = {field: getattr(broadcast, field) for field in fields if field in FIELDS}
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()}
