"""What an approval is bound to: a hash of the message and the audience, and a band around its size. Pure but for reading a saved audience.

Speed, time and the small group are not in it: they say when, not what and to whom.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

from django.db.models import Count, Max

from broadcasts.message import Words
from broadcasts.models import Audience, Broadcast

#: The audience may shrink or grow by this share between approval and start.
BAND: Final = 0.25


def approval_hash(broadcast: Broadcast, words: Words) -> str:
    """Return the hash of what would be approved: any change of it takes an approval away. At most one query."""
    bound = {
        "words": words.fingerprint(),
        "channels": list(broadcast.channels),
        "reach": broadcast.reach,
        "category": broadcast.category,
        "skip_missing": sorted(broadcast.skip_missing),
        "audience": [broadcast.audience, _saved_audiences(broadcast)],
        "expires_at": broadcast.expires_at.isoformat() if broadcast.expires_at else None,
    }
    return hashlib.sha256(json.dumps(bound, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def is_in_band(*, approved: int, now: int) -> bool:
    """Say whether an audience is still about as large as it was when it was approved."""
    return abs(now - approved) <= approved * BAND


def _saved_audiences(broadcast: Broadcast) -> list[list[Any]]:
    """Return what the saved audiences that it names mean now: their rules, or how many members and the newest of them."""
    shapes = [broadcast.audience, *broadcast.audience.get("exclude", [])]
    ids = [shape["id"] for shape in shapes if shape.get("type") == "audience"]
    if not ids:
        return []
    saved = Audience.objects.filter(tenant=broadcast.tenant_id, id__in=ids).order_by("id")
    counted = saved.annotate(size=Count("members"), newest=Max("members__id"))
    return [list(row) for row in counted.values_list("id", "rules", "size", "newest")]
