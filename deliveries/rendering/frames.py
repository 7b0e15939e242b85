"""The frame around a tenant's mails: a document in HTML with a place for the words. Itself a template, of the same
language; rendered once when a version is compiled, so that it costs a message nothing.

A frame can name `body` (where the words go, once), `subject`, `locale` (of the words: `{% if locale == 'de' %}`) and
`tenant` with `name` and `slug`. It knows no contact and no data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from html import escape
from typing import Any, Final

STYLE: Final = """
body { margin: 0; background: %(background)s; color: %(text)s; font: 16px/1.55 -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif; }
.around { width: 100%%; background: %(background)s; }
.outer { padding: 28px 12px; }
.card { width: 100%%; max-width: 560px; background: #ffffff; border-radius: 14px; }
.name { padding: 26px 32px 0; font-size: 20px; font-weight: 700; letter-spacing: -.02em; color: %(accent)s; }
.name img { display: block; max-width: 200px; max-height: 48px; border: 0; }
.words { padding: 18px 32px 30px; color: %(text)s; }
.words h1 { margin: 0 0 12px; font-size: 24px; line-height: 1.25; letter-spacing: -.02em; }
.words h2 { margin: 24px 0 8px; font-size: 18px; line-height: 1.3; }
.words p, .words ul, .words ol { margin: 0 0 14px; }
.words ul, .words ol { padding-left: 22px; }
.words a { color: %(accent)s; }
.words p.action { margin: 22px 0; }
.words a.button { display: inline-block; padding: 12px 22px; border-radius: 9px; background: %(accent)s; color: %(on_accent)s; font-weight: 600; text-decoration: none; }
.words table { width: 100%%; margin: 4px 0 16px; border-collapse: collapse; }
.words th, .words td { padding: 9px 8px 9px 0; border-bottom: 1px solid #e3e8e4; text-align: left; vertical-align: top; }
.words th { font-size: 13px; font-weight: 600; }
.words blockquote { margin: 0 0 16px; padding: 14px 18px; border-left: 4px solid %(accent)s; background: %(background)s; }
.words code { font-family: ui-monospace, Menlo, Consolas, monospace; }
.words pre { margin: 6px 0 18px; padding: 16px; border-radius: 10px; background: %(background)s; text-align: center; font-size: 28px; font-weight: 700; letter-spacing: .2em; }
.words hr { margin: 22px 0; border: 0; border-top: 1px solid #e3e8e4; }
.words img { max-width: 100%%; }
.foot { max-width: 520px; padding: 18px 12px 0; font-size: 13px; line-height: 1.5; color: #5c6861; text-align: center; }
.foot p { margin: 0 0 8px; }
.foot a { color: #5c6861; }
.legal { font-size: 12px; }
@media (max-width: 480px) { .outer { padding: 0 !important; } .card { border-radius: 0 !important; } .words, .name { padding-left: 20px !important; padding-right: 20px !important; } }
"""  # noqa: E501
#: `{{ body }}` and the rest are the frame's own tags.
DOCUMENT: Final = """<!doctype html>
<html lang="{{ locale }}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light">
<title>{{ subject }}</title>
<style>%(style)s</style>
</head>
<body>
<table role="presentation" class="around" width="100%%" cellpadding="0" cellspacing="0"><tr><td align="center" class="outer">
<table role="presentation" class="card" cellpadding="0" cellspacing="0">
<tr><td class="name">%(name)s</td></tr>
<tr><td class="words">
%(header)s{{ body }}
</td></tr>
</table>
<div class="foot">%(footer)s%(legal)s</div>
</td></tr></table>
</body>
</html>
"""


@dataclass(frozen=True, slots=True)
class Frame:
    """What a tenant's frame is made of (models.Brand). `html`: the whole frame, in place of the rest."""

    logo_url: str = ""
    accent_colour: str = "#1f5c40"
    background_colour: str = "#f1f3f0"
    text_colour: str = "#1f2a24"
    header: str = ""
    footer: str = ""
    legal: str = ""
    html: str = ""

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Frame:
        """Return the frame of a brand's columns."""
        values = {each.name: str(row[each.name]) for each in fields(cls) if each.name != "html"}
        return cls(**values, html=str(row["frame_html"]))


PLAIN: Final = Frame()


def document_of(frame: Frame, *, header: str, footer: str, legal: str) -> str:
    """Return the frame as a template. The three are its Markdown as HTML, without tags or with tags of the frame."""
    logo = f'<img src="{escape(frame.logo_url)}" alt="{{{{ tenant.name }}}}" height="40">' if frame.logo_url else ""
    style = STYLE % {
        "accent": frame.accent_colour,
        "background": frame.background_colour,
        "text": frame.text_colour,
        "on_accent": _readable_on(frame.accent_colour),
    }
    return DOCUMENT % {
        "style": style,
        "name": logo or "{{ tenant.name }}",
        "header": header,
        "footer": footer,
        "legal": legal and f'<div class="legal">{legal}</div>',
    }


def _readable_on(colour: str) -> str:
    """Return black or white, whichever reads better on a colour (WCAG 2.1, relative luminance)."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#ffffff" if 1.05 / (luminance + 0.05) >= (luminance + 0.05) / 0.05 else "#111111"
