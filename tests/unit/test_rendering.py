"""Rendering: strict, escaped where it must be, and bounded whatever the template and the data are."""

from __future__ import annotations

import itertools
import threading
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from deliveries.rendering import (
    ContentSource,
    RenderError,
    context_of,
    example_data,
    render,
    render_inline,
    template_check,
)
from deliveries.rendering.filters import NAMES
from deliveries.senders.base import Content

ANA = {"name": "Ana", "email": "ana@example.org", "attributes": {"plan": "pro"}}
ACME = {"name": "Acme", "slug": "acme"}


def text_of(source: str, **data: Any) -> str:
    return render(ContentSource("s", source), context_of(data, contact=ANA, tenant=ACME)).text


def html_of(source: str, **data: Any) -> str:
    return render(ContentSource("s", "t", html=source), context_of(data, contact=ANA, tenant=ACME)).html


def refusal(source: str, **data: Any) -> RenderError:
    with pytest.raises(RenderError) as caught:
        text_of(source, **data)
    return caught.value


def test_data_contact_and_tenant_fill_all_four_parts() -> None:
    source = ContentSource(
        "Order {{ order.id }}",
        "Dear {{ contact.name }} ({{ contact.attributes.plan }})\n",
        "<b>{{ data.order.id }}</b> {{ tenant.name }}",
        "https://shop.example/{{ order.id|urlencode }}",
    )
    content = render(source, context_of({"order": {"id": "7/8"}}, contact=ANA, tenant=ACME))
    assert content == Content("Order 7/8", "Dear Ana (pro)\n", "<b>7&#x2f;8</b> Acme", "https://shop.example/7%2F8")


def test_a_key_of_the_data_cannot_take_the_place_of_the_contact() -> None:
    assert text_of("{{ contact.name }} {{ data.contact }}", contact="x") == "Ana x"


def test_only_the_html_part_escapes() -> None:
    script = "<script>alert('1')</script>"
    assert "<script" not in html_of("<p>{{ word }}</p>", word=script)
    assert html_of("<a title='{{ word }}'>", word="' onclick='x") == "<a title='&#x27; onclick=&#x27;x'>"
    assert text_of("{{ word }}", word=script) == script


def test_filters_escape_what_they_return() -> None:
    assert html_of("{{ word|upper }}{{ list|join('<br>') }}", word="<b>", list=["<i>"]) == "&lt;B&gt;&lt;i&gt;"


@pytest.mark.parametrize(
    ("source", "data", "made"),
    [
        ("{% for item in items %}{{ loop.index }}. {{ item.n }}\n{% endfor %}", {"items": [{"n": "a"}]}, "1. a\n"),
        ("{% if plan in ['pro', 'team'] and n > 2 %}yes{% else %}no{% endif %}", {"plan": "pro", "n": 3}, "yes"),
        ("{% set who = contact.name|default('you') %}{{ who|upper }}", {}, "ANA"),
        ("{{ missing|default('there') }} {{ data.deep|default('x') }}", {}, "there x"),
        ("{% if missing is defined %}a{% else %}b{% endif %}{% if not n is odd %}!{% endif %}", {"n": 2}, "b!"),
        ("{{ n + 1 }} {{ n / 8 }} {{ -n }} {{ f }} {{ yes }}", {"n": 4, "f": 2.5, "yes": True}, "5 0.5 -4 2.5 True"),
        ("{{ sum|money }} {{ items|sum('n') }} {{ items|length }}", {"sum": 1.5, "items": [{"n": 2}]}, "1.50 2 1"),
        ("{{ names|sort|join(', ') }} {{ names|first }}", {"names": ["b", "a"]}, "a, b b"),
        ("{% for key, value in data.map|items %}{{ key }}={{ value }}{% endfor %}", {"map": {"a": 1}}, "a=1"),
        ("{{ 'long word'|truncate(4) }} {{ a['x y'][0] }}", {"a": {"x y": ["z"]}}, "long… z"),
        ("{#- a {{ comment }} -#}{{- n -}} {{ '}}' }}", {"n": 1}, "1}}"),
        ("css { color: red } {} {{ '{{' }}", {}, "css { color: red } {} {{"),
    ],
)
def test_what_authors_write_works(source: str, data: dict[str, Any], made: str) -> None:
    assert template_check(source) == []
    assert text_of(source, **data) == made


@pytest.mark.parametrize(
    ("source", "data"),
    [
        ("Hello {{ first_name }}", {}),
        ("Hello {{ user.first_name }}", {"user": {}}),
        ("Hello {{ first_name }}", {"first_name": None}),
        ("{{ missing|upper }}", {}),
        ("{% for x in missing %}x{% endfor %}", {}),
        ("{{ items }}", {"items": [1]}),
    ],
)
def test_a_missing_or_unprintable_value_sends_nothing(source: str, data: dict[str, Any]) -> None:
    assert refusal(source, **data).code == "render_error"


def test_an_error_names_the_part_the_line_and_the_text_there() -> None:
    error = refusal("é\nDear {{ first_name }}")
    assert (error.line, error.column, error.part) == (2, 9, "text")
    assert "text, line 2, column 9: Dear {{ first_name }}" in error.message


@pytest.mark.parametrize(
    "source",
    [
        "{{ contact.__class__ }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ contact.name.upper() }}",
        "{{ data.items() }}",
        "{{ [].append(1) }}",
        "{{ debug() }}",
        "{{ range(9) }}",
        "{{ loop.cycle('a') }}",
        "{% for x in data recursive %}{{ loop(x) }}{% endfor %}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% include 'x' %}",
        "{% extends 'x' %}",
        "{% import 'x' as y %}",
        "{% set a %}x{% endset %}",
        "{% filter upper %}x{% endfilter %}",
        "{% raw %}{{ x }}{% endraw %}",
        "{% autoescape false %}{{ x }}{% endautoescape %}",
        "{{ x|safe }}",
        "{{ x|tojson }}",
        "{{ 'x' * 999999999 }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ 'a' ~ 'b' }}",
        "{% set a = a + a %}",
        "{% for b in a + a %}{% endfor %}",
        "{% for b in [a, a] %}{% endfor %}",
        "{% for b in (a, a) %}{% endfor %}",
        "{% for b in a, a %}{% endfor %}",
        "{{ {'a': 1} }}",
        "{{ [['a']] }}",
        "{{ [a|upper] }}",
        "{{ (a)(1) }}",
        "{{ a[0](1) }}",
        "{{ a is defined.b(1) }}",
        "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
        "x" * 300_000,
    ],
)
def test_a_word_outside_the_language_is_refused_when_saved_and_when_rendered(source: str) -> None:
    assert template_check(source)
    assert refusal(source + "{{ data }}", a="x").code == "render_error"


@pytest.mark.parametrize(
    ("source", "line", "column"),
    [
        ("one\n  {{ name", 2, 3),
        ("one\n\n{% if x %}", 3, 9),
        ("é {{ a|nope }}", 1, 8),
        ("{% unless x %}", 1, 1),
        ("a\n{# never ends", 2, 1),
        ("{{ 'open }}", 1, 4),
    ],
)
def test_a_problem_says_its_line_and_column(source: str, line: int, column: int) -> None:
    problem = template_check(source)[0]
    assert (problem.line, problem.column) == (line, column)


def test_every_problem_of_a_source_is_listed() -> None:
    assert [problem.line for problem in template_check("{{ a|nope }}\n{{ b }}\n{% nope %}\n{{ a ~ b }}")] == [1, 3, 4]


MANY = "{% for a in list %}{% for b in list %}{% for c in list %}"
ENDS = "{% endfor %}{% endfor %}{% endfor %}"
LONG = ["x" * 200] * 1000


@pytest.mark.parametrize(
    ("source", "code"),
    [
        (MANY + "x" + ENDS, "render_error"),
        (MANY + "y" * 100_000 + ENDS, "render_error"),
        (MANY + ENDS, "render_error"),
        (MANY + "{{ a }}{{ b }}" + ENDS, "too_large"),
        (MANY + "{{ a|upper }}" + ENDS, "too_large"),
        (MANY + "{% set x = list|sort %}" + ENDS, "too_large"),
        (MANY + "{% set x = list|join(a) %}" + ENDS, "too_large"),
        ("{{ 'xxxxxxxx'" + "|replace('x', 'xxxxxxxx')" * 40 + " }}", "too_large"),
        ("{{ big }}" * 40, "too_large"),
        ("{{ big + big + big + big + big + big }}", "too_large"),
    ],
)
def test_a_template_that_never_ends_or_inflates_is_cut(source: str, code: str) -> None:
    assert refusal(source, list=LONG, big="x" * 200_000).code == code


def test_a_loop_is_cut_by_the_bytes_it_prints_and_not_by_its_steps_alone() -> None:
    # 50,000 steps of 100 KB each would be 5 GB before anybody could look at the result.
    assert "too many steps" in refusal("{% for a in list %}" + "y" * 100_000 + "{% endfor %}", list=LONG).message


def test_more_than_a_mebibyte_is_too_large_over_all_parts_and_in_bytes() -> None:
    half = "é" * (200 * 1024)
    content = ContentSource("s", half, html=half)
    assert len(render(content, {}).text) == len(half)
    with pytest.raises(RenderError) as caught:
        render(ContentSource("s", half, html=half, action_url="/" + half), {})
    assert caught.value.code == "too_large"
    with pytest.raises(RenderError) as caught:
        render_inline("title", "x" * (1024 * 1024))
    assert caught.value.code == "too_large"


@pytest.mark.parametrize("name", ["a\r\nBcc: x@example.org", "a\nb", "a\rb", "a\x0bb", "a\u2028b", "a\n"])
def test_a_line_break_in_the_subject_is_header_injection(name: str) -> None:
    with pytest.raises(RenderError) as caught:
        render(ContentSource("Hi {{ name }}", "t"), {"name": name})
    assert caught.value.code == "header_injection"
    with pytest.raises(RenderError) as caught:
        render_inline(name, "t")
    assert caught.value.code == "header_injection"


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", " JaVaScRiPt:x", "x"])
def test_a_link_that_is_no_web_address_is_refused(url: str) -> None:
    with pytest.raises(RenderError, match="action_url"):
        render(ContentSource("s", "t", action_url="{{ url }}"), {"url": url})


def test_inline_words_are_no_template() -> None:
    assert render_inline("{{ a }}", "{% x %} <b>") == Content(subject="{{ a }}", text="{% x %} <b>", html="")


@pytest.mark.parametrize(
    "value",
    [datetime(2025, 1, 1, tzinfo=UTC), Decimal(1), object(), {1, 2}, {1: "a"}, 2**64, lambda: 1, b"x", [[object()]]],
)
def test_only_what_json_holds_is_passed_to_a_template(value: Any) -> None:
    assert refusal("x {{ value }}", value=value).code == "render_error"


def test_data_nested_too_deep_is_refused() -> None:
    value: Any = 1
    for _ in range(40):
        value = [value]
    assert "nested" in refusal("{{ value[0] }}", value=value).message


VALUES = (None, "", "word", 3, 2.5, True, [], ["a"], [1, "a"], [{}], [[]], {}, {"a": 1})
ARGUMENTS = ("", "('x')", "(3)", "(-1)", "(9999999999)", "('', '')", "(nope=1)", "(none)")


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_filter_returns_or_says_why_for_any_value(name: str) -> None:
    for value, arguments in itertools.product(VALUES, ARGUMENTS):
        try:
            text_of("{{ value|" + name + arguments + "|default('') }}", value=value)
        except RenderError as error:
            assert error.code == "render_error"


def test_threads_render_side_by_side() -> None:
    wrong: list[str] = []

    def work(number: int) -> None:
        for turn in range(300):
            expected = f"{number}:{turn % 7} Ana"
            made = text_of("{{ n }}:" + str(turn % 7) + " {{ contact.name }}", n=number)
            if made != expected:
                wrong.append(made)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_compiled_templates_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deliveries.rendering.engine.MAX_COMPILED", 3)
    assert [text_of("{{ n }} v" + str(version % 5), n=version) for version in range(20)] == [
        f"{version} v{version % 5}" for version in range(20)
    ]


@pytest.mark.parametrize("part", ["subject", "text", "html", "action_url"])
@pytest.mark.parametrize(("source", "data"), [('{{ "\\u0000" }}', {}), ("{{ x }}", {"x": "\0"}), ("\0", {})])
def test_a_nul_is_refused_in_every_part(part: str, source: str, data: dict[str, Any]) -> None:
    """A mail could carry it; a jsonb column, where the inbox keeps its words, cannot."""
    words = {"subject": "s", "text": "t", part: f"/{source}"}
    with pytest.raises(RenderError) as caught:
        render(ContentSource(**words), context_of(data, contact=ANA, tenant=ACME))
    assert (caught.value.code, caught.value.part) == ("render_error", part)


@pytest.mark.parametrize("part", ["subject", "text", "html", "action_url"])
@pytest.mark.parametrize("surrogate", ["\ud800", "\udfff"])
def test_half_a_character_is_refused_in_every_part(part: str, surrogate: str) -> None:
    with pytest.raises(RenderError) as caught:
        render(ContentSource(**{"subject": "s", "text": "t", part: f"/{surrogate}"}), {})
    assert (caught.value.code, caught.value.part) == ("render_error", part)


@pytest.mark.parametrize("bad", ["\0", "\ud800"])
def test_neither_is_sound_in_a_source(bad: str) -> None:
    [problem] = template_check(f"Dear {{{{ name }}}}\n{bad}")
    assert (problem.line, problem.column) == (2, 1)
    assert refusal(f"Dear {{{{ name }}}}\n{bad}", name="Ana").code == "render_error"


@pytest.mark.parametrize("bad", ["\0", "\ud800"])
def test_words_that_came_with_the_job_are_held_to_the_same(bad: str) -> None:
    with pytest.raises(RenderError, match="render_error"):
        render_inline("Title", bad)
    with pytest.raises(RenderError, match="render_error"):
        render_inline(bad, "Body")


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("{{ code }} {% if not is_new %}{{ contact.name }}{% endif %}", {"code": "code", "is_new": "is new"}),
        (
            "{% for item in items %}{{ item.count }} x {{ item.name }}{{ loop.index }}{% endfor %}",
            {"items": [{"count": "count", "name": "name"}]},
        ),
        (
            "{% for a in order.lines|sort %}{% for b in a.tags %}{{ b }}{% endfor %}{% endfor %}",
            {"order": {"lines": [{"tags": ["b"]}]}},
        ),
        ("{% for name, price in prices|items %}{{ name }} {{ price|money }}{% endfor %}", {"prices": {"example": 1}}),
        (
            "{% for x in found if x.price > 3 %}{{ x.name }}{% else %}{{ none_found }}{% endfor %}",
            {"found": [{"price": 1, "name": "name"}], "none_found": "none found"},
        ),
        ("{% set total = order.total %}{{ total + 1 }}{{ order.id }}", {"order": {"total": 1, "id": "id"}}),
        ("{{ plants|length }} {{ plants|join(', ') }}", {"plants": ["plants"]}),
        (
            "{{ lines|sum(attribute='price')|money }} {{ lines|first|upper if single else '' }}",
            {"lines": [{"price": 1}], "single": "single"},
        ),
        (
            "{{ data.order }} {{ days|default(3) }} {{ place is defined }} {{ 'x' if a == b }}",
            {"order": "order", "days": 1, "place": "place", "a": "a", "b": "b"},
        ),
        (
            "{{ pairs[0].name }} {{ group['a field'] }} {# {{ comment }} #}",
            {"pairs": [{"name": "name"}], "group": {"a field": "a field"}},
        ),
        (
            "{{ shop_url }} {{ contact.name }} {{ tenant.slug }} {% if true %}{% endif %}",
            {"shop_url": "https://example.com/"},
        ),
    ],
)
def test_the_example_holds_what_the_words_ask_for_from_outside(source: str, wanted: dict[str, Any]) -> None:
    assert template_check(source) == []
    assert example_data([source]) == wanted


def test_what_is_asked_for_of_one_thing_in_several_parts_is_one_thing() -> None:
    sources = [
        "{% for item in items %}{{ item.name }}{% endfor %}",
        "{{ item }}{% for x in items %}{{ x.count }}{% endfor %}",
    ]
    assert example_data(sources) == {"items": [{"name": "name", "count": "count"}], "item": "item"}


def test_the_example_of_an_unsound_source_ends_where_it_breaks() -> None:
    assert example_data(["{{ one }} {{ two", "{% for %}{{ three }}{{ * }}{{ four }}"]) == {
        "one": "one",
        "three": "three",
        "four": "four",
    }
