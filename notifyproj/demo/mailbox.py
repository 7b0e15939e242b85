"""Reads the mails that the demo's SMTP server (`mailbox_server.py`) took, for the tour's mailbox. Writes nothing.

A mail is text from outside like any other: `document` gives it to the browser only for a sandboxed frame.
"""

from __future__ import annotations

import hashlib
import html
import json
import re
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_string, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Final

SHOWN: Final = 40
#: Of mails with one subject: the tour's loads would push all others out.
SHOWN_ALIKE: Final = 8
READ: Final = 1000
#: No script, no form, no address outside: a mail may only be looked at (the images of a mail would tell its sender).
FRAME_CSP: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox; frame-ancestors 'self'"
PLAIN: Final = """<!doctype html>
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ margin: 0; padding: 24px; font: 15px/1.6 system-ui, sans-serif; color: #1f2a24; background: #fff }}
pre {{ font: inherit; white-space: pre-wrap; overflow-wrap: anywhere; margin: 0 }}
</style>
<pre>{text}</pre>
"""


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail to one recipient. `key` names it in addresses."""

    key: str
    to: str
    sender: str
    subject: str
    at: datetime
    message: EmailMessage

    def as_json(self) -> dict[str, Any]:
        """Return what the list shows."""
        shown = {
            "key": self.key,
            "to": self.to,
            "from": self.sender,
            "subject": self.subject,
            "at": self.at.isoformat(),
        }
        return {**shown, "unsubscribe": self.unsubscribe_path}

    @property
    def unsubscribe_path(self) -> str:
        """Return where its List-Unsubscribe header leads, as a path of this service; empty where there is none."""
        found = re.search(r"<https?://[^/>]+(/u/[\w-]+)>", str(self.message["List-Unsubscribe"] or ""))
        return found[1] if found else ""


def newest(path: Path) -> list[Mail]:
    """Return the last mails, the newest first, and of many with one subject the newest few. Empty when none has come."""
    alike: Counter[str] = Counter()
    found: list[Mail] = []
    for mail in _last(path):
        alike[mail.subject] += 1
        if alike[mail.subject] <= SHOWN_ALIKE:
            found.append(mail)
            if len(found) == SHOWN:
                break
    return found


def find(path: Path, key: str) -> Mail | None:
    """Return one of the last mails."""
    return next((mail for mail in _last(path) if mail.key == key), None)


def _last(path: Path) -> Iterator[Mail]:
    if not path.exists():
        return
    with path.open("rb") as lines:
        last = deque(lines, maxlen=READ)
    # The server appends whole lines, but the last one may be read while it is written.
    yield from (_mail(json.loads(line)) for line in reversed(last) if line.endswith(b"\n"))


def document(mail: Mail) -> str:
    """Return the mail as an HTML document: its HTML part, else its text. To be served with FRAME_CSP only."""
    body = mail.message.get_body(("html",))
    if body is not None:
        return str(body.get_content())
    text = mail.message.get_body(("plain",))
    shown = str(text.get_content()) if text is not None else ""
    return PLAIN.format(title=html.escape(mail.subject), text=html.escape(shown))


def _mail(record: dict[str, Any]) -> Mail:
    message = message_from_string(record["message"], policy=policy.default)
    name = f"{record['message_id']}\n{record['to']}\n{record['at']}"
    return Mail(
        key=hashlib.sha256(name.encode()).hexdigest()[:16],
        to=record["to"],
        sender=str(message["From"] or record["from"]),
        subject=str(message["Subject"] or "(no subject)"),
        at=datetime.fromtimestamp(record["at"], tz=UTC),
        message=message,
    )
