"""What the demo says in the terminal once it is ready, and the commands that the tour shows too. Text only."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

ROOT: Final = Path(__file__).resolve().parents[2]
ANA: Final = "00000000-0000-4000-8000-000000000001"
ANA_EMAIL: Final = "ana@example.com"
READY: Final = """
  Tour    {url}/
  Staff   {url}/admin/
          admin   {admin}
          ben     {ben}
  Inbox   Ana's, on the tour (user_id {ana})
  Mail    caught here and shown on the tour; nothing leaves this machine
  API     {url}/api/docs/
          X-API-Key: {api_key}

  A first job over HTTP:
{curl}

  The same through Kafka:
{send_job}

Ctrl+C ends it. What you did is there again the next time; `make clean` forgets it."""


def ready_text(url: str, *, admin: str, ben: str, api_key: str, environment: Path) -> str:
    """Return what to do now: logins, and a first job by curl and by Kafka."""
    return READY.format(
        url=url,
        admin=admin,
        ben=ben,
        ana=ANA,
        api_key=api_key,
        curl=_indent(first_curl(url, api_key)),
        send_job=_indent(first_command(environment)),
    )


def first_curl(url: str, api_key: str) -> str:
    """Return a command that hands in a job for Ana over HTTP, a new one each time it is run."""
    job = {
        "job_id": "'$(cat /proc/sys/kernel/random/uuid)'",
        "user_id": ANA,
        "channel": "ws",
        "content": {"title": "Hello from curl", "body": "My first job."},
        "created_at": "'$(date -u +%FT%TZ)'",
    }
    return (
        f"curl {url}/api/jobs/ -H 'X-API-Key: {api_key}' \\\n"
        f"  -H 'Content-Type: application/json' -d '{json.dumps(job)}'"
    )


def first_command(environment: Path) -> str:
    """Return a command that puts a job for Ana on the Kafka topic. `environment` names the running servers to the shell."""
    program, file = _from_here(Path(sys.executable)), _from_here(environment)
    return (
        f"(. {shlex.quote(file)}; {shlex.quote(program)} manage.py send_job --user {ANA_EMAIL} --body 'My second job.')"
    )


def _from_here(path: Path) -> str:
    """Return a path as one types it in the project's folder."""
    return f"./{path.relative_to(ROOT)}" if path.is_relative_to(ROOT) else str(path)


def without_password(address: str) -> str:
    """Return a server's address as it may be shown."""
    parts = urlsplit(address)
    if parts.password is None:
        return address
    return parts._replace(netloc=parts.netloc.replace(f":{parts.password}@", ":…@")).geturl()


def _indent(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())
