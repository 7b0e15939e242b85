"""How code outside Django's ORM reaches the same database: connection parameters and the event loops' connection pool. No SQL here."""

from __future__ import annotations

from typing import Any

import orjson
from django.db import connections
from psycopg import AsyncConnection
from psycopg.types.json import set_json_dumps, set_json_loads
from psycopg_pool import AsyncConnectionPool

CONNECT_TIMEOUT_SECONDS = 5

AsyncPool = AsyncConnectionPool[AsyncConnection[tuple[Any, ...]]]


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


async def open_pool(*, name: str, size: int) -> AsyncPool:
    """Open a pool of autocommit connections on the running event loop. Does not wait for the database: the first use does.

    JSON columns come back as plain Python values, decoded by orjson.
    """
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
        configure=_configure,
    )
    await pool.open(wait=False)
    return pool


async def _configure(connection: AsyncConnection[tuple[Any, ...]]) -> None:
    set_json_loads(orjson.loads, connection)
    set_json_dumps(orjson.dumps, connection)
