"""The house rules that no linter knows: who may import whom, who may write a status, what production installs."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.status_guard import find_status_writes

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("deliveries", "broadcasts", "notifyproj")
MAY_NOT_IMPORT = {"deliveries": {"broadcasts", "notifyproj"}, "broadcasts": {"notifyproj"}, "notifyproj": set[str]()}
PURE = ("deliveries.jobs", "deliveries.retry", "deliveries.channels", "deliveries.senders")
IMPURE = ("django.db", "django.conf", "django.apps", "deliveries.models", "deliveries.lifecycle", "deliveries.ingest")
MANDATED = {
    *("django", "djangorestframework", "django-environ", "psycopg", "kafka-python"),
    *("channels", "channels-redis", "dramatiq", "redis"),
}


def modules(*packages: str) -> Iterator[Path]:
    """Yield each module of the packages, migrations apart."""
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            if "migrations" not in path.parts:
                yield path.relative_to(ROOT)


def module_name(path: Path) -> str:
    """Return the dotted name of a module, of a package for its __init__."""
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def is_in(name: str, packages: tuple[str, ...] | set[str]) -> bool:
    """Say whether a dotted name is one of `packages` or lies within one."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def imported_names(source: str) -> set[str]:
    """Return the dotted names that source text imports anywhere, within functions too."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@cache
def imports_of(path: Path) -> frozenset[str]:
    """Return what a module imports."""
    return frozenset(imported_names((ROOT / path).read_text()))


def test_imports_go_one_way() -> None:
    offences = [
        f"{path} imports {name}"
        for path in modules(*PACKAGES)
        for name in imports_of(path)
        if is_in(name, MAY_NOT_IMPORT[path.parts[0]])
    ]
    assert not offences


def test_the_import_guard_sees_an_import_within_a_function() -> None:
    assert imported_names("def f():\n    from broadcasts.models import Broadcast") == {"broadcasts.models.Broadcast"}
    assert is_in("broadcasts.models.Broadcast", MAY_NOT_IMPORT["deliveries"])
    assert not is_in("broadcasts_helper.x", MAY_NOT_IMPORT["deliveries"])


def test_pure_modules_know_neither_the_orm_nor_settings() -> None:
    pure = [path for path in modules("deliveries") if is_in(module_name(path), PURE)]
    assert pure
    offences = [f"{path} imports {name}" for path in pure for name in imports_of(path) if is_in(name, IMPURE)]
    assert not offences


def test_only_the_demo_starts_embedded_servers() -> None:
    may = ("notifyproj.embedded", "notifyproj.demo")
    users = [
        path for path in modules(*PACKAGES) if any(is_in(name, {"notifyproj.embedded"}) for name in imports_of(path))
    ]
    assert users, "the guard looks for the wrong name"
    assert not [str(path) for path in users if not is_in(module_name(path), may)]


def test_apps_read_settings_and_not_the_environment() -> None:
    offences = [
        f"{path}: {word}"
        for path in modules("deliveries", "broadcasts")
        for word in re.findall(
            r"os\.environ|os\.getenv|import environ|from os import environ", (ROOT / path).read_text()
        )
    ]
    assert not offences


def test_every_module_names_its_room() -> None:
    silent = []
    for path in modules(*PACKAGES):
        tree = ast.parse((ROOT / path).read_text())
        if tree.body and not ast.get_docstring(tree):
            silent.append(str(path))
    assert not silent


def test_only_the_lifecycle_writes_status() -> None:
    offences = [
        f"{path}:{line}: {text}"
        for path in modules(*PACKAGES)
        if not is_in(module_name(path), ("deliveries.lifecycle",))
        for line, text in find_status_writes((ROOT / path).read_text())
    ]
    assert not offences


@pytest.mark.parametrize(
    "source",
    [
        "delivery.status = Status.SENT",
        "self.delivery.status = new",
        "row.status = Status.FAILED if error else Status.SENT",
        "row.status = 'SENT'",
        "setattr(row, 'status', new)",
        "Delivery(job_id=job_id, status=new)",
        "Delivery.objects.create(job_id=job_id)",
        "Delivery.objects.filter(pk=1).update(status=new)",
        "Delivery.objects.filter(pk=1).update(**changes)",
        "Delivery.objects.bulk_update(rows, ['status'])",
        "queryset.filter(tenant=tenant).update(status='CANCELLED')",
        "async def f():\n    await Delivery.objects.abulk_create(rows)",
        "cursor.execute('UPDATE notification_delivery SET status = %s')",
        "cursor.execute('''\n  update\n  notification_delivery d set attempts = 0, status = %s''')",
        "cursor.execute('UPDATE notification_delivery SET (attempts, status) = (1, %s)')",
        "cursor.execute(f'UPDATE notification_delivery SET {changes} WHERE id = 1')",
        "cursor.execute(f'UPDATE {Delivery._meta.db_table} SET status = 1')",
        "cursor.copy('COPY notification_delivery (job_id) FROM STDIN')",
        "SQL = 'WITH due AS (SELECT 1) INSERT INTO \"notification_delivery\" SELECT * FROM staging'",
    ],
)
def test_the_status_guard_convicts(source: str) -> None:
    assert find_status_writes(source)


@pytest.mark.parametrize(
    "source",
    [
        "if delivery.status == Status.SENT: pass",
        "response.status = 200",
        "Broadcast.objects.filter(pk=1).update(status='sending')",
        "Delivery.objects.filter(status=Status.SENT).count()",
        "Delivery.objects.filter(pk=1).update(acknowledged_at=now)",
        "cursor.execute('SELECT status FROM notification_delivery WHERE id = %s FOR UPDATE')",
        "cursor.execute('UPDATE notification_delivery SET acknowledged_at = now() WHERE status = %s')",
        "cursor.execute('UPDATE notification_delivery_attempt SET error = %s')",
        "cursor.execute('UPDATE deliveries_lane SET paused = true')",
    ],
)
def test_the_status_guard_acquits(source: str) -> None:
    assert not find_status_writes(source)


def locked(file: str) -> dict[str, str]:
    """Return the pinned packages of a lock, each with the text of its entry."""
    entries = re.split(r"\n(?=[a-z0-9])", (ROOT / file).read_text())
    return {match[1]: entry for entry in entries if (match := re.match(r"([a-z0-9._-]+)(?:\[[^]]*\])?==", entry))}


def asked_for(file: str) -> set[str]:
    """Return the package names that a requirements*.in file asks for itself."""
    lines = (ROOT / file).read_text().splitlines()
    return {match[0].lower() for line in lines if (match := re.match(r"[A-Za-z0-9._-]+", line)) and line[0] not in "#-"}


def test_production_installs_what_is_mandated_and_nothing_for_developers() -> None:
    production = locked("requirements.txt")
    assert production.keys() >= MANDATED
    assert not production.keys() & (asked_for("requirements-dev.in") - asked_for("requirements.in"))
    assert locked("requirements-dev.txt").keys() > production.keys()


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-dev.txt"])
def test_every_pinned_package_has_its_hashes(file: str) -> None:
    entries = locked(file)
    assert len(entries) > 20
    assert [name for name, entry in entries.items() if "--hash=sha256:" not in entry] == []
    assert "://" not in (ROOT / file).read_text(), "a lock names no registry"
