"""What the page of one delivery shows: message, data, job. Reads only; words come from `words`, the story from `timeline`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from deliveries.admin import words
from deliveries.admin.people import contacts_of
from deliveries.channels import Status
from deliveries.compose import inline
from deliveries.holds import hold_of, holds_in_force
from deliveries.models import Contact, Delivery, TemplateVersion, Tenant
from deliveries.original_job import job_of
from deliveries.previews import frame
from deliveries.reasons import describe
from deliveries.rendering import (
    ContentSource,
    RenderError,
    contact_of,
    context_of,
    in_first_locale,
    normal_locale,
    render,
)
from deliveries.senders.base import Content
from deliveries.templating import frame_of, version_sources
from deliveries.test_sends import EVENT_TYPE
from deliveries.timeline import Kind, timeline

REMOVED: Final = (
    "Its data and words were removed when it was over, as the template asks. It cannot be shown or sent again: let the "
    "person ask for a new one."
)
TONES: Final = {
    Kind.ATTEMPT_FAILED: "warn",
    Kind.SENT: "ok",
    Kind.DELIVERED: "ok",
    Kind.BOUNCED: "bad",
    Kind.COMPLAINED: "bad",
    Kind.SEEN: "ok",
    Kind.ACKNOWLEDGED: "ok",
    Kind.FAILED: "bad",
    Kind.SENDING: "busy",
    Kind.HELD: "warn",
}


@dataclass(frozen=True, slots=True)
class Preview:
    """A message as somebody reads it. `how` says where these words come from; `problem` why there are none."""

    how: str
    content: Content = field(default_factory=Content)
    problem: str = ""
    frame: str = ""
    is_removed: bool = False


def context(row: Delivery) -> dict[str, Any]:
    """Return everything the template needs, by a fixed number of queries."""
    contact = contacts_of([row]).get((row.tenant_id, row.user_id))
    hold = hold_of(row, holds_in_force()) if row.is_waiting else None
    events = timeline(row, hold=hold)
    copies = sum(event.kind == Kind.REPLAYED for event in events)
    is_bad = row.status in (Status.FAILED, Status.SUPPRESSED, Status.EXPIRED)
    return {
        "title": f"Delivery to {contact or row.address or row.user_id}",
        "row": row,
        "contact": contact,
        "channel": words.channel(row.channel),
        "channel_icon": words.channel_icon(row.channel),
        "priority": words.PRIORITIES[row.priority],
        "status": words.status(row),
        "outcome": words.outcome(row),
        "next": words.whats_next(row, hold=hold),
        "is_on_hold": hold is not None,
        "reason": describe(row.reason) if is_bad and row.reason else None,
        "events": [(event, TONES.get(event.kind, "quiet")) for event in events],
        "preview": preview(row, contact),
        "data": pretty(row.data),
        "job": pretty(job_of(row)),
        "copies": copies,
        "may_be_second": row.status == Status.SENT or copies > 0 or any(e.facts.get("is_ambiguous") for e in events),
        "is_waiting": row.is_waiting,
        "is_terminal": row.is_terminal,
    }


def preview(row: Delivery, contact: Contact | None) -> Preview:
    """Return the message: as sent where it was stored, else rendered again. At most two queries."""
    if row.blanked_at:
        return Preview("Not kept", problem=REMOVED, is_removed=True)
    if row.rendered:
        stored = {key: str(row.rendered.get(key) or "") for key in ("subject", "text", "html", "action_url")}
        return Preview("As sent", Content(**stored))
    try:
        if row.content is not None:
            content = inline(row.content)
            how = (
                "A test, as it was rendered" if row.meta.get("event_type") == EVENT_TYPE else "As it came with the job"
            )
            return Preview(how, content, frame=frame(content.html) if content.html else "")
        return _rendered_again(row, contact)
    except RenderError as error:
        return Preview("Rendered again", problem=error.message)


def pretty(value: Any) -> str:
    """Return JSON for reading."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def render_words(
    sources: Mapping[str, ContentSource],
    locales: Sequence[str],
    *,
    data: dict[str, Any],
    contact: dict[str, Any],
    tenant: Tenant,
) -> tuple[Content, str]:
    """Render the words for the first of `locales` that there are; return them and their locale. Raises: RenderError."""
    source = in_first_locale({normal_locale(locale): source for locale, source in sources.items()}, locales)
    if source is None:
        raise RenderError("unknown_template", f"There is no text for {locales[-1]!r}.")
    names = {"name": tenant.name, "slug": tenant.slug}
    return render(source, context_of(data, contact=contact, tenant=names)), source.locale


def _rendered_again(row: Delivery, contact: Contact | None) -> Preview:
    version = row.template_version or _newest(row)
    if version is None:
        return Preview(
            "Not rendered", problem=f"There is no published template {row.template_code!r}. Publish it, then retry."
        )
    locales = [locale for locale in (row.locale, contact.locale if contact else "") if locale]
    person = contact_of(contact or Contact(), user_id=row.user_id)
    locales.append(version.default_locale)
    content, locale = render_words(
        version_sources(version, frame_of(row.tenant)), locales, data=row.data, contact=person, tenant=row.tenant
    )
    what = "Rendered again" if row.template_version_id else "As it would go out now"
    return Preview(
        f"{what} from v{version.number}, {locale}", content, frame=frame(content.html) if content.html else ""
    )


def _newest(row: Delivery) -> TemplateVersion | None:
    versions = TemplateVersion.objects.filter(template__tenant=row.tenant_id, template__code=row.template_code)
    return versions.filter(state=TemplateVersion.State.PUBLISHED).order_by("-number").first()
