"""The editor's "Send me a test": what was typed becomes a target, the words are rendered as the preview shows them, one service sends."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from deliveries.admin import words
from deliveries.admin.base import staff
from deliveries.admin.template_forms import Posted
from deliveries.admin.template_preview import NotPossible, find_reader, wanted
from deliveries.channels import Channel, Status
from deliveries.models import TemplateVersion
from deliveries.previews import preview
from deliveries.reasons import describe
from deliveries.test_sends import (
    TO_ANY_ADDRESS,
    BadTestAddress,
    Target,
    target_address,
    target_contact,
    template_test_send,
)


def send_test(request: HttpRequest, version: TemplateVersion, posted: Posted | None) -> dict[str, Any]:
    """Send, and return what editor.js tells: `told`, and the delivery's page as `url` where there is one. Raises: PermissionDenied."""
    channel, to = request.POST.get("channel", ""), request.POST.get("to", "")
    hides = version.template.hides_personal_data or (posted is not None and posted.draft.hides_personal_data)
    if hides and request.POST.get("as") == "person":
        return {"told": "Not sent. This template hides personal data: send its tests with sample values."}
    try:
        target = _target(request, version, channel, to)
        made = preview(wanted(request, version, posted))
    except (NotPossible, BadTestAddress) as error:
        return {"told": f"Not sent. {error}"}
    if made.channels is None:
        return {"told": f"Not sent. {' '.join(problem.message for problem in made.problems)}"}
    if problem := getattr(made.channels, channel).problem:
        return {"told": f"Not sent. {problem}"}
    verdict = template_test_send(
        template=version.template,
        version=str(version),
        content=made.content,
        channel=channel,
        target=target,
        by=staff(request),
    )
    url = reverse("admin:deliveries_delivery_change", args=[verdict.delivery_id]) if verdict.delivery_id else ""
    if verdict.status == Status.PENDING:
        return {"told": f"On its way to {to} by {words.channel(channel)}.", "url": url, "is_sent": True}
    return {"told": f"Not sent. {verdict.message or describe(verdict.reason).sentence}", "url": url}


def _target(request: HttpRequest, version: TemplateVersion, channel: str, to: str) -> Target:
    """Return where the test goes. Raises: BadTestAddress, NotPossible, PermissionDenied."""
    if channel not in list(Channel):
        raise BadTestAddress("Choose a channel.")
    if channel in TO_ANY_ADDRESS:
        return target_address(tenant_id=version.template.tenant_id, channel=channel, to=to)
    return target_contact(find_reader(request, to, version.template.tenant))
