"""SMS providers as real HTTP servers on loopback: Twilio as its documentation has it, and one that answers what a test says.

The number that a text goes to chooses what happens. Twilio's own are the magic numbers of its test credentials
(https://www.twilio.com/docs/iam/test-credentials); the others are ours.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from aiohttp import web

ACCOUNT_SID = "AC" + "0123456789abcdef" * 2
API_KEY_SID = "SK" + "0123456789abcdef" * 2
SERVICE_SID = "MG" + "0123456789abcdef" * 2
AUTH_TOKEN = "12345"
FROM = "+15005550006"
GOOD = "+15005550010"
BUSY = "+15005551429"
SILENT = "+15005551999"
CUT = "+15005551998"
"""Takes the request and closes the connection."""


@dataclass(frozen=True, slots=True)
class Got:
    """One request, as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        """The body as a form, each field once."""
        return {name: value for name, (value,) in parse_qs(self.body.decode("ascii"), strict_parsing=True).items()}


@dataclass(slots=True)
class Far:
    """A far end: where it listens, what it got, and how it answers: a status and JSON or text, or one of the two faults."""

    answer: Callable[[Got], tuple[int, Any]]
    url: str = ""
    got: list[Got] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        got = Got(request.method, request.path, dict(request.query), request.headers.copy(), await request.read())
        self.got.append(got)
        status, said = self.answer(got)
        if said is SILENCE:
            await asyncio.Event().wait()
        if said is CUT_OFF:
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError
        if isinstance(said, str):
            return web.Response(status=status, text=said, headers=self.headers)
        return web.json_response(said, status=status, headers=self.headers)


SILENCE, CUT_OFF = object(), object()


@contextlib.asynccontextmanager
async def serving(answer: Callable[[Got], tuple[int, Any]]) -> AsyncIterator[Far]:
    """Serve on a free port of 127.0.0.1."""
    far = Far(answer)
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", far.serve)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        far.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield far
    finally:
        await runner.cleanup()


def twilio_error(code: int, status: int, message: str) -> tuple[int, dict[str, Any]]:
    """Return an error as Twilio words it."""
    more_info = f"https://www.twilio.com/docs/errors/{code}"
    return status, {"code": code, "message": message, "more_info": more_info, "status": status}


_TO_FAULTS: dict[str, tuple[int, Any]] = {
    "+15005550001": twilio_error(21211, 400, "The 'To' number +15005550001 is not a valid phone number."),
    "+15005550002": twilio_error(
        21612, 400, "Message cannot be sent with the current combination of 'To' and/or 'From' parameters"
    ),
    "+15005550003": twilio_error(
        21408, 400, "Permission to send an SMS has not been enabled for the region indicated by the 'To' number"
    ),
    "+15005550004": twilio_error(21610, 400, "Attempt to send to unsubscribed recipient"),
    "+15005550009": twilio_error(21614, 400, "'To' number is not a valid mobile number"),
    BUSY: twilio_error(20429, 429, "Too Many Requests"),
    SILENT: (0, SILENCE),
    CUT: (0, CUT_OFF),
}
_FROM_FAULTS = {
    "+15005550001": twilio_error(21212, 400, "Invalid From Number"),
    "+15005550007": twilio_error(
        21606, 400, "The 'From' number is not a valid, message-capable Twilio phone number for this destination/account"
    ),
    "+15005550008": twilio_error(21611, 429, "This 'From' number has exceeded the maximum number of queued messages"),
}


def twilio(got: Got) -> tuple[int, Any]:
    """Answer one request as Twilio's Messages resource does."""
    if got.method != "POST" or got.path != f"/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json":
        return twilio_error(20404, 404, f"The requested resource {got.path} was not found")
    pairs = [f"{user}:{AUTH_TOKEN}" for user in (ACCOUNT_SID, API_KEY_SID)]
    if got.headers.get("Authorization") not in [f"Basic {base64.b64encode(p.encode()).decode()}" for p in pairs]:
        return twilio_error(20003, 401, "Authenticate")
    if got.headers.get("Content-Type") != "application/x-www-form-urlencoded" or "To" not in got.form:
        return twilio_error(21604, 400, "A 'To' phone number is required.")
    form = got.form
    if "Body" not in form:
        return twilio_error(21602, 400, "Message body is required.")
    if len(form["Body"]) > 1600:
        return twilio_error(21617, 400, "The concatenated message body exceeds the 1600 character limit.")
    if "From" not in form and "MessagingServiceSid" not in form:
        return twilio_error(21603, 400, "A 'From' phone number is required.")
    if fault := _FROM_FAULTS.get(form.get("From", "")) or _TO_FAULTS.get(form["To"]):
        return fault
    return 201, created(form)


def created(form: Mapping[str, str]) -> dict[str, Any]:
    """Return a Message resource as Twilio's documentation shows it."""
    sid = f"SM{uuid.uuid4().hex}"
    uri = f"/2010-04-01/Accounts/{ACCOUNT_SID}/Messages/{sid}"
    return {
        "account_sid": ACCOUNT_SID,
        "api_version": "2010-04-01",
        "body": form["Body"],
        "date_created": "Thu, 24 Aug 2023 05:01:45 +0000",
        "date_sent": None,
        "date_updated": "Thu, 24 Aug 2023 05:01:45 +0000",
        "direction": "outbound-api",
        "error_code": None,
        "error_message": None,
        "from": form.get("From"),
        "messaging_service_sid": form.get("MessagingServiceSid"),
        "num_media": "0",
        "num_segments": "1" if "From" in form else "0",
        "price": None,
        "price_unit": None,
        "sid": sid,
        "status": "queued" if "From" in form else "accepted",
        "subresource_uris": {"media": f"{uri}/Media.json"},
        "to": form["To"],
        "uri": f"{uri}.json",
    }
