"""Markdown, frames, styles and derived text: what is made once of a version, and that its tags come through whole."""

from __future__ import annotations

import re
from typing import Any

import pytest

from deliveries.rendering import ContentSource, Frame, RenderError, context_of, framed_sample, render

ANA = {"name": "Ana", "attributes": {}}
ITEMS = [{"name": "Fern", "count": 1}, {"name": "Olive & tree", "count": 2}]


def made(source: ContentSource, **data: Any) -> Any:
    return render(source, context_of(data, contact=ANA, tenant={"name": "Juniper", "slug": "juniper"}))


def markdown(words: str, **data: Any) -> Any:
    return made(ContentSource("s", body_format="markdown", markdown=words, frame=Frame(html="{{ body }}")), **data)


def inner(html: str) -> str:
    """Return what stands in the body, without white space between elements."""
    return re.sub(r"\s*\n\s*", "", re.sub(r"^.*<body>|</body>.*$", "", html, flags=re.DOTALL))


@pytest.mark.parametrize(
    ("words", "html", "text"),
    [
        ("# Hi {{ name }}", "<h1>Hi Ana &amp; Bo</h1>", "Hi Ana & Bo"),
        ("**{{ name }}** _x_", "<p><strong>Ana &amp; Bo</strong> <em>x</em></p>", "Ana & Bo x"),
        ("a\nb", "<p>a<br>b</p>", "a\nb"),
        ("{{ 'a*b*c' }}", "<p>a*b*c</p>", "a*b*c"),
        (
            "- first\n{% for item in items %}\n- {{ item.name }}\n{% endfor %}\n- last",
            "<ul><li>first</li><li>Fern</li><li>Olive &amp; tree</li><li>last</li></ul>",
            "- first\n- Fern\n- Olive & tree\n- last",
        ),
        (
            "| a | b |\n|---|---|\n{% for item in items %}\n| {{ item.name }} | {{ item.count }} |\n{% endfor %}",
            "<table><thead><tr><th>a</th><th>b</th></tr></thead><tbody><tr><td>Fern</td><td>1</td></tr>"
            "<tr><td>Olive &amp; tree</td><td>2</td></tr></tbody></table>",
            "a             b\nFern  1\nOlive & tree  2",
        ),
        ("{% if items %}\n# One\n\ntwo\n{% else %}\nnone\n{% endif %}\nend", "<h1>One</h1><p>two</p><p>end</p>",
         "One\n\ntwo\n\nend"),
        ("{% for item in items %}\n{{ item.name }}\n\n{% endfor %}", "<p>Fern</p><p>Olive &amp; tree</p>",
         "Fern\n\nOlive & tree\n"),
        ("a {% if items %}**b**{% endif %} c", "<p>a <strong>b</strong> c</p>", "a b c"),
        ("- {% if items %}b{% endif %} c", "<ul><li>b c</li></ul>", "- b c"),
        (
            "{% for item in items %}\n- {% if item.count %}{{ item.name }}{% endif %}\n{% endfor %}",
            "<ul><li>Fern</li><li>Olive &amp; tree</li></ul>",
            "- Fern\n- Olive & tree\n",
        ),
        ("one\n{# a note #}\ntwo", "<p>one<br>two</p>", "one\ntwo"),
        ("[go]({{ link }})", '<p><a href="https:&#x2f;&#x2f;x.example&#x2f;?a=1&amp;b=2">go</a></p>',
         "go: https://x.example/?a=1&b=2"),
        (
            "**[Go on](https://x.example/{{ id }})**",
            '<p class="action"><a class="button" href="https://x.example/7">Go on</a></p>',
            "Go on: https://x.example/7",
        ),
        ("<b>{{ name }}</b> <script>x</script>",
         "<p>&lt;b&gt;Ana &amp; Bo&lt;/b&gt; &lt;script&gt;x&lt;/script&gt;</p>", "<b>Ana & Bo</b> <script>x</script>"),
    ],
)  # fmt: skip
def test_markdown_becomes_html_and_text(words: str, html: str, text: str) -> None:
    content = markdown(words, name="Ana & Bo", items=ITEMS, link="https://x.example/?a=1&b=2", id=7)
    assert inner(content.html) == html
    assert re.sub(r" {2,}", "  ", content.text).strip() == re.sub(r" {2,}", "  ", text).strip()


def test_a_tag_that_markdown_would_take_for_its_own_stays_whole() -> None:
    assert inner(markdown("{{ a|default('*x* _y_ [z](q) <b>') }}").html) == "<p>*x* _y_ [z](q) &lt;b&gt;</p>"


def test_a_text_that_is_written_is_not_made() -> None:
    source = ContentSource("s", "written", body_format="markdown", markdown="# made")
    assert made(source).text == "written"


def test_words_without_a_body_have_no_html() -> None:
    assert made(ContentSource("s", "only text", body_format="markdown")).html == ""


def test_html_goes_out_as_it_is_and_its_text_is_made() -> None:
    source = ContentSource(
        "s",
        html="<h1>Hi {{ name }}</h1><table>{% for item in items %}<tr><td>{{ item.name }}</td></tr>{% endfor %}</table>"
        "{% if items %}<p>a <a href='{{ link }}'>b</a></p>{% endif %}",
    )
    content = made(source, name="Ana", items=ITEMS, link="https://x.example/")
    assert content.html == (
        "<h1>Hi Ana</h1><table><tr><td>Fern</td></tr><tr><td>Olive &amp; tree</td></tr></table>"
        "<p>a <a href='https:&#x2f;&#x2f;x.example&#x2f;'>b</a></p>"
    )
    assert re.sub("\n+", "\n", content.text) == "Hi Ana\nFern\nOlive & tree\na b: https://x.example/\n"


def test_a_style_sheet_goes_into_the_elements_and_media_rules_stay() -> None:
    source = ContentSource("s", html="<style>p{color:red} @media print{p{color:blue}}</style><p>{{ name }}</p>")
    html = made(source, name="Ana").html
    assert '<p style="color: red;">Ana</p>' in html
    assert "@media print" in html


def test_a_style_sheet_elsewhere_is_not_fetched() -> None:
    source = ContentSource(
        "s", html='<link rel="stylesheet" href="http://127.0.0.1:1/x.css"><style>p{}</style><p>a</p>'
    )
    assert "<p>a</p>" in made(source).html


def test_the_frame_is_put_around_markdown_with_colours_and_lines() -> None:
    frame = Frame(
        accent_colour="#ff0000",
        logo_url="https://x.example/logo.png?a&b",
        header="Top",
        footer="{% if locale == 'de' %}Unten{% else %}Bottom{% endif %} {{ tenant.name }}",
        legal="[Terms](https://x.example/terms)",
    )
    source = ContentSource(
        "Order {{ id }}", body_format="markdown", markdown="[x](https://x.example)", frame=frame, locale="de"
    )
    html = made(source, id="<7>").html
    assert html.startswith('<!DOCTYPE html><html lang="de">')
    assert "<title>Order &lt;7&gt;</title>" in html
    assert 'alt="Juniper"' in html and "https://x.example/logo.png?a&amp;b" in html
    assert "Unten Juniper" in html and "Bottom" not in html and "Top" in html
    assert re.search(r'<a href="https://x.example" style="color: #ff0000;">x</a>', html)
    assert "{{" not in html and "{%" not in html and "ztag" not in html


def test_a_frame_of_its_own_is_used_whole() -> None:
    frame = Frame(html="<html><body class='x'><i>{{ subject }}</i>{{ body }}<hr></body></html>")
    html = made(ContentSource("A & B", body_format="markdown", markdown="hi", frame=frame)).html
    assert inner(html.replace(' class="x"', "")) == "<i>A &amp; B</i><p>hi</p><hr>"


def test_a_frame_prints_tenant_and_subject_as_they_are() -> None:
    frame = Frame(
        html="{{ body }}<i>{{- tenant.name -}}</i>{% if locale == 'de' %}<b>{{ tenant.slug }} {{ subject }}</b>{% endif %}"
    )
    html = made(
        ContentSource("A {{ x }}", body_format="markdown", markdown="hi", frame=frame, locale="de"), x="subject"
    ).html
    assert inner(html) == "<p>hi</p><i>Juniper</i><b>juniper A subject</b>"


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (Frame(html="<p>no place</p>"), "must hold {{ body }} once"),
        (Frame(html="{{ body }}{{ body }}"), "must hold {{ body }} once"),
        (Frame(html="{{ body"), "no end"),
        (Frame(html="{{ body }}{{ contact.name }}"), "missing in the frame, line 1"),
        (Frame(footer="{{ order }}"), "missing in the frame"),
        (Frame(footer="Sent by\n{{ tenant.name|upper }}"), "line 2, column 1: A frame can only print tenant as it is"),
        (
            Frame(html="{{ body }}{{ subject|truncate(6) }}"),
            "line 1, column 11: A frame can only print subject as it is",
        ),
        (Frame(legal="{% if tenant.slug == 'j' %}J{% endif %}"), "can only print tenant"),
        (Frame(header="{% set x = subject %}{{ x|upper }}"), "can only print subject"),
        (Frame(header="{{ tenant['name'] }}"), "can only print tenant"),
        (Frame(html="{% for a in body %}{{ body }}{% endfor %}"), "render_error"),
    ],
)
def test_a_frame_that_is_not_sound_is_refused(frame: Frame, message: str) -> None:
    with pytest.raises(RenderError, match=re.escape(message)):
        framed_sample(frame)


def test_the_preheader_is_hidden_at_the_top_of_the_html_and_in_the_content() -> None:
    source = ContentSource("s", preheader="For {{ name }} & co", body_format="markdown", markdown="Body")
    content = made(source, name="<Ana>")
    assert content.preheader == "For <Ana> & co"
    top = content.html[content.html.index("<body") :]
    assert re.match(r'<body[^>]*><div style="display:none[^"]*">For &lt;Ana&gt; &amp; co&zwnj;', top)
    assert "co" not in content.text
    assert made(ContentSource("s", html="<p>a</p>", preheader="x")).html.startswith('<div style="display:none')


def test_from_and_reply_to_are_rendered() -> None:
    content = made(
        ContentSource("s", "t", from_address="{{ shop }} <a@example.org>", reply_to=" b@example.org "), shop="Acme"
    )
    assert (content.from_address, content.reply_to) == ("Acme <a@example.org>", "b@example.org")


def test_a_problem_is_placed_in_what_was_written() -> None:
    words = "# Title\n\n{% for item in items %}\n- {{ item.name }}\n{% endfor %}\n\n**[Go](https://x/{{ order }})**"
    with pytest.raises(RenderError) as caught:
        markdown(words, items=ITEMS)
    assert (caught.value.part, caught.value.line, caught.value.column) == ("markdown", 7, 21)
    with pytest.raises(RenderError) as caught:
        markdown(words, items=[{}], order=1)
    assert (caught.value.part, caught.value.line, caught.value.column) == ("markdown", 4, 6)
