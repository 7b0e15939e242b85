"""reliability.md, section 4: what an author, or a person's data, may try on a template, in every part and both body formats."""

from __future__ import annotations

import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from deliveries.rendering import (
    MAX_RENDERED_BYTES,
    ContentSource,
    Frame,
    RenderError,
    context_of,
    publish_problems,
    render,
)
from deliveries.rendering.marks import Marks
from deliveries.rendering.places import links_of

BODIES = ["markdown", "html", "text"]
LONG = [1] * 1000


def source_of(part: str, words: str, **more: Any) -> ContentSource:
    body_format = "markdown" if part == "markdown" else "html"
    return ContentSource(**{"subject": "s", "text": "t", "body_format": body_format, part: words, **more}, locale="en")


def made(source: ContentSource, **data: Any) -> Any:
    return render(source, context_of(data, contact={"name": "Ana"}, tenant={"name": "J", "slug": "j"}))


@pytest.mark.parametrize("part", [*BODIES, "subject", "preheader", "from_address", "reply_to", "action_url"])
@pytest.mark.parametrize(
    "words",
    [
        "{{ name.__class__ }}",
        "{{ name['__class__'].__mro__ }}",
        "{{ name.upper() }}",
        "{{ range(9) }}",
        "{{ self._x }}",
        "{% include 'x' %}",
        "{% import 'os' as o %}",
        "{% macro m() %}{% endmacro %}",
        "{{ 'x' * 999999999 }}",
        "{{ name ~ name }}",
        "{% set a = [a, a] %}",
    ],
)
def test_code_and_doubling_are_refused_when_saved_and_when_rendered(part: str, words: str) -> None:
    source = source_of(part, words)
    assert publish_problems({"en": source}, default_locale="en")
    with pytest.raises(RenderError) as caught:
        made(source, name="Ana")
    assert caught.value.code == "render_error"


@pytest.mark.parametrize("part", BODIES)
@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("{% for a in x %}{% for b in x %}{{ b }}{% endfor %}{% endfor %}", "render_error"),
        ("{% for a in x %}{{ big }}{% endfor %}", "too_large"),
        ("{% for a in x %}" + "y" * 5000 + "{% endfor %}", "render_error|too_large"),
        ("{% for a in x %}{{ big|upper|lower|title }}{% endfor %}", "too_large"),
        ("{{ big }}" * 60, "too_large"),
    ],
)
def test_what_loops_or_inflates_is_cut(part: str, words: str, code: str) -> None:
    with pytest.raises(RenderError) as caught:
        made(source_of(part, words), x=LONG, big="z" * 20_000)
    assert re.fullmatch(code, caught.value.code)


@pytest.mark.parametrize("place", ["{{ x }}", "**{{ x }}**", "- {{ x }}", "[{{ x }}](https://x.example)", "{{ x|upper }}",
                                   "{% if x %}{{ x }}{% endif %}", "| a |\n|---|\n| {{ x }} |", "`{{ x }}`", "# {{ x }}"])  # fmt: skip
@pytest.mark.parametrize(
    "attack", ["<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "</p></td><b>", "{{ 7 }}"]
)
def test_markup_in_a_value_is_text(place: str, attack: str) -> None:
    html = made(source_of("markdown", place), x=attack).html
    body = html[html.index("<body") :]
    assert not re.search(r"<script|<img|onerror=alert\(1\)>|<b>", body, re.IGNORECASE)
    assert "<script" not in made(source_of("html", f"<p>{place}</p>"), x=attack).html.lower()


def test_markup_that_an_author_writes_in_markdown_is_text() -> None:
    assert "<script" not in made(source_of("markdown", "<script>alert(1)</script>\n\n<img src=x onerror=y>")).html


@pytest.mark.parametrize("attack", ["javascript:alert(1)", " JaVaScRiPt:alert(1)", "data:text/html,<script>", "vbscript:x",
                                    "java\tscript:x", "\x01javascript:x", "x", "file:///etc/passwd"])  # fmt: skip
@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("markdown", "[go]({{ x }})"),
        ("markdown", "**[go]({{ x }})**"),
        ("markdown", "![pic]({{ x }})"),
        ("markdown", "{% if x %}\n[go]({{ x }})\n{% endif %}"),
        ("markdown", "[go]({% if x %}{{ x }}{% endif %})"),
        ("html", '<a href="{{ x }}">go</a>'),
        ("html", "<a href='{% if x %}{{ x }}{% else %}https://x{% endif %}'>go</a>"),
        ("html", '<a class="b" href = "{{ x }}{{ y }}">go</a>'),
        ("html", "<img src=\"{{ x|default('') }}\">"),
    ],
)
def test_a_link_made_of_a_value_runs_no_code(part: str, words: str, attack: str) -> None:
    with pytest.raises(RenderError, match="A link must start with") as caught:
        made(source_of(part, words), x=attack, y="")
    assert caught.value.code == "render_error"


@pytest.mark.parametrize("attack", ["javascript:alert(1)", "\tjava\nscript:x", "x:y/z", ":x"])
@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("markdown", "[go]({{ base }}{{ path }})"),
        ("html", '<a href="{{ base }}{{ base }}{{ path }}">'),
        ("html", '<a href="{% if base %}{{ base }}{% endif %}{{ path }}">'),
        ("html", '<a href="{% for b in [1] %}{{ base }}{% endfor %}{{ path }}">'),
        ("html", '<a href="{% if base %}https://x/{% endif %}{{ path }}">'),
        ("html", '<a href="{{ base }}{{ path }}:{{ base }}">'),
        ("html", '<a title="t"href="{{ path }}">'),
        ("html", '<a/href="{{ path }}">'),
        ("html", '<a / title=t / href="{{ path }}"/>'),
        ("html", '<a {% if path %}href="{{ path }}"{% endif %}>'),
        ("html", '<object data="{{ path }}">'),
        ("html", '<img srcset="{{ path }}" longdesc="/">'),
        ("html", '<a ping="{{ path }}">'),
    ],
)
def test_a_link_pieced_together_runs_no_code(part: str, words: str, attack: str) -> None:
    with pytest.raises(RenderError, match=r"A (part of a )?link") as caught:
        made(source_of(part, words), base="", path=attack)
    assert caught.value.code == "render_error"


@pytest.mark.parametrize(
    ("words", "link"),
    [
        ("{{ base }}{{ path }}", "https://x.example/a:b"),
        ("{% if base %}{{ base }}{% endif %}{{ path }}?at={{ time }}", "https://x.example/a:b?at=10:30"),
        ("https://y/{% if time %}{{ time }}{% endif %}", "https://y/10:30"),
        ("{% if time %}https://a/{% else %}https://b/{% endif %}{{ path }}", "https://a//a:b"),
    ],
)
def test_an_ordinary_link_is_pieced_together(words: str, link: str) -> None:
    html = made(source_of("html", f'<a href="{words}">'), base="https://x.example", path="/a:b", time="10:30").html
    assert unescape(html) == f'<a href="{link}">'


@pytest.mark.parametrize("piece", ["<a ", "<a x ", "<a x=", "<a/", "<a x=y", '<a x="', "<a x='\""])
def test_elements_without_an_end_are_read_in_linear_time(piece: str) -> None:
    """What took nine seconds for 12 KB would not come to an end here."""
    marks = Marks([""])
    assert links_of(piece * 20_000, marks) == {}
    assert links_of("<a " + "x" * 200_000, marks) == {}


@pytest.mark.parametrize(
    "link", ["https://x.example/?a=1&b='", "http://x", "mailto:a@example.org", "tel:+1", "/orders", "#top", ""]
)
def test_ordinary_links_pass(link: str) -> None:
    assert made(source_of("markdown", "[go]({{ x }})"), x=link).html
    assert made(source_of("html", "<a href='{{ x }}'>go</a>"), x=link).html


def test_an_author_cannot_write_a_link_that_runs_code_in_markdown() -> None:
    html = made(
        source_of("markdown", "[a](javascript:x) [b](<vbscript:x>) [c](data:text/html,x)\n\n[d]: javascript:x\n[d]")
    ).html
    assert not re.search(r'href="(javascript|vbscript|data)', html, re.IGNORECASE)


def test_a_value_cannot_leave_its_attribute() -> None:
    html = made(source_of("html", "<a title=\"{{ x }}\" href='/{{ x }}'>go</a>"), x="\" onclick=\"x' onclick='y").html
    assert re.findall(r"onclick=[\"']", html) == []


@pytest.mark.parametrize("part", ["subject", "from_address", "reply_to"])
@pytest.mark.parametrize(
    "forged", ["a@example.org\r\nBcc: x@example.org", "a@example.org\nx", "a@example.org\rx", "a\u2028b"]
)
def test_a_line_break_in_a_mails_head_is_refused(part: str, forged: str) -> None:
    for words in ("{{ x }}", "{{ x|lower }}"):
        with pytest.raises(RenderError) as caught:
            made(source_of(part, words), x=forged)
        assert (caught.value.code, caught.value.part) == ("header_injection", part)


def test_a_frame_reaches_neither_data_nor_code() -> None:
    for html in (
        "{{ body }}{{ data }}",
        "{{ body }}{{ contact.email }}",
        "{{ body.__class__ }}",
        "{{ body }}{% include 'x' %}",
    ):
        with pytest.raises(RenderError):
            made(source_of("markdown", "hi", frame=Frame(html=html)), code="1")


def test_a_value_that_looks_like_a_mark_stays_text() -> None:
    """The words that stand for tags while a source is compiled cannot be forged: they are chosen to occur nowhere in it."""
    source = source_of("markdown", "ztag00000z ztagq00000z {{ x }} ztagbody")
    assert "<p style" in made(source, x="ztag00000z").html
    assert made(source_of("markdown", "ztag00000z {{ x }}", text=""), x="ztag00001z").text == "ztag00000z ztag00001z"


def test_the_limit_holds_over_all_parts() -> None:
    source = ContentSource("s", "{{ x }}", html="<p>{{ x }}</p>", preheader="{{ x }}")
    with pytest.raises(RenderError) as caught:
        made(source, x="é" * (MAX_RENDERED_BYTES // 6))
    assert caught.value.code == "too_large"


#: What publishing says, in a process of its own: some of these once killed it, or ate all memory or minutes.
TRIED = """
import resource, sys, threading
from deliveries.rendering import ContentSource, publish_problems
resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
part, words = sys.argv[1], eval(sys.argv[2])
more = {"body_format": "markdown"} if part == "markdown" else {}
source = ContentSource("s", **more, **{part: words}, locale="en")
def check():
    for problem in publish_problems({"en": source}, default_locale="en"):
        print(problem)
thread = threading.Thread(target=check)
thread.start()
thread.join()
"""


@pytest.mark.parametrize(
    ("part", "words", "refusal"),
    [
        ("html", "'{%if a%}' + '{%elif a%}' * 8000 + '{%endif%}'", "more than 1,000 tags"),
        ("text", "'{%if a%}' + '{%elif a%}' * 8000 + '{%endif%}'", "more than 1,000 tags"),
        ("markdown", "'{{ a }}' * 6000", "more than 1,000 tags"),
        ("markdown", "'{%if a%}\\n' * 5000 + '{%endif%}\\n' * 5000", "more than 1,000 tags"),
        ("text", "'{{ a' + ' and a' * 20000 + ' }}'", "more than 500 words"),
        ("text", "'{{ ' + '-' * 20000 + 'a }}'", "more than 500 words"),
        ("markdown", "'*' * 25000 + 'a' + '*' * 25000", "more than 4,000 elements"),
        ("html", "'<style>i{a:b}</style>' + '<i>' * 16600", "more than 4,000 elements"),
        ("html", "'<style>i{a:' + 'b' * 100000 + '}</style>' + '<i></i>' * 14000", "more than 4,000 elements"),
        ("html", "'<style>i{a:' + 'b' * 100000 + '}</style>' + '<i></i>' * 1900", "style sheet is too long"),
        ("html", "'<a ' * 4001", "more than 4,000 elements"),
        ("html", "'<a ' * 4000", ""),
        ("html", "'<div>' * 201 + 'x'", "more than 200 elements inside each other"),
        ("html", "'<svg>' + '<td>' * 3000", "more than 200 elements inside each other"),
        ("html", "'<p>' + ''.join(f'<b a{n}>' for n in range(150)) + '<p>x' * 2000", "too many elements open"),
        ("html", "'<b><i></b></i>' * 150 + '<p>x' * 2000", "too many elements open"),
    ],
)
def test_what_would_kill_or_stall_the_process_is_refused(part: str, words: str, refusal: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TRIED, part, words],
        cwd=Path(__file__).resolve().parents[2], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert refusal in done.stdout


def test_a_long_ordinary_body_passes() -> None:
    row = "<tr><td><a href='https://x.example'><strong>{{ x }}</strong></a><br><li>y<p>z</td></tr>"
    styles = "<style>" + "td { color: #123456; } /* ordinary */ " * 100 + "</style>"
    assert made(source_of("html", f"{styles}<table>{row * 300}</table>"), x="1").html.count("<strong>") == 300
    words = "\n".join(f"- **[{n}](https://x.example/)** and *{{{{ x }}}}*" for n in range(300))
    assert made(source_of("markdown", words, text=""), x="1").html.count("<li") == 300


LARGE = {"x": [1] * 5000, "a": [2] * 60_000, "s": "z" * 800_000, "d": dict.fromkeys(map(str, range(15_000)), 1)}


@pytest.mark.parametrize(
    "words",
    [
        "{% for i in x %}{% if i in a %}y{% endif %}{% endfor %}",
        "{% for i in x %}{{ 'y' if i in a else '' }}{% endfor %}",
        "{% for i in x %}{% if i is in(a) %}y{% endif %}{% endfor %}",
        "{% for i in x if i in a %}y{% endfor %}",
        "{% for i in x %}{% if i in data.a %}y{% endif %}{% endfor %}",
        "{% for i in x %}{% if i in data['a'] %}y{% endif %}{% endfor %}",
        "{% set b = data %}{% for i in x %}{% if i in b.a %}y{% endif %}{% endfor %}",
        "{% for i in x %}{% for b in [1] %}{% set c = a %}{% if i in c %}y{% endif %}{% endfor %}{% endfor %}",
        "{% for i in (x if x else d) %}{% if i in (a if i else x) %}y{% endif %}{% endfor %}",
        "{% for i in x %}{% for k, v in data|items %}{% if i in v %}y{% endif %}{% endfor %}{% endfor %}",
        "{% for i in x %}{% for v in data|items %}{% if d == e %}y{% endif %}{% endfor %}{% endfor %}",
        "{% for i in x %}{% if d == e %}y{% endif %}{% endfor %}",
        "{% for i in x %}{% if d is eq(e) %}y{% endif %}{% endfor %}",
        "{% for i in x %}{% if d is not lt(e) %}y{% endif %}{% endfor %}",
        "{% for i in x %}{% if s+s+s+s+s+s+s+s %}y{% endif %}{% endfor %}",
        "{% for i in x %}{% if s[1:] %}y{% endif %}{% endfor %}",
        "{% if 1 in a %}y{% endif %}" * 499,
    ],
)
def test_where_steps_read_much_data_there_are_fewer_of_them(words: str) -> None:
    with pytest.raises(RenderError, match="too many steps"):
        made(source_of("text", words), **LARGE, e=dict(LARGE["d"]))


@pytest.mark.parametrize(
    "words",
    [
        "{% for i in x if i.id != chosen %}{% if i.kind in ['a', 'b'] and i.id != data.chosen %}y{% endif %}{% endfor %}",
        "{% for i in x %}{% set id = i.id %}{% if id >= chosen and id + 1 > chosen %}y{% endif %}{% endfor %}",
        "{% for i in x %}{% if i.id in few or few[0:] == few %}y{% endif %}{% endfor %}",
        "{% if 'p' in long %}{% for i in x %}{% if i.state == 'new' %}y{% endif %}{% endfor %}{% endif %}",
    ],
)
def test_ordinary_comparisons_get_all_steps(words: str) -> None:
    rows = [{"state": "new", "kind": "a", "id": n, "note": "z" * 50} for n in range(1000)]
    values: dict[str, Any] = {"x": rows, "chosen": -1, "few": [1, 2], "long": "p" * 100_000}
    assert made(source_of("text", words), **values).text == "y" * 1000
