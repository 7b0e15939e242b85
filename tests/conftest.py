"""What every test stands on: real servers started once a run, and the fixtures that lead to them.

The process that was started by hand (under xdist: the controller) starts PostgreSQL, Valkey and a Kafka broker before
Django reads its settings, and names them in the environment, which the workers inherit. A server that the environment
names already is used as it is. A run of tests/unit alone starts none. KAFKA_BROKER=apache takes Apache Kafka in place
of Tansu. Factories, fakes and what only one kind of test needs belong elsewhere.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from notifyproj.embedded import ApacheKafka, Postgres, Server, ServerError, Tansu, Valkey, start_all

UNIT = Path(__file__).parent / "unit"
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")

#: What must not run beside its like: whole demos, and the systems of fault tests, which would fight for the same few cores.
GROUPS = {"tests/browser/": "demo", "tests/integration/test_demo.py": "demo", "tests/acceptance/": "faults"}

# No test may fail because the machine is busy, so no deadline for an example either.
hypothesis_settings.register_profile("notify", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("notify")


class Servers:
    """The servers of this run, and the folder they live in."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="notifyproj-tests-"))
        self.running: list[Server] = []

    def start(self) -> None:
        """Start those that the environment doesn't name and name them there."""
        wanted = {
            "DATABASE_URL": Postgres(self.folder / "postgres"),
            "REDIS_URL": Valkey(self.folder / "valkey"),
            "KAFKA_BOOTSTRAP_SERVERS": make_kafka(self.folder / "kafka"),
        }
        missing = {variable: server for variable, server in wanted.items() if not os.environ.get(variable)}
        start_all(missing.values())
        self.running = list(missing.values())
        os.environ.update({variable: server.address for variable, server in missing.items()})

    def stop(self) -> None:
        """Stop them and delete their data."""
        for server in self.running:
            server.stop()
        shutil.rmtree(self.folder)


def make_kafka(folder: Path) -> Tansu | ApacheKafka:
    """Return the broker that KAFKA_BROKER asks for, not started."""
    return {"tansu": Tansu, "apache": ApacheKafka}[os.environ.get("KAFKA_BROKER", "tansu")](folder)


SERVERS = pytest.StashKey[Servers]()


def pytest_configure(config: pytest.Config) -> None:
    """Start the servers and only then let Django read its settings.

    pytest-django reads them before any conftest when pyproject.toml or the environment names a settings module; so
    pyproject.toml names none, and it is named here.
    """
    from django.conf import settings

    if config.option.help or config.option.version:
        return
    if settings.configured:
        raise pytest.UsageError(
            "Unset DJANGO_SETTINGS_MODULE: it makes Django read its settings before the servers run."
        )
    is_worker = hasattr(config, "workerinput")
    if not is_worker and not config.option.collectonly and not only_unit_tests(config):
        servers = Servers()
        try:
            servers.start()
        except ServerError as error:
            raise pytest.UsageError(str(error)) from error
        config.stash[SERVERS] = servers
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", uuid.uuid4().hex)[:8]
    os.environ["REDIS_PREFIX"] = f"test-{run}-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}:"
    os.environ.setdefault("SECRET_KEY", "only-for-tests-" + "x" * 40)
    os.environ["DJANGO_SETTINGS_MODULE"] = "notifyproj.settings"
    assert settings.DATABASES  # reads them; pytest-django, whose turn comes next, goes on from there
    settings.PASSWORD_HASHERS = ["tests.passwords.OnceHasher"]


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart() -> None:
    """Let no xdist worker, which is about to be made, inherit the settings module: it would read the settings too early."""
    os.environ.pop("DJANGO_SETTINGS_MODULE", None)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave nothing running."""
    if servers := config.stash.get(SERVERS, None):
        servers.stop()


def only_unit_tests(config: pytest.Config) -> bool:
    """Say whether nothing outside tests/unit was asked for."""
    paths = [Path(config.invocation_params.dir, argument.partition("::")[0]) for argument in config.args]
    return all(path.resolve().is_relative_to(UNIT) for path in paths)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what only Apache Kafka can do where Tansu runs. Skip browser tests on a machine without Chromium, but never in CI:
    there they shall fail."""
    if os.environ.get("KAFKA_BROKER", "tansu") == "tansu":
        left_out = [item for item in items if item.get_closest_marker("apache")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    if find_chromium() or os.environ.get("CI"):
        return
    absent = pytest.mark.skip(reason="no Chromium here: apt-get install chromium to run the browser tests")
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker(absent)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep the tests of one group on one worker. `--dist loadgroup` does so by the mark `xdist_group` only up to pytest 9.1."""
    from xdist.scheduler.loadgroup import LoadGroupScheduling

    class ByFile(LoadGroupScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return next((group for begin, group in GROUPS.items() if nodeid.startswith(begin)), nodeid)

    return ByFile(config, log)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a CI run in which a test was skipped."""
    if os.environ.get("CI") and skipped(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say why such a run failed."""
    if os.environ.get("CI") and (count := skipped(config)):
        terminalreporter.write_line(f"FAILED: {count} tests were skipped, and CI is set: nothing may be skipped there.")


def skipped(config: pytest.Config) -> int:
    """Return how many tests were skipped so far. Zero in an xdist worker, which has no reporter."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return len(reporter.stats.get("skipped", [])) if reporter else 0


def find_chromium() -> str | None:
    """Return the path of Chromium, if there is one."""
    return next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)


@pytest.fixture(scope="session", autouse=True)
def quick_flush() -> None:
    """Empty the database quickly after each test that commits."""
    from tests.emptying import quicken_flush

    quicken_flush()


@pytest.fixture(scope="session")
def chromium() -> str:
    """Return the path of Debian's Chromium."""
    path = find_chromium()
    assert path, "no Chromium here: apt-get install chromium"
    return path


@pytest.fixture
def unique_prefix() -> str:
    """Return what no other test's topics, groups and keys begin with."""
    return f"t{uuid.uuid4().hex[:12]}-"


@pytest.fixture(scope="session")
def redis_url() -> str:
    """Return the address of the run's Valkey. Keys begin with `settings.REDIS_PREFIX`, one for each xdist worker."""
    return os.environ["REDIS_URL"]


@pytest.fixture(scope="session")
def kafka_bootstrap() -> str:
    """Return the address of the run's Kafka broker. Topics and groups begin with `unique_prefix`."""
    return os.environ["KAFKA_BOOTSTRAP_SERVERS"]


@pytest.fixture
def service_environment(transactional_db: None, unique_prefix: str, settings: object) -> dict[str, str]:
    """Return the environment in which a child process (manage.py, dramatiq, uvicorn) works on this test's own data.

    The same database, topics and groups are set in this process, so that both see the same.
    """
    from django.db import connection

    name = connection.settings_dict["NAME"]
    names = {
        "KAFKA_OUTBOX_TOPIC": f"{unique_prefix}outbox",
        "KAFKA_SIMPLE_TOPIC": f"{unique_prefix}simple",
        "KAFKA_DLQ_TOPIC": f"{unique_prefix}dlq",
        "KAFKA_CONTROL_TOPIC": f"{unique_prefix}control",
        "KAFKA_CONSUMER_GROUP": f"{unique_prefix}outbox-group",
        "KAFKA_SIMPLE_CONSUMER_GROUP": f"{unique_prefix}simple-group",
    }
    for setting, value in names.items():
        setattr(settings, setting, value)
    database_url = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()
    return {**os.environ, **names, "DATABASE_URL": database_url, "DJANGO_SETTINGS_MODULE": "notifyproj.settings"}


@pytest.fixture
def own_postgres(tmp_path: Path) -> Iterator[Postgres]:
    """Start a PostgreSQL of this test's own, which it may kill."""
    with Postgres(tmp_path / "postgres") as server:
        yield server


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[Valkey]:
    """Start a Valkey of this test's own, which it may kill or flush."""
    with Valkey(tmp_path / "valkey") as server:
        yield server


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[Tansu | ApacheKafka]:
    """Start a broker of this test's own, which it may kill."""
    with make_kafka(tmp_path / "kafka") as server:
        yield server
