"""What a reason is made of, and the runbook's headings that reasons lead to. The reasons themselves are in the modules beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

PEOPLE: Final = "people-without-an-address"
CHANNELS: Final = "a-channel-without-a-provider"
TEMPLATES: Final = "templates-that-cannot-be-rendered"
PROVIDERS: Final = "a-provider-is-broken"
MAIL_SERVER: Final = "the-mail-server-is-away-or-slow"
MAIL_REFUSED: Final = "the-mail-server-refuses"
TEXTS: Final = "a-text-was-refused"
PUSHES: Final = "pushes-reach-nobody"
ENDPOINTS: Final = "an-endpoint-is-disabled"
CREDENTIALS: Final = "credentials-cannot-be-opened"
UNKNOWN_OUTCOME: Final = "may-have-been-sent"
INPUT: Final = "unreadable-jobs"
ON_HOLD: Final = "something-is-on-hold"
NOT_SENT: Final = "not-sent-on-purpose"
OTHER: Final = "other-causes"


@dataclass(frozen=True, slots=True)
class Reason:
    """One cause. `title` fits a table cell; `sentence` says what happened; `fix` what to do.

    `anchor` is a heading of docs/runbook.md.
    """

    code: str
    title: str
    sentence: str
    fix: str
    anchor: str

    @property
    def heading(self) -> str:
        """The runbook's heading that the anchor comes from."""
        return self.anchor.replace("-", " ").capitalize()


def by_code(rows: Sequence[tuple[str, str, str, str, str]]) -> Mapping[str, Reason]:
    """Return a module's rows as reasons, in their order."""
    return {row[0]: Reason(*row) for row in rows}
