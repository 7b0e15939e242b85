"""One call for all who ask while it runs: fetching a token, opening a connection. Knows nothing of what the call does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class SharedCall(Generic[T]):
    """Runs `call` once for everybody who waits for it. For one event loop; the result is not kept."""

    def __init__(self, call: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._call = call
        self._task: asyncio.Task[T] | None = None

    async def result(self) -> T:
        """Join the call under way, or start one. Being cancelled leaves it to the others. Raises: what the call raises."""
        if self._task is None:
            self._task = asyncio.create_task(self._call())
            self._task.add_done_callback(self._ended)
        return await asyncio.shield(self._task)

    def _ended(self, task: asyncio.Task[T]) -> None:
        self._task = None
        if not task.cancelled():
            task.exception()  # looked at, even if everybody who waited for it was cancelled

    async def close(self) -> None:
        """Cancel the call under way, and those who wait for it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
