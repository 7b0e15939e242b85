"""Starting Django in processes that `manage.py` does not start (uvicorn, dramatiq): wrong settings end them in one line each.

`manage.py` runs the system checks before every command by itself.
"""

from __future__ import annotations

import os

import django
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured


def boot() -> None:
    """Load settings and apps. Raises: SystemExit, with one line for each setting that cannot be right."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "notifyproj.settings")
    try:
        django.setup()
    except ImproperlyConfigured as error:
        raise SystemExit(str(error)) from None
    from deliveries.checks import TAG

    wrong = [message for message in run_checks(tags=[TAG]) if message.is_serious()]
    if wrong:
        raise SystemExit("\n".join(f"{message.msg} {message.hint or ''}".strip() for message in wrong))
