"""The contract between dispatch and a channel: Message in, Receipt out, or SendError. Nothing else belongs here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Literal
from uuid import UUID

import msgspec

from deliveries.channels import Channel

Platform = Literal["fcm", "apns", "webpush"]
UNCHECKABLE = "This kind cannot be checked without sending something. Send a test to yourself."


class Content(msgspec.Struct, frozen=True, gc=False):
    """What a person reads, already rendered. `subject` is the title on channels that have no subject line.

    `preheader` stands in `html` already. An empty `from_address` or `reply_to` means the tenant's, then the settings'.
    """

    subject: str = ""
    text: str = ""
    html: str = ""
    action_url: str = ""
    preheader: str = ""
    from_address: str = ""
    """Whom an e-mail says it is from, `Name <address>` or an address; empty: the sender's own."""
    reply_to: str = ""


class Device(msgspec.Struct, frozen=True, gc=False):
    """Where a push goes: `token` is the platform's name of the device, for Web Push the subscription's endpoint.

    `keys` are those of a Web Push subscription: `p256dh` and `auth`.
    """

    id: int
    platform: Platform
    token: str
    keys: Mapping[str, str] = msgspec.field(default_factory=dict)


class DeviceResult(msgspec.Struct, frozen=True, gc=False):
    """What became of one device of a push. `code` is its error's; `is_dead`: nothing will ever arrive there, forget it."""

    device_id: int
    ok: bool
    code: str = ""
    message_id: str = ""
    is_dead: bool = False


class Message(msgspec.Struct, frozen=True, gc=False):
    """One rendered delivery on its way to a provider. `to` is the channel's address (an e-mail address, a user id).

    Where the address is several devices (push), they are in `devices`. After `expires_at` nobody wants to read it.
    """

    delivery_id: int
    job_id: UUID
    tenant_id: int
    user_id: UUID
    to: str
    content: Content
    attempt: int
    accepted_at: datetime
    priority: int = 1
    data: Mapping[str, Any] = msgspec.field(default_factory=dict)
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)
    refused_by: str = ""
    """The provider that refused this message at its last attempt, or empty."""
    devices: Sequence[Device] = ()
    secrets: Sequence[str] = ()
    """What signs a webhook, newest first: two while they are rotated."""
    expires_at: datetime | None = None

    def __repr__(self) -> str:
        """Show all but the secrets, since what is shown ends up in logs."""
        shown = (f"{name}={getattr(self, name)!r}" for name in self.__struct_fields__ if name != "secrets")
        return f"Message({', '.join(shown)})"


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """A provider took the message. `provider` names the company or server, `message_id` its own id for the message.

    A push has a result for each of the message's devices, and at least one of them took it.
    """

    provider: str
    message_id: str = ""
    devices: Sequence[DeviceResult] = ()


class SendError(Exception):
    """A provider did not take the message, or may not have.

    `code`: a stable word for grouping (`smtp_550`, `timeout`, `connection_refused`). `message`: what, where, what to do; read by staff.
    `permanent`: trying again cannot help. `ambiguous`: the provider may have taken it (a cut after the message was handed over).
    `retry_after_seconds`: the provider's own wish, which may lengthen the wait. `account`: the provider refuses us, not this message.
    `devices`: a push's result for each of the message's devices.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        provider: str = "",
        permanent: bool = False,
        ambiguous: bool = False,
        account: bool = False,
        retry_after_seconds: float | None = None,
        devices: Sequence[DeviceResult] = (),
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.provider = provider
        self.permanent = permanent
        self.ambiguous = ambiguous
        self.account = account
        self.retry_after_seconds = retry_after_seconds
        #: Another provider could take the message at once. Set by `deliveries/providers/chain.py`.
        self.elsewhere = False
        self.devices = devices


class Sender:
    """One channel. `send` is called by many coroutines of one event loop at once, at most `capacity` of them.

    The caller owns the total deadline: it cancels `send` when the time is up, and a cancelled `send` must close the connection it used.
    A cancelled or failed call must leave the sender usable for others.
    """

    channel: ClassVar[Channel]
    keeps_content: ClassVar[bool] = False
    """Whether the row itself is where the person reads it (the inbox), so that the rendered content is stored there."""
    capacity: int = 1
    """How many messages may be handed over at once. More than the far end takes at once keeps its connections busy."""
    at_once: int | None = None
    """How many of them the far end has at a time, while the others wait their turn in here. None: all of them."""

    async def open(self) -> None:
        """Prepare for sending on the running event loop. Connects lazily: it must not fail because a provider is away."""

    async def admit(self, wanted: int) -> int:
        """Return how many of `wanted` more messages may be taken on now. What is not waits, and nothing counts against it."""
        return wanted

    def unused(self, count: int) -> None:
        """Learn that `count` of the messages that were admitted did not come."""

    def is_resting(self) -> bool:
        """Say whether nothing may be sent now, so that what is in hand and not started goes back with nothing counted against it."""
        return False

    async def send(self, message: Message) -> Receipt:
        """Hand one message to the provider. Raises: SendError."""
        raise NotImplementedError

    async def check(self) -> str:
        """Ask the provider whether it takes us, sending nothing, and return what it said. Between `open` and `close`. Raises: SendError."""
        return UNCHECKABLE

    async def stored(self, messages: Sequence[Message]) -> None:
        """Learn that these messages' outcomes are committed as SENT. May be lost in a crash; must not raise for a far end that is away."""

    async def close(self) -> None:
        """Let go of every connection."""
