"""The quick way gives what the engine gives, or leaves the message to it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliveries.rendering import ContentSource, RenderError, context_of, messages, render
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
        "{# note #}", "{% if a %}{% for x in items %}{{ a }}{% endfor %}{% else %}no{% endif %}", "{{ loop }}", "{{ missing }}",
        "<a href='{{ a }}'>",
    ]
)  # fmt: skip
SOURCES = st.lists(st.one_of(WORDS, TAGS), max_size=6).map("".join)
DATA = st.fixed_dictionaries(
    {}, optional={"a": VALUES, "b": VALUES, "c": VALUES, "items": VALUES, "contact": VALUES, "": VALUES}
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
