"""The quick way gives what the engine gives, or leaves the message to it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliveries.rendering import ContentSource, RenderError, context_of, messages, render
from deliveries.rendering.quick import Plan
from deliveries.senders.base import Content

WORDS = st.text(alphabet="aé{}%<&'\"/ \n", max_size=6)
VALUES = st.one_of(
    st.text(max_size=8), st.text(alphabet="<>&\"'/\0\ud800", max_size=4), st.integers(), st.booleans(), st.none(),
    st.floats(allow_nan=False), st.lists(st.text(max_size=3), max_size=3), st.dictionaries(st.just("b"), st.text(max_size=3)),
    st.just("x" * 5000), st.just("https://x.example/"), st.just("javascript:x"),
)  # fmt: skip
TAGS = st.sampled_from(
    [
        "{{ a }}", "{{ a.b }}", "{{ data.a }}", "{{ c|default('none <b>') }}", "{{ a.b|default('x') }}", "{{ contact.name }}",
        "{{ contact.attributes.plan }}", "{{- a -}}", "{{ a|upper }}", "{{ 'lit' }}", "{{ true }}", "{{ a if c else b }}",
        "{% if a %}yes {{ b }}{% endif %}", "{% for x in items %}{{ x }},{{ loop.index }}{% endfor %}", "{% set a = b %}",
        "{% set who = 'Boss' %}Hi {{ who }}", "{% if who %}for {{ who }}{% endif %}", "{{ who|default('x')|upper }}",
        "{# note #}", "{% if a %}{% for x in items %}{{ a }}{% endfor %}{% else %}no{% endif %}", "{{ loop }}", "{{ missing }}",
        "<a href='{{ a }}'>",
    ]
)  # fmt: skip
SOURCES = st.lists(st.one_of(WORDS, TAGS), max_size=6).map("".join)
DATA = st.fixed_dictionaries(
    {},
    optional={
        "who": st.text(max_size=3),
        "a": VALUES,
        "b": VALUES,
        "c": VALUES,
        "items": VALUES,
        "contact": VALUES,
        "": VALUES,
    },
)
ANA = {"name": "Ana <3", "attributes": {"plan": "plus"}}


def outcome(source: ContentSource, data: dict[str, Any]) -> Content | tuple[str, str, Any]:
    try:
        return render(source, context_of(data, contact=ANA, tenant={"name": "J"}))
    except RenderError as error:
        return error.code, error.message, (error.part, error.line, error.column)


@given(subject=SOURCES, text=SOURCES, html=SOURCES, data=DATA)
def test_both_ways_give_the_same(subject: str, text: str, html: str, data: dict[str, Any]) -> None:
    source = ContentSource(subject, text or "t", html)
    quick = outcome(source, data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(messages, "plan_of", lambda parts: None)
        slow = outcome(ContentSource(subject, text or "t", html), data)
    assert quick == slow


@pytest.mark.parametrize("way", ["quick", "slow"])
def test_a_value_in_many_places_is_cut_at_the_limit(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if way == "slow":
        monkeypatch.setattr(messages, "plan_of", lambda parts: None)
    assert outcome(ContentSource("s", "{{ a }}" * 400), {"a": "x" * 4000})[0] == "too_large"  # type: ignore[index]


def test_an_ordinary_message_takes_the_quick_way(monkeypatch: pytest.MonkeyPatch) -> None:
    source = ContentSource(
        "{{ a }}", body_format="markdown", markdown="Hi {{ contact.name }}, {{ a }}\n\n[x]({{ link }})"
    )
    render(source, context_of({"a": "1", "link": "https://x"}, contact=ANA, tenant={"name": "J"}))
    monkeypatch.setattr(messages, "engine", None)
    render(source, context_of({"a": "2", "link": "https://x"}, contact=ANA, tenant={"name": "J"}))


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("{% if a %}yes{% endif %} and {% for x in items %}{{ x }},{% endfor %}", "<p>{{ a }}</p>"),
        ("{{ a|upper }} {{- a -}}", "<p>{% if a %}<b>{{ a }}</b>{% endif %}</p>{{ a|lower }}{{ items|join }}"),
    ],
)
def test_a_message_of_many_blocks_takes_the_quick_way(text: str, html: str, monkeypatch: pytest.MonkeyPatch) -> None:
    filled: list[list[str]] = []
    fill = Plan.fill

    def noted(plan: Plan, context: Any) -> list[str]:
        filled.append(fill(plan, context))
        return filled[-1]

    data = {"a": "Ab&", "items": ["x", "y"]}
    source = ContentSource("For {{ a|lower }}{% if a %}!{% endif %}", text, html)
    monkeypatch.setattr(Plan, "fill", noted)
    quick = outcome(source, data)
    assert len(filled) == 1
    monkeypatch.setattr(messages, "plan_of", lambda parts: None)
    assert quick == outcome(ContentSource("For {{ a|lower }}{% if a %}!{% endif %}", text, html), data)
    assert len(filled) == 1


def test_what_one_part_sets_is_unknown_to_the_others() -> None:
    source = ContentSource('{% set who = "Boss" %}Hi {{ who }}', "Hello {% if who %}{{ who }}{% endif %}")
    made = outcome(source, {"who": "Ana"})
    assert isinstance(made, Content)
    assert (made.subject, made.text) == ("Hi Boss", "Hello Ana")
