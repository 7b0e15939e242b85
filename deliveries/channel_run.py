"""One channel within a sending process: the rows it holds, from lease to recorded outcome. Runs on the dispatch loop only.

Three tasks move the rows on: the claimer (`claiming.py`) fetches while there is room and more is waiting, the starter starts what a slot
is free for, the recorder writes outcomes in batches. A person's rows of one priority go one after another.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from uuid import UUID

import msgspec
import psycopg
import structlog
from django.conf import settings

from deliveries import addresses, lifecycle, outcomes
from deliveries.addresses import LEARNED, Address
from deliveries.channels import Priority
from deliveries.claiming import Claiming
from deliveries.database import AsyncPool, until_done
from deliveries.lifecycle import ClaimedRow, Person, Tenants
from deliveries.policies import policy_for
from deliveries.reach import Reach
from deliveries.recording import Finished, Recording
from deliveries.rendering import TemplateBook
from deliveries.row_queues import RowQueues
from deliveries.senders.base import Sender
from deliveries.tries import try_row
from deliveries.workers.heartbeat import Heartbeat

log = structlog.get_logger(__name__)
T = TypeVar("T")

LAST_WORDS_SECONDS = 1.5
TASK_PAUSE_SECONDS = 0.5
# A starter that wakes for every single free slot would write one row at a time; this lets some come free together.
START_PAUSE_SECONDS = 0.005


class Sending(msgspec.Struct):
    """A started row: its task, and when it began by the loop's clock."""

    task: asyncio.Task[None]
    began: float


class ChannelRun:
    """The rows of one channel in this process, those of `tenants`."""

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
        self._pool = pool
        self._book = book
        self._policy = policy_for(channel)
        self._waiting = RowQueues()
        self._starting = 0
        # What was started counts as perhaps sent when the process dies, so where that is never repeated nothing is started ahead.
        self._reach = Reach(
            capacity=sender.capacity,
            batch=settings.CLAIM_BATCH_SIZE,
            urgent_share=settings.HIGH_PRIORITY_SHARE,
            starts_ahead=self._policy.retry_ambiguous,
        )
        self._sender_room = asyncio.Semaphore(sender.capacity)
        self._sending: dict[int, Sending] = {}
        self._sending_ordinary = 0
        self._records = Recording(channel, sender, pool=pool, heartbeat=heartbeat)
        self._claims = Claiming(
            channel,
            sender,
            tenants=tenants,
            turn=turn,
            pool=pool,
            reach=self._reach,
            records=self._records,
            in_hand=self.rows_in_hand,
            bring=self._bring,
        )
        self._startable = asyncio.Event()
        self._recordable = asyncio.Event()
        self._dry = asyncio.Event()
        self._quiet = asyncio.Event()

    # --- For dispatch ---------------------------------------------------------------------------------------------------------

    def start(self) -> list[asyncio.Task[None]]:
        """Start this channel's tasks and return them; the caller cancels them after `drain`."""
        tasks = (self._claims.run, self._starter, self._recorder, self._timekeeper)
        return [asyncio.create_task(self._keep_up(task)) for task in tasks]

    @property
    def tenants(self) -> Tenants:
        """Whose rows this run takes, which may be set anew while it runs."""
        return self._claims.tenants

    @tenants.setter
    def tenants(self, tenants: Tenants) -> None:
        self._claims.tenants = tenants

    @property
    def progress(self) -> int:
        """How many rows this run has recorded."""
        return self._records.progress

    def rows_in_hand(self) -> int:
        """Return how many leased rows this process holds, started or not, that are not yet recorded."""
        return len(self._waiting) + self._starting + len(self._sending) + len(self._records)

    def is_looking(self) -> bool:
        """Say whether a claim is under way already, so that another would only queue behind it."""
        return self._claims.is_looking()

    async def look(self) -> bool:
        """Claim what there is room for. Returns whether more may be waiting than was taken (so that others should look too)."""
        return await self._claims.look()

    async def run_suspects(self, *, limit: int) -> int:
        """Claim and send suspects of this channel now, though it is held, and return how many once their outcomes are recorded."""
        if self.sender.is_resting():
            return 0
        rows = await self._do(
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
        self._claims.hold()

    def release(self) -> None:
        """Go on after `hold`, and look whether something came meanwhile."""
        self._claims.release()
        self._startable.set()

    async def settled(self) -> None:
        """Wait until nothing is being started, sent or recorded."""
        while self._starting or self._sending or self._records:
            self._quiet.clear()
            await self._quiet.wait()

    async def drain(self, *, within_seconds: float) -> None:
        """Give back what was not started; let sends finish, cut those that outlast the time, and record every outcome."""
        self.hold()
        try:
            async with asyncio.timeout(within_seconds):
                await self._claims.over()  # what a claim under way still brings goes back too
                await self._give_back(self._waiting.empty())
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

    # --- Starting and sending ----------------------------------------------------------------------------------------------------

    def _bring(self, rows: list[ClaimedRow]) -> None:
        self._waiting.add(rows)
        self._startable.set()

    async def _starter(self) -> None:
        while True:
            await self._startable.wait()
            self._startable.clear()
            if len(self._sending) > self._slots() * 3 // 4:
                await asyncio.sleep(START_PAUSE_SECONDS)
            if len(self._waiting) and self.sender.is_resting():
                await self._give_back(self._waiting.empty())
                self._claims.ask_again()
            # Where the sender has ample, the next send that ends wakes this again.
            while self._may_start() and (batch := self._next_batch()):
                await self._start(batch)

    def _may_start(self) -> bool:
        return not (self._claims.held or self.sender.is_resting() or self._has_ample())

    def _slots(self) -> int:
        return self._reach.slots(self._records.rows_per_second)

    def _has_ample(self) -> bool:
        """Say whether the next start can wait until it is worth a statement: the sender has enough to do, and nothing is urgent."""
        rate = self._records.rows_per_second
        return not self._waiting.has_urgent and self._reach.is_ample(len(self._sending), rate)

    async def _give_back(self, rows: list[ClaimedRow]) -> None:
        """Return rows that were not started, with nothing counted against them."""
        await self._do(lambda connection: lifecycle.give_back(connection, rows=rows))

    def _next_batch(self) -> list[ClaimedRow]:
        """Take the rows that a slot is free for; a share of the slots is kept for high priority."""
        ordinary = self._reach.ordinary_slots(self._records.rows_per_second)
        free = self._slots() - len(self._sending) - self._starting
        return self._waiting.take(
            slots=min(free, settings.CLAIM_BATCH_SIZE), ordinary_slots=ordinary - self._sending_ordinary
        )

    async def _start(self, rows: list[ClaimedRow]) -> None:
        self._starting += len(rows)
        began = time.monotonic()
        people: dict[int, Person] = {}
        found: dict[tuple[int, UUID], Address] = {}
        try:
            people, found = await self._do(lambda connection: self._start_rows(connection, rows))
            self._reach.start_took(time.monotonic() - began)
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
        tried = await try_row(row, person, address, book=self._book, sender=self.sender, room=self._sender_room)
        milliseconds = int((time.perf_counter() - began) * 1000)
        if tried.error is None:
            keeps_content = self.sender.keeps_content and not row.is_test
            outcome = outcomes.sent(row, tried, duration_ms=milliseconds, keeps_content=keeps_content)
        else:
            outcome = outcomes.failed(row, tried, tried.error, duration_ms=milliseconds, policy=self._policy)
        del self._sending[row.id]
        self._sending_ordinary -= row.priority != Priority.HIGH
        message = tried.message if tried.error is None else None
        told = outcomes.told(tried) if self.channel in LEARNED else None
        self._records.add(Finished(row, outcome, message, told))
        if not (self._sending or self._starting or self._waiting.has_next):
            self._dry.set()
        self._recordable.set()
        self._startable.set()

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
            is_soon = self._records.was_passed_over or self._records.waiting >= settings.CLAIM_BATCH_SIZE
            if self._sending and not is_soon:
                await self._gather()
            batch = self._records.take()
            try:
                if batch:
                    await self._records.record(batch)
            finally:
                self._records.done()
                if self._records.waiting:
                    self._recordable.set()
                for finished in batch:
                    self._waiting.let_next_of(finished.row)
                self._quiet.set()
            if not self.rows_in_hand():
                self._claims.search()  # whoever waited for a person in this batch can be claimed now
            self._claims.go_on()
            self._startable.set()
            self._quiet.set()

    async def _gather(self) -> None:
        """Let outcomes come together for one batch, but no longer than something is on its way that could bring another."""
        self._dry.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(settings.FLUSH_INTERVAL_SECONDS):
                await self._dry.wait()

    async def _do(self, work: Callable[[psycopg.AsyncConnection[Any]], Awaitable[T]]) -> T:
        return await until_done(self._pool, work, channel=self.channel)
