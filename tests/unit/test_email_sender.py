"""E-mail's own: what reaches the server, and every way a server can fail. The bytes of a mail: `test_mime`.

The far end is the real server of `tests.smtp`, in its own process; addresses there choose the fault.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deliveries.models import Delivery, DeliveryAttempt
from deliveries.senders import email
from deliveries.senders.base import Content, SendError
from deliveries.senders.email import EmailSender
from deliveries.senders.mime import MailWriter
from deliveries.senders.smtp import Endpoint
from tests.smtp import Certificate, SmtpServer
from tests.unit.sender_cases import make_message

FROM = "News <news@example.org>"
DOMAIN = "mail.example.org"
GOOD = "ana@example.org"


def make_sender(server: SmtpServer, **options: Any) -> EmailSender:
    return sender_to(server.port, **options)


@contextlib.asynccontextmanager
async def opened(sender: EmailSender) -> AsyncIterator[EmailSender]:
    await sender.open()
    try:
        yield sender
    finally:
        await sender.close()


async def error_of(sender: EmailSender, to: str) -> SendError:
    with pytest.raises(SendError) as caught:
        await sender.send(make_message(to))
    return caught.value


def sender_to(port: int, **options: Any) -> EmailSender:
    options = {"from_address": FROM, "message_id_domain": DOMAIN, "timeout_seconds": 60.0, **options}
    return EmailSender(host="127.0.0.1", port=port, **options)


@contextlib.asynccontextmanager
async def answering(replies: dict[str, bytes], *, after_go_ahead: Callable[[], None] = bool) -> AsyncIterator[int]:
    """Listen as a server that answers these verbs (or the greeting) with these bytes; yield its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sessions.append(asyncio.current_task())
        writer.write(replies.get("greeting", b"220 x") + b"\r\n")
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError), contextlib.closing(writer):
            while line := await reader.readline():
                verb = line[:4].decode().strip()
                writer.write(replies.get(verb, b"354 go" if verb == "DATA" else b"250 x") + b"\r\n")
                if verb == "DATA":
                    after_go_ahead()
                    await reader.readuntil(b"\r\n.\r\n")
                    writer.write(b"250 taken\r\n")

    sessions: list[asyncio.Task[Any] | None] = []
    far_end = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with far_end:
        yield far_end.sockets[0].getsockname()[1]
    await asyncio.gather(*filter(None, sessions))


@pytest.fixture(scope="module", params=[True, False], ids=["pipelining", "plain-order"])
def running_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmtpServer]:
    """Serve with and without PIPELINING: the outcome of a fault must be the same."""
    with SmtpServer(tmp_path_factory.mktemp("smtp"), pipelining=request.param, messages=True) as running:
        yield running


@pytest.fixture
def server(running_server: SmtpServer) -> SmtpServer:
    """Hand out the module's server with an empty mailbox."""
    running_server.forget()
    return running_server


class TestDelivery:
    async def test_the_server_gets_the_mail_byte_for_byte(self, server: SmtpServer) -> None:
        message = make_message(GOOD, content=Content(subject="Dots", text=".\n..\n.a\n\n.", html="<p>.</p>\n."))
        async with opened(make_sender(server)) as sender:
            receipt = await sender.send(message)

        (got,) = server.receipts()
        assert (got["from"], got["to"], got["message_id"]) == ("news@example.org", GOOD, receipt.message_id)
        writer = MailWriter(from_address=FROM, message_id_domain=DOMAIN)
        written = writer.write(job_id=message.job_id, to=GOOD, content=message.content, headers={}).decode()
        assert got["message"].partition("\r\n")[2] == written.partition("\r\n")[2]  # the first line is the date

    async def test_message_id_is_the_same_at_every_attempt(self, server: SmtpServer) -> None:
        message = make_message("dot-451-x1@example.org")
        async with opened(make_sender(server)) as sender:
            with pytest.raises(SendError):
                await sender.send(message)
            receipt = await sender.send(message)

        assert receipt.message_id == f"<{message.job_id}@{DOMAIN}>"

    async def test_nothing_bad_reaches_the_server(self, server: SmtpServer) -> None:
        async with opened(make_sender(server)) as sender:
            assert (await error_of(sender, "ana@example.org\r\nDATA")).code == "header_injection"
            assert (await error_of(sender, "an a@example.org")).code == "bad_address"

        assert server.receipts() == []

    @pytest.mark.parametrize("verb", ["rcpt", "data", "dot"])
    @pytest.mark.parametrize(("code", "permanent"), [(451, False), (452, False), (550, True), (554, True)])
    async def test_refusals_of_a_mail_leave_the_connection_good(
        self, server: SmtpServer, verb: str, code: int, permanent: bool
    ) -> None:
        async with opened(make_sender(server, connections=1)) as sender:
            error = await error_of(sender, f"{verb}-{code}@example.org")
            await sender.send(make_message(GOOD))

        assert (error.code, error.permanent, error.ambiguous, error.account) == (
            f"smtp_{code}",
            permanent,
            False,
            False,
        )
        assert f"as {verb}-{code}@example.org asks" in error.message
        assert error.provider == f"127.0.0.1:{server.port}"
        assert [receipt["to"] for receipt in server.receipts()] == [GOOD]

    @pytest.mark.parametrize(
        ("code", "permanent", "account"),
        [(421, False, False), (451, False, False), (530, False, True), (550, True, False)],
    )
    async def test_refusals_of_the_sender(self, server: SmtpServer, code: int, permanent: bool, account: bool) -> None:
        async with opened(make_sender(server, from_address=f"mail-{code}@example.org")) as sender:
            error = await error_of(sender, GOOD)

        assert (error.code, error.permanent, error.account) == (f"smtp_{code}", permanent, account)

    async def test_421_ends_the_connection_and_not_the_sender(self, server: SmtpServer) -> None:
        async with opened(make_sender(server, connections=1)) as sender:
            assert (await error_of(sender, "dot-421@example.org")).code == "smtp_421"
            await sender.send(make_message(GOOD))

    @pytest.mark.parametrize("verb", ["rcpt", "data"])
    async def test_drop_before_the_mail_is_not_ambiguous(self, server: SmtpServer, verb: str) -> None:
        async with opened(make_sender(server)) as sender:
            error = await error_of(sender, f"drop-{verb}@example.org")

        assert (error.code, error.permanent, error.ambiguous) == ("disconnected", False, False)

    async def test_drop_after_the_final_dot_is_ambiguous(self, server: SmtpServer) -> None:
        async with opened(make_sender(server)) as sender:
            error = await error_of(sender, "drop-dot@example.org")

        assert (error.code, error.permanent, error.ambiguous) == ("dropped_after_data", False, True)
        assert len(server.receipts()) == 1  # nobody sent it a second time

    @pytest.mark.parametrize("fault", ["silent", "drip"])
    async def test_timeout_before_the_final_dot_is_not_ambiguous(self, server: SmtpServer, fault: str) -> None:
        async with opened(make_sender(server, timeout_seconds=0.4)) as sender:
            error = await error_of(sender, f"{fault}-rcpt@example.org")

        assert (error.code, error.permanent, error.ambiguous) == ("timeout", False, False)

    @pytest.mark.parametrize("fault", ["silent", "drip"])
    async def test_timeout_after_the_final_dot_is_ambiguous(self, server: SmtpServer, fault: str) -> None:
        async with opened(make_sender(server, timeout_seconds=2.0)) as sender:
            error = await error_of(sender, f"{fault}-dot@example.org")

        assert (error.code, error.permanent, error.ambiguous) == ("timeout_after_data", False, True)

    async def test_a_slow_reply_within_the_time_is_a_success(self, server: SmtpServer) -> None:
        async with opened(make_sender(server)) as sender:
            await sender.send(make_message("slow-250ms@example.org"))

    async def test_a_far_end_that_is_no_mail_server_is_cut_off(self) -> None:
        async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 hello\r\n")
            await reader.readline()
            writer.write(b"250 hello\r\n")
            await reader.readline()
            writer.write(b"what?\r\n")
            await reader.read()
            writer.close()

        babbler = await asyncio.start_server(babble, "127.0.0.1", 0)
        port = babbler.sockets[0].getsockname()[1]
        sender = EmailSender(host="127.0.0.1", port=port, from_address=FROM, message_id_domain=DOMAIN)
        async with babbler, opened(sender):
            assert (await error_of(sender, GOOD)).code == "disconnected"

    @pytest.mark.parametrize("verb", ["greeting", "EHLO", "RCPT"])
    async def test_what_a_server_says_is_made_fit_to_be_stored(self, verb: str) -> None:
        reply = b"554-refus\xe9\x00 \x1b[31mby\tus\r\n554 " + b"x" * 2000
        async with answering({verb: reply, "HELO": reply}) as port, opened(sender_to(port)) as sender:
            error = await error_of(sender, GOOD)

        assert error.code == "smtp_554"
        assert f"answered {verb} with 554 refus\N{REPLACEMENT CHARACTER} [31mby us xxx" in error.message
        assert error.message.isprintable()
        assert len(error.message) < 600

    async def test_a_refused_login_is_made_fit_to_be_stored(self) -> None:
        replies = {"EHLO": b"250-x\r\n250 AUTH PLAIN", "AUTH": b"535 refus\xe9\0e"}
        async with answering(replies) as port, opened(sender_to(port, username="u", password="p")) as sender:
            error = await error_of(sender, GOOD)

        assert (error.code, error.account) == ("smtp_535", True)
        assert "with 535 refus\N{REPLACEMENT CHARACTER} e" in error.message

    def test_the_name_of_a_provider_fits_its_column(self) -> None:
        host = ".".join(["a" * 63] * 3 + ["b" * 61])  # as long as a name may be (RFC 1035)
        provider = Endpoint(host=host, port=65535, helo_name="x").provider

        assert len(provider) <= min(
            model._meta.get_field("provider").max_length for model in (Delivery, DeliveryAttempt)
        )
        assert provider.startswith(host[:240])
        assert provider.endswith(":65535")


class TestDeadline:
    async def test_it_includes_the_wait_for_a_connection(self, server: SmtpServer) -> None:
        async with opened(make_sender(server, connections=1)) as sender:
            dripping = asyncio.create_task(sender.send(make_message("drip-rcpt@example.org")))
            await asyncio.sleep(0)  # it has the only connection
            sender.timeout_seconds = 0.2
            error = await error_of(sender, GOOD)
            dripping.cancel()
            with pytest.raises(asyncio.CancelledError):
                await dripping

            sender.timeout_seconds = 60.0
            await sender.send(make_message("later@example.org"))

        assert (error.code, error.ambiguous, error.permanent) == ("timeout", False, False)
        assert "never tried" in error.message
        assert [receipt["to"] for receipt in server.receipts()] == ["later@example.org"]

    async def test_a_process_that_slept_past_it_writes_no_mail(self) -> None:
        """The server's go-ahead waits in the socket while the process is stopped; both ends live in this loop."""
        loop = asyncio.get_running_loop()

        def sleep_in() -> None:
            until = loop.time() + 0.6
            while loop.time() < until:
                pass

        async with (
            answering({}, after_go_ahead=sleep_in) as port,
            opened(sender_to(port, timeout_seconds=0.5)) as sender,
        ):
            error = await error_of(sender, GOOD)

        assert (error.code, error.ambiguous) == ("timeout", False)


class TestConnections:
    async def test_connections_are_kept(self, server: SmtpServer) -> None:
        async with opened(make_sender(server, connections=2)) as sender:
            await asyncio.gather(*(sender.send(make_message(GOOD)) for _ in range(2)))
            before = set(sender._kept)
            for _ in range(5):
                await sender.send(make_message(GOOD))

            assert set(sender._kept) == before
            assert len(before) == 2

    async def test_kept_connections_of_a_restarted_server_are_replaced_silently(self, server: SmtpServer) -> None:
        async with opened(make_sender(server, connections=3)) as sender:
            await asyncio.gather(*(sender.send(make_message(GOOD)) for _ in range(3)))
            server.kill()
            server.start()

            await asyncio.gather(*(sender.send(make_message(GOOD)) for _ in range(3)))

        assert len(server.receipts()) == 6

    @pytest.mark.parametrize("goodbye", [b"", b"421 4.4.2 idle for too long\r\n"], ids=["silent", "421"])
    async def test_a_kept_connection_that_dies_on_mail_from_is_replaced_once(self, goodbye: bytes) -> None:
        """The death can't be seen before the command is written: the first mail works, the second meets the end."""
        mails: list[int] = []  # of each connection

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            mails.append(0)
            writer.write(b"220 x\r\n")
            while line := await reader.readline():
                if line.startswith(b"MAIL") and mails[-1]:
                    writer.write(goodbye)
                    break
                writer.write(b"354 go\r\n" if line == b"DATA\r\n" else b"250 x\r\n")
                if line == b"DATA\r\n":
                    await reader.readuntil(b"\r\n.\r\n")
                    mails[-1] += 1
                    writer.write(b"250 taken\r\n")
            writer.close()

        far_end = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = far_end.sockets[0].getsockname()[1]
        sender = EmailSender(host="127.0.0.1", port=port, from_address=FROM, message_id_domain=DOMAIN)
        async with far_end, opened(sender):
            for _ in range(3):
                await sender.send(make_message(GOOD))

        assert mails == [1, 1, 1]

    async def test_an_idle_connection_is_closed(self, server: SmtpServer) -> None:
        async with opened(make_sender(server, idle_seconds=0.05)) as sender:
            await sender.send(make_message(GOOD))
            (connection,) = sender._kept

            await connection.lost

            assert sender._kept == []
            await sender.send(make_message(GOOD))

    async def test_a_cancelled_send_closes_the_connection_it_used(self, server: SmtpServer) -> None:
        async with opened(make_sender(server, connections=1)) as sender:
            await sender.send(make_message(GOOD))
            (connection,) = sender._kept
            sending = asyncio.create_task(sender.send(make_message("silent-dot@example.org")))
            while not connection.handed_over or sender._kept:
                await asyncio.sleep(0.005)

            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending

            await connection.lost
            assert sender._kept == []


class TestOneAfterAnother:
    """Of mails that wait for a connection the next one's envelope leaves with the body of the one before (RFC 2920), once the
    server is known to be quick."""

    @pytest.fixture(autouse=True)
    def _a_machine_that_stalls_is_no_slow_server(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(email, "QUICK_SECONDS", math.inf)
        monkeypatch.setattr(email, "PATIENCE_SECONDS", 3600.0)

    async def test_the_next_envelope_leaves_with_the_body(self) -> None:
        """The server takes no mail before the next one is announced: who waits for its answer first would wait for ever."""
        taken: list[bytes] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 x\r\n")
            await reader.readline()
            writer.write(b"250-x\r\n250 PIPELINING\r\n")
            recipient = [await reader.readline() for _ in ("MAIL", "RCPT", "DATA")][1]
            while recipient:
                writer.write(b"250 x\r\n250 x\r\n354 go\r\n")
                await reader.readuntil(b"\r\n.\r\n")
                taken.append(recipient)
                recipient = b""
                if len(taken) < 3:
                    recipient = [await reader.readline() for _ in ("MAIL", "RCPT", "DATA")][1]
                writer.write(b"250 taken\r\n")
            await reader.read()
            writer.close()

        far_end = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with far_end, opened(sender_to(far_end.sockets[0].getsockname()[1], connections=1)) as sender:
            sender._answered_in_seconds = 0.0
            await asyncio.gather(*(sender.send(make_message(f"{name}@example.org")) for name in "abc"))

        assert taken == [b"RCPT TO:<%b@example.org>\r\n" % name for name in (b"a", b"b", b"c")]

    @pytest.mark.parametrize(
        ("first", "code"),
        [
            ("dot-554", "smtp_554"),
            ("dot-421", "smtp_421"),
            ("drop-dot", "dropped_after_data"),
            ("rcpt-550", "smtp_550"),
            ("drop-rcpt", "disconnected"),
        ],
    )
    async def test_whatever_becomes_of_a_mail_those_behind_it_arrive(
        self, server: SmtpServer, first: str, code: str
    ) -> None:
        async with opened(make_sender(server, connections=1)) as sender:
            sender._answered_in_seconds = 0.0
            bad, *others = await asyncio.gather(
                *(sender.send(make_message(f"{name}@example.org")) for name in (first, "a", "b", "c")),
                return_exceptions=True,
            )
        assert isinstance(bad, SendError)
        assert bad.code == code
        assert not [other for other in others if isinstance(other, BaseException)]
        arrived = [receipt["to"] for receipt in server.receipts() if not receipt["to"].startswith("drop")]
        assert arrived == [f"{name}@example.org" for name in "abc"]

    async def test_a_server_that_hangs_on_one_mail_holds_up_no_other(
        self, server: SmtpServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(email, "PATIENCE_SECONDS", 0.5)
        async with opened(make_sender(server, connections=2)) as sender:
            sender._answered_in_seconds = 0.0
            hanging = asyncio.create_task(sender.send(make_message("silent-dot@example.org")))
            await asyncio.gather(
                sender.send(make_message("slow-50ms@example.org")),
                *(sender.send(make_message(f"{name}@example.org")) for name in "abcd"),
            )
            assert not hanging.done()
            hanging.cancel()
            with pytest.raises(asyncio.CancelledError):
                await hanging
            assert len(sender._kept) == 1
        arrived = {receipt["to"] for receipt in server.receipts()} - {"silent-dot@example.org"}
        assert arrived == {"slow-50ms@example.org", *(f"{name}@example.org" for name in "abcd")}

    @pytest.mark.parametrize("who", ["leader", "follower"])
    async def test_one_that_is_cancelled_harms_no_other(self, server: SmtpServer, who: str) -> None:
        async with opened(make_sender(server, connections=1)) as sender:
            await sender.send(make_message(GOOD))  # so that a connection is kept
            (connection,) = sender._kept
            sender._answered_in_seconds = 0.0
            leader = asyncio.create_task(sender.send(make_message("slow-1000ms@example.org")))
            follower = asyncio.create_task(sender.send(make_message("b@example.org")))
            while not connection.handed_over or sender._kept:
                await asyncio.sleep(0.001)
            assert connection.is_begun is connection.pipelining
            cancelled, other = (leader, follower) if who == "leader" else (follower, leader)
            cancelled.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cancelled
            await other
            await sender.send(make_message("c@example.org"))
            assert len(sender._kept) == 1
            assert not sender._turns.all_taken
        arrived = {receipt["to"] for receipt in server.receipts()} - {"slow-1000ms@example.org"}
        assert arrived == {GOOD, "c@example.org"} | ({"b@example.org"} if who == "leader" else set())

    @pytest.mark.parametrize(("seconds", "is_bound"), [(0.0, True), (1.0, False)])
    async def test_with_a_slow_server_a_mail_waits_for_whichever_connection_is_free_first(
        self, server: SmtpServer, monkeypatch: pytest.MonkeyPatch, seconds: float, is_bound: bool
    ) -> None:
        monkeypatch.setattr(email, "QUICK_SECONDS", 1.0)
        async with opened(make_sender(server, connections=1)) as sender:
            await sender.send(make_message("slow-150ms@example.org"))
            (connection,) = sender._kept
            assert sender._answered_in_seconds >= 0.15
            sender._answered_in_seconds = seconds
            sending = [
                asyncio.create_task(sender.send(make_message(f"slow-500ms-{name}@example.org"))) for name in "ab"
            ]
            while not connection.handed_over or sender._kept:
                await asyncio.sleep(0.001)
            assert connection.is_begun is (is_bound and connection.pipelining)
            await asyncio.gather(*sending)


class TestOpening:
    async def test_refused_connection(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else gets the port meanwhile
            port = taken.getsockname()[1]
            sender = EmailSender(host="127.0.0.1", port=port, from_address=FROM, message_id_domain=DOMAIN)
            error = await error_of(sender, GOOD)

        assert (error.code, error.permanent, error.ambiguous) == ("connection_refused", False, False)
        assert f"127.0.0.1:{port}" in error.message

    async def test_unknown_host(self) -> None:
        sender = EmailSender(host="no-such-host.invalid", port=25, from_address=FROM, message_id_domain=DOMAIN)

        assert (await error_of(sender, GOOD)).code == "dns_failure"

    async def test_a_stopped_server_is_a_timeout(self, server: SmtpServer) -> None:
        os.kill(server.pid, signal.SIGSTOP)
        try:
            error = await error_of(make_sender(server, timeout_seconds=0.3), GOOD)
        finally:
            os.kill(server.pid, signal.SIGCONT)

        assert (error.code, error.ambiguous) == ("timeout", False)

    @pytest.mark.parametrize("implicit", [True, False], ids=["implicit", "starttls"])
    async def test_tls(self, tmp_path: Path, implicit: bool) -> None:
        certificate = Certificate.make(tmp_path)
        with SmtpServer(tmp_path, certificate=certificate, implicit_tls=implicit) as server:
            options: dict[str, Any] = {"use_tls": implicit, "starttls": None if implicit else True}
            async with opened(make_sender(server, tls_context=certificate.client_context, **options)) as sender:
                for _ in range(2):
                    await sender.send(make_message(GOOD))
            async with opened(make_sender(server, tls_context=ssl.create_default_context(), **options)) as distrustful:
                error = await error_of(distrustful, GOOD)

            assert (error.code, error.permanent) == ("tls_failure", False)
            assert len(server.receipts()) == 2

    async def test_starttls_that_is_not_offered_is_refused_when_insisted_on(self, server: SmtpServer) -> None:
        error = await error_of(make_sender(server, starttls=True), GOOD)

        assert (error.code, error.permanent, error.account) == ("tls_failure", False, True)
        assert server.receipts() == []

    async def test_login(self, tmp_path: Path) -> None:
        with SmtpServer(tmp_path, login=("user", "right")) as server:
            async with opened(make_sender(server, username="user", password="right")) as sender:
                await sender.send(make_message(GOOD))
            wrong = await error_of(make_sender(server, username="user", password="wrong"), GOOD)
            without = await error_of(make_sender(server), GOOD)

        assert (wrong.code, wrong.permanent, wrong.account) == ("smtp_535", False, True)
        assert (without.code, without.permanent, without.account) == ("smtp_530", False, True)
        assert "wrong" not in wrong.message.replace("is wrong", "")

    async def test_login_where_the_server_has_none(self, server: SmtpServer) -> None:
        error = await error_of(make_sender(server, username="user", password="secret"), GOOD)

        assert (error.code, error.permanent, error.account) == ("login_unsupported", False, True)

    def test_a_bad_sender_address_fails_at_construction(self) -> None:
        with pytest.raises(SendError):
            EmailSender(host="127.0.0.1", port=25, from_address="nobody", message_id_domain=DOMAIN)
