"""What every reason code means to a person: a sentence, the likely fix, the runbook's heading. One place for all.

Codes come from ingest, the lifecycle, rendering and the senders, by topic in the modules beside this one; those of unreadable
input are `jobs.REASONS`, taken in here. An unknown code still gets a sentence: a new one must never make a page fail. No queries,
no HTML.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import Final

from deliveries.jobs import REASONS as INPUT_REASONS
from deliveries.reasons import general, mail, providers, pushes, texts, webhooks
from deliveries.reasons.row import INPUT, OTHER, Reason

__all__ = ["MAY_HAVE_BEEN_SENT", "REASONS", "Reason", "describe"]

#: Reasons of failures where the provider may have taken the message all the same.
MAY_HAVE_BEEN_SENT: Final = frozenset({
    "outcome_unknown", "internal_error", "dropped_after_data", "timeout_after_data",
    "connection_lost", "malformed_reply", "reply_too_large",
})  # fmt: skip
#: `smtp_NNN` and `http_NNN`: what a far end answered, by number.
_NUMBERED: Final = re.compile(r"(smtp|http)_([45]\d\d)")
_SPELLED: Final = {
    "json": "JSON",
    "uuid": "UUID",
    "utf8": "UTF-8",
    "utf16": "UTF-16",
    "nul": "NUL",
    "bom": "Byte order mark",
}


def _title_of(code: str) -> str:
    """Make a title of a code: `invalid_json` reads "Invalid JSON"."""
    title = " ".join(_SPELLED.get(word, word) for word in code.split("_"))
    return title[:1].upper() + title[1:]


def _of_input(code: str, text: str) -> Reason:
    """Split a text of `jobs.REASONS`, which says what is wrong in its first sentence and what to do in the rest."""
    sentence, _, fix = text.partition(". ")
    return Reason(code, _title_of(code), f"{sentence}.", fix, INPUT)


REASONS: Final = MappingProxyType({
    **{code: _of_input(code, text) for code, text in INPUT_REASONS.items()},
    **general.REASONS,
    **providers.REASONS,
    **mail.REASONS,
    **texts.REASONS,
    **pushes.REASONS,
    **webhooks.REASONS,
})  # fmt: skip


def describe(code: str) -> Reason:
    """Return what `code` means; for one that nobody wrote down, a general sentence that still names it."""
    if (known := REASONS.get(code)) is not None:
        return known
    if (match := _NUMBERED.fullmatch(code)) is not None:
        family, number = match.groups()
        return mail.reply(code, number) if family == "smtp" else webhooks.status(code, number)
    title = _title_of(code) or "No reason recorded"
    sentence = f"It ended with the code {code!r}."
    return Reason(code, title, sentence, "Read the message below it, then the runbook.", OTHER)
