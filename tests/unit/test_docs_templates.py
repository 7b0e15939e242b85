"""docs/templates.md says what the code does: parts, filters, tags, types, limits, and its examples render."""

from __future__ import annotations

import re
from pathlib import Path

from deliveries.rendering import PARTS, TYPES, ContentSource, Frame, context_of, render
from deliveries.rendering.bounds import MAX_DEPTH, MAX_ELEMENTS, MAX_INLINED
from deliveries.rendering.engine import FUEL, MAX_STEP_WORK
from deliveries.rendering.filters import NAMES, SAFE_LINKS
from deliveries.rendering.language import MAX_SOURCE_CHARACTERS, MAX_TAGS, MAX_WORDS, TAGS
from deliveries.rendering.names import contact_of
from deliveries.rendering.publishing import PLAUSIBLE_INNER_ITEMS, PLAUSIBLE_ITEMS, SAMPLE_CONTACT

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "templates.md").read_text()


def section(title: str) -> str:
    return re.split(r"\n## ", PAGE.partition(f"\n## {title}\n")[2])[0]


def names_in_table(text: str) -> list[str]:
    """Return what the first cells of a table name in code."""
    rows = re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`(\w+)`", row)]


def test_every_part_is_described_once() -> None:
    assert sorted(names_in_table(section("Parts"))) == sorted(PARTS)


def test_every_filter_is_described_once() -> None:
    assert sorted(names_in_table(section("Language"))) == sorted(NAMES)


def test_every_type_is_described_once() -> None:
    assert sorted(names_in_table(section("Variables"))) == sorted(TYPES)


def test_tags_and_names_are_named() -> None:
    language = section("Language")
    assert set(re.findall(r"\{% (\w+)", language)) == TAGS
    person = type("Person", (), {**SAMPLE_CONTACT, "attributes": {}})()
    for name in contact_of(person, user_id="x"):
        assert f"`{name}`" in language
    for link in SAFE_LINKS:
        assert f"`{link}" in language


def test_the_limits_are_the_code_s() -> None:
    refused = section("What publishing refuses")
    assert f"{FUEL:,} steps" in refused
    assert f"(items, two characters each) are at most\n  {MAX_STEP_WORK:,}" in refused
    assert f"every list {PLAUSIBLE_ITEMS} items long and lists inside them {PLAUSIBLE_INNER_ITEMS}" in refused
    assert f"{MAX_SOURCE_CHARACTERS:,} characters, with more than {MAX_TAGS:,} tags" in refused
    assert f"a tag of more than {MAX_WORDS} words" in refused
    assert f"more than {MAX_ELEMENTS:,} elements" in refused
    assert f"more than {MAX_DEPTH} inside each other" in refused
    assert f"more than {MAX_INLINED:,}" in refused


def test_the_table_of_the_page_repeats_its_row() -> None:
    [example] = re.findall(r"```\n(.*?)```", section("Markdown"), re.DOTALL)
    source = ContentSource("s", body_format="markdown", markdown=example, frame=Frame(html="{{ body }}"))
    items = [{"name": "Fern", "count": 1}, {"name": "Olive", "count": 2}]
    content = render(source, context_of({"items": items}, contact={}, tenant={}))
    assert content.html.count("<tr>") == 3
    assert "Olive  2" in content.text
