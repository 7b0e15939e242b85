"""The job ids of a broadcast: UUIDs of version 8 (RFC 9562, 5.8) that say which broadcast, contact and channel they are for.

48 bits  the broadcast's own moment, in milliseconds     ┐ one prefix for each broadcast of a tenant, so
 4 bits  version 8                                        │ its rows lie side by side in the unique index
12 bits  the broadcast's id, its last 12 bits             ┘ (tenant, job_id) and are counted by a range of it
 2 bits  variant 10
48 bits  the contact's id
 6 bits  the channel's number
 8 bits  how often it was replayed (`deliveries/lifecycle/replay.py` counts it up)

The same recipient has the same id whenever it is computed, so nobody can get a broadcast twice. Pure.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from deliveries.channels import Channel

#: Never changed: ids that were sent hold them.
CHANNEL_NUMBERS: Final = {Channel.EMAIL: 1, Channel.PUSH: 2, Channel.WS: 3, Channel.SMS: 4, Channel.WEBHOOK: 5}
_VARIANT: Final = 1 << 63


def prefix(*, stamp_ms: int, broadcast_id: int) -> str:
    """Return the first 16 hex digits of a broadcast's job ids."""
    return f"{stamp_ms & (1 << 48) - 1:012x}8{broadcast_id & 0xFFF:03x}"


def bounds(*, stamp_ms: int, broadcast_id: int) -> tuple[UUID, UUID]:
    """Return the lowest and the highest job id that a broadcast may have."""
    first = prefix(stamp_ms=stamp_ms, broadcast_id=broadcast_id)
    return UUID(f"{first}8{'0' * 15}"), UUID(f"{first}b{'f' * 15}")


def job_id(*, stamp_ms: int, broadcast_id: int, contact_id: int, channel: Channel) -> UUID:
    """Return the job id of one recipient, as it was first sent. `sql` computes the same."""
    rest = _VARIANT | contact_id << 14 | CHANNEL_NUMBERS[channel] << 8
    return UUID(f"{prefix(stamp_ms=stamp_ms, broadcast_id=broadcast_id)}{rest:016x}")


def sql(contact_id: str, channel: str) -> str:
    """Return the SQL value of `job_id` for two columns; it takes the parameter `prefix`."""
    numbers = " ".join(f"WHEN '{name}' THEN {number << 8}" for name, number in CHANNEL_NUMBERS.items())
    rest = f"((-9223372036854775808)::bigint | ({contact_id} << 14) | (CASE {channel} {numbers} END)::bigint)"
    return f"(%(prefix)s || to_hex({rest}))::uuid"
