"""What can be done once for a version's words, and not once for a message: Markdown and frame become one HTML template
with its styles inlined, the plain text is made of the body, and every tag keeps the place where it was written."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from html import escape
from typing import Any, Final

import css_inline

from deliveries.rendering import plain
from deliveries.rendering.bounds import html_check
from deliveries.rendering.engine import engine
from deliveries.rendering.errors import Problem, RenderError
from deliveries.rendering.frames import PLAIN, Frame, document_of
from deliveries.rendering.language import inspect, place, tags
from deliveries.rendering.markdown import Body, surrounded, to_html
from deliveries.rendering.marks import Marks, Restored
from deliveries.rendering.places import links_of
from deliveries.rendering.source import ContentSource

#: What is rendered for a message, and whether it is HTML.
RENDERED: Final = ("subject", "text", "html", "action_url", "preheader", "from_address", "reply_to")
#: Keeps the mail's first words out of the preview line behind the preheader.
FILLER: Final = "&zwnj;&nbsp;" * 30
HIDDEN: Final = (
    "display:none;font-size:1px;line-height:1px;max-height:0;max-width:0;opacity:0;overflow:hidden;mso-hide:all"
)
#: Known only when a message is made: in a frame a word stands for each, which nothing may change or compare.
LATER: Final = frozenset({"subject", "tenant"})
AS_IT_IS: Final = frozenset({"subject", "tenant.name", "tenant.slug"})
_inliner = css_inline.CSSInliner(load_remote_stylesheets=False, keep_at_rules=True)


@dataclass(frozen=True, slots=True, eq=False)
class Compiled:
    """One locale's words, ready to be rendered: a template for each of RENDERED."""

    source: ContentSource
    parts: dict[str, Restored]


def compile_source(source: ContentSource) -> Compiled:
    """Make what is rendered of what was written.

    Raises: RenderError `render_error` for words outside the language, with their place.
    """
    for part in source.written:
        if problems := inspect(getattr(source, part)).problems:
            first = problems[0]
            raise RenderError("render_error", str(first), line=first.line, column=first.column, part=part)
    parts = {part: Restored(getattr(source, part), part=part) for part in RENDERED}
    if source.body_format == "markdown":
        marks, body = _markdown_body(source)
        html_check(body.html, part="markdown")
        text = plain.to_text(body, marks) if not source.text.strip() else ""
        html = _framed(surrounded(body, marks), source, marks) if source.markdown.strip() else ""
    else:
        marks = Marks([source.html, source.subject, source.preheader])
        html_check(source.html)
        html = marks.take_html(source.html, "html")
        text = plain.to_text(plain.of_html(html, marks), marks) if html.strip() and not source.text.strip() else ""
        html = _inlined(html) if "<style" in html.lower() else html
    html = _with_preheader(html, source, marks)
    parts["html"] = marks.put_back(html, links_of(html, marks))
    if text:
        parts["text"] = marks.put_back(text)
    texts = {part: getattr(source, part) for part in source.written}
    for restored in parts.values():
        restored.texts = texts
    return Compiled(source, parts)


def _markdown_body(source: ContentSource) -> tuple[Marks, Body]:
    frame = source.frame or PLAIN
    marks = Marks(
        [source.markdown, source.subject, source.preheader, frame.html, frame.header, frame.footer, frame.legal]
    )
    return marks, to_html(marks.take(source.markdown, "markdown"), marks)


def _framed(body: str, source: ContentSource, marks: Marks) -> str:
    subject = marks.take(source.subject, "subject")
    document = _document(source.frame or PLAIN, subject, source.locale, marks)
    return _inlined(document.replace(marks.word_for_body(), body))


def _document(frame: Frame, subject: str, locale: str, marks: Marks) -> str:
    _frame_check(frame.html)
    template = frame.html or document_of(
        frame, **{part: _frame_markdown(getattr(frame, part)) for part in ("header", "footer", "legal")}
    )
    names: dict[str, Any] = {
        "body": marks.word_for_body(),
        "subject": subject,
        "locale": locale or "en",
        "tenant": {"name": marks.word_of("tenant.name"), "slug": marks.word_of("tenant.slug")},
    }
    document = engine.render(Restored(template, part="frame", texts={"frame": template}), names, html=True)
    if document.count(marks.word_for_body()) != 1:
        raise RenderError("render_error", "The frame must hold {{ body }} once: the words go there.", part="frame")
    return document


@functools.lru_cache(maxsize=500)
def _frame_markdown(source: str) -> str:
    """Return a line of the frame as HTML with its tags."""
    _frame_check(source)
    marks = Marks([source])
    html = surrounded(to_html(marks.take(source, "frame"), marks), marks)
    html_check(html, part="frame")
    return marks.put_back(html, links_of(html, marks)).source


def _frame_check(source: str) -> None:
    """Refuse what is no template language, and a frame that does more with LATER than print it.

    Raises: RenderError `render_error`, with the place.
    """
    problems = inspect(source).problems
    if not problems:
        for tag in tags(source):
            named = LATER.intersection(word.text for word in tag.words if word.kind == "name")
            if named and (tag.is_statement or "".join(word.text for word in tag.words) not in AS_IT_IS):
                message = (
                    f"A frame can only print {' and '.join(sorted(named))} as it is: {{{{ subject }}}}, {{{{ tenant.name }}}}, "
                    "{{ tenant.slug }}, without filters, conditions or anything else."
                )
                problems = [Problem(*place(source, tag.start), message)]
                break
    if problems:
        first = problems[0]
        raise RenderError("render_error", str(first), line=first.line, column=first.column, part="frame")


def _inlined(html: str) -> str:
    if not re.search(r"<body\b", html, re.IGNORECASE):
        # Else a parser would put a statement that comes first outside of the document.
        html = f"<html><body>{html}</body></html>"
    html_check(html)
    try:
        return _inliner.inline(html)
    except css_inline.InlineError as error:
        raise RenderError("render_error", f"The style sheet cannot be read: {error}", part="html") from None


def _with_preheader(html: str, source: ContentSource, marks: Marks) -> str:
    if not html or not source.preheader.strip():
        return html
    words = escape(marks.take(source.preheader.strip(), "preheader"))
    hidden = f'<div style="{HIDDEN}">{words}{FILLER}</div>'
    body = re.search(r"<body\b[^>]*>", html, re.IGNORECASE)
    at = body.end() if body else 0
    return f"{html[:at]}{hidden}{html[at:]}"
