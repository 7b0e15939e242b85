"""What the pages of broadcasts share: who acts and from where, the broadcast of an address, the address of a broadcast."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest
from django.urls import reverse

from broadcasts.actor import Actor
from broadcasts.models import Broadcast
from deliveries.admin.base import staff


def actor_of(request: HttpRequest) -> Actor:
    """Return the signed-in person as the services and the history name them. Raises: PermissionDenied when there is none."""
    user = staff(request)
    return Actor(user.get_username(), staff_id=user.pk, address=request.META.get("REMOTE_ADDR", ""))


def broadcast_get(object_id: Any) -> Broadcast:
    """Return a broadcast with its tenant. One query. Raises: Http404."""
    text = str(object_id)
    is_id = text.isascii() and text.isdigit() and len(text) < 19
    found = Broadcast.objects.select_related("tenant").filter(pk=int(text)).first() if is_id else None
    if found is None:
        raise Http404("There is no such broadcast.")
    return found


def broadcast_url(broadcast: Broadcast, action: str = "change") -> str:
    """Return the address of a broadcast's page, or of an action on it."""
    return reverse(f"admin:broadcasts_broadcast_{action}", args=[broadcast.pk])
