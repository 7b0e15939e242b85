"""The page of a broadcast that was sent: what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import URLPattern

from broadcasts.admin.history import history_of
from broadcasts.admin.words import state_chip
from broadcasts.audience import audience_words
from broadcasts.counting import kept
from broadcasts.models import Broadcast
from deliveries.admin.base import StaffAdmin

if TYPE_CHECKING:
    _Base = StaffAdmin
else:
    _Base = object


class WatchPages(_Base):
    """What the model admin of broadcasts shows of one that was sent."""

    def watch_urls(self) -> list[URLPattern]:
        """Return the addresses of what can be done on the page."""
        return []

    def watch_page(self, request: HttpRequest, broadcast: Broadcast) -> TemplateResponse:
        """Show the facts."""
        context = {
            "broadcast": broadcast,
            "state": state_chip(broadcast.state),
            "audience": audience_words(broadcast.audience, tenant_id=broadcast.tenant_id),
            "counts": kept(broadcast),
            "history": history_of(broadcast),
        }
        return self.page(request, "admin/broadcasts/watch.html", title=broadcast.name, **context)
