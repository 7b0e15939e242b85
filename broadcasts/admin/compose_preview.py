"""The compose page's preview and test: what stands in the page, saved or not, as one person would get it. Stores nothing but the test."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from broadcasts.admin.base import actor_of
from broadcasts.admin.compose_forms import Posted
from broadcasts.admin.words import field_name
from broadcasts.drafts import DraftRefused, broadcast_with
from broadcasts.message import NoWords, words_preview
from broadcasts.models import Broadcast
from broadcasts.test_sends import NotTestable, broadcast_test_send
from deliveries.admin import words
from deliveries.admin.base import staff_name
from deliveries.admin.template_preview import NOBODY, NotPossible, find_reader
from deliveries.channels import Channel, Status
from deliveries.models import Contact
from deliveries.previews import frame
from deliveries.reasons import describe
from deliveries.test_sends import TO_ANY_ADDRESS, BadTestAddress, Target, target_address, target_contact


def shown(request: HttpRequest, broadcast: Broadcast, posted: Posted | None) -> dict[str, Any]:
    """Return what the page's script shows: each channel, the frame, or the problems. Raises: PermissionDenied for a hidden contact."""
    try:
        made = words_preview(as_typed(broadcast, posted), contact=_reader(request, broadcast))
    except DraftRefused as refused:
        told = [f"{field_name(name)}: {' '.join(each)}" for name, each in refused.problems.items()]
        return {"problems": told, "channels": None}
    except (NoWords, NotPossible) as error:
        return {"problems": [str(error)], "channels": None}
    answer: dict[str, Any] = {
        "problems": [str(problem) for problem in made.problems],
        "locale": made.locale,
        "channels": asdict(made.channels) if made.channels else None,
    }
    if made.channels and made.channels.email.html:
        answer["frame"] = frame(made.channels.email.html, pictures=bool(request.POST.get("pictures")))
    return answer


def send_test(request: HttpRequest, broadcast: Broadcast, posted: Posted | None) -> dict[str, Any]:
    """Send a test; return `told`, `is_sent`, and the delivery's page as `url` where there is one. Raises: PermissionDenied."""
    channel, to = request.POST.get("channel", ""), request.POST.get("to", "")
    try:
        reader = _reader(request, broadcast)
        verdict = broadcast_test_send(
            broadcast=as_typed(broadcast, posted),
            actor=actor_of(request),
            channel=channel,
            target=_target(request, broadcast, channel, to),
            reader=reader,
            entrance=f"admin:{staff_name(request)}",
        )
    except (NoWords, NotTestable, NotPossible, BadTestAddress, DraftRefused) as error:
        return {"told": f"Not sent. {error}"}
    url = reverse("admin:deliveries_delivery_change", args=[verdict.delivery_id]) if verdict.delivery_id else ""
    if verdict.status == Status.PENDING:
        return {"told": f"On its way to {to} by {words.channel(channel)}.", "url": url, "is_sent": True}
    return {"told": f"Not sent. {verdict.message or describe(verdict.reason).sentence}", "url": url}


def as_typed(broadcast: Broadcast, posted: Posted | None) -> Broadcast:
    """Return the broadcast with what stands in the page, as far as it can be read. Raises: DraftRefused."""
    return broadcast_with(broadcast=broadcast, values=posted.values) if posted else broadcast


def _reader(request: HttpRequest, broadcast: Broadcast) -> Contact | None:
    match request.POST.get("as"):
        case "missing":
            return NOBODY
        case "person":
            return find_reader(request, request.POST.get("person", ""), broadcast.tenant)
    return None


def _target(request: HttpRequest, broadcast: Broadcast, channel: str, to: str) -> Target:
    """Return where the test goes. Raises: BadTestAddress, NotPossible, PermissionDenied."""
    if channel not in list(Channel):
        raise BadTestAddress("Choose a channel.")
    if channel in TO_ANY_ADDRESS:
        return target_address(tenant_id=broadcast.tenant_id, channel=channel, to=to)
    return target_contact(find_reader(request, to, broadcast.tenant))
