"""Review: everything that is known of a broadcast before it goes out: who gets it, what blocks it, what to look at. Stores nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from django.utils import timezone

from broadcasts.approval import approval_hash, is_in_band
from broadcasts.audience import AudienceError
from broadcasts.check import Checked, Lacking, check
from broadcasts.message import NoWords, Words, fields_that_may_lack, words_of, words_problems
from broadcasts.models import Broadcast
from broadcasts.plan import expiry_problem, planned_problem
from deliveries.lifecycle import unserved

#: So many languages that the message lacks are named.
NAMED_LANGUAGES: Final = 3


@dataclass(frozen=True, slots=True)
class Review:
    """`blockers` keep it from being sent, `warnings` do not; both say what to do. `hash` is "" while something blocks."""

    checked: Checked
    hash: str = ""
    label: str = ""
    blockers: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def is_in_band(self, approved: int) -> bool:
        """Say whether about as many people would get it as were approved."""
        return is_in_band(approved=approved, now=self.checked.reached)


def review(broadcast: Broadcast, *, at: datetime | None = None) -> Review:
    """Look at everything. A handful of statements, of which one reads the audience's contacts.

    Never raises for what staff wrote: that is a blocker. Raises: django.db.OperationalError when counting takes too long.
    """
    at = at or timezone.now()
    words, blockers = obstacles(broadcast, at=at)
    if problem := planned_problem(broadcast, at):
        blockers.append(problem)
    if (
        words is None
        or not (broadcast.channels and broadcast.audience)
        or any(each.startswith("Message:") for each in blockers)
    ):
        return Review(Checked(at=at), label=words.label if words else "", blockers=blockers)
    try:
        checked = check(broadcast, words, fields_that_may_lack(words))
        bound = approval_hash(broadcast, words)
    except AudienceError as error:
        return Review(Checked(at=at), label=words.label, blockers=[*blockers, f"Audience: {error}"])
    blockers += _of_recipients(checked)
    return Review(checked, bound, words.label, blockers, _warnings(checked, broadcast))


def obstacles(broadcast: Broadcast, *, at: datetime) -> tuple[Words | None, list[str]]:
    """Return the words, and what keeps it from going out whoever its audience is. No contact is looked at."""
    blockers: list[str] = []
    words = None
    try:
        words = words_of(broadcast)
    except NoWords as error:
        blockers.append(str(error))
    if words is not None:
        blockers += [f"Message: {problem}" for problem in words_problems(broadcast, words)]
    if not broadcast.audience:
        blockers.append("Nobody is chosen yet. Say who gets it.")
    if not broadcast.channels:
        blockers.append("No channel is chosen. Choose at least one.")
    missing = unserved([(broadcast.tenant_id, channel) for channel in broadcast.channels])
    blockers += [
        f"The channel {channel} has no provider. Add one under Providers, or leave the channel out."
        for _tenant, channel in sorted(missing)
    ]
    if problem := expiry_problem(broadcast, at):
        blockers.append(problem)
    return words, blockers


def _of_recipients(checked: Checked) -> list[str]:
    if not checked.people:
        return ["The audience is empty. Choose another one."]
    if not checked.reached:
        return ["Nobody of the audience would get it: see why below, and choose other channels or people."]
    return [lacking_told(each) for each in checked.lacking if each.fails]


def lacking_told(lacking: Lacking) -> str:
    """Say of a field that people lack what comes of it, and what can be done where their messages would fail."""
    have = "person has" if lacking.people == 1 else "people have"
    what = ": set a fallback, or skip them" if lacking.fails else ", so there is a gap in their message"
    return f"{lacking.people:,} {have} no {lacking.field}{what}."


def _warnings(checked: Checked, broadcast: Broadcast) -> list[str]:
    told = [lacking_told(each) for each in checked.lacking if not each.fails]
    if checked.other_locales:
        told.append(_other_languages(checked.other_locales))
    if checked.too_late:
        told.append(
            f"At {broadcast.pace_per_minute:,} a minute {checked.too_late:,} messages expire before their turn."
        )
    return told


def _other_languages(locales: dict[str, int]) -> str:
    """Say how many people read a language that the message does not have: `7,160 people …: de 7,146, fr 4 and 2 more languages`."""
    most = sorted(locales.items(), key=lambda each: -each[1])
    named = ", ".join(f"{locale} {count:,}" for locale, count in most[:NAMED_LANGUAGES])
    rest = len(most) - NAMED_LANGUAGES
    more = f" and {rest} more language{'' if rest == 1 else 's'}" if rest > 0 else ""
    total = sum(locales.values())
    have = "person reads" if total == 1 else "people read"
    return f"{total:,} {have} a language that the message does not have ({named}{more}): its default language goes to them."
