"""The documentation is complete and true where a machine can tell: settings, commands, statuses, words, reasons, links.

A page that lags behind the code fails here; `make docs` runs all tests that have "docs" in their name.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings

from deliveries import lifecycle
from deliveries.admin.runbook import anchor_of
from deliveries.channels import Outcome, Status
from deliveries.jobs import REASONS as INPUT_REASONS
from deliveries.models import Delivery, OutboxPosition
from deliveries.realtime.protocol import Close, Code, Resync
from deliveries.reasons import REASONS, describe
from deliveries.workers.registry import find_workers

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PACKAGES = ("deliveries", "broadcasts", "notifyproj")
PAGES = sorted([*DOCS.rglob("*.md"), ROOT / "CHANGELOG.md", *ROOT.glob("README.md")])
WORDS = (
    "job", "delivery", "attempt", "channel", "sender", "provider", "contact", "audience", "broadcast", "fan-out", "claim", "lease",
    "settle", "hint", "lane", "hold", "topic", "dead letter", "replay", "acknowledge", "suppressed", "idempotency key", "tenant",
    "credentials", "chain", "breaker", "device", "endpoint", "segment", "notice", "suppression", "unsubscribe", "category", "preferences",
)  # fmt: skip
METRICS = (
    "messages_consumed", "messages_sent", "messages_failed", "messages_retried", "avg_processing_time_ms", "uptime_seconds",
    "ai_worker_jobs_total", "ai_worker_stage_avg_ms", "notify_deliveries_total", "notify_send_duration_seconds",
    "notify_ingest_lag_seconds", "notify_kafka_consumer_lag", "notify_due_backlog", "notify_ws_connections", "notify_breaker_state",
)  # fmt: skip


@cache
def page(name: str) -> str:
    """Return a page of docs/."""
    return (DOCS / name).read_text()


@cache
def source(*packages: str) -> str:
    """Return the whole source of packages, for looking a name up."""
    paths = [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]
    return "\n".join(path.read_text() for path in paths if "migrations" not in path.parts)


def first_cells(text: str) -> list[str]:
    """Return the code word that begins each table row."""
    return re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)


def anchors(path: Path) -> set[str]:
    """Return the anchors of a page's headings."""
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    return {anchor_of(heading) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}


# --- Settings ---------------------------------------------------------------------------------------------------------


def environment_calls() -> dict[str, ast.expr | None]:
    """Return each variable that settings.py reads, with the expression of its default."""
    found: dict[str, ast.expr | None] = {}
    for node in ast.walk(ast.parse((ROOT / "notifyproj/settings.py").read_text())):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
            continue
        of_env = isinstance(node.func.value, ast.Name) and node.func.value.id == "env"
        if of_env and isinstance(name := getattr(node.args[0], "value", None), str):
            named = [keyword.value for keyword in node.keywords if keyword.arg == "default"]
            found[name] = next(iter([*named, *node.args[1:2]]), None)
    return found


def as_written(value: Any) -> str:
    """Return a default as somebody would write it in the environment."""
    match value:
        case "" | []:
            return "(empty)"
        case bool():
            return str(int(value))
        case float():
            return f"{value:g}"
        case list():
            return ",".join(map(as_written, value))
        case dict() if value:
            return ",".join(f"{name}={each}" for name, each in value.items())
        case _:
            return str(value)


def documented_settings() -> dict[str, str]:
    """Return each documented variable with the default that the page gives."""
    rows = re.findall(r"^\| `([A-Z0-9_]+)` \| ([^|]+) \| [^|]+ \| [^|]+ \|$", page("configuration.md"), re.MULTILINE)
    assert len(rows) == len(dict(rows)), "a setting has two rows"
    return {name: default.strip().strip("`") for name, default in rows}


def test_docs_have_a_row_for_every_setting_and_no_other() -> None:
    assert documented_settings().keys() == environment_calls().keys()


def test_docs_give_every_setting_s_default() -> None:
    documented = documented_settings()
    literal = {}
    for name, default in environment_calls().items():
        try:
            literal[name] = ast.literal_eval(default) if default is not None else None
        except ValueError:
            continue  # made of other settings; the page says it in words
    assert len(literal) > 70
    wrong = {
        name: documented[name]
        for name, value in literal.items()
        if documented[name] not in (as_written(value), {"{}": "(empty)"}.get(as_written(value)))
    }
    assert not wrong


def test_every_documented_setting_does_something() -> None:
    read_by_django = {name for name in documented_settings() if hasattr(django_settings, name)}
    used = source("deliveries", "broadcasts", "notifyproj")
    once = {name for name in read_by_django if len(re.findall(rf"\b{name}\b", used)) <= 2}
    of_django = {
        *("ALLOWED_HOSTS", "CSRF_TRUSTED_ORIGINS", "SECURE_SSL_REDIRECT", "SECURE_HSTS_SECONDS", "TIME_ZONE"),
        *("SECURE_HSTS_INCLUDE_SUBDOMAINS", "SECURE_HSTS_PRELOAD"),
    }
    assert once <= of_django


# --- Commands, processes, metrics ---------------------------------------------------------------------------------------


def project_commands() -> set[str]:
    """Return the names of the project's own management commands."""
    folders = [path for package in PACKAGES for path in (ROOT / package).rglob("management/commands")]
    return {path.stem for folder in folders for path in folder.glob("*.py") if path.stem != "__init__"}


def test_docs_name_every_command_and_no_other_of_ours() -> None:
    documented = set(re.findall(r"^\| `manage\.py (\w+)", page("operations.md"), re.MULTILINE))
    of_django = {"migrate", "createsuperuser", "check", "collectstatic"}
    assert documented == project_commands() | of_django


def test_docs_name_every_periodic_worker() -> None:
    import broadcasts.periodic_workers  # noqa: F401
    import deliveries.periodic_workers  # noqa: F401  (both register theirs)

    missing = [worker.name for worker in find_workers() if f"`{worker.name}`" not in page("operations.md")]
    assert not missing


def test_docs_name_the_options_of_every_command() -> None:
    folder = ROOT / "deliveries/management/commands"
    given = {
        (path.stem, option)
        for path in folder.glob("*.py")
        for option in re.findall(r'add_argument\(\s*"(--[\w-]+)"', path.read_text())
    }
    assert given
    rows = dict(re.findall(r"^\| `manage\.py (\w+)([^\n]+)$", page("operations.md"), re.MULTILINE))
    assert not [(command, option) for command, option in given if option not in rows[command]]


def test_docs_start_processes_as_compose_does() -> None:
    compose = (ROOT / "compose.yaml").read_text().replace("${KAFKA_SIMPLE_TOPIC:-notifications}", "notifications")
    for command in (
        "dramatiq notifyproj.broker --processes 2 --threads 2",
        "python manage.py run_worker",
        "python manage.py consume_outbox",
        "python manage.py consume_outbox --topic notifications",
    ):
        assert command in page("operations.md")
        assert ", ".join(f'"{word}"' for word in command.split()) in compose


def test_docs_name_every_metric_that_exists() -> None:
    exist = [name for name in METRICS if name in source(*PACKAGES)]
    assert exist
    assert not [name for name in exist if name not in page("operations.md")]


# --- State machine, indexes, words -------------------------------------------------------------------------------------


def test_docs_describe_every_status_and_outcome() -> None:
    text = page("state-machine.md")
    rows = set(re.findall(r"^\| ([A-Z]+) \|", text, re.MULTILINE))
    assert {status.value for status in Status} <= rows
    assert not [outcome for outcome in Outcome if outcome and f"`{outcome.value}`" not in text]


def test_docs_name_every_function_that_writes_a_status() -> None:
    functions = [name for name in lifecycle.__all__ if inspect.isfunction(getattr(lifecycle, name))]
    assert len(functions) > 10
    assert not [name for name in functions if f"`{name}`" not in page("state-machine.md")]


def test_docs_list_the_delivery_s_constraints_and_indexes() -> None:
    constraints = {constraint.name for constraint in Delivery._meta.constraints}
    assert {name for name in first_cells(page("state-machine.md")) if name.startswith("delivery_")} == constraints
    indexes = {index.name for index in Delivery._meta.indexes}
    assert {name for name in first_cells(page("architecture.md")) if name.startswith("delivery_")} == indexes


def test_docs_state_diagram_has_no_transition_that_the_table_lacks() -> None:
    text = page("state-machine.md")
    drawn = {(a.strip("[*] ") or "(new)", b) for a, b in re.findall(r"^\s+(\S+) --> (\w+):", text, re.MULTILINE)}
    rows = re.findall(r"^\| ([\w(), ]+) \| ([A-Z]+) \| `", text, re.MULTILINE)
    listed = {(start.strip(), end) for starts, end in rows for start in starts.split(",")}
    assert drawn == listed
    assert {end for _start, end in drawn} == {status.value for status in Status}


@pytest.mark.parametrize("word", WORDS)
def test_docs_glossary_has_each_word_once(word: str) -> None:
    assert len(re.findall(rf"^\| \*{re.escape(word)}\* \|", page("glossary.md"), re.MULTILINE)) == 1


def test_docs_realtime_lists_every_code() -> None:
    text = page("realtime.md")
    assert not [code for code in Code if f"`{code.value}`" not in text]
    assert not [close for close in Close if not re.search(rf"^\| {close.value} \|", text, re.MULTILINE)]
    assert not [reason for reason in Resync if f"`{reason.value}`" not in text]


# --- Reasons and the runbook -------------------------------------------------------------------------------------------


def reason_rows(codes: Iterator[str]) -> list[str]:
    """Return the rows of docs/bad-input.md for these codes; after a change paste what the failing test shows."""
    return [f"| `{code}` | {REASONS[code].sentence} | {REASONS[code].fix} |" for code in codes]


def test_docs_bad_input_lists_every_reason_as_the_admin_words_it() -> None:
    _head, _, rest = page("bad-input.md").partition("## Reasons of rejected input")
    listed = [line for line in rest.splitlines() if line.startswith("| `")]
    others = (code for code in REASONS if code not in INPUT_REASONS)
    assert listed == [*reason_rows(iter(INPUT_REASONS)), *reason_rows(others)]


def codes_in_code() -> Iterator[tuple[str, str]]:
    """Yield each reason code that a module writes as a literal, with the module."""
    calls = {"SendError": 0, "RenderError": 0, "InvalidJob": 0, "Verdict": 1, "_broken": 0, "_invalid": 0}
    for path in sorted((ROOT / "deliveries").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            name = getattr(getattr(node, "func", None), "id", getattr(getattr(node, "func", None), "attr", ""))
            if isinstance(node, ast.Call) and name in calls and len(node.args) > calls[name]:
                code = getattr(node.args[calls[name]], "value", None)
                if isinstance(code, str) and re.fullmatch(r"[a-z_0-9]+", code):
                    yield code, str(path.relative_to(ROOT))
    start = (ROOT / "deliveries/lifecycle/start.py").read_text()
    yield from ((code, "start.py") for code in re.findall(r"THEN '([a-z_]+)'$", start, re.MULTILINE) if code != "held")


def test_every_reason_in_the_code_is_described() -> None:
    codes = {(code, where) for code, where in codes_in_code() if "admin" not in where}
    assert len(codes) > 40
    assert not {(code, where) for code, where in codes if code not in REASONS}


def anchors_in_use() -> set[str]:
    """Return every runbook heading that the product leads to."""
    numbered = [f"smtp_{reply}" for reply in (421, 450, 499, 530, 550, 599)]
    numbered += [f"http_{status}" for status in (404, 429, 503)]
    codes = [*REASONS, *numbered, "nobody_wrote_this_down"]
    written = set(re.findall(r'anchor="([a-z-]+)"', source("deliveries")))
    late = set(re.findall(r'else "([a-z-]+)"', (ROOT / "deliveries/admin/verdict.py").read_text()))
    return written | {one for one in late if "-" in one} | {describe(code).anchor for code in codes}


def test_docs_runbook_has_every_heading_that_the_product_leads_to() -> None:
    used = anchors_in_use()
    assert {"unaccounted-is-above-zero", "a-channel-is-behind", "other-causes"} <= used
    assert used <= anchors(DOCS / "runbook.md")


def test_docs_runbook_names_each_reason_under_the_heading_that_it_leads_to() -> None:
    sections = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", page("runbook.md"), re.MULTILINE | re.DOTALL))
    by_anchor = {anchor_of(heading): text for heading, text in sections.items()}
    special = {reason for reason in REASONS.values() if reason.code not in INPUT_REASONS}
    assert not [reason.code for reason in special if f"`{reason.code}`" not in by_anchor[reason.anchor]]


# --- Links, paths, decisions --------------------------------------------------------------------------------------------


def links() -> Iterator[tuple[Path, str]]:
    """Yield every relative link and image of the pages."""
    for path in PAGES:
        text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if not re.match(r"[a-z]+:", target):
                yield path, target


def test_every_link_in_the_docs_leads_somewhere() -> None:
    broken = []
    for path, target in links():
        file, _, anchor = target.partition("#")
        goal = (path.parent / file).resolve() if file else path
        if not goal.exists() or (anchor and anchor not in anchors(goal)):
            broken.append(f"{path.relative_to(ROOT)}: {target}")
    assert not broken


def test_docs_that_the_code_refers_to_exist() -> None:
    named = re.findall(r'(docs/[\w-]+\.md)(?:, "?([A-Z]\w+)"?)?', source(*PACKAGES))
    assert named
    missing = [name for name, heading in named if not (ROOT / name).exists()]
    lacking = [(n, h) for n, h in named if n not in missing and h and anchor_of(h) not in anchors(ROOT / n)]
    assert not missing and not lacking


def test_docs_hold_no_path_of_one_machine() -> None:
    absolute = re.compile(r"(?<![\w.:/}])/(?:home|root|work|Users|tmp|mnt|opt/\w+/work)/")
    assert not [str(path.relative_to(ROOT)) for path in PAGES if absolute.search(path.read_text())]


def test_every_decision_in_the_docs_says_context_choice_and_cost() -> None:
    decisions = sorted((DOCS / "decisions").glob("*.md"))
    assert [int(path.name[:4]) for path in decisions] == list(range(1, len(decisions) + 1))
    for path in decisions:
        assert re.match(rf"# {path.name[:4]}: ", path.read_text()), path.name
        assert re.findall(r"^## (\w+)$", path.read_text(), re.MULTILINE) == ["Context", "Choice", "Cost"], path.name


def test_the_docs_checks_see_what_they_look_for() -> None:
    assert OutboxPosition._meta.get_field("lost")  # the runbook's SQL names it; tests/app runs that SQL
    assert as_written([1.0, 3.0]) == "1,3" and as_written(False) == "0" and as_written({"a": "b"}) == "a=b"
    assert anchor_of("The mail server is away, or slow") == "the-mail-server-is-away-or-slow"
    assert first_cells("| `one` | x |\n| two | y |") == ["one"]
