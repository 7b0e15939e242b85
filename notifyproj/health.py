"""`/health/…` for orchestrators and monitors: open to anybody, so without secrets, and answered in time whatever is
away.

`live`: this process answers. `ready`: it can do its work. `workers`: every process of the installation is well. Each
check has its own short-lived connection and patience, since a stalled server is exactly what it must be able to tell.
"""

from __future__ import annotations

import asyncio
import functools
from typing import Any

import psycopg
import redis
from django.conf import settings
from django.db.migrations.loader import MigrationLoader
from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.cache import never_cache

from deliveries.workers.impatient import ImpatientConnection
from deliveries.workers.overview import WorkerHealth, read_workers

PATIENCE_SECONDS = 2.0
UNAVAILABLE = 503
DATABASE_AWAY = "PostgreSQL does not answer. Check that it runs and that DATABASE_URL leads to it."
REDIS_AWAY = "Redis does not answer. Check that it runs and that REDIS_URL leads to it."
NOT_MIGRATED = "The database lacks migrations. Run: python manage.py migrate"


@never_cache
async def live(request: HttpRequest) -> JsonResponse:
    """Answer: that is all there is to say."""
    return JsonResponse({"live": True})


@never_cache
async def ready(request: HttpRequest) -> JsonResponse:
    """Tell whether the database, its schema and Redis are there; 503 with what is missing and what to do."""
    database, has_redis = await asyncio.gather(
        asyncio.to_thread(_database_problems), asyncio.to_thread(_redis_problems)
    )
    problems = {**database, **has_redis}
    checks = {name: problems.get(name, "ok") for name in ("database", "migrations", "redis")}
    return JsonResponse({"ready": not problems, "checks": checks}, status=UNAVAILABLE if problems else 200)


@never_cache
async def workers(request: HttpRequest) -> JsonResponse:
    """Tell of every process (contracts, section 3); 503 when one is stuck or silent, or when nobody can know."""
    try:
        found = await asyncio.to_thread(_read_workers)
    except psycopg.Error:
        return JsonResponse({"healthy": False, "workers": [], "detail": DATABASE_AWAY}, status=UNAVAILABLE)
    healthy = all(worker.is_healthy for worker in found)
    answer: dict[str, Any] = {"healthy": healthy, "workers": [worker.as_json() for worker in found]}
    return JsonResponse(answer, status=200 if healthy else UNAVAILABLE)


def _read_workers() -> list[WorkerHealth]:
    with _database() as database:
        return read_workers(database)


def _database_problems() -> dict[str, str]:
    try:
        with _database() as database:
            exists = database.execute("SELECT to_regclass('django_migrations') IS NOT NULL")[0][0]
            applied = set(database.execute("SELECT app, name FROM django_migrations")) if exists else set()
    except psycopg.Error:
        return {"database": DATABASE_AWAY, "migrations": "unknown: the database does not answer"}
    return {} if _migrations() <= applied else {"migrations": NOT_MIGRATED}


def _redis_problems() -> dict[str, str]:
    try:
        with redis.Redis.from_url(
            settings.REDIS_URL, socket_timeout=PATIENCE_SECONDS, socket_connect_timeout=PATIENCE_SECONDS
        ) as client:
            client.ping()
    except redis.RedisError:
        return {"redis": REDIS_AWAY}
    return {}


def _database() -> ImpatientConnection:
    return ImpatientConnection(name="health", patience_seconds=PATIENCE_SECONDS)


@functools.cache
def _migrations() -> set[tuple[str, str]]:
    """Return the migrations that this code brings, read once: they don't change while it runs."""
    loader = MigrationLoader(None, load=False)
    loader.load_disk()
    return set(loader.disk_migrations or {})


urlpatterns = [
    path("live", live, name="health-live"),
    path("ready", ready, name="health-ready"),
    path("workers", workers, name="health-workers"),
]
