"""What the compose page posts → a broadcast's fields, and problems by field; and back, what the page shows of a broadcast.

Only what a form decides: spelling, not sense. What the values mean is checked by `broadcasts/drafts.py` when they are saved.
"""

from __future__ import annotations

import json
import re
import zoneinfo
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.http import QueryDict

from broadcasts.message import NoWords, Words, words_of
from broadcasts.models import Broadcast
from deliveries.jobs import InvalidJob
from deliveries.jobs.strict_json import decode_object
from deliveries.models import TemplateVersion
from deliveries.rendering import Variable, asked_contact, offered_variables, source_problems, variables_of

#: Typed as they are; values of other types as JSON.
TYPED_AS_TEXT: Final = frozenset({"text", "date", "url"})
MOST_ROWS: Final = 300
SHOWN_PROBLEMS: Final = 5
_BETWEEN: Final = re.compile(r"[\s,;]+")


@dataclass(slots=True)
class Posted:
    """What stood in the page. `problems`: sentences by field; what is named there is not in `values`."""

    values: dict[str, Any] = field(default_factory=dict)
    problems: dict[str, list[str]] = field(default_factory=dict)

    def refuse(self, name: str, problem: str) -> None:
        """Note what is wrong with a field."""
        self.problems.setdefault(name, []).append(problem)


@dataclass(frozen=True, slots=True)
class Value:
    """One of the values that the words use, as the page asks for it."""

    name: str
    type: str
    text: str
    help: str
    sample: str
    fallback: str
    is_required: bool


@dataclass(frozen=True, slots=True)
class Gap:
    """A field of a person that the words name, and what shall be done where it is missing: "", "fallback" or "skip"."""

    field: str
    what: str
    text: str


def read(post: QueryDict) -> Posted:
    """Read the page's form. Whatever is wrong, the rest is read too."""
    posted = Posted()
    is_template = post.get("source") == "template"
    text = {name: post.get(name, "").replace("\r\n", "\n") for name in ("title", "body", "action_url", "template_code")}
    own = {name: "" if is_template else text[name] for name in ("title", "body", "action_url")}
    posted.values = {
        "name": post.get("name", ""),
        "template_code": text["template_code"] if is_template else "",
        **own,
        "channels": post.getlist("channels"),
        "reach": post.get("reach", "all"),
        "category": post.get("category", ""),
        "priority": {"1": 1, "2": 0}.get(post.get("urgency", ""), 2),
    }
    if not posted.values["name"].strip():
        posted.values["name"] = own["title"].strip()[:200] or "Untitled"
    _read_data(post, posted)
    _read_gaps(post, posted)
    _read_audience(post, posted)
    _read_plan(post, posted)
    return posted


def _read_data(post: QueryDict, posted: Posted) -> None:
    data: dict[str, Any] = {}
    others = post.get("data", "").strip()
    try:
        data = decode_object(others.encode()) if others else {}
    except InvalidJob as invalid:
        posted.refuse("data", f"The other values are not one JSON object: {invalid.message}")
    for index in _indexes(post, "values"):
        name, kind, text = (post.get(f"values-{index}-{part}", "") for part in ("name", "type", "text"))
        if not text.strip():
            continue
        if kind in TYPED_AS_TEXT:
            data[name] = text
            continue
        try:
            data[name] = json.loads(text)
        except ValueError:
            posted.refuse("data", f"{name} must be a {kind}, written as JSON.")
    if "data" not in posted.problems:
        posted.values["data"] = data


def _read_gaps(post: QueryDict, posted: Posted) -> None:
    rows = [
        [post.get(f"gaps-{index}-{part}", "").strip() for part in ("field", "what", "text")]
        for index in _indexes(post, "gaps")
    ]
    posted.values["contact_fallbacks"] = {name: text for name, what, text in rows if what == "fallback" and text}
    posted.values["skip_missing"] = [name for name, what, _text in rows if what == "skip"]


def _read_audience(post: QueryDict, posted: Posted) -> None:
    """Read whom it means. What is not finished yet means nobody, never everybody."""
    users = _ids(post.get("user_ids", ""), "audience", posted)
    saved = post.get("audience_id", "")
    shapes: dict[str, dict[str, Any]] = {
        "all_users": {"type": "all_users"},
        "users": {"type": "users", "user_ids": users} if users else {},
        "audience": {"type": "audience", "id": int(saved)} if _is_id(saved) else {},
        "channel": {"type": "channel", "channel": topic} if (topic := post.get("topic", "").strip()) else {},
    }
    audience = shapes.get(post.get("who", ""), {})
    excluded: list[dict[str, Any]] = [
        {"type": "audience", "id": int(pk)} for pk in post.getlist("exclude_audience") if _is_id(pk)
    ]
    excluded += [{"type": "channel", "channel": each} for each in _listed(post.get("exclude_topics", ""))]
    if ids := _ids(post.get("exclude_users", ""), "exclude", posted):
        excluded.append({"type": "users", "user_ids": ids})
    if "audience" not in posted.problems and "exclude" not in posted.problems:
        posted.values["audience"] = {**audience, "exclude": excluded} if audience and excluded else audience


def _ids(text: str, name: str, posted: Posted) -> list[str]:
    """Return the user ids of some lines, each once; name the lines that hold none."""
    found: dict[str, None] = {}
    bad = []
    for number, line in enumerate(text.splitlines(), 1):
        for word in filter(None, _BETWEEN.split(line)):
            try:
                found[str(UUID(word))] = None
            except ValueError:
                bad.append(f"Line {number}: “{word[:60]}” is no user id.")
    for problem in bad[:SHOWN_PROBLEMS]:
        posted.refuse(name, problem)
    if len(bad) > SHOWN_PROBLEMS:
        posted.refuse(name, f"And {len(bad) - SHOWN_PROBLEMS:,} more.")
    return list(found)


def _read_plan(post: QueryDict, posted: Posted) -> None:
    zone = posted.values["time_zone"] = post.get("time_zone", "").strip() or "UTC"
    is_later = post.get("when") == "later"
    if is_later and not post.get("scheduled_at", "").strip():
        posted.refuse("scheduled_at", "Choose the day and the time.")
    else:
        _read_moment("scheduled_at", post.get("scheduled_at", "") if is_later else "", zone, posted)
    _read_moment("expires_at", post.get("expires_at", ""), zone, posted)
    group = post.get("group", "")
    numbers = {
        "pace_per_minute": (post.get("pace_per_minute", ""), int, None),
        "group_size": (post.get("group_size", "") if group == "people" else "", int, None),
        "group_percent": (post.get("group_percent", "") if group == "percent" else "", float, None),
        "group_minutes": (post.get("group_minutes", ""), int, 30),
        "group_failure_percent": (post.get("group_failure_percent", ""), float, 5.0),
    }
    for name, (text, kind, empty) in numbers.items():
        typed = text.replace(",", "").replace(" ", "")
        try:
            posted.values[name] = kind(typed) if typed else empty
        except ValueError:
            posted.refuse(name, f"“{text[:30]}” is no number.")


def _read_moment(name: str, text: str, zone: str, posted: Posted) -> None:
    if not text.strip():
        posted.values[name] = None
        return
    try:
        typed = datetime.fromisoformat(text.strip()).replace(tzinfo=zoneinfo.ZoneInfo(zone))
    except (ValueError, zoneinfo.ZoneInfoNotFoundError):
        posted.refuse(name, "Write it as a day and a time, in a time zone that exists.")
        return
    at = typed.astimezone(zoneinfo.ZoneInfo("UTC"))
    if at.astimezone(typed.tzinfo).replace(tzinfo=None) != typed.replace(tzinfo=None):
        posted.refuse(name, f"There is no {typed:%H:%M} on that day in {zone}: the clocks go forward over it.")
        return
    posted.values[name] = at


def shown(broadcast: Broadcast) -> dict[str, Any]:
    """Return what the page's fields hold. At most five queries."""
    audience = broadcast.audience or {}
    excluded = audience.get("exclude", [])
    zone = zone_of(broadcast)

    def of(kind: str, key: str) -> list[Any]:
        return [shape[key] for shape in excluded if shape.get("type") == kind]

    return {
        **parts(broadcast),
        "who": audience.get("type", ""),
        "user_ids": "\n".join(audience.get("user_ids", [])),
        "audience_id": audience.get("id"),
        "topic": audience.get("channel", ""),
        "exclude_audience": of("audience", "id"),
        "exclude_topics": ", ".join(of("channel", "channel")),
        "exclude_users": "\n".join(each for ids in of("users", "user_ids") for each in ids),
        "scheduled_at": _local(broadcast.scheduled_at, zone),
        "expires_at": _local(broadcast.expires_at, zone),
        "group": "people" if broadcast.group_size else "percent" if broadcast.group_percent else "",
        "urgency": {1: "1", 0: "2"}.get(broadcast.priority, ""),
    }


def zone_of(broadcast: Broadcast) -> zoneinfo.ZoneInfo:
    """Return the time zone that its times are shown in: its own, or UTC while what is typed there is none."""
    known = broadcast.time_zone in zoneinfo.available_timezones()
    return zoneinfo.ZoneInfo(broadcast.time_zone if known else "UTC")


def parts(broadcast: Broadcast) -> dict[str, Any]:
    """Return the rows that depend on the words: the values that they use, the fields of people that they name. Few queries."""
    try:
        words: Words | None = words_of(broadcast)
    except NoWords:
        words = None
    asked = list(_asked(broadcast, words))
    names = {each.name for each in asked}
    rest = {name: value for name, value in broadcast.data.items() if name not in names}
    return {
        "values": [_value(each, broadcast.data.get(each.name)) for each in asked],
        "other_values": json.dumps(rest, ensure_ascii=False, indent=2) if rest else "",
        "gaps": _gaps(broadcast, words),
    }


def _asked(broadcast: Broadcast, words: Words | None) -> Iterable[Variable]:
    """Yield what the template declares, then what the words use without saying so."""
    declared: Sequence[Variable] = ()
    if words is not None and words.version_id is not None:
        stored = TemplateVersion.objects.filter(pk=words.version_id).values_list("variables", flat=True).first()
        declared = variables_of(stored) or ()
    yield from declared
    if words is not None and not source_problems(words.contents):
        known = {each.name for each in declared}
        yield from (each for each in offered_variables(words.contents) if each.name not in known)


def _value(variable: Variable, value: Any) -> Value:
    return Value(
        variable.name,
        variable.type,
        _typed(value),
        variable.help,
        _typed(variable.sample),
        _typed(variable.fallback),
        variable.required,
    )


def _gaps(broadcast: Broadcast, words: Words | None) -> list[Gap]:
    sources = words.contents if words is not None else {}
    is_sound = bool(sources) and not source_problems(sources)
    asked = asked_contact(getattr(each, part) for each in sources.values() for part in each.written) if is_sound else []
    names = dict.fromkeys([*asked, *broadcast.contact_fallbacks, *broadcast.skip_missing])
    return [_gap(broadcast, name) for name in names if name != "user_id"]


def _gap(broadcast: Broadcast, name: str) -> Gap:
    what = "skip" if name in broadcast.skip_missing else "fallback" if name in broadcast.contact_fallbacks else ""
    return Gap(name, what, _typed(broadcast.contact_fallbacks.get(name)))


def _indexes(post: QueryDict, prefix: str) -> range:
    total = post.get(f"{prefix}-TOTAL", "")
    return range(min(int(total), MOST_ROWS) if total.isdecimal() and len(total) < 6 else 0)


def _listed(text: str) -> list[str]:
    return list(dict.fromkeys(each.strip() for each in re.split(r"[,\n]", text) if each.strip()))


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 19


def _local(at: datetime | None, zone: zoneinfo.ZoneInfo) -> str:
    return f"{at.astimezone(zone):%Y-%m-%dT%H:%M}" if at else ""


def _typed(value: Any) -> str:
    """Return a stored value as it is typed."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
