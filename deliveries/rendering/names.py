"""The names that a template may use, as the package's docstring promises them. Sending and previews both take them
from here, so that what previews well does not fail when it is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol
from uuid import UUID


class Contact(Protocol):
    """Whoever a message is for: a contact's row, or what was read of it when the delivery started."""

    @property
    def name(self) -> str: ...
    @property
    def email(self) -> str: ...
    @property
    def phone(self) -> str: ...
    @property
    def locale(self) -> str: ...
    @property
    def time_zone(self) -> str: ...
    @property
    def attributes(self) -> dict[str, Any]: ...


def contact_of(contact: Contact, *, user_id: UUID | str) -> dict[str, Any]:
    """Return what a template knows as `contact`. Somebody who is no contact has a user_id and empty fields."""
    return {
        "user_id": str(user_id),
        "name": contact.name,
        "email": contact.email,
        "phone": contact.phone,
        "locale": contact.locale,
        "time_zone": contact.time_zone,
        "attributes": contact.attributes,
    }


def contact_filled(contact: Mapping[str, Any], fallbacks: Mapping[str, Any]) -> dict[str, Any]:
    """Return a `contact` whose empty fields have what stands in for them, by their dotted names. What has a value keeps it."""
    filled = {**contact, "attributes": dict(contact["attributes"] or {})}
    for name, value in fallbacks.items():
        group, _, key = name.rpartition(".")
        fields = filled["attributes"] if group == "attributes" else filled
        if fields.get(key) in (None, ""):
            fields[key] = value
    return filled


def context_of(
    data: Mapping[str, Any], *, contact: Mapping[str, Any], tenant: Mapping[str, Any], unsubscribe_url: str = ""
) -> dict[str, Any]:
    """Return all the names a template may use. Without a link of ours, a key of the job's data may be its `unsubscribe_url`."""
    link = {"unsubscribe_url": unsubscribe_url} if unsubscribe_url else {}
    return {"unsubscribe_url": "", **data, **link, "data": data, "contact": contact, "tenant": tenant}
