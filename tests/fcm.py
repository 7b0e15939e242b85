"""FCM and Google's token endpoint as one real server on loopback, as their documentation has them.

The device's token chooses what happens: `error-404-UNREGISTERED` (that status, and that `errorCode` in the details),
`status-403-PERMISSION_DENIED` (that `error.status`, no details), `after-7-error-429-QUOTA_EXCEEDED` (with Retry-After),
`silent`, `cut`, `text` (200, and no JSON), `nameless` (200, and no name). Anything else is taken.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.far_end import FarEnd, Line, Request, far_end

PROJECT = "example-project"
EMAIL = "push@example-project.iam.gserviceaccount.com"
KEY_ID = "0123abcd"
KEY = rsa.generate_private_key(65537, 2048)
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
_FAULT = re.compile(r"(?:after-(?P<after>\d+)-)?(?P<kind>error|status)-(?P<status>\d+)-(?P<code>\w*)")


@dataclass(slots=True)
class Fcm:
    """The server, and what it has seen. `token_answer` replaces the token endpoint's next answers: status and body."""

    far: FarEnd
    lifetime_seconds: int = 3599
    token_answer: tuple[int, Any] | None = None
    silent_token: bool = False
    granted: list[str] = field(default_factory=list)
    assertions: list[str] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)
    revoked: set[str] = field(default_factory=set)

    @property
    def url(self) -> str:
        return self.far.url.rstrip("/")

    def service_account(self, **changes: Any) -> str:
        """Return the key file that the sender is given."""
        pem = KEY.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
        return json.dumps(
            {
                "type": "service_account",
                "project_id": PROJECT,
                "private_key_id": KEY_ID,
                "private_key": pem,
                "client_email": EMAIL,
                "token_uri": f"{self.url}/token",
                **changes,
            }
        )

    async def serve(self, line: Line, request: Request) -> bool:
        """Answer one request."""
        match request.line:
            case "POST /token HTTP/1.1":
                if self.silent_token:
                    await line.hang()
                    return False
                await line.say(_reply(*self._grant(request)))
            case _ if request.line == f"POST /v1/projects/{PROJECT}/messages:send HTTP/1.1":
                return await self._send(line, request)
            case _:
                await line.say(_reply(404, "<h1>Not Found</h1>"))
        return True

    def _grant(self, request: Request) -> tuple[int, Any]:
        form = {name: value for name, (value,) in parse_qs(request.body.decode(), strict_parsing=True).items()}
        self.assertions.append(form["assertion"])
        if self.token_answer is not None:
            return self.token_answer
        if form["grant_type"] != "urn:ietf:params:oauth:grant-type:jwt-bearer":
            return 400, {"error": "unsupported_grant_type"}
        try:
            claims = jwt.decode(
                form["assertion"], KEY.public_key(), ["RS256"], audience=f"{self.url}/token", issuer=EMAIL
            )
        except jwt.InvalidTokenError as error:
            return 400, {"error": "invalid_grant", "error_description": str(error)}
        if claims["scope"] != SCOPE or claims["exp"] - claims["iat"] > 3600:
            return 400, {"error": "invalid_scope"}
        self.granted.append(f"ya29.{len(self.granted)}")
        return 200, {"access_token": self.granted[-1], "expires_in": self.lifetime_seconds, "token_type": "Bearer"}

    async def _send(self, line: Line, request: Request) -> bool:
        bearer = request.headers["authorization"].removeprefix("Bearer ")
        if bearer not in self.granted or bearer in self.revoked:
            await line.say(_reply(401, {"error": {"code": 401, "status": "UNAUTHENTICATED", "message": "Invalid"}}))
            return True
        body = json.loads(request.body)
        self.bodies.append(body)
        device = body["message"]["token"]
        match device:
            case "silent":
                await line.hang()
            case "cut":
                line.reset()
                return False
            case "text":
                await line.say(_reply(200, "fine"))
            case "nameless":
                await line.say(_reply(200, {}))
            case _ if found := _FAULT.fullmatch(device):
                await line.say(_refusal(found))
            case _:
                self.taken.append(device)
                await line.say(_reply(200, {"name": f"projects/{PROJECT}/messages/{len(self.taken)}"}))
        return True


@contextlib.asynccontextmanager
async def fcm_server() -> AsyncIterator[Fcm]:
    """Serve both on 127.0.0.1."""

    async def script(line: Line, request: Request) -> bool:
        return await server.serve(line, request)

    async with far_end(script) as far:
        server = Fcm(far)
        yield server


def _refusal(found: re.Match[str]) -> bytes:
    error: dict[str, Any] = {"code": int(found["status"]), "message": f"about {found['code']}", "status": "WHATEVER"}
    if found["kind"] == "error":
        error["details"] = [
            {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": []},
            {"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": found["code"]},
        ]
    else:
        error["status"] = found["code"]
    return _reply(int(found["status"]), {"error": error}, retry_after=found["after"])


def _reply(status: int, body: Any, *, retry_after: str | None = None) -> bytes:
    raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    wait = f"Retry-After: {retry_after}\r\n" if retry_after else ""
    return f"HTTP/1.1 {status} -\r\n{wait}Content-Length: {len(raw)}\r\n\r\n".encode() + raw
