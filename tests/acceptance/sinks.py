"""The far ends, which append every receipt to a file of their own before they say a word about it.

A sink knows nothing of deliveries: it counts copies, by the id that travels with the message.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from uuid import UUID

from tests.smtp import SmtpServer

JOB_OF_MESSAGE_ID = re.compile(r"<([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})@")


class SmtpSink:
    """A real SMTP server process, and how many copies of each job it took."""

    def __init__(self, folder: Path) -> None:
        self.server = SmtpServer(folder)

    def copies(self) -> Counter[UUID | str]:
        """Count the mails by job, as their Message-ID names it; a mail that names none counts under its Message-ID."""
        found: Counter[UUID | str] = Counter()
        for receipt in self.server.receipts():
            match = JOB_OF_MESSAGE_ID.match(receipt["message_id"])
            found[UUID(match[1]) if match else receipt["message_id"]] += 1
        return found

    def __enter__(self) -> SmtpSink:
        self.server.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.server.stop()
