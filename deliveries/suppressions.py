"""The suppression list: addresses that a tenant's messages must not go to. Added and taken off here by staff; reports of providers add to
it in `lifecycle/outcome.py`, and `lifecycle/unwanted.py` is where it is respected. No request, no HTML.
"""

from __future__ import annotations

import re
from typing import Final

from deliveries.channels import Channel
from deliveries.models import Contact, Suppression, Tenant
from deliveries.phones import BadPhoneNumber, e164

_NOT_OF_A_NUMBER: Final = re.compile(r"[^0-9+]")


def normal_address(channel: str, address: str) -> str:
    """Return an address as the list spells it, so that one person's spellings are one: e-mail in lower case, numbers as E.164."""
    if channel == Channel.SMS:
        try:
            return e164(address)
        except BadPhoneNumber:
            return _NOT_OF_A_NUMBER.sub("", address)
    return address.strip().lower()


def suppression_add(
    *, tenant: Tenant, channel: str, address: str, reason: str = Suppression.Reason.STAFF, note: str = ""
) -> tuple[Suppression, bool]:
    """Put an address on the list; what is there already stays as it is. Returns the row and whether it is new."""
    return Suppression.objects.get_or_create(
        tenant=tenant,
        channel=channel,
        address=normal_address(channel, address),
        defaults={"reason": reason, "note": note},
    )


def suppressions_of(contact: Contact) -> list[Suppression]:
    """Return what of the list concerns a person's addresses. One query, none for somebody without addresses."""
    addresses = [
        (channel, normal_address(channel, address))
        for channel, address in ((Channel.EMAIL, contact.email), (Channel.SMS, contact.phone))
        if address
    ]
    if not addresses:
        return []
    rows = Suppression.objects.filter(
        tenant=contact.tenant_id,
        channel__in=[channel for channel, _ in addresses],
        address__in=[address for _, address in addresses],
    )
    return [row for row in rows if (row.channel, row.address) in addresses]
