"""Some elements of a bundle at a time, each in a thread: while one waits for a disk, another is worked on."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

import apache_beam as beam
from apache_beam.utils.windowed_value import WindowedValue

from transforms import tally
from transforms.bundles import at_the_end

AT_ONCE = 2  # more wait for the interpreter's lock
COUNT_SECONDS = 0.5  # between looks at what was counted
T = TypeVar("T")
R = TypeVar("R")
Count = Callable[[str, int], None]


class AbandonedError(Exception):
    """Another element of the bundle has failed."""


class Abreast(beam.DoFn, Generic[T, R]):
    """Elements in, what `work` gives of each out, in the order of the elements.

    Args:
        work: of an element, side inputs, and, by name, `count`, as `tally.count`, which is of the bundle's thread. It
            is called now and then, and raises AbandonedError when no one wants the results any more.
    """

    def __init__(self, work: Callable[..., Iterable[R]]):
        self._work = work

    def setup(self) -> None:
        self._threads = ThreadPoolExecutor(AT_ONCE, "abreast")
        self._coming = deque[Future[list[R]]]()
        self._abandoned = threading.Event()

    def start_bundle(self) -> None:
        self._abandon()  # what a bundle that failed has left
        self._abandoned = threading.Event()
        self._counts = SimpleQueue[tuple[str, int]]()

    def process(self, element: T, *sides: Any) -> Iterator[R]:
        count = partial(_count, self._counts, self._abandoned)
        self._coming.append(self._threads.submit(_listed, partial(self._work, element, *sides, count=count)))
        while len(self._coming) > AT_ONCE:
            yield from self._next()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        while self._coming:
            yield from at_the_end(self._next())

    def teardown(self) -> None:
        self._abandon()
        self._threads.shutdown()

    def _next(self) -> list[R]:
        """What came of the oldest element."""
        while not wait([self._coming[0]], COUNT_SECONDS).done:
            self._tally()
        results = self._coming.popleft().result()
        self._tally()
        return results

    def _abandon(self) -> None:
        self._abandoned.set()
        while self._coming:
            self._coming.popleft().cancel()

    def _tally(self) -> None:
        try:
            while True:
                tally.count(*self._counts.get_nowait())
        except Empty:
            pass


def _listed(work: Callable[[], Iterable[R]]) -> list[R]:
    return [*work()]


def _count(counts: SimpleQueue[tuple[str, int]], abandoned: threading.Event, name: str, amount: int) -> None:
    if abandoned.is_set():
        raise AbandonedError
    counts.put((name, amount))
