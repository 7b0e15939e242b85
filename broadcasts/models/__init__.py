"""The tables of broadcasts: fields, constraints, indexes and named sets. No I/O and no behaviour beyond a row's own name."""

from broadcasts.models.audiences import Audience, AudienceMember, TopicSubscription
from broadcasts.models.broadcasts import Broadcast, BroadcastEvent, BroadcastPoint, LeftOut

__all__ = [
    "Audience",
    "AudienceMember",
    "Broadcast",
    "BroadcastEvent",
    "BroadcastPoint",
    "LeftOut",
    "TopicSubscription",
]
