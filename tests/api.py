"""A caller of the REST API, for tests: JSON in, JSON out, with a key or as a member of staff."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import orjson
from django.contrib.auth.models import Permission, User
from django.test import Client

from deliveries.models import ApiKey, Tenant
from tests.realtime import token


class Answer:
    """What came back: the status, the decoded body and the headers."""

    def __init__(self, response: Any) -> None:
        self.status: int = response.status_code
        self.headers = response.headers
        self.body: Any = orjson.loads(response.content) if response.content else None

    def __repr__(self) -> str:
        return f"{self.status} {self.body}"


class Caller:
    """Calls below /api/. `key` None: without one."""

    def __init__(self, key: ApiKey | str | None = None, *, client: Client | None = None) -> None:
        self.client = client or Client(raise_request_exception=False)
        plain = getattr(key, "plain", key)
        self.headers = {"X-API-Key": plain} if plain is not None else {}

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Call `method` on /api/`path`; a body that is not bytes is written as JSON."""
        raw = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
        address = path if path.startswith(("/", "http")) else f"/api/{path}"
        names = {**self.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return Answer(self.client.generic(method, address, raw, content_type="application/json", headers=names))

    def get(self, path: str) -> Answer:
        """Call GET."""
        return self("GET", path)

    def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        """Call POST."""
        return self("POST", path, body, **headers)

    def put(self, path: str, body: Any = None, **headers: str) -> Answer:
        """Call PUT."""
        return self("PUT", path, body, **headers)


def staff(*permissions: str, superuser: bool = False, csrf: bool = False, is_staff: bool = True) -> Caller:
    """Return a member of staff who is logged in and has `permissions` (codenames). `csrf`: tokens are enforced."""
    user = User.objects.create_user(uuid4().hex, is_staff=is_staff, is_superuser=superuser)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client(enforce_csrf_checks=csrf, raise_request_exception=False)
    client.force_login(user)
    return Caller(client=client)


def person(tenant: Tenant, user_id: UUID | None = None, **claims: object) -> Caller:
    """Return a person's app, with the token of that person; for tests with the fixture `jwt_key`."""
    caller = Caller()
    caller.headers = {"Authorization": f"Bearer {token(tenant, user_id or uuid4(), **claims)}"}
    return caller


def a_job(**changes: Any) -> dict[str, Any]:
    """Return the smallest job, with content of its own, for the inbox; `changes` replace or add fields."""
    job = {
        "job_id": str(uuid4()),
        "user_id": str(uuid4()),
        "channel": "ws",
        "content": {"title": "Hello", "body": "World"},
        "created_at": "2026-01-02T03:04:05Z",
    }
    return {**job, **{key: str(value) if hasattr(value, "hex") else value for key, value in changes.items()}}
