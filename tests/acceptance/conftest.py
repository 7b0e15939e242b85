"""What fault tests stand on: a database for each scenario, made from a template, and the size that FAULTS asks for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from tests.acceptance.scenario import Scenario
from tests.acceptance.system import manage

MakeScenario = Callable[..., Scenario]


def migrate(database_url: str) -> None:
    """Bring an empty database to the present schema."""
    manage({**os.environ, "DJANGO_SETTINGS_MODULE": "notifyproj.settings", "DATABASE_URL": database_url}, ["migrate"])


@pytest.fixture(scope="session")
def template_database() -> Iterator[str]:
    """Make a migrated database that others are copied from, and return its name."""
    name = f"faults_template_{uuid4().hex[:8]}"
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as server:
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        migrate(url_of(name))
        yield name
        server.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))


@pytest.fixture
def database_url(template_database: str) -> Iterator[str]:
    """Return the address of a database of this test's own."""
    name = f"faults_{uuid4().hex[:8]}"
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as server:
        create = "CREATE DATABASE {} TEMPLATE {}"
        server.execute(sql.SQL(create).format(sql.Identifier(name), sql.Identifier(template_database)))
        yield url_of(name)
        server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def make_scenario(
    tmp_path: Path, request: pytest.FixtureRequest, redis_url: str, kafka_bootstrap: str
) -> Iterator[MakeScenario]:
    """Return a function that sets the stage: on the run's servers, or on those that are named to it."""
    with ExitStack() as stack:

        def make(**given: str) -> Scenario:
            addresses = {"redis_url": redis_url, "bootstrap": kafka_bootstrap, **given}
            if "database_url" not in addresses:
                addresses["database_url"] = request.getfixturevalue("database_url")
            return stack.enter_context(Scenario(tmp_path, **addresses))

        yield make


def url_of(database: str) -> str:
    """Return the address of another database of the run's server."""
    return urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{database}").geturl()
