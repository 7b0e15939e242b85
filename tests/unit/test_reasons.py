"""Every reason code that the code can give has its words, so that no page falls back to a general sentence."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from deliveries.jobs import REASONS as INPUT_REASONS
from deliveries.reasons import REASONS, describe

CODE = Path(__file__).resolve().parents[2] / "deliveries"
ERRORS = {"SendError", "RenderError"}


def anchor_of(heading: str) -> str:
    """Return the anchor that Markdown hosts give a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def raised_codes() -> set[str]:
    """Return the literal codes with which errors are raised anywhere in the code."""
    found = set()
    for file in CODE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ERRORS):
                continue
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant) and first.value:
                found.add(str(first.value))
    return found


def test_every_code_that_is_raised_has_its_words() -> None:
    codes = raised_codes()

    assert "render_error" in codes
    assert codes - set(REASONS) == set()


@pytest.mark.parametrize("code", sorted(REASONS))
def test_every_reason_says_what_happened_and_what_to_do(code: str) -> None:
    reason = REASONS[code]

    assert reason.title
    assert len(reason.title) <= 40
    assert reason.sentence.endswith(".")
    assert reason.fix
    assert reason.anchor


def test_every_link_into_the_runbook_meets_a_heading() -> None:
    text = (CODE.parent / "docs" / "runbook.md").read_text()
    headings = {anchor_of(line.lstrip("#")) for line in text.splitlines() if line.startswith("#")}
    verdicts = re.findall(r'"([a-z]+(?:-[a-z]+)+)"', (CODE / "admin" / "verdict.py").read_text())

    wanted = {reason.anchor for reason in REASONS.values()} | set(verdicts) | {describe("brand_new").anchor}

    assert "no-sender-is-running" in wanted
    assert wanted - headings == set()


def test_the_reasons_of_unreadable_input_are_among_them() -> None:
    assert set(INPUT_REASONS) <= set(REASONS)


@pytest.mark.parametrize(
    ("code", "title"),
    [
        ("smtp_450", "Mailbox busy (450)"),
        ("smtp_499", "Mail server asks to wait (499)"),
        ("smtp_599", "Refused by the"),
    ],
)
def test_smtp_codes_go_by_number_then_by_class(code: str, title: str) -> None:
    assert describe(code).title.startswith(title)


@pytest.mark.parametrize("code", ["", "brand_new", "smtp_", "smtp_abc"])
def test_an_unknown_code_still_gets_a_sentence(code: str) -> None:
    reason = describe(code)

    assert reason.title
    assert repr(code) in reason.sentence
