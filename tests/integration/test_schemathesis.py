"""The OpenAPI document against the live server: whatever it promises is tried, and whatever it forbids too.

schemathesis makes the calls, with a fixed seed, and judges every answer by all of its checks. What it cannot know of our
rules is in schemathesis.toml, each with its reason.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from deliveries.models import ApiKey
from notifyproj.embedded.process import HOST, free_port
from tests.factories import ApiKeyFactory, AudienceFactory, ContactFactory, DeliveryFactory, TemplateFactory
from tests.mass import draft
from tests.realtime import KEY, token
from tests.waiting import GENEROUS_SECONDS

ROOT = Path(__file__).resolve().parents[2]
CONFIG = Path(__file__).with_name("schemathesis.toml")
MAX_EXAMPLES = 25
SEED = 20251114


@pytest.fixture
def live_url(service_environment: dict[str, str]) -> Iterator[str]:
    """Start the web server on this test's database and return its address."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "notifyproj.asgi:application", "--host", HOST, "--port", str(port)]
    quiet = ["--ws", "websockets-sansio", "--no-access-log", "--log-level", "warning"]
    environment = {**service_environment, "LOG_LEVEL": "ERROR", "JWT_KEY": KEY}
    server = subprocess.Popen([*command, *quiet], cwd=ROOT, env=environment)
    try:
        url = f"http://{HOST}:{port}"
        wait_until_it_answers(f"{url}/api/schema/", server)
        yield url
    finally:
        server.terminate()
        server.wait()


def wait_until_it_answers(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + GENEROUS_SECONDS
    while True:
        try:
            httpx.get(url, timeout=GENEROUS_SECONDS).raise_for_status()
            return
        except httpx.TransportError:
            assert server.poll() is None, "the web server ended by itself"
            assert time.monotonic() < deadline, "the web server did not start in time"


@pytest.fixture
def key(transactional_db: None) -> ApiKey:
    """Return a key whose tenant has a little of everything."""
    row = ApiKeyFactory()
    ContactFactory(tenant=row.tenant)
    for trait in ({}, {"failed": True}, {"sent": True}):
        DeliveryFactory(tenant=row.tenant, **trait)
    return row


@pytest.mark.timeout(1800)
def test_the_live_server_keeps_what_its_document_says(live_url: str, key: ApiKey, tmp_path: Path) -> None:
    command = [
        *(str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(CONFIG)),
        *("run", f"{live_url}/api/schema/", "--header", f"X-API-Key: {key.plain}"),
        *("--header", f"Authorization: Bearer {token(key.tenant, uuid4(), exp=int(time.time()) + 7200)}"),
        *("--max-examples", str(MAX_EXAMPLES), "--seed", str(SEED), "--generation-database", "none"),
        *("--checks", "all", "--continue-on-failure", "--no-color", "--output-truncate", "false"),
    ]
    made = {
        "TEMPLATE_ID": TemplateFactory(tenant=key.tenant),
        "AUDIENCE_ID": AudienceFactory(tenant=key.tenant),
        "BROADCAST_ID": draft(key.tenant),
    }
    environment = {**os.environ, **{name: str(row.pk) for name, row in made.items()}}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=1700, check=False
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
    tested = re.search(r"Tested: (\d+)", done.stdout)
    assert tested and int(tested[1]) >= 20, done.stdout[-3000:]
