"""Filters of the staff templates: numbers, moments, chips. The words are in `deliveries/admin/words.py`.

`deliveries.admin` is imported when a filter runs: importing Unfold loads every template library, this one among them.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django import template
from django.utils import timezone
from django.utils.safestring import SafeString

if TYPE_CHECKING:
    from deliveries.admin.words import Chip

register = template.Library()


@register.filter
def number(value: float) -> str:
    """Show a number with thousands separators."""
    return f"{value:,}"


@register.filter
def rate(value: float) -> str:
    """Show a rate a minute: whole from ten up, one decimal below."""
    return f"{value:,.0f}" if value >= 10 or value == 0 else f"{value:,.1f}"


@register.filter
def share(part: int, whole: int) -> str:
    """Show a part of a whole as a CSS percentage."""
    return f"{100 * part / whole:.2f}%" if whole else "0%"


@register.filter
def moment(at: datetime) -> str:
    """Show a moment in local time, with the date unless it is today."""
    from deliveries.admin import words

    return words.moment(at)


@register.filter
def precise(at: datetime) -> str:
    """Show a moment to the second, with the date unless it is today."""
    local = timezone.localtime(at)
    return f"{local:%H:%M:%S}" if local.date() == timezone.localdate() else f"{local:%-d %b %H:%M:%S}"


@register.filter
def ago(at: datetime | None) -> SafeString:
    """Show how long ago, with the exact moment beside the pointer."""
    from deliveries.admin.base import when

    return when(at)


@register.filter
def channel(name: str) -> str:
    """Name a channel."""
    from deliveries.admin import words

    return words.channel(name)


@register.simple_tag
def chip(word: Chip) -> SafeString:
    """Show a word with its tone."""
    from deliveries.admin import base

    return base.chip(word.text, word.tone)


@register.inclusion_tag("admin/deliveries/_bell.html", takes_context=True)
def notices_bell(context: dict[str, Any]) -> dict[str, Any]:
    """Show the bell to who may see notices."""
    from deliveries.admin.notices import bell

    return bell(context["request"])
