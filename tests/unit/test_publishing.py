"""What keeps words from going out, with the line and column of what was written; and declared variables when sending."""

from __future__ import annotations

from typing import Any

import pytest

from deliveries.rendering import (
    ContentSource,
    RenderError,
    Variable,
    VariableError,
    context_of,
    offered_variables,
    publish_problems,
    render,
    variables_check,
    variables_of,
)

NAME = Variable("name")
ITEMS = Variable("items", "list", sample=[{"name": "Fern", "tags": ["green"]}])


def problems(*variables: Variable, declared: bool = True, **words: Any) -> list[tuple[str, int, int, str]]:
    source = ContentSource(
        **{"subject": "s", "text": "t", **words}, locale="en", variables=variables if declared else None
    )
    return [
        (each.part, each.line, each.column, each.message)
        for each in publish_problems({"en": source}, default_locale="en")
    ]


def test_sound_words_are_published() -> None:
    body = "Hi {{ name }}\n\n{% for item in items %}\n- {{ item.name }}\n{% endfor %}"
    assert problems(NAME, ITEMS, body_format="markdown", markdown=body) == []


@pytest.mark.parametrize(
    ("part", "words", "line", "column", "message"),
    [
        ("markdown", "# A\n\nHi {{ nmae }}", 3, 7, "nmae is not declared"),
        ("markdown", "a\n{% if data.nmae %}x{% endif %}", 2, 12, "nmae is not declared"),
        ("markdown", "a {{ name", 1, 3, "no end"),
        ("markdown", "{% if name %}a", 1, 14, "unexpected end"),
        ("markdown", "a\n\n{{ name|nope }}", 3, 9, "no filter nope"),
        ("markdown", "a\n{{ name.first }}", 2, 4, "missing"),
        ("markdown", "{{ contact.nmae }}", 1, 4, "missing"),
        (
            "markdown",
            "{% for a in items %}\n{% for b in items %}\n{{ b.name }}\n{% endfor %}\n{% endfor %}",
            3,
            1,
            "steps",
        ),
        ("markdown", "{% for a in items %}" + "x" * 90_000 + "{% endfor %}", 1, 1, "With lists of 200 items."),
        ("subject", "{{ name }} {{ other }}", 1, 15, "other is not declared"),
        ("preheader", "{{ other }}", 1, 4, "other is not declared"),
        ("reply_to", "{{ name }}", 1, 1, "no e-mail address"),
        ("from_address", "Shop", 1, 1, "no e-mail address"),
        ("html", "<p>\n<a onclick='{{ name }}'>", 2, 13, "Nothing can be put into onclick="),
        ("html", "<script>\nx='{{ name }}'</script>", 2, 4, "Nothing can be put into <script>"),
        ("html", "<p title={{ name }}>", 1, 10, "Put quotes around"),
        ("html", "<p style='color: {{ name }}'>", 1, 18, "Nothing can be put into style="),
    ],
)
def test_a_problem_is_named_with_its_place(part: str, words: str, line: int, column: int, message: str) -> None:
    formats = {"body_format": "markdown"} if part == "markdown" else {}
    found = problems(NAME, ITEMS, **{part: words}, **formats)
    assert [(one[0], one[1]) for one in found][:1] == [(part, line)], found
    assert message in found[0][3]
    if "steps" not in message and "lists" not in message:
        assert found[0][2] == column, found


def test_what_may_be_missing_is_tried_missing() -> None:
    optional = Variable("extra", "object", required=False, fallback={}, sample={"code": 1})
    found = problems(optional, body_format="markdown", markdown="a\n\n{{ extra.code }}")
    assert [(one[0], one[1], one[2]) for one in found] == [("markdown", 3, 4)]
    assert problems(optional, body_format="markdown", markdown="{{ extra.code|default('-') }}") == []


def test_without_declarations_only_what_burns_is_refused() -> None:
    assert problems(declared=False, text="{{ anything|money }}") == []
    burning = "{% for a in x %}{% for b in x %}{% for c in x %}{{ c }}{% endfor %}{% endfor %}{% endfor %}"
    assert "steps" in problems(declared=False, text=burning)[0][3]


def test_declarations_are_offered_for_what_is_used() -> None:
    words = "{{ name }} {{ n + 1 }} {{ url }} {% for i in items %}{{ i.name }}{% endfor %}{{ contact.name }}"
    offered = offered_variables({"en": ContentSource("s", words)})
    assert {each.name: each.type for each in offered} == {"name": "text", "n": "number", "url": "url", "items": "list"}
    source = ContentSource("s", words, variables=tuple(offered))
    assert publish_problems({"en": source}, default_locale="en") == []


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        (Variable("contact"), "always means something else"),
        (Variable("1st"), "is no name"),
        (Variable("_x"), "is no name"),
        (Variable("n", "number", sample="x"), "its sample must be a number"),
        (Variable("n", "number", required=False), "say what stands in"),
        (Variable("d", "date", required=False, fallback="tomorrow"), "its fallback must be a date"),
        (Variable("u", "url", sample="javascript:x"), "its sample must be a link"),
        (Variable("x", "colour"), "is no type"),  # type: ignore[arg-type]
    ],
)
def test_a_declaration_that_cannot_be_is_refused(variable: Variable, message: str) -> None:
    with pytest.raises(VariableError, match=message):
        variables_check([variable])


def test_a_declaration_comes_back_as_it_was_stored() -> None:
    declared = (NAME, Variable("n", "number", required=False, fallback=0, sample=3, help="How many."))
    assert variables_of([each.as_json() for each in declared]) == declared
    assert variables_of(None) is None
    with pytest.raises(VariableError, match="declared twice"):
        variables_check([NAME, NAME])


def made(*variables: Variable, **data: Any) -> str:
    source = ContentSource("s", "{{ x }}/{{ data.x }}", variables=variables)
    return render(source, context_of(data, contact={}, tenant={})).text


@pytest.mark.parametrize("data", [{}, {"x": None}])
def test_a_fallback_stands_in_for_what_is_missing(data: dict[str, Any]) -> None:
    assert made(Variable("x", required=False, fallback="there"), **data) == "there/there"
    with pytest.raises(RenderError, match="has no x, and the template declares it as required") as caught:
        made(Variable("x"), **data)
    assert caught.value.code == "render_error"


@pytest.mark.parametrize(
    ("type_", "good", "bad"),
    [
        ("text", ["a", "", 3, 2.5], [True, [], {}]),
        ("number", [3, 2.5, -1], ["3", True, []]),
        ("boolean", [True, False], [1, "true"]),
        ("date", ["2026-03-01", "2026-03-01T10:00:00Z", "2026-03-01T10:00:00+02:00"],
         ["1 March", "2026-13-01", "2026-03-01T10:00:00", 20260301]),
        ("url", ["https://x.example/a?b=c", "http://x"], ["javascript:x", "//x", "x", "https://x y", 1]),
        ("list", [[], [1]], [{}, "a"]),
        ("object", [{}, {"a": 1}], [[], "a"]),
    ],
)  # fmt: skip
def test_a_value_of_another_type_fails_with_a_clear_sentence(type_: Any, good: list[Any], bad: list[Any]) -> None:
    source = ContentSource("s", "t", variables=(Variable("x", type_),))
    for value in good:
        render(source, context_of({"x": value}, contact={}, tenant={}))
    for value in bad:
        with pytest.raises(RenderError, match="The job's x is not what the template declares: it must be") as caught:
            render(source, context_of({"x": value}, contact={}, tenant={}))
        assert caught.value.code == "render_error"


@pytest.mark.parametrize(
    ("link", "made"), [("https://j.example/u/1", "https://j.example/u/1"), ("", "https://elsewhere.example/")]
)
def test_a_fallback_leaves_the_link_for_unsubscribing_alone(link: str, made: str) -> None:
    declared = (Variable("unsubscribe_url", "url", required=False, fallback="https://elsewhere.example/"),)
    source = ContentSource("s", "{{ unsubscribe_url }}", variables=declared)
    context = context_of({}, contact={}, tenant={}, unsubscribe_url=link)
    assert render(source, context).text == made
