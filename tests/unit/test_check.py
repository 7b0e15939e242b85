"""Check: what each kind of provider says when it is asked, sending nothing, and what a person reads when it refuses."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from deliveries.senders.apns import ApnsSender
from deliveries.senders.base import UNCHECKABLE, Sender, SendError
from deliveries.senders.email import EmailSender
from deliveries.senders.fcm import FcmSender
from deliveries.senders.http_sms import HttpSmsSender
from deliveries.senders.push import PushSender
from deliveries.senders.twilio import TwilioSender
from tests.apns import apns_server
from tests.fcm import EMAIL, PROJECT, Fcm, fcm_server
from tests.sms import ACCOUNT_SID, API_KEY_SID, AUTH_TOKEN, CUT_OFF, FROM, serving, twilio_error
from tests.smtp import Certificate, SmtpServer
from tests.unit.test_apns import pem

KEY = ec.generate_private_key(ec.SECP256R1())
LONG_SECONDS = 60.0


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate.make(tmp_path_factory.mktemp("check"))


@pytest.fixture
async def fcm() -> AsyncIterator[Fcm]:
    async with fcm_server() as running:
        yield running


@contextlib.asynccontextmanager
async def smtp_like(reply: bytes | None) -> AsyncIterator[int]:
    """Greet as a mail server does, then answer NOOP with `reply`, or never (None). Gives the port."""

    ended: list[asyncio.Event] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ended.append(end := asyncio.Event())
        with contextlib.suppress(ConnectionError):
            writer.write(b"220 ready\r\n")
            while not (line := await reader.readline()).startswith(b"NOOP") and line:
                writer.write(b"250 fine\r\n")
            if reply is None:
                await reader.read()
            writer.write(reply or b"")
            writer.close()
            await writer.wait_closed()
        end.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        for end in ended:
            await end.wait()


async def check(sender: Sender | FcmSender | ApnsSender) -> str:
    """Do what the admin does."""
    await sender.open()
    try:
        return await sender.check()
    finally:
        await sender.close()


async def refusal(sender: Sender | FcmSender | ApnsSender) -> SendError:
    with pytest.raises(SendError) as caught:
        await check(sender)
    return caught.value


class TestEmail:
    def sender(self, host: str, port: int, **options: Any) -> EmailSender:
        options = {"timeout_seconds": LONG_SECONDS, **options}
        return EmailSender(
            host=host, port=port, from_address="a@example.com", message_id_domain="example.com", **options
        )

    async def test_it_says_what_the_server_says_and_how_it_is_reached(self, tmp_path: Path) -> None:
        with SmtpServer(tmp_path) as server:
            said = await check(self.sender(server.host, server.port))
        assert said.startswith(f"127.0.0.1:{server.port} answers without encryption: 250")
        assert server.receipts() == []

    @pytest.mark.parametrize("implicit", [True, False])
    async def test_it_goes_over_tls_as_a_mail_would(
        self, tmp_path: Path, certificate: Certificate, implicit: bool
    ) -> None:
        with SmtpServer(tmp_path, certificate=certificate, implicit_tls=implicit) as server:
            options = {"use_tls": implicit, "starttls": None if implicit else True}
            said = await check(self.sender(server.host, server.port, tls_context=certificate.client_context, **options))
            stranger = await refusal(self.sender(server.host, server.port, **options))
        assert "answers over TLS: 250" in said
        assert stranger.code == "tls_failure"

    async def test_it_logs_in(self, tmp_path: Path) -> None:
        with SmtpServer(tmp_path, login=("user", "right")) as server:
            assert "250" in await check(self.sender(server.host, server.port, username="user", password="right"))
            error = await refusal(self.sender(server.host, server.port, username="user", password="wrong-and-secret"))
        assert (error.code, error.account) == ("smtp_535", True)
        assert "wrong-and-secret" not in str(error)

    async def test_a_server_that_is_not_there(self, tmp_path: Path) -> None:
        with SmtpServer(tmp_path) as server:
            port = server.port
        assert (await refusal(self.sender("127.0.0.1", port))).code == "connection_refused"

    @pytest.mark.parametrize(
        ("reply", "code"), [(b"421 too busy\r\n", "smtp_421"), (b"", "disconnected"), (b"what?\r\n", "disconnected")]
    )
    async def test_a_server_that_has_gone_astray_since_it_greeted(self, reply: bytes, code: str) -> None:
        async with smtp_like(reply) as port:
            assert (await refusal(self.sender("127.0.0.1", port))).code == code

    async def test_one_that_never_answers_is_given_up(self) -> None:
        async with smtp_like(None) as port:
            error = await refusal(self.sender("127.0.0.1", port, timeout_seconds=0.2))
        assert (error.code, error.ambiguous) == ("timeout", False)


class TestTwilio:
    def sender(self, url: str, **options: Any) -> TwilioSender:
        options = {"account_sid": ACCOUNT_SID, "auth_token": AUTH_TOKEN, "from_number": FROM, **options}
        return TwilioSender(base_url=url, allow_private=True, timeout_seconds=LONG_SECONDS, **options)

    async def test_it_reads_the_account_and_says_its_name_and_state(self) -> None:
        account = {"friendly_name": "Shop", "status": "active", "auth_token": "never to be shown"}
        async with serving(lambda _: (200, account)) as far:
            assert await check(self.sender(far.url)) == "Twilio says that the account Shop is active."
        (got,) = far.got
        assert (got.method, got.path, got.body) == ("GET", f"/2010-04-01/Accounts/{ACCOUNT_SID}.json", b"")
        pair = base64.b64encode(f"{ACCOUNT_SID}:{AUTH_TOKEN}".encode()).decode()
        assert got.headers["Authorization"] == f"Basic {pair}"

    async def test_an_api_key_reads_what_it_may(self) -> None:
        async with serving(lambda _: (200, {"messages": [{"body": "somebody's text"}]})) as far:
            assert await check(self.sender(far.url, api_key_sid=API_KEY_SID)) == "Twilio takes the API key."
        (got,) = far.got
        assert got.path == f"/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json"
        assert got.query == {"PageSize": "1"}

    @pytest.mark.parametrize(
        ("answer", "code", "part"),
        [
            (twilio_error(20003, 401, "Authenticate"), "account_refused", "Authenticate (Twilio 20003)"),
            (
                (200, {"friendly_name": "Shop", "status": "suspended"}),
                "account_refused",
                "the account Shop is suspended",
            ),
            ((200, "<h1>Welcome</h1>"), "wrong_url", "URL"),
            ((503, "busy"), "provider_error", "error of its own (503)"),
            ((0, CUT_OFF), "connection_lost", "closed the connection"),
        ],
    )
    async def test_what_it_refuses_is_said(self, answer: tuple[int, Any], code: str, part: str) -> None:
        async with serving(lambda _: answer) as far:
            error = await refusal(self.sender(far.url))
        assert error.code == code
        assert part in error.message
        assert AUTH_TOKEN not in error.message


class TestPush:
    def apns(self, url: str, certificate: Certificate) -> ApnsSender:
        return ApnsSender(
            key=pem(KEY),
            key_id="KEYID12345",
            team_id="TEAMID6789",
            topic="org.example.app",
            base_url=url,
            ca_file=str(certificate.path),
            timeout_seconds=LONG_SECONDS,
        )

    def fcm(self, server: Fcm) -> FcmSender:
        account = server.service_account()
        return FcmSender(service_account=account, base_url=server.url, allow_private=True, timeout_seconds=LONG_SECONDS)

    async def test_fcm_gives_an_access_token(self, fcm: Fcm) -> None:
        said = await check(self.fcm(fcm))
        assert EMAIL in said and PROJECT in said
        assert (len(fcm.granted), fcm.bodies) == (1, [])
        assert fcm.granted[0] not in said

    async def test_fcm_refuses_the_account(self, fcm: Fcm) -> None:
        fcm.token_answer = (400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."})
        error = await refusal(self.fcm(fcm))
        assert (error.code, error.account) == ("account_refused", True)
        assert "Invalid JWT Signature." in error.message

    async def test_apns_is_connected_to_and_pushed_nothing(self, certificate: Certificate) -> None:
        async with apns_server(certificate) as server:
            assert "HTTP/2" in await check(self.apns(server.url, certificate))
            assert (server.connections, server.pushes) == (1, [])

    async def test_apns_that_is_not_there_or_speaks_something_else(self, certificate: Certificate) -> None:
        async with apns_server(certificate, speaks_h2=False) as server:
            assert (await refusal(self.apns(server.url, certificate))).code == "tls_error"
        error = await refusal(self.apns(server.url, certificate))
        assert (error.code, error.ambiguous) == ("connection_refused", False)

    async def test_every_platform_is_asked_and_one_refusal_hides_no_other_answer(
        self, fcm: Fcm, certificate: Certificate
    ) -> None:
        async with apns_server(certificate) as server:
            both = PushSender({"fcm": self.fcm(fcm), "apns": self.apns(server.url, certificate)})
            said = await check(both)
            assert "fcm: Google gave" in said and "apns: The key signs" in said
            fcm.token_answer = (401, {"error": "invalid_client"})
            error = await refusal(PushSender({"fcm": self.fcm(fcm), "apns": self.apns(server.url, certificate)}))
        assert (error.code, error.account) == ("account_refused", True)
        assert "invalid_client" in error.message and "apns: The key signs" in error.message


async def test_a_kind_that_has_nothing_to_ask_says_so() -> None:
    async with serving(lambda got: (200, {})) as far:
        description = {"url": f"{far.url}/send", "fields": {"to": "{to}", "text": "{text}"}}
        sms = HttpSmsSender(description=description, secrets={}, allow_private=True)
        assert await check(sms) == UNCHECKABLE
    assert far.got == []
