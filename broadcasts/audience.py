"""Whom a broadcast means: its audience JSON → checked → a condition over contacts, words that a person reads, a count, a sample.

{"type": "all_users"}  {"type": "users", "user_ids": […]}  {"type": "audience", "id": 17}  {"type": "channel", "channel": "news"}
each with "exclude": [ … the same shapes … ] or without (contracts, section 3). Who is reached of them, and over which channel, is
decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from django.db import OperationalError, connection, transaction
from psycopg.errors import QueryCanceled

from broadcasts import rules
from broadcasts.conditions import EVERYBODY, Condition, all_of, none_of
from broadcasts.models import Audience
from broadcasts.models.audiences import MAX_TOPIC
from broadcasts.rule_parts import Problem
from broadcasts.rule_values import ValueProblem, id_take, text_problem, texts_take
from deliveries.models import Contact

MAX_USERS: Final = 10_000
MAX_EXCLUDED: Final = 20
SHAPES: Final[dict[str, str | None]] = {"all_users": None, "users": "user_ids", "audience": "id", "channel": "channel"}

#: OFFSET 0 keeps each look-up what it is written as: one probe of the unique index for a contact. The planner would make a join of it,
#: and where it takes a list of a million that was never analyzed for one row, the join reads all of it for every contact.
_IN_LIST: Final = """EXISTS (SELECT FROM broadcasts_audiencemember m
    WHERE m.audience_id = %({p}0)s AND m.user_id = c.user_id OFFSET 0)"""
_IN_TOPIC: Final = """EXISTS (SELECT FROM broadcasts_topicsubscription s
    WHERE s.tenant_id = %({p}0)s AND s.topic = %({p}1)s AND s.user_id = c.user_id OFFSET 0)"""


class AudienceError(ValueError):
    """An audience cannot be used. `problems`: all that is wrong with it, each with its path in the JSON."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(" ".join(map(str, problems)))
        self.problems = list(problems)


class AudienceTooSlowError(Exception):
    """The database was cut off, since an answer took longer than the caller wants to wait."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"Looking through the contacts took longer than {seconds:g} seconds and was stopped. "
            "Try again, or use fewer rules; sending is not affected by this limit."
        )


def audience_check(audience: Any, *, tenant_id: int) -> None:
    """Raise AudienceError with every problem of an audience; return when there is none. At most one query."""
    _Reading(audience, tenant_id).conditions()


def audience_condition(
    audience: Any, *, tenant_id: int, prefix: str = "a", pinned: Mapping[str, Any] | None = None
) -> Condition:
    """Return the condition that a contact, alias `c`, is in an audience. At most one query.

    `pinned`: the rules of saved segments as they were (`audience_pinned`), which count in place of those that are saved now.

    The caller asks `c.tenant_id` himself. Parameters are named by `prefix`; it is read by whoever joins several.
    Raises: AudienceError with every problem.
    """
    first, *excluded = _Reading(audience, tenant_id, pinned).conditions(prefix)
    return all_of([first, *map(none_of, excluded)])


def audience_words(audience: Any, *, tenant_id: int, names: Mapping[int, str] | None = None) -> str:
    """Return how a person reads an audience: Everybody in “Gold customers” except “Staff”. Never raises.

    At most one query; none with `names`, those that `audience_names` gave for all audiences of a list.
    """
    shapes = _shapes_of(audience)
    names = _names(shapes, [tenant_id]) if names is None else names
    first, *excluded = (_shape_words(shape, names) for shape in shapes)
    who = (
        "Everybody"
        if first == "everybody"
        else f"Everybody in {first}"
        if first[0] == "“"
        else first[0].upper() + first[1:]
    )
    return f"{who} except {_listed(excluded)}" if excluded else who


def audience_names(audiences: Iterable[Any], *, tenant_ids: Collection[int]) -> Mapping[int, str]:
    """Return the names of the saved audiences that some audiences name, by id. At most one query. Never raises."""
    return _names([shape for audience in audiences for shape in _shapes_of(audience)], tenant_ids)


def audience_count(audience: Any, *, tenant_id: int, timeout_seconds: float) -> int:
    """Return how many contacts are in an audience. Raises: AudienceError; AudienceTooSlowError."""
    return condition_count(
        audience_condition(audience, tenant_id=tenant_id), tenant_id=tenant_id, timeout_seconds=timeout_seconds
    )


def audience_sample(audience: Any, *, tenant_id: int, timeout_seconds: float, limit: int = 10) -> list[Contact]:
    """Return some of an audience's contacts, the same ones each time. Raises: AudienceError; AudienceTooSlowError."""
    return condition_sample(
        audience_condition(audience, tenant_id=tenant_id),
        tenant_id=tenant_id, timeout_seconds=timeout_seconds, limit=limit,
    )  # fmt: skip


def condition_count(condition: Condition, *, tenant_id: int, timeout_seconds: float) -> int:
    """Return how many of a tenant's contacts meet a condition. Raises: AudienceTooSlowError."""
    with at_most(timeout_seconds), connection.cursor() as cursor:
        cursor.execute(
            f"SELECT count(*) FROM deliveries_contact c WHERE c.tenant_id = %(tenant)s AND {condition.sql}",
            {**condition.params, "tenant": tenant_id},
        )
        return int(cursor.fetchone()[0])


def condition_sample(condition: Condition, *, tenant_id: int, timeout_seconds: float, limit: int = 10) -> list[Contact]:
    """Return some of a tenant's contacts that meet a condition, by user_id: an index has them in this order.

    Raises: AudienceTooSlowError.
    """
    sql = f"""SELECT c.* FROM deliveries_contact c WHERE c.tenant_id = %(tenant)s AND {condition.sql}
        ORDER BY c.user_id LIMIT %(limit)s"""
    with at_most(timeout_seconds):
        return list(Contact.objects.raw(sql, {**condition.params, "tenant": tenant_id, "limit": limit}))


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Let the database give up on a statement after some seconds; what held before holds again afterwards.

    Raises: AudienceTooSlowError.
    """
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('statement_timeout')")
            before = cursor.fetchone()[0]
            cursor.execute("SELECT set_config('statement_timeout', %s, TRUE)", [f"{max(1, int(seconds * 1000))}ms"])
            yield
            cursor.execute("SELECT set_config('statement_timeout', %s, TRUE)", [before])
    except OperationalError as error:
        if isinstance(error.__cause__, QueryCanceled):
            raise AudienceTooSlowError(seconds) from error
        raise


def audience_pinned(audience: Any, *, tenant_id: int) -> dict[str, Any]:
    """Return the rules of the saved segments that an audience names, by id. At most one query. Raises: AudienceError."""
    reading = _Reading(audience, tenant_id)
    reading.conditions()
    return {str(pk): row.rules for pk, row in reading.saved.items() if row.kind == Audience.Kind.SEGMENT}


class _Reading:
    """Reads one audience and gathers what is wrong with it."""

    def __init__(self, audience: Any, tenant_id: int, pinned: Mapping[str, Any] | None = None) -> None:
        self.tenant_id = tenant_id
        self.pinned = pinned or {}
        self.problems: list[Problem] = []
        self.shapes = self._shapes(audience)
        ids = _ids(shape for _, shape in self.shapes)
        rows = Audience.objects.filter(tenant_id=tenant_id, pk__in=ids) if ids else ()
        self.saved = {row.pk: row for row in rows}

    def conditions(self, prefix: str = "a") -> list[Condition]:
        """Return the condition of the audience and of each that it excludes. Raises: AudienceError."""
        made = [self._condition(shape, path, f"{prefix}{n}_") for n, (path, shape) in enumerate(self.shapes)]
        if self.problems:
            raise AudienceError(self.problems)
        return [condition for condition in made if condition is not None]

    def _shapes(self, audience: Any) -> list[tuple[str, dict[str, Any]]]:
        """Return the audience itself and what it excludes, each with its path, as far as their form is right."""
        excluded = audience.get("exclude") if isinstance(audience, dict) else None
        if excluded is None:
            excluded = []
        elif not isinstance(excluded, list) or len(excluded) > MAX_EXCLUDED:
            self._refuse("exclude", f"Give a list of at most {MAX_EXCLUDED} audiences.")
            excluded = []
        if isinstance(audience, dict):
            audience = {key: value for key, value in audience.items() if key != "exclude"}
        found = [("", audience), *((f"exclude[{n}]", shape) for n, shape in enumerate(excluded))]
        return [(path, shape) for path, shape in found if self._has_form(path, shape)]

    def _has_form(self, path: str, shape: Any) -> bool:
        if shape == {} and not path:
            self._refuse(path, "Nobody is chosen yet. Say who gets it.")
            return False
        if not isinstance(shape, dict):
            self._refuse(path, 'Give an object like {"type": "all_users"}.')
            return False
        kind = shape.get("type")
        if not isinstance(kind, str) or kind not in SHAPES:
            self._refuse(_at(path, "type"), f"{repr(kind)[:60]} is no kind of audience. Use {', '.join(SHAPES)}.")
            return False
        known = {"type", *filter(None, [SHAPES[kind]])}
        for key in shape.keys() - known:
            self._refuse(_at(path, str(key)[:40]), f"There is no such key here. Use {', '.join(sorted(known))}.")
        return True

    def _condition(self, shape: dict[str, Any], path: str, prefix: str) -> Condition | None:
        match shape["type"]:
            case "all_users":
                return EVERYBODY
            case "users":
                return self._users(shape.get("user_ids"), _at(path, "user_ids"), prefix)
            case "channel":
                return self._topic(shape.get("channel"), _at(path, "channel"), prefix)
        return self._saved_audience(shape.get("id"), _at(path, "id"), prefix)

    def _users(self, user_ids: Any, path: str, prefix: str) -> Condition | None:
        try:
            taken = texts_take(user_ids, id_take, MAX_USERS)
        except ValueProblem as problem:
            self._refuse(path + problem.at, str(problem))
            return None
        return Condition(f"c.user_id = ANY (%({prefix}0)s::uuid[])", {f"{prefix}0": taken})

    def _topic(self, topic: Any, path: str, prefix: str) -> Condition | None:
        if not isinstance(topic, str) or not 1 <= len(topic) <= MAX_TOPIC or text_problem(topic):
            self._refuse(path, f"Name a topic in 1 to {MAX_TOPIC} characters, like news.")
            return None
        return Condition(_IN_TOPIC.format(p=prefix), {f"{prefix}0": self.tenant_id, f"{prefix}1": topic})

    def _saved_audience(self, pk: Any, path: str, prefix: str) -> Condition | None:
        if str(pk) in self.pinned:
            return rules.condition(self.pinned[str(pk)], prefix)
        row = self.saved.get(pk) if type(pk) is int else None
        if row is None:
            self._refuse(path, f"There is no audience {repr(pk)[:40]}. Choose one that is saved.")
            return None
        if row.kind == Audience.Kind.LIST:
            return Condition(_IN_LIST.format(p=prefix), {f"{prefix}0": row.pk})
        try:
            return rules.condition(row.rules, prefix)
        except rules.RuleError as error:
            self._refuse(path, f"The rules of “{row.name}” cannot be used: {error} Correct them.")
            return None

    def _refuse(self, path: str, message: str) -> None:
        self.problems.append(Problem(path, message))


def _ids(shapes: Iterable[Any]) -> list[int]:
    """Return the ids of saved audiences that shapes name, as far as the database could have them."""
    named = (shape.get("id") for shape in shapes if isinstance(shape, dict) and shape.get("type") == "audience")
    return [pk for pk in named if type(pk) is int and 0 < pk < 2**63]


def _shapes_of(audience: Any) -> list[Any]:
    without = audience.get("exclude") if isinstance(audience, dict) else None
    return [audience, *(without if isinstance(without, list) else [])]


def _names(shapes: Iterable[Any], tenant_ids: Collection[int]) -> Mapping[int, str]:
    ids = _ids(shapes)
    saved = Audience.objects.filter(tenant_id__in=tenant_ids, pk__in=ids)
    return dict(saved.values_list("pk", "name")) if ids else {}


def _shape_words(shape: Any, names: Mapping[int, str]) -> str:
    match shape:
        case {"type": "all_users"}:
            return "everybody"
        case {"type": "users", "user_ids": [_]}:
            return "one person"
        case {"type": "users", "user_ids": list(ids)}:
            return f"{len(ids):,} people"
        case {"type": "channel", "channel": str(topic)}:
            return f"subscribers of “{topic}”"
        case {"type": "audience", "id": int(pk)}:
            return f"“{names[pk]}”" if pk in names else "an audience that is gone"
    return "an audience that cannot be read"


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _at(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
