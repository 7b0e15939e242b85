"""`manage.py demo`: run the whole service with sample data on this machine. Parses and prints; `runner.py` does it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from notifyproj.demo.folder import Folder, FolderInUseError

PORT = 8000


class Command(BaseCommand):
    help = "Run the whole service with sample data: servers, web, consumers, senders, mailbox. Ctrl+C ends it."
    requires_system_checks = []  # the settings are the children's, and are not complete before the servers run

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--port", type=int, default=PORT, help=f"of the page; another one if taken. Default: {PORT}."
        )

    def handle(self, *, port: int, **options: Any) -> None:
        """Run the demo. Raises: CommandError, in words, when it cannot start."""
        try:
            from notifyproj.demo.runner import Demo
            from notifyproj.demo.supervisor import ChildError
            from notifyproj.embedded import ServerError
        except ModuleNotFoundError as error:
            raise CommandError(
                f"{error}. The demo needs the packages of requirements-dev.txt: run `make demo`, which installs them."
            ) from error
        folder = Folder(Path(settings.DEMO_FOLDER))
        try:
            with folder.lock():
                Demo(folder, port=port, say=self._say, say_part=self._say_part).run()
        except (FolderInUseError, ServerError, ChildError) as error:
            raise CommandError(str(error)) from error

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()

    def _say_part(self, text: str) -> None:
        self.stdout.write(text, ending="")
        self.stdout.flush()
