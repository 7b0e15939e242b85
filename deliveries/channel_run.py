"""One channel within a sending process: the rows it holds, from lease to recorded outcome. Runs on the dispatch loop only.

Three tasks move the rows on: the claimer fetches while there is room and more is waiting, the starter starts what a slot is free for,
the recorder writes outcomes in batches. A person's rows of one priority go one after another.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

import psycopg
import structlog
from django.conf import settings
from psycopg_pool import PoolTimeout

from deliveries import addresses, lifecycle, outcomes
from deliveries.addresses import LEARNED, Address, Told
from deliveries.channels import Priority, Status
from deliveries.compose import compose
from deliveries.database import AsyncPool
from deliveries.lifecycle import ClaimedRow, Outcome, Person, Tenants
from deliveries.outcomes import Tried
from deliveries.policies import policy_for
from deliveries.rendering import RenderError, TemplateBook
from deliveries.row_queues import RowQueues
from deliveries.senders.base import Message, Receipt, Sender, SendError
from deliveries.workers.heartbeat import Heartbeat

log = structlog.get_logger(__name__)
T = TypeVar("T")

# InternalError: the database became read-only in a failover, or ended a session that was silent for too long.
AWAY = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.InternalError, PoolTimeout, TimeoutError)

DATABASE_TIMEOUT_SECONDS = 15.0
LOOKAHEAD_SECONDS = 1.0
LAST_WORDS_SECONDS = 1.5
TASK_PAUSE_SECONDS = 0.5
# A starter that wakes for every single free slot would write one row at a time; this lets a few slots come free together.
START_PAUSE_SECONDS = 0.005
# What a fast far end takes in this time is started ahead, so that it never waits for the commit of a start.
START_AHEAD_SECONDS = 0.1
ASK_AGAIN_SECONDS = 0.25
TEST_RECEIPT = Receipt(provider="test key")


@dataclass(slots=True)
class Sending:
    """A started row: its task, and when it began by the loop's clock."""

    task: asyncio.Task[None]
    began: float


@dataclass(frozen=True, slots=True)
class Finished:
    """A row whose outcome waits to be recorded. `message` is set when a provider took it, `told` when one said something."""

    row: ClaimedRow
    outcome: Outcome
    message: Message | None
    told: Told | None


class ChannelRun:
    """The rows of one channel in this process, those of `tenants`. `held` stops claiming and starting; what is being sent goes on."""

    def __init__(
        self,
        channel: str,
        sender: Sender,
        *,
        tenants: Tenants,
        turn: asyncio.Lock,
        pool: AsyncPool,
        book: TemplateBook,
        heartbeat: Heartbeat,
    ) -> None:
        self.channel = channel
        self.sender = sender
        self.tenants = tenants
        self._turn = turn
        self.held = False
        self.progress = 0
        self._pool = pool
        self._book = book
        self._heartbeat = heartbeat
        self._policy = policy_for(channel)
        self._waiting = RowQueues()
        self._starting = 0
        self._sender_room = asyncio.Semaphore(sender.capacity)
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
        tasks = (self._claimer, self._starter, self._recorder, self._timekeeper)
        return [asyncio.create_task(self._keep_up(task)) for task in tasks]

    def rows_in_hand(self) -> int:
        """Return how many leased rows this process holds, started or not, that are not yet recorded."""
        return len(self._waiting) + self._starting + len(self._sending) + len(self._finished) + self._recording

    def is_looking(self) -> bool:
        """Say whether a claim is under way already, so that another would only queue behind it."""
        return self._claiming.locked()

    async def look(self) -> bool:
        """Claim what there is room for. Returns whether more may be waiting than was taken (so that others should look too)."""
        async with self._claiming:
            room, lowest_priority = self._room()
            if self.held or room <= 0:
                self._more = True
                return False
            limit = await self.sender.admit(room)
            if limit <= 0:
                self._ask_again()
                return False
            claim = lifecycle.claim
            async with (
                self._turn
            ):  # claims of one channel wait for each other anyway, and would do so on a connection each
                rows = await self._with_connection(
                    lambda connection: claim(
                        connection,
                        channel=self.channel,
                        limit=limit,
                        lease_seconds=settings.LEASE_SECONDS,
                        lowest_priority=lowest_priority,
                        tenants=self.tenants,
                    )
                )
            self.sender.unused(limit - len(rows))
            # A claim that is not full may have passed over rows whose person was busy, so only an empty one ends the search.
            self._more = bool(rows)
            self._waiting.add(rows)
            self._startable.set()
            return len(rows) >= limit

    async def run_suspects(self, *, limit: int) -> int:
        """Claim and send suspects of this channel now, though it is held, and return how many once their outcomes are recorded."""
        if self.sender.is_resting():
            return 0
        rows = await self._with_connection(
            lambda connection: lifecycle.claim_suspects(
                connection,
                channels=[self.channel],
                limit=limit,
                lease_seconds=settings.LEASE_SECONDS,
                tenants=self.tenants,
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
        try:
            async with asyncio.timeout(within_seconds):
                async with self._claiming:  # what a claim under way still brings goes back too
                    unstarted = self._waiting.empty()
                await self._give_back(unstarted)
                await self.settled()
        except TimeoutError:
            log.warning("sends cut at shutdown", channel=self.channel, rows=len(self._sending))
            for sending in list(self._sending.values()):
                sending.task.cancel()
            await self._last_words()

    async def _last_words(self) -> None:
        """Give the outcomes of cut sends a moment to be recorded; what is not is settled when its lease ends."""
        try:
            async with asyncio.timeout(LAST_WORDS_SECONDS):
                await self.settled()
        except TimeoutError:
            log.error("rows left to their leases", channel=self.channel, rows=self.rows_in_hand())

    async def _keep_up(self, task: Callable[[], Awaitable[None]]) -> None:
        """Run one of the tasks for ever: an error that nobody foresaw is logged whole and costs its batch, never the channel."""
        while True:
            try:
                await task()
            except Exception:
                log.exception("a task of the channel failed and goes on", channel=self.channel)
                await asyncio.sleep(TASK_PAUSE_SECONDS)

    # --- Claiming -------------------------------------------------------------------------------------------------------------

    def _room(self) -> tuple[int, int]:
        """Return how many rows to claim and the lowest priority to claim. A share of the room is kept for high priority."""
        ahead = max(
            2 * self.sender.capacity, min(4 * settings.CLAIM_BATCH_SIZE, int(self._rows_per_second * LOOKAHEAD_SECONDS))
        )
        room = min(settings.CLAIM_BATCH_SIZE, ahead - self.rows_in_hand())
        ordinary = min(room, int(ahead * (1 - settings.HIGH_PRIORITY_SHARE)) - self.rows_in_hand())
        return (ordinary, Priority.LOW) if ordinary > 0 else (room, Priority.HIGH)

    async def _claimer(self) -> None:
        """Go on claiming while claims bring something and there is room for a good part of another."""
        while True:
            await self._hungry.wait()
            self._hungry.clear()
            while (
                self._more and not self.held and self._room()[0] >= min(settings.CLAIM_BATCH_SIZE, self.sender.capacity)
            ):
                await self.look()

    def _ask_again(self) -> None:
        """Let the claimer look again in a moment: the sender takes nothing more now, by its rate or because its provider rests."""
        self._more = False
        asyncio.get_running_loop().call_later(ASK_AGAIN_SECONDS, self._wake)

    def _wake(self) -> None:
        self._more = True
        self._hungry.set()

    # --- Starting and sending ----------------------------------------------------------------------------------------------------

    async def _starter(self) -> None:
        while True:
            await self._startable.wait()
            self._startable.clear()
            if len(self._sending) > self._slots() * 3 // 4:
                await asyncio.sleep(START_PAUSE_SECONDS)
            if len(self._waiting) and self.sender.is_resting():
                await self._give_back(self._waiting.empty())
                self._ask_again()
            while not self.held and not self.sender.is_resting() and (batch := self._next_batch()):
                await self._start(batch)

    async def _give_back(self, rows: list[ClaimedRow]) -> None:
        """Return rows that were not started, with nothing counted against them."""
        await self._with_connection(lambda connection: lifecycle.give_back(connection, rows=rows))

    def _next_batch(self) -> list[ClaimedRow]:
        """Take the rows that a slot is free for; a share of the slots is kept for high priority."""
        slots = self._slots()
        ordinary = max(1, int(slots * (1 - settings.HIGH_PRIORITY_SHARE)))
        return self._waiting.take(
            slots=slots - len(self._sending) - self._starting, ordinary_slots=ordinary - self._sending_ordinary
        )

    def _slots(self) -> int:
        """Return how many rows may be started at once: those the sender takes, and what it gets through in START_AHEAD_SECONDS."""
        ahead = int(min(settings.CLAIM_BATCH_SIZE, self._rows_per_second * START_AHEAD_SECONDS))
        return max(self.sender.capacity, ahead)

    async def _start(self, rows: list[ClaimedRow]) -> None:
        self._starting += len(rows)
        people: dict[int, Person] = {}
        found: dict[tuple[int, UUID], Address] = {}
        try:
            people, found = await self._with_connection(lambda connection: self._start_rows(connection, rows))
        finally:
            self._starting -= len(rows)
            now = asyncio.get_running_loop().time()
            for row in rows:
                person = people.get(row.id)
                if person is None:
                    self._waiting.let_next_of(row)
                    continue
                address = found.get((row.tenant_id, row.user_id), addresses.NOWHERE)
                self._sending[row.id] = Sending(asyncio.create_task(self._deliver(row, person, address)), now)
                self._sending_ordinary += row.priority != Priority.HIGH
            self._quiet.set()

    async def _start_rows(
        self, connection: psycopg.AsyncConnection[Any], rows: list[ClaimedRow]
    ) -> tuple[dict[int, Person], dict[tuple[int, UUID], Address]]:
        await self._book.load(connection, {(row.tenant_id, row.template_code) for row in rows if row.content is None})
        found = await addresses.load(connection, channel=self.channel, rows=rows)
        people = await lifecycle.start(
            connection,
            rows=rows,
            deadline_seconds=settings.SEND_DEADLINE_SECONDS,
            only_to=settings.SEND_ONLY_TO or None,
        )
        return people, found

    async def _deliver(self, row: ClaimedRow, person: Person, address: Address) -> None:
        """Try one row and leave what it came to for the recorder. Nothing escapes: every end is an outcome."""
        began = time.perf_counter()
        tried = await self._try(row, person, address)
        milliseconds = int((time.perf_counter() - began) * 1000)
        if tried.error is None:
            keeps_content = self.sender.keeps_content and not row.is_test
            outcome = outcomes.sent(row, tried, duration_ms=milliseconds, keeps_content=keeps_content)
        else:
            outcome = outcomes.failed(row, tried, tried.error, duration_ms=milliseconds, policy=self._policy)
        del self._sending[row.id]
        self._sending_ordinary -= row.priority != Priority.HIGH
        message = tried.message if tried.error is None else None
        self._finished.append(
            Finished(row, outcome, message, outcomes.told(tried) if self.channel in LEARNED else None)
        )
        self._recordable.set()
        self._startable.set()

    async def _try(self, row: ClaimedRow, person: Person, address: Address) -> Tried:
        """Render and send one row, once the sender has room for it."""
        tried = Tried(self.channel)
        is_handed_over = False
        try:
            tried.message, tried.version_id = compose(row, person, self._book, address)
            if row.is_test:
                tried.receipt = TEST_RECEIPT
                return tried
            async with self._sender_room:
                is_handed_over = tried.is_handed_over = True
                tried.receipt = await self.sender.send(tried.message)
        except SendError as refused:
            tried.error = refused
        except RenderError as refused:
            tried.error = SendError(refused.code, refused.message, permanent=True)
        except asyncio.CancelledError:
            # Only the timekeeper and the end of the grace cancel a send; both want it recorded, not passed on.
            within = f"within {settings.SEND_DEADLINE_SECONDS:g} s"
            answer = f"The provider did not answer {within}; it may have taken the message"
            waited = f"The provider had no room for it {within}; it was not handed over"
            tried.error = SendError("timeout", answer if is_handed_over else waited, ambiguous=is_handed_over)
        except Exception as failure:
            log.exception("send failed unexpectedly", job_id=str(row.job_id), channel=self.channel)
            what = f"{type(failure).__name__} in the sender; the log of this time has the rest"
            tried.error = SendError("internal_error", what, ambiguous=True)
        return tried

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
            try:
                if batch:
                    await self._record(batch)
                    self._note_rate(len(batch))
            finally:
                self._recording = 0
                for finished in batch:
                    self._waiting.let_next_of(finished.row)
                self._quiet.set()
            if not self.rows_in_hand():
                self._more = True  # whoever waited for a person in this batch can be claimed now
            self._hungry.set()
            self._startable.set()
            self._quiet.set()

    async def _record(self, batch: list[Finished]) -> None:
        came_to = [finished.outcome for finished in batch]
        recorded = await self._finish(came_to)
        if len(recorded) < len(batch):
            log.warning("outcomes came after their lease", channel=self.channel, rows=len(batch) - len(recorded))
        told = [finished.told for finished in batch if finished.told is not None]
        if told:
            await self._with_connection(lambda connection: addresses.learn(connection, channel=self.channel, told=told))
        taken = [f.message for f in batch if f.message is not None and not f.row.is_test and f.row.id in recorded]
        if taken:
            await self.sender.stored(taken)
        self.progress += len(batch)
        statuses = [outcome.status for outcome in came_to]
        self._heartbeat.count(
            consumed=len(batch),
            sent=statuses.count(Status.SENT),
            failed=statuses.count(Status.FAILED),
            retried=statuses.count(Status.RETRYING),
            processing_ms=float(sum(outcome.duration_ms for outcome in came_to)),
            processed=len(batch),
        )

    async def _finish(self, came_to: list[Outcome]) -> set[int]:
        """Record outcomes; where the database refuses a value, halve them until the guilty one stands alone and is recorded bare."""
        try:
            return await self._with_connection(lambda connection: lifecycle.finish(connection, outcomes=came_to))
        except (psycopg.DataError, psycopg.IntegrityError, UnicodeError) as error:
            if len(came_to) == 1:
                log.exception("outcome refused by the database", channel=self.channel, delivery_id=came_to[0].id)
                bare = [outcomes.refused(came_to[0], error)]
                return await self._with_connection(lambda connection: lifecycle.finish(connection, outcomes=bare))
            half = len(came_to) // 2
            return await self._finish(came_to[:half]) | await self._finish(came_to[half:])

    def _note_rate(self, rows: int) -> None:
        """Follow how fast this channel goes, so that a fast one holds about a second of work and a slow one little."""
        now = time.monotonic()
        seconds = max(now - self._recorded_at, settings.FLUSH_INTERVAL_SECONDS)
        self._recorded_at = now
        self._rows_per_second += 0.2 * (rows / seconds - self._rows_per_second)

    async def _with_connection(self, work: Callable[[psycopg.AsyncConnection[Any]], Awaitable[T]]) -> T:
        """Do database work on a pooled connection, again and again until it succeeds: each statement of a lease may be repeated."""
        wait = 0.1
        while True:
            try:
                async with asyncio.timeout(DATABASE_TIMEOUT_SECONDS), self._pool.connection() as connection:
                    return await work(connection)
            # InternalError too: a session that was ended in its turn, or a server that is read-only while another takes over.
            except AWAY as error:
                log.warning(
                    "database away",
                    channel=self.channel,
                    error=str(error) or "no answer in time",
                    retry_in_seconds=wait,
                )
                await asyncio.sleep(wait)
                wait = min(2 * wait, 2.0)
