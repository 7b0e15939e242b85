"""One channel within a sending process: the rows it holds, from lease to recorded outcome. Runs on the dispatch loop only.

Three tasks move the rows on: the claimer fetches while there is room and more is waiting, the starter starts what a slot is free for,
the recorder writes outcomes in batches. A person's rows of one priority go one after another.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

import psycopg
import structlog
from django.conf import settings
from psycopg_pool import PoolTimeout

from deliveries import lifecycle
from deliveries.channels import Priority, Status
from deliveries.compose import compose
from deliveries.database import AsyncPool
from deliveries.lifecycle import ClaimedRow, Outcome, Person
from deliveries.policies import policy_for
from deliveries.rendering import RenderError, TemplateBook
from deliveries.retry import next_delay_seconds
from deliveries.senders.base import Message, Receipt, Sender, SendError
from deliveries.workers.heartbeat import Heartbeat

log = structlog.get_logger(__name__)
T = TypeVar("T")
PersonKey = tuple[int, UUID, int]

DATABASE_TIMEOUT_SECONDS = 15.0
LOOKAHEAD_SECONDS = 1.0
LAST_WORDS_SECONDS = 1.5
# A starter that wakes for every single free slot would write one row at a time; this lets a few slots come free together.
START_PAUSE_SECONDS = 0.005
TEST_RECEIPT = Receipt(provider="test key")


@dataclass(slots=True)
class Sending:
    """A started row: its task, and when it began by the loop's clock."""

    task: asyncio.Task[None]
    began: float


@dataclass(frozen=True, slots=True)
class Finished:
    """A row whose outcome waits to be recorded. `message` is set when a provider took it."""

    row: ClaimedRow
    outcome: Outcome
    message: Message | None


class ChannelRun:
    """The rows of one channel that this process holds. `held` stops claiming and starting; what is being sent goes on."""

    def __init__(
        self, channel: str, sender: Sender, *, pool: AsyncPool, book: TemplateBook, heartbeat: Heartbeat
    ) -> None:
        self.channel = channel
        self.sender = sender
        self.held = False
        self.progress = 0
        self._pool = pool
        self._book = book
        self._heartbeat = heartbeat
        self._policy = policy_for(channel)
        self._queues: dict[int, deque[ClaimedRow]] = {priority: deque() for priority in Priority}
        self._behind: dict[PersonKey, deque[ClaimedRow]] = {}
        self._starting = 0
        self._sending: dict[int, Sending] = {}
        self._sending_ordinary = 0
        self._finished: list[Finished] = []
        self._recording = 0
        self._rows_per_second = 0.0
        self._recorded_at = time.monotonic()
        self._more = False
        self._claiming = asyncio.Lock()
        self._hungry = asyncio.Event()
        self._startable = asyncio.Event()
        self._recordable = asyncio.Event()
        self._quiet = asyncio.Event()

    # --- For dispatch ---------------------------------------------------------------------------------------------------------

    def start(self) -> list[asyncio.Task[None]]:
        """Start this channel's tasks and return them; the caller cancels them after `drain`."""
        return [
            asyncio.create_task(task)
            for task in (self._claimer(), self._starter(), self._recorder(), self._timekeeper())
        ]

    def rows_in_hand(self) -> int:
        """Return how many leased rows this process holds, started or not, that are not yet recorded."""
        waiting = sum(map(len, self._queues.values())) + sum(map(len, self._behind.values()))
        return waiting + self._starting + len(self._sending) + len(self._finished) + self._recording

    def is_looking(self) -> bool:
        """Say whether a claim is under way already, so that another would only queue behind it."""
        return self._claiming.locked()

    async def look(self) -> bool:
        """Claim what there is room for. Returns whether more may be waiting than was taken (so that others should look too)."""
        async with self._claiming:
            limit, lowest_priority = self._room()
            if self.held or limit <= 0:
                self._more = True
                return False
            claim = lifecycle.claim
            rows = await self._with_connection(
                lambda connection: claim(
                    connection,
                    channel=self.channel,
                    limit=limit,
                    lease_seconds=settings.LEASE_SECONDS,
                    lowest_priority=lowest_priority,
                )
            )
            # A claim that is not full may have passed over rows whose person was busy, so only an empty one ends the search.
            self._more = bool(rows)
            self._take(rows)
            return len(rows) >= limit

    async def run_suspects(self, *, limit: int) -> int:
        """Claim and send suspects of this channel now, though it is held, and return how many once their outcomes are recorded."""
        rows = await self._with_connection(
            lambda connection: lifecycle.claim_suspects(
                connection, channels=[self.channel], limit=limit, lease_seconds=settings.LEASE_SECONDS
            )
        )
        if rows:
            await self._start(rows)
            await self.settled()
        return len(rows)

    def hold(self) -> None:
        """Claim and start nothing more until `release`."""
        self.held = True

    def release(self) -> None:
        """Go on after `hold`, and look whether something came meanwhile."""
        self.held = False
        self._more = True
        self._hungry.set()
        self._startable.set()

    async def settled(self) -> None:
        """Wait until nothing is being started, sent or recorded."""
        while self._starting or self._sending or self._finished or self._recording:
            self._quiet.clear()
            await self._quiet.wait()

    async def drain(self, *, within_seconds: float) -> None:
        """Give back what was not started; let sends finish, cut those that outlast the time, and record every outcome."""
        self.hold()
        unstarted = [row for queue in (*self._queues.values(), *self._behind.values()) for row in queue]
        for queue in (*self._queues.values(), *self._behind.values()):
            queue.clear()
        try:
            async with asyncio.timeout(within_seconds):
                await self._with_connection(lambda connection: lifecycle.give_back(connection, rows=unstarted))
                await self.settled()
        except TimeoutError:
            log.warning("sends cut at shutdown", channel=self.channel, rows=len(self._sending))
            for sending in list(self._sending.values()):
                sending.task.cancel()
            async with asyncio.timeout(LAST_WORDS_SECONDS):
                await self.settled()

    # --- Claiming -------------------------------------------------------------------------------------------------------------

    def _room(self) -> tuple[int, int]:
        """Return how many rows to claim and the lowest priority to claim. A share of the room is kept for high priority."""
        ahead = max(
            2 * self.sender.capacity, min(4 * settings.CLAIM_BATCH_SIZE, int(self._rows_per_second * LOOKAHEAD_SECONDS))
        )
        room = min(settings.CLAIM_BATCH_SIZE, ahead - self.rows_in_hand())
        ordinary = min(room, int(ahead * (1 - settings.HIGH_PRIORITY_SHARE)) - self.rows_in_hand())
        return (ordinary, Priority.LOW) if ordinary > 0 else (room, Priority.HIGH)

    def _take(self, rows: Sequence[ClaimedRow]) -> None:
        for row in rows:
            self._queues[row.priority].append(row)
        if rows:
            self._startable.set()

    async def _claimer(self) -> None:
        """Go on claiming while claims bring something and there is room for a good part of another."""
        while True:
            await self._hungry.wait()
            self._hungry.clear()
            while (
                self._more and not self.held and self._room()[0] >= min(settings.CLAIM_BATCH_SIZE, self.sender.capacity)
            ):
                await self.look()

    # --- Starting and sending ----------------------------------------------------------------------------------------------------

    async def _starter(self) -> None:
        while True:
            await self._startable.wait()
            self._startable.clear()
            if len(self._sending) > self.sender.capacity * 3 // 4:
                await asyncio.sleep(START_PAUSE_SECONDS)
            while not self.held and (batch := self._next_batch()):
                await self._start(batch)

    def _next_batch(self) -> list[ClaimedRow]:
        """Take the rows that a slot is free for, the most urgent first, and at most one of each person."""
        batch: list[ClaimedRow] = []
        ordinary_slots = max(1, int(self.sender.capacity * (1 - settings.HIGH_PRIORITY_SHARE)))
        ordinary = self._sending_ordinary
        for priority, queue in self._queues.items():
            while queue and len(self._sending) + self._starting + len(batch) < self.sender.capacity:
                if priority != Priority.HIGH and ordinary >= ordinary_slots:
                    return batch
                row = queue.popleft()
                behind = self._behind.get(_person(row))
                if behind is not None:
                    behind.append(row)
                    continue
                self._behind[_person(row)] = deque()
                ordinary += priority != Priority.HIGH
                batch.append(row)
        return batch

    async def _start(self, rows: list[ClaimedRow]) -> None:
        self._starting += len(rows)
        try:
            people = await self._with_connection(lambda connection: self._start_rows(connection, rows))
        finally:
            self._starting -= len(rows)
        now = asyncio.get_running_loop().time()
        for row in rows:
            person = people.get(row.id)
            if person is None:
                self._let_next_of(row)
                continue
            self._sending[row.id] = Sending(asyncio.create_task(self._deliver(row, person)), now)
            self._sending_ordinary += row.priority != Priority.HIGH
        self._quiet.set()

    async def _start_rows(self, connection: psycopg.AsyncConnection[Any], rows: list[ClaimedRow]) -> dict[int, Person]:
        await self._book.load(connection, {(row.tenant_id, row.template_code) for row in rows if row.content is None})
        return await lifecycle.start(
            connection,
            rows=rows,
            deadline_seconds=settings.SEND_DEADLINE_SECONDS,
            only_to=settings.SEND_ONLY_TO or None,
        )

    async def _deliver(self, row: ClaimedRow, person: Person) -> None:
        """Render and send one row, and leave its outcome for the recorder. Nothing escapes: every end is an outcome."""
        began = time.perf_counter()
        message: Message | None = None
        version_id: int | None = None
        receipt: Receipt | None = None
        error = SendError("", "")
        try:
            message, version_id = compose(row, person, self._book)
            receipt = TEST_RECEIPT if row.is_test else await self.sender.send(message)
        except SendError as refused:
            error = refused
        except RenderError as refused:
            error = SendError(refused.code, refused.message, permanent=True)
        except asyncio.CancelledError:
            seconds = f"{settings.SEND_DEADLINE_SECONDS:g} s"
            error = SendError(
                "timeout",
                f"The provider did not answer within {seconds}; it may have taken the message",
                ambiguous=True,
            )
        except Exception as failure:
            log.exception("send failed unexpectedly", job_id=str(row.job_id), channel=self.channel)
            error = SendError(
                "internal_error",
                f"{type(failure).__name__} in the sender; the log of this time has the rest",
                ambiguous=True,
            )
        milliseconds = int((time.perf_counter() - began) * 1000)
        if receipt is not None and message is not None:
            keeps_content = self.sender.keeps_content and not row.is_test
            outcome = _sent(row, message, version_id, receipt, milliseconds, keeps_content)
        else:
            outcome = self._failed(row, error, message, version_id, milliseconds)
            message = None
        del self._sending[row.id]
        self._sending_ordinary -= row.priority != Priority.HIGH
        self._finished.append(Finished(row, outcome, message))
        self._recordable.set()
        self._startable.set()

    def _failed(
        self, row: ClaimedRow, error: SendError, message: Message | None, version_id: int | None, milliseconds: int
    ) -> Outcome:
        delay = next_delay_seconds(
            self._policy,
            attempts=row.attempts + 1,
            permanent=error.permanent,
            ambiguous=error.ambiguous,
            retry_after_seconds=error.retry_after_seconds,
        )
        return Outcome(
            id=row.id,
            lease_token=row.lease_token,
            status=Status.FAILED if delay is None else Status.RETRYING,
            delay_seconds=delay or 0.0,
            reason="outcome_unknown"
            if delay is None and error.ambiguous and not self._policy.retry_ambiguous
            else error.code,
            message=error.message,
            is_ambiguous=error.ambiguous,
            provider=error.provider,
            duration_ms=milliseconds,
            address=message.to if message is not None else "",
            template_version_id=version_id,
        )

    async def _timekeeper(self) -> None:
        """Cut sends that outlast the deadline. Sends stand in the order they began, so the first young one ends the look."""
        while True:
            await asyncio.sleep(0.5)
            latest = asyncio.get_running_loop().time() - settings.SEND_DEADLINE_SECONDS
            for sending in list(self._sending.values()):
                if sending.began > latest:
                    break
                sending.task.cancel()

    # --- Recording ------------------------------------------------------------------------------------------------------------

    async def _recorder(self) -> None:
        while True:
            await self._recordable.wait()
            self._recordable.clear()
            if self._sending and len(self._finished) < settings.CLAIM_BATCH_SIZE:
                await asyncio.sleep(settings.FLUSH_INTERVAL_SECONDS)
            batch, self._finished = self._finished, []
            self._recording = len(batch)
            if batch:
                await self._record(batch)
                self._recording = 0
                self._note_rate(len(batch))
            if not self.rows_in_hand():
                self._more = True  # whoever waited for a person in this batch can be claimed now
            self._hungry.set()
            self._startable.set()
            self._quiet.set()

    async def _record(self, batch: list[Finished]) -> None:
        outcomes = [finished.outcome for finished in batch]
        recorded = await self._with_connection(lambda connection: lifecycle.finish(connection, outcomes=outcomes))
        if len(recorded) < len(batch):
            log.warning("outcomes came after their lease", channel=self.channel, rows=len(batch) - len(recorded))
        taken = [f.message for f in batch if f.message is not None and not f.row.is_test and f.row.id in recorded]
        if taken:
            await self.sender.stored(taken)
        for finished in batch:
            self._let_next_of(finished.row)
        self.progress += len(batch)
        statuses = [outcome.status for outcome in outcomes]
        self._heartbeat.count(
            consumed=len(batch),
            sent=statuses.count(Status.SENT),
            failed=statuses.count(Status.FAILED),
            retried=statuses.count(Status.RETRYING),
            processing_ms=float(sum(outcome.duration_ms for outcome in outcomes)),
            processed=len(batch),
        )

    def _note_rate(self, rows: int) -> None:
        """Follow how fast this channel goes, so that a fast one holds about a second of work and a slow one little."""
        now = time.monotonic()
        seconds = max(now - self._recorded_at, settings.FLUSH_INTERVAL_SECONDS)
        self._recorded_at = now
        self._rows_per_second += 0.2 * (rows / seconds - self._rows_per_second)

    def _let_next_of(self, row: ClaimedRow) -> None:
        """Put the person's later rows back in front, in their order: the first of them takes its turn next."""
        behind = self._behind.pop(_person(row), None)
        if behind:
            self._queues[row.priority].extendleft(reversed(behind))
            self._startable.set()

    async def _with_connection(self, work: Callable[[psycopg.AsyncConnection[Any]], Awaitable[T]]) -> T:
        """Do database work on a pooled connection, again and again until it succeeds: each statement of a lease may be repeated."""
        wait = 0.1
        while True:
            try:
                async with asyncio.timeout(DATABASE_TIMEOUT_SECONDS), self._pool.connection() as connection:
                    return await work(connection)
            except (psycopg.OperationalError, PoolTimeout, TimeoutError) as error:
                log.warning(
                    "database away",
                    channel=self.channel,
                    error=str(error) or "no answer in time",
                    retry_in_seconds=wait,
                )
                await asyncio.sleep(wait)
                wait = min(2 * wait, 2.0)


def _person(row: ClaimedRow) -> PersonKey:
    return row.tenant_id, row.user_id, row.priority


def _sent(
    row: ClaimedRow, message: Message, version_id: int | None, receipt: Receipt, milliseconds: int, keeps_content: bool
) -> Outcome:
    content = message.content
    return Outcome(
        id=row.id,
        lease_token=row.lease_token,
        status=Status.SENT,
        provider=receipt.provider,
        provider_message_id=receipt.message_id,
        duration_ms=milliseconds,
        address=message.to,
        template_version_id=version_id,
        rendered={"subject": content.subject, "text": content.text, "action_url": content.action_url}
        if keeps_content
        else None,
    )
