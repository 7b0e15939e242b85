"""E-mail over SMTP: mails out of `mime` onto kept connections out of `smtp`.

Here belongs which connection carries which mail, and what a broken one means for it. No settings, no retry, no status.
"""

from __future__ import annotations

import asyncio
import math
import ssl
from typing import ClassVar

from deliveries.channels import Channel
from deliveries.senders.base import Message, Receipt, Sender, SendError
from deliveries.senders.mime import MailWriter, envelope_address
from deliveries.senders.smtp import CLOSING_REPLY, Dropped, Endpoint, Envelope, Refused, SmtpConnection, refusal
from deliveries.senders.smtp_opening import connect
from deliveries.senders.turns import Turns, Waiter

IDLE_SECONDS = 30.0
"""How long a connection is kept without a mail; servers close theirs after five minutes at the latest (RFC 5321)."""
GOODBYE_SECONDS = 1.0
PATIENCE_SECONDS = 0.5
"""How long a mail stays bound to a connection whose server says nothing of the mail before it."""
QUICK_SECONDS = 0.1
"""Mails are bound to a connection while the server takes each within this time. With a slow one they wait for whichever is free first."""


class Trip(Waiter):
    """One mail on its way. `connection` has its envelope already, which left with the mail before; `follower` is the one after it."""

    __slots__ = ("connection", "deadline", "envelope", "follower", "handed_over_at", "mail")

    def __init__(self, envelope: Envelope, mail: bytes, deadline: float) -> None:
        super().__init__()
        self.envelope = envelope
        self.mail = mail
        self.deadline = deadline
        self.connection: SmtpConnection | None = None
        self.follower: Trip | None = None
        self.handed_over_at = 0.0


class EmailSender(Sender):
    """Sends mails to one SMTP server over at most `connections` kept connections, one mail at a time on each.

    `use_tls` is TLS from the first byte; `starttls` True insists on it, None takes it where offered, False never does.
    A connection that died while it was kept is replaced once, silently, as long as the mail had not left.
    `timeout_seconds` bounds a whole `send`, the wait for a connection included, however slowly the server drips; past
    the final dot it is ambiguous. When the caller cancels `send` instead, the sender tells nobody how far the mail was:
    keep its deadline above this one.
    """

    channel: ClassVar[Channel] = Channel.EMAIL

    def __init__(
        self,
        *,
        host: str,
        port: int,
        from_address: str,
        message_id_domain: str,
        username: str = "",
        password: str = "",
        use_tls: bool = False,
        starttls: bool | None = None,
        tls_context: ssl.SSLContext | None = None,
        connections: int = 10,
        timeout_seconds: float = 20.0,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        # Twice what is under way at once: while one mail is acknowledged, the next is ready for its connection.
        self.capacity = 2 * connections
        self.at_once = connections
        self.timeout_seconds = timeout_seconds
        self.idle_seconds = idle_seconds
        self._mails = MailWriter(from_address=from_address, message_id_domain=message_id_domain)
        self._endpoint = Endpoint(
            host=host,
            port=port,
            helo_name=self._mails.domain,
            username=username,
            password=password,
            use_tls=use_tls,
            starttls=starttls,
            tls_context=tls_context,
        )
        self._connections = connections
        self._turns = Turns[Trip](connections)
        self._leading: set[Trip] = set()
        self._answered_in_seconds = math.inf
        self._patience: asyncio.TimerHandle | None = None
        self._kept: list[SmtpConnection] = []  # the one used last is at the end, and goes first
        self._reaper: asyncio.TimerHandle | None = None
        self._closed = False

    async def send(self, message: Message) -> Receipt:
        """Hand one mail to the server. Returns when the server has acknowledged the final dot.

        Raises: SendError. Without a connection having been touched: `header_injection`, `bad_address`, `bad_text`,
        `too_large` (permanent). Temporary: `smtp_4xx`, `connection_refused`, `connection_failed`, `dns_failure`,
        `tls_failure`, `login_unsupported`, `disconnected`, `timeout`. Permanent: `smtp_5xx`. Ambiguous:
        `dropped_after_data`, `timeout_after_data`.
        """
        deadline = asyncio.get_running_loop().time() + self.timeout_seconds
        recipient = envelope_address(message.to)
        mail = self._mails.write(job_id=message.job_id, to=recipient, content=message.content, headers=message.headers)
        trip = Trip(Envelope.of(self._mails.from_address, recipient), mail, deadline)
        if not await self._take_turn(trip):
            busy = f"kept all {self._connections} connections busy for {self.timeout_seconds:g} s; this mail was never tried"
            raise self._broken("timeout", busy, ambiguous=False)
        try:
            await self._carry(trip)
        finally:
            self._end_turn(trip)
        return Receipt(self._endpoint.provider, self._mails.message_id(message.job_id))

    async def check(self) -> str:
        """Connect as for a mail, TLS and login included, and say NOOP. Raises: SendError, as `send` before it has a mail to hand over."""
        deadline = asyncio.get_running_loop().time() + self.timeout_seconds
        connection = None
        try:
            async with asyncio.timeout_at(deadline):
                connection = await connect(self._endpoint)
                reply = await connection.noop()
        except TimeoutError as error:
            raise self._broken(
                "timeout", f"did not answer within {self.timeout_seconds:g} s", ambiguous=False
            ) from error
        except Refused as refused:
            raise refusal(self._endpoint, refused.verb, refused.reply) from refused
        except Dropped as dropped:
            raise self._broken("disconnected", "closed the connection", ambiguous=False) from dropped
        finally:
            if connection is not None:
                connection.quit()
        how = "over TLS" if connection.is_encrypted else "without encryption"
        return f"{self._endpoint.provider} answers {how}: {reply.code} {reply.text}"

    async def _take_turn(self, trip: Trip) -> bool:
        try:
            return await self._turns.take(trip.deadline, trip)
        except asyncio.CancelledError:
            if trip.connection is not None:  # the server waits for a mail that will not come
                trip.connection.abort()
            raise

    def _end_turn(self, trip: Trip) -> None:
        """Pass the turn on, to the mail that was called up for this connection if there is one."""
        self._leading.discard(trip)
        if trip.follower is None or not self._turns.pass_on(trip.follower):
            self._turns.give_back()

    async def _carry(self, trip: Trip) -> None:
        connection = trip.connection or self._take_kept()
        if connection is not None and await self._carry_on(connection, trip):
            return
        try:
            async with asyncio.timeout_at(trip.deadline):
                connection = await connect(self._endpoint)
        except TimeoutError as error:
            raise self._too_late(handed_over=False) from error
        if not await self._carry_on(connection, trip):
            raise self._broken("disconnected", "closed the connection before it had the mail", ambiguous=False)

    async def _carry_on(self, connection: SmtpConnection, trip: Trip) -> bool:
        """Try one connection. False means that it was dead, and that the mail has certainly not left."""
        try:
            await connection.transact(
                trip.envelope, trip.mail, deadline=trip.deadline, follow=lambda: self._call_up(trip)
            )
        except Refused as refused:
            if refused.reply.code != CLOSING_REPLY and refused.verb != "RSET":
                self._let_go(connection, trip)
            else:
                connection.abort()
                if connection.kept and not connection.handed_over:  # it said goodbye while it was kept
                    return False
            raise refusal(self._endpoint, refused.verb, refused.reply) from refused
        except Dropped as dropped:
            if connection.expired:
                raise self._too_late(handed_over=connection.handed_over) from dropped
            if connection.handed_over:
                what = "closed the connection after the mail, without saying whether it took it"
                raise self._broken("dropped_after_data", what, ambiguous=True) from dropped
            return False
        except BaseException:  # cancelled, above all: nobody would read the replies that are still to come
            connection.abort()
            raise
        self._answered_in_seconds = asyncio.get_running_loop().time() - trip.handed_over_at
        self._let_go(connection, trip)
        return True

    def _call_up(self, trip: Trip) -> Envelope | None:
        """Bind the mail that waits longest to the connection of this one, which is just being handed over, and return its envelope."""
        loop = asyncio.get_running_loop()
        trip.handed_over_at = loop.time()
        follower = self._turns.call_up() if self._answered_in_seconds < QUICK_SECONDS else None
        if follower is None:
            return None
        trip.follower = follower
        self._leading.add(trip)
        if self._patience is None:
            self._patience = loop.call_later(PATIENCE_SECONDS, self._look_at_leading)
        return follower.envelope

    def _look_at_leading(self) -> None:
        """Let mails go another way whose server says nothing of the mail before them: one that hangs must not harm the next."""
        self._patience = None
        loop = asyncio.get_running_loop()
        latest = loop.time() - PATIENCE_SECONDS
        for trip in [trip for trip in self._leading if trip.handed_over_at <= latest]:
            self._leading.discard(trip)
            if trip.follower is not None:
                self._turns.send_back(trip.follower)
                trip.follower = None
        if self._leading:
            self._patience = loop.call_later(PATIENCE_SECONDS, self._look_at_leading)

    def _let_go(self, connection: SmtpConnection, trip: Trip) -> None:
        """Keep a connection that is good, or leave it to the mail whose envelope it has."""
        if not connection.is_begun:
            self._keep(connection)
        elif trip.follower is not None and trip.follower.still_waits:
            trip.follower.connection = connection
        else:
            connection.abort()

    def _too_late(self, *, handed_over: bool) -> SendError:
        code, what = ("timeout_after_data", "has the mail but") if handed_over else ("timeout", "has not the mail and")
        return self._broken(code, f"{what} gave no answer within {self.timeout_seconds:g} s", ambiguous=handed_over)

    def _broken(self, code: str, what: str, *, ambiguous: bool) -> SendError:
        provider = self._endpoint.provider
        return SendError(code, f"{provider} {what}.", provider=provider, ambiguous=ambiguous)

    def _take_kept(self) -> SmtpConnection | None:
        while self._kept:
            connection = self._kept.pop()
            if connection.usable:
                return connection
            connection.abort()
        return None

    def _keep(self, connection: SmtpConnection) -> None:
        if self._closed or not connection.usable:
            connection.quit()
            return
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        self._kept.append(connection)
        if self._reaper is None:
            self._reaper = loop.call_later(self.idle_seconds, self._reap)

    def _reap(self) -> None:
        loop = asyncio.get_running_loop()
        while self._kept and self._kept[0].idle_since + self.idle_seconds <= loop.time():
            self._kept.pop(0).quit()
        self._reaper = None
        if self._kept:
            self._reaper = loop.call_at(self._kept[0].idle_since + self.idle_seconds, self._reap)

    async def open(self) -> None:
        """Allow connections to be kept; the first mail opens one."""
        self._closed = False

    async def close(self) -> None:
        """Say goodbye on every kept connection. Idempotent; a `send` under way closes its own when it ends."""
        self._closed = True
        if self._reaper is not None:
            self._reaper.cancel()
            self._reaper = None
        kept, self._kept = self._kept, []
        for connection in kept:
            connection.quit()
        if kept:
            _, late = await asyncio.wait([connection.lost for connection in kept], timeout=GOODBYE_SECONDS)
            for connection in kept:
                if connection.lost in late:
                    connection.abort()
