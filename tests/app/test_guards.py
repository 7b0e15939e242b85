"""What must hold of the project as a whole: migrations are complete, and Django finds nothing to say of a production's settings."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import call_command

ROOT = Path(__file__).resolve().parents[2]
PRODUCTION = {
    "DEBUG": "0",
    "ALLOWED_HOSTS": "notify.example.com,127.0.0.1",
    "SECURE_COOKIES": "1",
    "SECURE_SSL_REDIRECT": "1",
    "SECURE_HSTS_SECONDS": "31536000",
    "SECURE_HSTS_INCLUDE_SUBDOMAINS": "1",
    "SECURE_HSTS_PRELOAD": "1",
    "BEHIND_TLS_PROXY": "1",
}


def check_deploy(**variables: str) -> subprocess.CompletedProcess[str]:
    """Run `manage.py check --deploy`, warnings included, with a production's settings but for these."""
    environment = {**os.environ, **PRODUCTION, "SECRET_KEY": secrets.token_urlsafe(64), **variables}
    return subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.django_db
def test_no_model_has_changed_without_a_migration() -> None:
    call_command("makemigrations", "--check", "--dry-run")


def test_django_has_nothing_to_say_of_a_production_s_settings() -> None:
    done = check_deploy()
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout


def test_django_is_asked_in_earnest() -> None:
    done = check_deploy(SECURE_COOKIES="0")
    assert done.returncode != 0
    assert "security.W010" in done.stderr
