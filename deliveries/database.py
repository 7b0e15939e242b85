"""How code outside Django's ORM reaches the same database: connection parameters and the event loops' connection pool. No SQL here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import orjson
import psycopg
import structlog
from django.db import connections
from psycopg import AsyncConnection
from psycopg.types.json import set_json_dumps, set_json_loads
from psycopg_pool import AsyncConnectionPool, PoolTimeout

log = structlog.get_logger(__name__)
T = TypeVar("T")

CONNECT_TIMEOUT_SECONDS = 5
WORK_TIMEOUT_SECONDS = 15.0
LONGEST_PAUSE_SECONDS = 2.0

AsyncPool = AsyncConnectionPool[AsyncConnection[tuple[Any, ...]]]

# InternalError: the database became read-only in a failover, or ended a session that was silent for too long.
AWAY = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.InternalError, PoolTimeout, TimeoutError)


def connection_parameters() -> dict[str, Any]:
    """Return libpq parameters of the default database, as keyword arguments for `psycopg.connect`."""
    wrapper = connections["default"]
    values = wrapper.settings_dict
    parameters = {
        "host": values["HOST"],
        "port": values["PORT"],
        "dbname": values["NAME"],
        "user": values["USER"],
        "password": values["PASSWORD"],
        **{key: value for key, value in values.get("OPTIONS", {}).items() if isinstance(value, str)},
    }
    return {key: value for key, value in parameters.items() if value not in ("", None)}


async def open_pool(*, name: str, size: int, plans_once: bool = False) -> AsyncPool:
    """Open a pool of autocommit connections on the running event loop. Does not wait for the database: the first use does.

    JSON columns come back as plain Python values, decoded by orjson. `plans_once`: see `plan_once`.
    """

    async def configure(connection: AsyncConnection[tuple[Any, ...]]) -> None:
        set_json_loads(orjson.loads, connection)
        set_json_dumps(orjson.dumps, connection)
        if plans_once:
            await plan_once(connection)

    pool: AsyncPool = AsyncConnectionPool(
        kwargs={
            **connection_parameters(),
            "autocommit": True,
            "connect_timeout": CONNECT_TIMEOUT_SECONDS,
            "application_name": f"notify {name}",
        },
        min_size=1,
        max_size=size,
        timeout=CONNECT_TIMEOUT_SECONDS,
        reconnect_timeout=0,
        name=name,
        open=False,
        configure=configure,
    )
    await pool.open(wait=False)
    return pool


async def until_done(pool: AsyncPool, work: Callable[[AsyncConnection[Any]], Awaitable[T]], *, channel: str) -> T:
    """Do work on a pooled connection, again and again while the database is away; what it does must bear being repeated.

    Anything else that it raises goes up.
    """
    pause = 0.1
    while True:
        try:
            async with asyncio.timeout(WORK_TIMEOUT_SECONDS), pool.connection() as connection:
                return await work(connection)
        except AWAY as error:
            log.warning(
                "database away", channel=channel, error=str(error) or "no answer in time", retry_in_seconds=pause
            )
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


async def plan_once(connection: AsyncConnection[Any]) -> None:
    """Let the session plan each statement once, when it comes first. For statements that come again and again: else each is planned
    eleven times and more, and planning a claim costs 3 ms.

    The plan must suit a table of four pages and, a moment later, of a million rows. So these statements are written to be answered by
    indexes alone, and the planner may not prefer to scan a table because it is small now.
    """
    connection.prepare_threshold = 0
    await connection.execute("SET plan_cache_mode = force_generic_plan")
    for way in ("seqscan", "bitmapscan", "material"):
        await connection.execute(f"SET enable_{way} = off")
