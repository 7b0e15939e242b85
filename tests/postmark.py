"""Postmark's API as its documentation tells it, on loopback (https://postmarkapp.com/developer/api/email-api).

The recipient's name chooses the answer: `ErrorCode` numbers with the status that goes with them, what is no answer, or success.
"""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

from tests.far_end import Line, Request, Script

TOKEN = "a-server-token"
INACTIVE = (
    "You tried to send to a recipient that has been marked as inactive. Found inactive addresses: {to}. "
    "Inactive recipients are ones that have generated a hard bounce or a spam complaint."
)
#: By the recipient's name: status, ErrorCode, message.
REFUSALS: dict[str, tuple[int, int, str]] = {
    "inactive": (422, 406, INACTIVE),
    "invalid": (422, 300, "Invalid 'To' address: '{to}'."),
    "metadata": (422, 300, "Invalid metadata content."),
    "sender": (422, 400, "The 'From' address you supplied is not a Sender Signature on your account."),
    "pending": (
        422,
        412,
        "While your account is pending approval, all recipient addresses must share the same domain.",
    ),
    "credits": (422, 405, "You ran out of credits."),
    "maintenance": (503, 100, "Offline for maintenance."),
    "limit": (429, 429, "Rate limit exceeded."),
    "broken": (500, 0, "Internal server error."),
    "gateway": (502, 0, ""),
    "large": (413, 0, "Payload too large."),
    "gone": (404, 0, "Not found."),
    "strange": (418, 0, "I'm a teapot."),
}
RAW: dict[str, bytes] = {
    "text": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "empty": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "list": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
    "anonymous": b'HTTP/1.1 200 OK\r\nContent-Length: 31\r\n\r\n{"ErrorCode":0,"Message":"OK"}\n',
    "redirect": b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n",
}


def postmark(taken: list[dict[str, Any]]) -> Script:
    """Return a script for `far_end`; what it takes is added to `taken`."""

    async def script(line: Line, request: Request) -> bool:
        if request.headers.get("x-postmark-server-token") != TOKEN:
            return await _say(line, 401, {"ErrorCode": 10, "Message": "The Server Token you provided is not valid."})
        if request.line.startswith("GET /server "):
            return await _say(line, 200, {"ID": 1, "Name": "Staging", "DeliveryType": "Live"})
        assert request.line == "POST /email HTTP/1.1"
        mail = json.loads(request.body)
        to, name = mail["To"], mail["To"].partition("@")[0]
        if name == "silent":
            await line.hang()
            return False
        if name in RAW:
            await line.say(RAW[name])
            return True
        if name in REFUSALS:
            status, code, said = REFUSALS[name]
            return await _say(line, status, {"ErrorCode": code, "Message": said.format(to=to)})
        taken.append(mail)
        answer = {
            "To": to,
            "SubmittedAt": "2026-01-01T12:00:00Z",
            "MessageID": str(uuid4()),
            "ErrorCode": 0,
            "Message": "OK",
        }
        return await _say(line, 200, answer)

    return script


async def _say(line: Line, status: int, answer: dict[str, Any]) -> bool:
    body = json.dumps(answer).encode()
    wait = "Retry-After: 7\r\n" if status in (429, 503) else ""
    await line.say(f"HTTP/1.1 {status} So\r\n{wait}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return True
