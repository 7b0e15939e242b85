"""Far ends that answer badly or not at all, through the whole path: one recorded attempt each, said so that a person understands it,
tried again or not as it should be, and no other delivery harmed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from deliveries.endpoints import endpoint_add
from deliveries.models import Delivery, DeliveryAttempt, Tenant
from deliveries.reasons import describe
from deliveries.senders.webhook import WebhookSender
from notifyproj.embedded.process import free_port
from tests.broken_far_ends import BROKEN, UNBOUNDED
from tests.dispatching import dispatching, look_until
from tests.far_end import OK, Line, Request, Script, beside, far_end, listening, says, server_tls
from tests.lifecycle import accept, incoming
from tests.smtp import Certificate

pytestmark = pytest.mark.django_db(transaction=True)

TRIED_AGAIN, OVER = "RETRYING", "FAILED"
STATUSES = {
    **dict.fromkeys((408, 425, 429, 500, 502, 503, 504), TRIED_AGAIN),
    **dict.fromkeys((301, 307, 400, 401, 403, 404, 405, 410, 413, 418, 422), OVER),
}
CODES = {301: "redirect_refused", 307: "redirect_refused", 410: "endpoint_gone"}


async def drips(line: Line, request: Request) -> None:
    await line.drip(UNBOUNDED + b"x")


async def hangs(line: Line, request: Request) -> None:
    await line.hang()


async def knows_no_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 What?\r\n\r\n")


def cases() -> dict[str, tuple[Script, str, str]]:
    """Return, by name: how the far end answers, the code of the attempt, and the status after it."""
    answers = {
        f"status {status}": (
            says(f"HTTP/1.1 {status} No\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n".encode()),
            CODES.get(status, f"http_{status}"),
            then,
        )
        for status, then in STATUSES.items()
    }
    broken = {name: (script, code, TRIED_AGAIN) for name, (script, code) in BROKEN.items()}
    slow = {"a drip": (drips, "timeout", TRIED_AGAIN), "silence": (hangs, "timeout", TRIED_AGAIN)}
    return {**answers, **broken, **slow}


@asynccontextmanager
async def far_ends(folder: Path) -> AsyncIterator[dict[str, str]]:
    """Serve every case on a port of its own. Yields URLs by name."""
    async with AsyncExitStack() as stack:
        found = {}
        for name, (script, _, _) in cases().items():
            found[name] = (await stack.enter_async_context(far_end(script))).url
        certificate = server_tls(Certificate.make(folder))
        found["a wrong certificate"] = (await stack.enter_async_context(far_end(says(OK), tls=certificate))).url
        found["no TLS"] = f"https://127.0.0.1:{await stack.enter_async_context(listening(knows_no_tls))}/"
        found["nobody there"] = f"http://127.0.0.1:{free_port()}/"
        found["no such name"] = "http://nowhere.invalid/"
        found["a good neighbour"] = (await stack.enter_async_context(far_end(says(OK)))).url
        yield found


def test_every_bad_far_end_costs_its_own_message_one_attempt_and_harms_no_other(tmp_path: Path, settings: Any) -> None:
    settings.PRIVATE_ADDRESSES_ALLOWED = True
    settings.RETRY_DELAYS_SECONDS = [3600]
    expected = {name: (code, then) for name, (_, code, then) in cases().items()} | {
        "a wrong certificate": ("tls_error", TRIED_AGAIN),
        "no TLS": ("tls_error", TRIED_AGAIN),
        "nobody there": ("connection_refused", TRIED_AGAIN),
        "no such name": ("dns_failure", TRIED_AGAIN),
    }
    sender = WebhookSender(allow_private=True, timeout_seconds=12)
    with beside(far_ends(tmp_path)) as urls, dispatching(webhook=sender) as dispatcher:
        rows = {name: row_for(url) for name, url in urls.items()}
        good = rows.pop("a good neighbour")
        look_until(dispatcher, "webhook", lambda: not being_tried(), "each was tried once")
    assert Delivery.objects.get(pk=good).status == "SENT"
    assert DeliveryAttempt.objects.count() == len(expected)
    attempts = {attempt.delivery_id: attempt for attempt in DeliveryAttempt.objects.select_related("delivery")}
    found = {name: (attempts[row].code, attempts[row].delivery.status) for name, row in rows.items()}
    assert found == expected
    unexplained = {code for code, _ in found.values() if describe(code).title == describe("no such code").title}
    assert unexplained == set()


def row_for(url: str) -> int:
    """Accept a webhook for a person of their own, whose endpoint is there."""
    person = uuid4()
    endpoint_add(tenant=Tenant.objects.get(slug="default"), user_id=person, url=url)
    content = {"title": "Your order", "body": "It is on its way."}
    [row] = accept(incoming(channel="webhook", user_id=str(person), content=content, template_code=None))
    return row


def being_tried() -> bool:
    return Delivery.objects.filter(status__in=["PENDING", "SENDING"]).exists()
