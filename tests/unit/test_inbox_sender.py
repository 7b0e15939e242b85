"""The in-app sender; what every sender keeps to is in test_sender_contract.py."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from deliveries.realtime.protocol import Item
from deliveries.senders.base import Content, SendError
from deliveries.senders.ws import InboxSender
from tests.unit.sender_cases import make_message


async def nowhere(items: Sequence[Item]) -> None:
    """Publish to nobody."""


@pytest.mark.parametrize("content", [Content(), Content(subject=" ", text="\n"), Content(html="<p>Hello</p>")])
async def test_an_item_that_says_nothing_fails_for_good(content: Content) -> None:
    with pytest.raises(SendError) as caught:
        await InboxSender(nowhere).send(make_message("anyone", content=content))

    assert (caught.value.code, caught.value.permanent) == ("empty_message", True)


@pytest.mark.parametrize("content", [Content(subject="Hello"), Content(text="Hello")])
async def test_a_title_or_a_text_is_enough(content: Content) -> None:
    assert (await InboxSender(nowhere).send(make_message("anyone", content=content))).provider == "inbox"


async def test_what_is_stored_is_published_in_order_and_in_one_go() -> None:
    calls: list[list[Item]] = []

    async def publish(items: Sequence[Item]) -> None:
        calls.append(list(items))

    messages = [replace(make_message("anyone"), data={"number": number}) for number in range(3)]
    await InboxSender(publish).stored(messages)

    [items] = calls
    assert [item.notification_id for item in items] == [str(message.job_id) for message in messages]
    assert [(item.tenant_id, item.user_id) for item in items] == [(1, str(message.user_id)) for message in messages]
    assert [json.loads(item.frame)["data"]["number"] for item in items] == [0, 1, 2]
