"""A version's preview: a made-up person, guessed sample data, and the words rendered with them. Reads only."""

from __future__ import annotations

import json
import re
from typing import Final

from deliveries.admin.delivery_page import Preview, frame, render_version
from deliveries.models import Contact, TemplateVersion
from deliveries.rendering import RenderError, contact_of
from deliveries.templating import PARTS

#: Names that are there without the job's data.
GIVEN: Final = frozenset({"contact", "data", "tenant", "loop", "not", "true", "false", "none"})
FIELD: Final = re.compile(r"\{\{-?\s*([a-zA-Z_]\w*)|\{%-?\s*(?:if|elif)\s+(?:not\s+)?([a-zA-Z_]\w*)")


def sample_data(version: TemplateVersion) -> dict[str, str]:
    """Guess the job's data that the version's words ask for, each field filled with its own name."""
    contents = version.contents.all()
    words = "\n".join(getattr(content, part) for content in contents for part in PARTS)
    found = (first or second for first, second in FIELD.findall(words))
    return {name: name.replace("_", " ") for name in dict.fromkeys(found) if name not in GIVEN}


def preview_with(version: TemplateVersion, data: str, locale: str) -> Preview:
    """Return the version rendered for a made-up person with `data` (JSON), or what is wrong."""
    try:
        values = json.loads(data or "{}")
    except ValueError as error:
        return Preview("Sample data", problem=f"The sample data is no JSON: {error}")
    if not isinstance(values, dict):
        return Preview("Sample data", problem="The sample data must be one JSON object.")
    ana = contact_of(
        Contact(name="Ana Example", email="ana@example.com"), user_id="00000000-0000-4000-8000-000000000000"
    )
    try:
        content, found = render_version(
            version, locales=[locale] if locale else [], data=values, contact=ana, tenant=version.template.tenant
        )
    except RenderError as error:
        return Preview("Rendered for Ana Example", problem=error.message)
    return Preview(f"Rendered for Ana Example, {found}", content, frame=frame(content.html) if content.html else "")
