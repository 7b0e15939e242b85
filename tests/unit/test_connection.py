"""One socket's queue and writer. The far end is a list; `gate` is what a socket does that reads nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from deliveries.realtime.connection import Behind, Closing, Connection, Entry
from deliveries.realtime.protocol import Close, Code
from tests.waiting import GENEROUS_SECONDS

QUEUE_SIZE = 5
OVER = Closing(Close.GOING_AWAY, Code.UNAVAILABLE, "over")


class Socket:
    """A far end that remembers what it was sent and can stop reading, and the rows that a socket is caught up from."""

    def __init__(self) -> None:
        self.received: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.rows: list[Entry] = []
        self.caught_up: list[Behind] = []

    async def send(self, message: dict[str, Any]) -> None:
        await self.gate.wait()
        self.received.append(message["text"])

    async def catch_up(self, connection: Connection, why: Behind) -> list[Entry]:
        self.caught_up.append(why)
        return [
            Entry("", f"behind: {why}"),
            *(row for row in self.rows if row.notification_id not in connection.written),
        ]


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until something is so."""
    async with asyncio.timeout(GENEROUS_SECONDS):
        while not condition():
            await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def writing(connection: Connection, socket: Socket) -> AsyncIterator[None]:
    writer = asyncio.create_task(connection.write(socket.send, socket.catch_up))
    try:
        yield
    finally:
        writer.cancel()
        await asyncio.wait([writer])


def make(*, joins_lines: bool = False, memory: int = 100) -> Connection:
    return Connection(id="c", user=(1, "u"), queue_size=QUEUE_SIZE, memory=memory, joins_lines=joins_lines)


def note(number: int) -> Entry:
    return Entry(f"n{number}", f"note {number}")


async def test_a_new_socket_is_caught_up_first_and_hears_nothing_twice() -> None:
    connection, socket = make(), Socket()
    socket.rows = [note(1), note(2)]
    async with writing(connection, socket):
        await until(lambda: len(socket.received) == 3)
        connection.offer(note(2))
        connection.offer(note(3))
        await until(lambda: "note 3" in socket.received)

    assert socket.received == ["behind: new", "note 1", "note 2", "note 3"]


async def test_what_is_published_while_the_rows_are_read_is_not_lost() -> None:
    connection, socket = make(), Socket()
    reading = asyncio.Event()

    async def catch_up(connection: Connection, why: Behind) -> list[Entry]:
        reading.set()
        snapshot = await socket.catch_up(connection, why)
        await until(lambda: connection.queued == 1)
        return snapshot

    writer = asyncio.create_task(connection.write(socket.send, catch_up))
    await reading.wait()
    connection.offer(note(1))
    await until(lambda: "note 1" in socket.received)
    writer.cancel()

    assert socket.received == ["behind: new", "note 1"]


async def test_a_socket_that_never_reads_takes_bounded_memory() -> None:
    connection, socket = make(), Socket()
    async with writing(connection, socket):
        await until(lambda: bool(socket.received))
        socket.gate.clear()

        for number in range(10_000):
            connection.offer(note(number))
            connection.offer(Entry("", "unread"))
            assert connection.queued <= QUEUE_SIZE
            if number % 100 == 0:
                await asyncio.sleep(0)


async def test_a_slow_socket_is_told_and_then_gets_all_that_it_missed() -> None:
    connection, socket = make(), Socket()
    async with writing(connection, socket):
        await until(lambda: bool(socket.received))
        socket.gate.clear()
        socket.rows = [note(number) for number in range(50)]
        for row in socket.rows:
            connection.offer(row)
        socket.gate.set()
        await until(lambda: len(socket.received) >= 52)

    assert socket.caught_up == [Behind.NEW, Behind.SLOW]
    notes = [text for text in socket.received if text.startswith("note")]
    assert sorted(notes) == sorted(f"note {number}" for number in range(50))


async def test_lines_are_joined_for_a_client_that_asks() -> None:
    connection, socket = make(joins_lines=True), Socket()
    async with writing(connection, socket):
        await until(lambda: bool(socket.received))
        for number in range(3):
            connection.offer(note(number))
        await until(lambda: len(socket.received) == 2)

    assert socket.received[1] == "note 0\nnote 1\nnote 2"


async def test_memory_of_what_was_written_is_bounded() -> None:
    connection, socket = make(memory=3), Socket()
    async with writing(connection, socket):
        for number in range(10):
            await until(lambda: connection.queued == 0 and not connection.behind)
            connection.offer(note(number))
        await until(lambda: "note 9" in socket.received)

    assert list(connection.written) == ["n7", "n8", "n9"]


async def test_what_had_no_room_follows_the_acknowledgements() -> None:
    connection, socket = make(), Socket()
    async with writing(connection, socket):
        await until(lambda: bool(socket.received))
        connection.note_acknowledged(100, page=10)
        connection.has_more = True
        connection.note_acknowledged(1, page=10)
        await until(lambda: len(socket.caught_up) == 2)

    assert socket.caught_up == [Behind.NEW, Behind.MORE]


async def test_life_ends_by_itself_or_by_the_first_who_closes() -> None:
    never = asyncio.Event()
    ended, closed, closed_before = make(), make(), make()

    async with ended.life(seconds=0.01, then=OVER):
        await never.wait()
    async with closed.life(seconds=3600, then=OVER):
        closed.close(OVER._replace(message="first"))
        closed.close(OVER._replace(message="second"))
        await never.wait()
    closed_before.close(OVER)
    async with closed_before.life(seconds=3600, then=OVER):
        await never.wait()

    assert ended.closing == OVER
    assert closed.closing is not None
    assert closed.closing.message == "first"


async def test_a_timeout_of_the_block_itself_is_not_swallowed() -> None:
    with pytest.raises(TimeoutError):
        async with make().life(seconds=3600, then=OVER):
            raise TimeoutError
