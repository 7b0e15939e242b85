"""Drafts that several people may write at once: the state that somebody began from, who changed it since, what differs, and saving
that overwrites nobody unasked. Checking and storing the words is `deliveries/templating.py`.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from django.db import transaction

from deliveries.audit import record
from deliveries.models import Template, TemplateVersion
from deliveries.rendering import ContentSource, Variable, variables_of
from deliveries.templating import template_save_draft, version_sources

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser

#: What staff call the parts of one language's words, in the editor's order.
PART_NAMES: Final = {
    "subject": "Subject",
    "preheader": "Preheader",
    "body_format": "Format of the body",
    "markdown": "Body",
    "html": "HTML",
    "text": "Plain text",
    "action_url": "Link",
    "from_address": "From",
    "reply_to": "Reply-To",
}
HIDES: Final = "Hide personal data after sending"
CONTEXT_LINES: Final = 2


@dataclass(frozen=True, slots=True)
class Draft:
    """Everything that the editor edits of a template."""

    contents: Mapping[str, ContentSource]
    default_locale: str
    variables: tuple[Variable, ...] | None = None
    hides_personal_data: bool = False

    @classmethod
    def of(cls, version: TemplateVersion) -> Draft:
        """Read a version. One query, none where its contents and template were brought along."""
        hides = version.template.hides_personal_data
        return cls(version_sources(version), version.default_locale, variables_of(version.variables), hides)


class DraftChanged(Exception):
    """Nothing was saved: `newest` is not what the writer began from."""

    def __init__(self, newest: TemplateVersion) -> None:
        super().__init__(f"{newest} has changed meanwhile.")
        self.newest = newest


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a comparison. `kind`: `saved` (not in mine), `mine` (not saved) or `both`."""

    kind: str
    text: str

    @property
    def mark(self) -> str:
        """The sign in front of it."""
        return {"saved": "−", "mine": "+", "both": " "}[self.kind]  # noqa: RUF001 - a minus as wide as the plus


@dataclass(frozen=True, slots=True)
class Change:
    """One part that differs."""

    title: str
    lines: list[Line] = field(default_factory=list)


def revision_of(version: TemplateVersion) -> str:
    """Return a word that changes whenever somebody saves other words, publishes them, or begins the next draft."""
    draft = Draft.of(version)
    words = {locale: parts_of(source) for locale, source in draft.contents.items()}
    declared = [each.as_json() for each in draft.variables or ()]
    state = [version.pk, version.state, words, draft.default_locale, declared, draft.hides_personal_data]
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()[:32]


def newest_version(template: Template) -> TemplateVersion:
    """Return the version that saving would change or follow, with its words and template."""
    rows = template.versions.select_related("template__tenant", "created_by").prefetch_related("contents")
    return rows.order_by("-number")[0]


@transaction.atomic
def draft_save(*, template: Template, draft: Draft, began_from: str, by: AbstractBaseUser) -> TemplateVersion:
    """Save a draft over the state that `began_from` (of `revision_of`) names, and return its version.

    Whether personal data is hidden belongs to the template, so it holds at once; the log tells of it by itself.
    One transaction under a lock of the template, so of two who began from one state the second is told.
    Raises: DraftChanged, TemplateRefused; nothing is saved then.
    """
    locked = Template.objects.select_for_update().get(pk=template.pk)
    newest = newest_version(locked)
    if revision_of(newest) != began_from:
        raise DraftChanged(newest)
    if locked.hides_personal_data != draft.hides_personal_data:
        locked.hides_personal_data = draft.hides_personal_data
        locked.save(update_fields=["hides_personal_data"])
        record(staff_id=by.pk, rows=[locked], message=f"{HIDES}: {_hides_text(draft)}.")
    return template_save_draft(
        template=locked,
        contents=draft.contents,
        default_locale=draft.default_locale,
        variables=draft.variables,
        by=by,
    )


def changes(*, saved: Draft, mine: Draft) -> list[Change]:
    """Return what differs, part by part: empty when nothing does."""
    pairs = [("Default language", saved.default_locale, mine.default_locale)]
    for locale in sorted({*saved.contents, *mine.contents}):
        theirs, own = (draft.contents.get(locale, ContentSource("")) for draft in (saved, mine))
        pairs += [
            (f"{locale}: {name}", parts_of(theirs)[part], parts_of(own)[part]) for part, name in PART_NAMES.items()
        ]
    pairs.append(("Fields", _fields_text(saved), _fields_text(mine)))
    pairs.append((HIDES, _hides_text(saved), _hides_text(mine)))
    return compared(pairs)


def compared(pairs: Iterable[tuple[str, str, str]]) -> list[Change]:
    """Return what differs among (title, saved, mine), line by line."""
    return [Change(title, list(_lines(before, after))) for title, before, after in pairs if before != after]


def _fields_text(draft: Draft) -> str:
    return "\n".join(json.dumps(each.as_json(), ensure_ascii=False) for each in draft.variables or ())


def _hides_text(draft: Draft) -> str:
    return "on" if draft.hides_personal_data else "off"


def _lines(before: str, after: str) -> Iterator[Line]:
    kinds = {"-": "saved", "+": "mine", " ": "both"}
    compared = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=CONTEXT_LINES)
    for number, line in enumerate(compared):
        if number > 1 and not line.startswith("@@"):  # the first two name files
            yield Line(kinds[line[0]], line[1:])


def parts_of(source: ContentSource) -> dict[str, str]:
    """Return what is written in one language, by part."""
    return {part: getattr(source, part) for part in PART_NAMES}
