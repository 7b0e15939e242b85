"""Settings that cannot be right stop the start of every kind of process with one line each (issue: Settings)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks
from pytest_django import Settings

from deliveries.checks import TAG

ROOT = Path(__file__).resolve().parents[2]
SOUND = {"SECRET_KEY": "a-key-of-this-test-" + "x" * 40, "DEBUG": "0"}

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"MAX_ATTEMPTS": 0}, "MAX_ATTEMPTS"),
    ({"CLAIM_BATCH_SIZE": -1}, "CLAIM_BATCH_SIZE"),
    ({"SWEEP_INTERVAL_SECONDS": 0.0}, "SWEEP_INTERVAL_SECONDS"),
    ({"MAX_SEND_DELAY_SECONDS": -5}, "MAX_SEND_DELAY_SECONDS"),
    ({"MAX_SEND_DELAY_SECONDS": 60}, "LEASE_SECONDS"),
    ({"FLUSH_INTERVAL_SECONDS": 0.5}, "FLUSH_INTERVAL_SECONDS"),
    ({"HIGH_PRIORITY_SHARE": 1.0}, "HIGH_PRIORITY_SHARE"),
    ({"EMAIL_PORT": 70_000}, "EMAIL_PORT"),
    ({"RETRY_DELAYS_SECONDS": [1.0, -3.0]}, "RETRY_DELAYS_SECONDS"),
    ({"RETRY_DELAYS_SECONDS": []}, "RETRY_DELAYS_SECONDS"),
    ({"RETRY_DELAYS_SECONDS_BY_CHANNEL": {"sms": "5;soon"}}, "RETRY_DELAYS_SECONDS_BY_CHANNEL"),
    ({"RETRY_DELAYS_SECONDS_BY_CHANNEL": {"fax": "5;30"}}, "fax"),
    ({"MAX_ATTEMPTS_BY_CHANNEL": {"sms": "many"}}, "MAX_ATTEMPTS_BY_CHANNEL"),
    ({"MAX_ATTEMPTS_BY_CHANNEL": {"fax": "2"}}, "fax"),
    ({"SEND_DEADLINE_SECONDS": 24.0}, "SEND_DEADLINE_SECONDS"),
    ({"SHUTDOWN_GRACE_SECONDS": 90.0}, "SHUTDOWN_GRACE_SECONDS"),
    ({"LEASE_SECONDS": 25.0}, "LEASE_SECONDS"),
    ({"STUCK_AFTER_SECONDS": 29.0}, "STUCK_AFTER_SECONDS"),
    ({"HEARTBEAT_TTL_SECONDS": 3}, "HEARTBEAT_TTL_SECONDS"),
    ({"CHANNEL_SENDERS": {"email": "pigeon"}}, "pigeon"),
    ({"CHANNEL_SENDERS": {"ws": "smtp"}}, "smtp"),
    ({"CHANNEL_SENDERS": {"fax": "null"}, "NULL_SENDER_ALLOWED": True}, "fax"),
    ({"CHANNEL_SENDERS": {"email": "null"}}, "NULL_SENDER_ALLOWED"),
    ({"EMAIL_USE_SSL": True, "EMAIL_USE_TLS": True}, "EMAIL_USE_SSL"),
    ({"SECRET_KEY": "insecure-default-for-development-only-never-in-production"}, "SECRET_KEY"),
    ({"CREDENTIALS_KEYS": ["k" * 32, "short"]}, "CREDENTIALS_KEYS"),
    ({"OUTGOING_CA_FILE": "/nowhere/ca.pem"}, "OUTGOING_CA_FILE"),
    ({"WEBHOOK_CONNECTIONS": 0}, "WEBHOOK_CONNECTIONS"),
    ({"AUDIENCES_REFRESH_INTERVAL_SECONDS": 0}, "AUDIENCES_REFRESH_INTERVAL_SECONDS"),
    ({"CONTACT_IMPORT_MAX_MB": 0}, "CONTACT_IMPORT_MAX_MB"),
    ({"AUDIENCE_COUNT_TIMEOUT_SECONDS": -1}, "AUDIENCE_COUNT_TIMEOUT_SECONDS"),
    ({"NOTICE_OLDEST_DUE_SECONDS": 0}, "NOTICE_OLDEST_DUE_SECONDS"),
    ({"NOTICE_QUIET_SECONDS": 0}, "NOTICE_QUIET_SECONDS"),
    ({"NOTICE_WEBHOOK_URL": "hooks.slack.com/services/T0"}, "NOTICE_WEBHOOK_URL"),
    ({"NOTICE_WEBHOOK_URL": "http://chat.example.com/hook"}, "NOTICE_WEBHOOK_URL"),
    ({"NOTICE_WEBHOOK_URL": "https://[half"}, "NOTICE_WEBHOOK_URL"),
    ({"NOTICE_EMAIL_TO": ["ops@example.com", "Ops"]}, "'Ops'"),
    *(
        ({"PUBLIC_URL": url}, "PUBLIC_URL")
        for url in (
            "notify.example.com",
            "https://",
            "https://a.org/path",
            "https://a.org?x",
            "http://a.org",
            "ftp://a.org",
            "https://a:b",
        )
    ),
    ({"SECRET_KEY_FALLBACKS": ["k" * 32, "short"]}, "SECRET_KEY_FALLBACKS"),
    ({"JWT_ALGORITHM": "none"}, "JWT_ALGORITHM"),
    ({"JWT_KEY": "short"}, "JWT_KEY"),
]


@pytest.mark.parametrize(("values", "named"), WRONG, ids=[str(values) for values, _named in WRONG])
def test_a_wrong_value_is_one_error_that_names_it(settings: Settings, values: dict[str, Any], named: str) -> None:
    settings.DEBUG = False
    for name, value in values.items():
        setattr(settings, name, value)
    (error,) = run_checks(tags=[TAG])
    assert error.is_serious()
    assert named in f"{error.msg} {error.hint}"
    assert "\n" not in f"{error.msg}{error.hint}"


def test_the_defaults_are_sound_and_debug_forgives_the_default_key(settings: Settings) -> None:
    assert not run_checks(tags=[TAG])
    settings.DEBUG, settings.SECRET_KEY = True, settings.DEFAULT_SECRET_KEY
    assert not run_checks(tags=[TAG])


@pytest.mark.parametrize(
    "url", ["https://notify.example.com", "https://notify.example.com:8443/", "http://127.0.0.1:8000"]
)
def test_a_public_address_of_people_s_links(settings: Settings, url: str) -> None:
    settings.PUBLIC_URL = url
    assert not run_checks(tags=[TAG])


def test_the_null_sender_serves_any_channel_once_it_is_allowed(settings: Settings) -> None:
    settings.NULL_SENDER_ALLOWED = True
    settings.CHANNEL_SENDERS = {"sms": "null", "push": "null"}
    assert not run_checks(tags=[TAG])


def run(*command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the project with sound settings, but for these."""
    environment = {**os.environ, **SOUND, "DJANGO_SETTINGS_MODULE": "notifyproj.settings", **variables}
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("RETRY_DELAYS_SECONDS", "1,-3"),
        ("SEND_DEADLINE_SECONDS", "60"),
        ("CHANNEL_SENDERS", "email=smtp,fax=null"),
        ("SECRET_KEY", ""),
    ],
)
def test_a_value_that_cannot_be_right_stops_manage_py_with_one_error(variable: str, value: str) -> None:
    done = run("manage.py", "check", **{variable: value, "NULL_SENDER_ALLOWED": "1"})
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if "(deliveries.E" in line]
    assert len(errors) == 1 and variable in errors[0]
    assert "Traceback" not in done.stderr


def test_values_that_cannot_be_read_are_a_line_each_and_no_traceback() -> None:
    done = run("manage.py", "consume_outbox", MAX_ATTEMPTS="three", LEASE_SECONDS="90s", TIME_ZONE="Mars")
    assert done.returncode == 1
    lines = sorted(done.stderr.splitlines())
    assert [line.split()[0] for line in lines] == ["LEASE_SECONDS", "MAX_ATTEMPTS", "TIME_ZONE"]


@pytest.mark.parametrize("variables", [{"MAX_ATTEMPTS": "0"}, {"MAX_ATTEMPTS": "three"}], ids=["wrong", "unreadable"])
@pytest.mark.parametrize(
    "command",
    [("uvicorn", "notifyproj.asgi:application"), ("dramatiq", "notifyproj.broker", "--processes=1", "--threads=1")],
    ids=["web", "sender"],
)
def test_the_web_server_and_the_senders_refuse_to_start_too(
    command: tuple[str, ...], variables: dict[str, str]
) -> None:
    done = run("-m", *command, **variables)
    assert done.returncode != 0
    told = [line for line in done.stderr.splitlines() if line.startswith("MAX_ATTEMPTS ")]
    assert len(told) == 1
    assert "Traceback" not in done.stderr


def test_the_environment_beats_the_file_and_the_file_beats_the_default(tmp_path: Path) -> None:
    file = tmp_path / "settings.env"
    file.write_text("MAX_ATTEMPTS=7\nSITE_NAME=From the file\n")
    program = "from django.conf import settings as s; print(s.MAX_ATTEMPTS, s.SITE_NAME, s.RETENTION_DAYS, sep='|')"
    done = run("-c", program, ENV_FILE=str(file), MAX_ATTEMPTS="5")
    assert done.stdout.strip() == "5|From the file|90", done.stderr


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    done = run("manage.py", "check", ENV_FILE=str(tmp_path / "absent"))
    assert done.returncode == 1
    assert re.fullmatch(r"ENV_FILE is '[^']+'; there is no such file\.\n", done.stderr)


def test_addresses_of_send_only_to_are_compared_in_lower_case() -> None:
    done = run("-c", "from django.conf import settings; print(settings.SEND_ONLY_TO)", SEND_ONLY_TO="Ana@Example.COM")
    assert done.stdout.strip() == "['ana@example.com']"
