"""A template's preview: a made-up person, guessed sample data, and the words rendered with them. Reads only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from deliveries import rendering
from deliveries.admin.delivery_page import Preview, frame, render_words
from deliveries.models import Contact, TemplateVersion, Tenant
from deliveries.rendering import ContentSource, RenderError, contact_of
from deliveries.templating import version_sources

HOW = "Rendered for Ana Example"


def sample_data(version: TemplateVersion) -> dict[str, Any]:
    """Return the job's data that the version's words ask for: the declared samples, else each field with its own name."""
    return rendering.sample_data(version_sources(version))


def preview_with(
    sources: Mapping[str, ContentSource], *, locale: str, default_locale: str, data: str, tenant: Tenant
) -> Preview:
    """Return the words rendered for a made-up person with `data` (JSON), or what is wrong."""
    try:
        values = json.loads(data or "{}")
    except ValueError as error:
        return Preview("Sample data", problem=f"The sample data is no JSON: {error}")
    if not isinstance(values, dict):
        return Preview("Sample data", problem="The sample data must be one JSON object.")
    ana = contact_of(
        Contact(name="Ana Example", email="ana@example.com"), user_id="00000000-0000-4000-8000-000000000000"
    )
    locales = [each for each in (locale, default_locale) if each]
    try:
        content, found = render_words(sources, locales, data=values, contact=ana, tenant=tenant)
    except RenderError as error:
        return Preview(HOW, problem=error.message)
    return Preview(f"{HOW}, {found}", content, frame=frame(content.html) if content.html else "")
