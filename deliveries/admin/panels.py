"""Panels that other apps put on the dashboard. Here: the list of them. What one shows is its app's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest


@dataclass(frozen=True, slots=True)
class Panel:
    """`name` is its own; `read` returns what its template shows, by a fixed number of queries; {}: nothing to show now.

    Only who has `permission` sees it.
    """

    name: str
    template: str
    permission: str
    read: Callable[[], dict[str, Any]]


_panels: dict[str, Panel] = {}


def panel_register(panel: Panel) -> None:
    """Put a panel on the dashboard. Idempotent by its name."""
    _panels[panel.name] = panel


def panels_of(request: HttpRequest) -> list[dict[str, Any]]:
    """Return what the panels show to the signed-in person."""
    return [
        {"name": panel.name, "template": panel.template, "values": panel.read()}
        for panel in _panels.values()
        if request.user.has_perm(panel.permission)
    ]
