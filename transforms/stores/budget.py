"""A bound on the encoded bytes that a process holds at once."""

from __future__ import annotations

import asyncio
import threading
from contextlib import AbstractContextManager
from types import TracebackType

POLL_SECONDS = 0.02


class ByteBudget:
    """Bytes that may be held at once. What is larger than all of it goes alone.

    Those that wait for room hold none, so that no two wait for each other; it is given back by threads that wait for
    none.
    """

    def __init__(self, limit: int):
        self._limit = limit
        self._held = 0
        self._changed = threading.Condition()

    def take(self, size: int) -> Room:
        """Room for so many bytes; waits until there is some. Not for coroutines."""
        with self._changed:
            self._changed.wait_for(lambda: self._fits(size))
            self._held += size
        return Room(self, size)

    async def admit(self, size: int) -> Room:
        """As `take`, for coroutines. (Few of them wait, so they look again and again.)"""
        while True:
            with self._changed:
                if self._fits(size):
                    self._held += size
                    return Room(self, size)
            await asyncio.sleep(POLL_SECONDS)

    def give_back(self, size: int) -> None:
        with self._changed:
            self._held -= size
            self._changed.notify_all()

    def _fits(self, size: int) -> bool:
        return self._held == 0 or self._held + size <= self._limit


class Room(AbstractContextManager["Room"]):
    """A part of a budget, of `size` bytes."""

    def __init__(self, budget: ByteBudget, size: int):
        self._budget = budget
        self.size = size

    def shrink(self, size: int) -> None:
        """Gives back what was held for more bytes than there are."""
        if size < self.size:
            self.size, more = size, self.size - size
            self._budget.give_back(more)

    def __exit__(
        self, error_class: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.shrink(0)
