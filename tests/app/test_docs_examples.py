"""The examples of docs/ work as they are printed: the runbook's SQL and the API page's curl."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.db import connection
from django.test import Client

from deliveries.api.keys import api_key_create
from deliveries.models import ApiKey, Delivery, Tenant

DOCS = Path(__file__).resolve().parents[2] / "docs"
SQL = [
    (page, block.strip())
    for page in ("runbook.md", "operations.md")
    for block in re.findall(r"^ *```sql\n(.*?)^ *```", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)
]
CURL = re.findall(r"^(curl .*?[^\\])\n(?=curl|```)", (DOCS / "api.md").read_text().replace("…", ""), re.M | re.S)


@pytest.mark.django_db
@pytest.mark.parametrize(("page", "sql"), SQL, ids=[f"{page} {sql[:40]}" for page, sql in SQL])
def test_sql_of_the_docs_runs(page: str, sql: str) -> None:
    assert sql.startswith("SELECT") and sql.endswith(";")
    with connection.cursor() as cursor:
        cursor.execute(sql)
        cursor.fetchall()


@pytest.mark.django_db(transaction=True)
def test_requests_of_the_docs_work_in_their_order() -> None:
    tenant = Tenant.objects.get_or_create(slug="default", defaults={"name": "Default"})[0]
    key = api_key_create(tenant=tenant, name="docs", scopes=ApiKey.Scope.values).plain
    client = Client(headers={"X-API-Key": key})
    assert len(CURL) == 5
    answers = [perform(client, command) for command in CURL]
    assert answers == [201, 202, 200, 200, 200]
    assert Delivery.objects.filter(job_id="22222222-2222-4222-8222-222222222222", channel="ws").count() == 1


def perform(client: Client, command: str) -> int:
    """Do what a curl command says and return the status of the answer."""
    words = shlex.split(command.replace("\\\n", " "))[1:]
    method, body, url = "GET", None, ""
    while words:
        match word := words.pop(0):
            case "-sS":
                pass
            case "-H":
                assert words.pop(0).partition(":")[0] in ("X-API-Key", "Content-Type")
            case "-X":
                method = words.pop(0)
            case "-d":
                body = words.pop(0)
            case _:
                assert not url, f"not understood: {word}"
                url = word.replace("$NOTIFY_URL", "http://testserver")
    if body is not None and method == "GET":
        method = "POST"
    parts = urlsplit(url)
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    return client.generic(method, path, body or "", content_type="application/json").status_code
