"""One try of one started row: render, wait for room, send. Every end is a `Tried`; nothing escapes and nothing is recorded here."""

from __future__ import annotations

import asyncio

import structlog
from django.conf import settings

from deliveries.addresses import Address
from deliveries.compose import compose
from deliveries.lifecycle import ClaimedRow, Person
from deliveries.outcomes import Tried
from deliveries.rendering import RenderError, TemplateBook
from deliveries.senders.base import Receipt, Sender, SendError

log = structlog.get_logger(__name__)

TEST_RECEIPT = Receipt(provider="test key")


async def try_row(
    row: ClaimedRow, person: Person, address: Address, *, book: TemplateBook, sender: Sender, room: asyncio.Semaphore
) -> Tried:
    """Render and send one row, once the sender has room for it. A row of a test key is rendered and goes nowhere."""
    tried = Tried(row.channel)
    is_handed_over = False
    try:
        tried.message, tried.version_id = compose(row, person, book, address)
        if row.is_test:
            tried.receipt = TEST_RECEIPT
            return tried
        async with room:
            is_handed_over = tried.is_handed_over = True
            tried.receipt = await sender.send(tried.message)
    except SendError as refused:
        tried.error = refused
    except RenderError as refused:
        tried.error = SendError(refused.code, refused.message, permanent=True)
    except asyncio.CancelledError:
        # Only the timekeeper and the end of the grace cancel a send; both want it recorded, not passed on.
        tried.error = _cut(is_handed_over)
    except Exception as failure:
        log.exception("send failed unexpectedly", job_id=str(row.job_id), channel=row.channel)
        what = f"{type(failure).__name__} in the sender; the log of this time has the rest"
        tried.error = SendError("internal_error", what, ambiguous=True)
    return tried


def _cut(is_handed_over: bool) -> SendError:
    within = f"within {settings.SEND_DEADLINE_SECONDS:g} s"
    answer = f"The provider did not answer {within}; it may have taken the message"
    waited = f"The provider had no room for it {within}; it was not handed over"
    return SendError("timeout", answer if is_handed_over else waited, ambiguous=is_handed_over)
