"""A database connection that gives up in time, for code that must answer while PostgreSQL is stalled. No SQL here.

A server that was stopped (SIGSTOP, a frozen disk) still holds its connections open, and statement_timeout is its own
to enforce; so the patience is ours: when it ends, the socket is shut and the waiting call fails.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator, Sequence
from typing import Any, LiteralString

import psycopg

from deliveries.database import connection_parameters

MARGIN_SECONDS = 0.5


class ImpatientConnection:
    """One connection of its own, opened on first use, in autocommit. Not for two threads at once.

    `patience_seconds` is the most that connecting (at least 2 s, by libpq) and each statement take; a stalled server
    costs half a second more.
    """

    def __init__(self, *, name: str, patience_seconds: float) -> None:
        self.patience_seconds = patience_seconds
        self._name = name
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None

    def __enter__(self) -> ImpatientConnection:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def execute(
        self, sql: LiteralString, parameters: Sequence[Any] | dict[str, Any] | None = None
    ) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows. Raises: psycopg.OperationalError, after which the next call connects
        anew."""
        try:
            connection = self._connected()
            with self._patience(connection):
                cursor = connection.execute(sql, parameters)
                return cursor.fetchall() if cursor.description else []
        except psycopg.Error:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the connection; the next call makes another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connected(self) -> psycopg.Connection[tuple[Any, ...]]:
        if self._connection is None or self._connection.closed:
            parameters = connection_parameters() | {
                "connect_timeout": max(2, round(self.patience_seconds)),
                "application_name": f"notify {self._name}",
            }
            self._connection = psycopg.connect(**parameters, autocommit=True)
            # A server that is merely slow ends the statement itself, and its session does not stay behind.
            milliseconds = str(round(self.patience_seconds * 1000))
            with self._patience(self._connection):
                self._connection.execute("SELECT set_config('statement_timeout', %s, false)", [milliseconds])
        return self._connection

    @contextlib.contextmanager
    def _patience(self, connection: psycopg.Connection[tuple[Any, ...]]) -> Iterator[None]:
        # A duplicate of the descriptor: shutting it ends the connection for both, closing it harms neither.
        with socket.socket(fileno=os.dup(connection.fileno())) as wire:
            timer = threading.Timer(self.patience_seconds + MARGIN_SECONDS, _shut, [wire])
            timer.daemon = True
            timer.start()
            try:
                yield
            finally:
                timer.cancel()


def _shut(wire: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it was closed at this very moment
        wire.shutdown(socket.SHUT_RDWR)
