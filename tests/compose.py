"""The compose page as staff use it: its form, saving it, and what its check says. For tests of the admin."""

from __future__ import annotations

from typing import Any

from django.test import Client
from django.urls import reverse

from broadcasts.models import Broadcast

ADD = "admin:broadcasts_broadcast_add"
JSON = {"Accept": "application/json"}
#: A body that needs an attribute which not everybody has.
LACKS = "Hello from {{ contact.attributes.city }}"


def url(broadcast: Broadcast, action: str = "change") -> str:
    return reverse(f"admin:broadcasts_broadcast_{action}", args=[broadcast.pk])


def form(**fields: Any) -> dict[str, Any]:
    """Return the page's form as a browser posts it, filled in as little as can be."""
    own = {"source": "own", "title": "News", "body": "Hello", "who": "all_users", "channels": ["ws"], "reach": "all"}
    return {**own, "time_zone": "UTC", "when": "now", **fields}


def edit(client: Client, broadcast: Broadcast, **fields: Any) -> dict[str, Any]:
    """Save the page's form without leaving it; return the answer."""
    posted = {"revision": str(broadcast.revision), "name": broadcast.name, **form(**fields)}
    answer = client.post(url(broadcast), posted, headers=JSON)
    assert answer.status_code == 200
    return answer.json()  # type: ignore[no-any-return]


def checked(client: Client, broadcast: Broadcast) -> str:
    """Return what the page shows of who gets it."""
    answer = client.post(url(broadcast, "check")).json()
    return str(answer["count"] + answer["review"])
