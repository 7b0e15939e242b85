"""What tries of one channel came to, on its way into the database: gathered, written in batches, counted. For the dispatch loop only."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
import psycopg
import structlog

from deliveries import addresses, lifecycle, outcomes
from deliveries.addresses import Told
from deliveries.channels import Priority, Status
from deliveries.database import AsyncPool, until_done
from deliveries.lifecycle import ClaimedRow, Outcome
from deliveries.senders.base import Message, Sender
from deliveries.workers.heartbeat import Heartbeat

log = structlog.get_logger(__name__)
T = TypeVar("T")

# A speed is that of the sends, not of the batches: those bunch up behind a slow commit. It is measured over so long at least.
MEASURED_SECONDS = 0.2
# A speed that falls is believed slowly: one slow moment is no slow far end. One that rises is believed at once, or the first seconds of a
# large backlog would go by while the channel dares to reach a little further each time.
NEWEST_SHARE_OF_RATE = 0.2


class Finished(msgspec.Struct, frozen=True, gc=False):
    """A row whose outcome waits to be recorded. `message` is set when a provider took it, `told` when one said something."""

    row: ClaimedRow
    outcome: Outcome
    message: Message | None
    told: Told | None


class Recording:
    """Outcomes that are not recorded yet, and how many rows a second have been. `progress` counts what was recorded."""

    def __init__(self, channel: str, sender: Sender, *, pool: AsyncPool, heartbeat: Heartbeat) -> None:
        self.progress = 0
        self.rows_per_second = 0.0
        self.was_passed_over = False
        """Whether what waits was there already when the last batch, of urgent ones, was taken."""
        self._channel = channel
        self._sender = sender
        self._pool = pool
        self._heartbeat = heartbeat
        self._finished: list[Finished] = []
        self._under_way = 0
        self._ended = 0
        self._measured_from = 0.0

    def __len__(self) -> int:
        return len(self._finished) + self._under_way

    @property
    def waiting(self) -> int:
        """How many outcomes no batch has taken along yet."""
        return len(self._finished)

    def add(self, finished: Finished) -> None:
        """Leave an outcome for the next batch."""
        if not self._ended:
            self._measured_from = time.monotonic()
        self._ended += 1
        self._finished.append(finished)

    def take(self) -> list[Finished]:
        """Return what waits as one batch, which counts as not recorded until `done`.

        What is urgent goes before the rest, by itself; but what was passed over for it goes next, whatever is urgent by then.
        """
        batch, rest = self._finished, list[Finished]()
        if not self.was_passed_over:
            urgent = [finished for finished in batch if finished.row.priority == Priority.HIGH]
            if urgent:
                batch, rest = urgent, [finished for finished in batch if finished.row.priority != Priority.HIGH]
        self._finished, self.was_passed_over = rest, bool(rest)
        self._under_way = len(batch)
        return batch

    def done(self) -> None:
        """Forget the batch: recorded, or left to its leases by an error that nobody foresaw."""
        self._under_way = 0

    async def record(self, batch: list[Finished]) -> None:
        """Write a batch, tell the sender what is stored, and count. Waits as long as the database is away."""
        came_to = [finished.outcome for finished in batch]
        recorded = await self._finish(came_to)
        if len(recorded) < len(batch):
            log.warning("outcomes came after their lease", channel=self._channel, rows=len(batch) - len(recorded))
        told = [finished.told for finished in batch if finished.told is not None]
        if told:
            await self._do(lambda connection: addresses.learn(connection, channel=self._channel, told=told))
        sent = {row_id for row_id, outcome in recorded.items() if outcome.status == Status.SENT}
        taken = [f.message for f in batch if f.message is not None and not f.row.is_test and f.row.id in sent]
        if taken:
            await self._sender.stored(taken)
        self._count([recorded.get(outcome.id, outcome) for outcome in came_to])

    async def _finish(self, came_to: list[Outcome]) -> dict[int, Outcome]:
        """Record outcomes; where the database refuses a value, halve them until the guilty one stands alone and is recorded bare.

        Returns what was recorded, by the row's id.
        """
        try:
            return await self._write(came_to)
        except (psycopg.DataError, psycopg.IntegrityError, UnicodeError) as error:
            if len(came_to) == 1:
                log.exception("outcome refused by the database", channel=self._channel, delivery_id=came_to[0].id)
                return await self._write([outcomes.refused(came_to[0], error)])
            half = len(came_to) // 2
            return await self._finish(came_to[:half]) | await self._finish(came_to[half:])

    async def _write(self, came_to: list[Outcome]) -> dict[int, Outcome]:
        ids = await self._do(lambda connection: lifecycle.finish(connection, outcomes=came_to))
        return {outcome.id: outcome for outcome in came_to if outcome.id in ids}

    def _count(self, came_to: list[Outcome]) -> None:
        self.progress += len(came_to)
        statuses = [outcome.status for outcome in came_to]
        self._heartbeat.count(
            consumed=len(came_to),
            sent=statuses.count(Status.SENT),
            failed=statuses.count(Status.FAILED),
            retried=statuses.count(Status.RETRYING),
            processing_ms=float(sum(outcome.duration_ms for outcome in came_to)),
            processed=len(came_to),
        )
        self._measure()

    def _measure(self) -> None:
        """Follow how many sends end in a second, since the first that ended after the last measurement."""
        seconds = time.monotonic() - self._measured_from
        if not self._ended or seconds < MEASURED_SECONDS:
            return
        newest, before = self._ended / seconds, self.rows_per_second
        self._ended = 0
        self.rows_per_second = max(newest, before + NEWEST_SHARE_OF_RATE * (newest - before))

    async def _do(self, work: Callable[[psycopg.AsyncConnection[Any]], Awaitable[T]]) -> T:
        return await until_done(self._pool, work, channel=self._channel)
