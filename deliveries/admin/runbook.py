"""The operator's runbook (docs/runbook.md) inside the admin, so that "What to do" leads somewhere without a network."""

from __future__ import annotations

import re
from functools import cache
from itertools import pairwise
from pathlib import Path

from django.conf import settings
from django.utils.safestring import SafeString
from markdown_it import MarkdownIt
from markdown_it.token import Token


def path() -> Path:
    """Return where the runbook lies."""
    return Path(settings.BASE_DIR) / "docs" / "runbook.md"


def anchor_of(heading: str) -> str:
    """Return the anchor of a heading as Markdown hosts make it: lower case, hyphens for spaces, no punctuation."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def as_html() -> SafeString:
    """Return the runbook as HTML; empty when this installation came without it."""
    file = path()
    return _rendered(file, file.stat().st_mtime) if file.exists() else SafeString("")


@cache
def _rendered(file: Path, changed_at: float) -> SafeString:
    markdown = MarkdownIt("js-default", {"html": False})
    tokens = markdown.parse(file.read_text(encoding="utf-8"))
    for opening, inline in pairwise(tokens):
        if opening.type == "heading_open":
            opening.attrSet("id", anchor_of(_text(inline)))
    # Our own file, rendered with raw HTML switched off.
    return SafeString(markdown.renderer.render(tokens, markdown.options, {}))


def _text(inline: Token) -> str:
    return "".join(child.content for child in inline.children or [])
