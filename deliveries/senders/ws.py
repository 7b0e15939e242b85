"""In-app: the delivery row is the inbox item, so sending is storing; open sockets are told once the row is committed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar

from deliveries.channels import Channel
from deliveries.realtime import protocol
from deliveries.realtime.protocol import Item
from deliveries.senders.base import Message, Receipt, Sender, SendError

PROVIDER = "inbox"
CAPACITY = 1000


class InboxSender(Sender):
    """Takes every message that says something. Its far end is our own table, so it never fails for a while."""

    channel: ClassVar[Channel] = Channel.WS
    keeps_content: ClassVar[bool] = True
    capacity = CAPACITY

    def __init__(self, publish: Callable[[Sequence[Item]], Awaitable[None]]) -> None:
        """`publish` tells open sockets. It may lose what it is given and must not raise for a far end that is away."""
        self._publish = publish

    async def send(self, message: Message) -> Receipt:
        """Accept the message for the inbox; dispatch stores it with the outcome. Raises: SendError for one that is empty."""
        if not (message.content.subject.strip() or message.content.text.strip()):
            raise SendError(
                "empty_message",
                "The inbox item would have neither title nor text. Give its template one of them.",
                provider=PROVIDER,
                permanent=True,
            )
        return Receipt(PROVIDER)

    async def stored(self, messages: Sequence[Message]) -> None:
        """Push the stored items to the open sockets of their people, in order and in one go."""
        await self._publish([_item(message) for message in messages])


def _item(message: Message) -> Item:
    frame = protocol.notification(
        job_id=message.job_id,
        rendered={
            "subject": message.content.subject,
            "text": message.content.text,
            "action_url": message.content.action_url,
        },
        data=message.data,
        priority=message.priority,
        created_at=message.accepted_at,
    )
    return Item(message.tenant_id, str(message.user_id), str(message.job_id), frame)
