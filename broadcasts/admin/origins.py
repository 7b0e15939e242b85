"""Broadcasts by the names of their own words, for the pages that know those names only."""

from __future__ import annotations

from collections.abc import Mapping

from django.http import HttpRequest

from broadcasts.admin.base import broadcast_url
from broadcasts.models import Broadcast
from broadcasts.models.broadcasts import SOURCE_PREFIX
from deliveries.admin.origins import Origin, origins_register


def origins(request: HttpRequest, codes: list[str]) -> Mapping[str, Origin]:
    """Return the broadcasts that some codes name. One query."""
    if not request.user.has_perm("broadcasts.view_broadcast"):
        return {}
    numbers = [code.removeprefix(SOURCE_PREFIX) for code in codes]
    ids = [int(number) for number in numbers if number.isdecimal() and len(number) < 19]
    found = Broadcast.objects.filter(pk__in=ids).only("pk", "name")
    return {each.source: Origin(each.name, broadcast_url(each)) for each in found}


origins_register(SOURCE_PREFIX, origins)
