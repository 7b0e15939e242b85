"""The names every layer shares: channels, priorities and statuses. Pure constants; no Django models, no settings, no I/O."""

from enum import IntEnum, StrEnum


class Channel(StrEnum):
    """The channels a job may name (contracts: NotificationJob). Each is declared here even while it has no provider."""

    EMAIL = "email"
    PUSH = "push"
    WS = "ws"
    SMS = "sms"
    WEBHOOK = "webhook"


class Priority(IntEnum):
    """Smaller goes first. Stored as a small integer; on the wire it is the lower-case name."""

    HIGH = 0
    NORMAL = 1
    LOW = 2


class Status(StrEnum):
    """The statuses of a delivery (contracts, section 2)."""

    PENDING = "PENDING"
    SENDING = "SENDING"
    RETRYING = "RETRYING"
    SENT = "SENT"
    FAILED = "FAILED"
    EXPIRED = "EXPIRED"
    SUPPRESSED = "SUPPRESSED"
    CANCELLED = "CANCELLED"


class Outcome(StrEnum):
    """What became of a delivery after the provider took it, when somebody told us."""

    UNKNOWN = ""
    DELIVERED = "delivered"
    BOUNCED = "bounced"
    COMPLAINED = "complained"
    SEEN = "seen"
    ACKNOWLEDGED = "acknowledged"


WAITING = frozenset({Status.PENDING, Status.RETRYING})
TERMINAL = frozenset({Status.SENT, Status.FAILED, Status.EXPIRED, Status.SUPPRESSED, Status.CANCELLED})
OPEN = WAITING | {Status.SENDING}
CHANNELS = frozenset(Channel)
