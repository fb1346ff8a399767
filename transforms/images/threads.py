"""Threads that read and decode, and a bound on the time of one image: the last net, behind those that headers give."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from time import thread_time
from typing import Any, NamedTuple, TypeVar

S = TypeVar("S")
T = TypeVar("T")
U = TypeVar("U")

# 100 million pixels take up to some 20 s in the slowest formats, on one core that has nothing else to do.
DECODE_SECONDS = 120.0
# That a small image holds the interpreter while it is read and decoded, with some ten handings over.
HELD_SECONDS = 0.0002
SMOOTHED = 16  # groups


class Late(NamedTuple):
    """What is in the place of a result that took too long.

    Attributes:
        is_read: whether it was read by then, and its decode took so long.
        seconds: that it had.
    """

    is_read: bool
    seconds: float


class Decoders:
    """Decodes some images at once, a group of them in each thread, and each image for a bounded time.

    A decode cannot be interrupted. One that takes too long is given up: `Late` is its result, another thread goes on
    with the group, and its own thread is one fewer until it ends. In the place of the last one, another begins.

    Small images are decoded by fewer threads. Some of each decode holds the interpreter, so that more threads than
    there are such parts in a decode only take it from each other: at each handing over another core is woken.

    Not a ThreadPoolExecutor, which does not tell when a decode began, and waits at the end of the process for those
    that never end.
    """

    def __init__(self, threads: int, seconds: float = DECODE_SECONDS):
        self._threads, self._seconds = threads, seconds
        self._waiting: deque[_Group] = deque()
        self._changed = threading.Condition()
        self._decoding: set[_Group] = set()
        self._given_up = 0
        self._core_seconds = HELD_SECONDS * threads  # of one image, at last
        for _ in range(threads):
            self._start(self._work, "decode")
        self._start(self._watch, "decode-watch")

    def submit(self, group: Sequence[S], read: Callable[[S], T], decode: Callable[[T], U]) -> Future[list[U | Late]]:
        """For each of a group, in its order, what `decode` gives of what `read` gives; or what either raises."""
        results: Future[list[U | Late]] = Future()
        self._put(_Group(group, read, decode, [], results))
        return results

    @property
    def take_turns(self) -> bool:
        """Whether images are so small that all of a decode holds the interpreter, and whoever goes on meanwhile takes
        it from the decode again and again: a tenth of a millisecond an image."""
        return self._useful() <= 1

    def _put(self, group: _Group) -> None:
        with self._changed:
            self._waiting.append(group)
            self._wake_one()

    def _wake_one(self) -> None:
        """Where there is something to do for one more; to wake in vain costs as much as a small image."""
        if self._waiting and len(self._decoding) < self._most():
            self._changed.notify()

    @staticmethod
    def _start(target: Callable[[], None], name: str) -> None:
        threading.Thread(target=target, name=name, daemon=True).start()

    def _work(self) -> None:
        goes_on = True
        while goes_on:
            goes_on = self._decode(self._next())  # which is not kept until the next group

    def _next(self) -> _Group:
        """The next group, when there are few enough at work."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting and len(self._decoding) < self._most())
            group = self._waiting.popleft()
            group.begin()
            self._decoding.add(group)
            self._wake_one()
            return group

    def _most(self) -> int:
        """Groups that are decoded at once."""
        return max(1, min(self._threads - self._given_up, self._useful()))

    def _useful(self) -> int:
        """Parts that hold the interpreter, of which there are so many in the time of a decode."""
        return round(self._core_seconds / HELD_SECONDS)

    def _decode(self, group: _Group) -> bool:
        """Hands on what a group came to; tells whether its thread goes on with others."""
        error: BaseException | None = None
        started, left = thread_time(), group.left()
        if group.results.running() or group.results.set_running_or_notify_cancel():
            for one in left:
                result = None
                group.begin()
                try:
                    read = group.read(one)
                    group.is_read = True
                    result = group.decode(read)
                except BaseException as e:
                    error = e
                with self._changed:
                    if group.is_given_up:
                        self._given_up -= 1
                        return not group.is_replaced
                    if error is not None:
                        break
                    group.done.append(result)
        with self._changed:
            self._decoding.discard(group)
            if left:
                self._core_seconds += ((thread_time() - started) / len(left) - self._core_seconds) / SMOOTHED
        if error is not None:
            group.results.set_exception(error)
        elif not group.results.cancelled():
            group.results.set_result(group.done)
        return True

    def _watch(self) -> None:
        while True:
            time.sleep(min(self._seconds / 4, 1.0))
            with self._changed:
                late = time.monotonic() - self._seconds
                for group in [each for each in self._decoding if each.begun < late]:
                    self._give_up(group)

    def _give_up(self, group: _Group) -> None:
        self._decoding.discard(group)
        group.is_given_up = True
        self._given_up += 1
        if self._given_up >= self._threads:
            group.is_replaced = True
            self._start(self._work, "decode")
        self._waiting.append(group.after(Late(group.is_read, self._seconds)))
        self._wake_one()


class _Group:
    """What one thread reads and decodes, one after the other.

    Attributes:
        done: results of the first ones; the others are left.
        begun: when the present one was begun, on the clock of `time.monotonic`.
        is_read: whether it is read.
        is_given_up: another thread goes on with what is left.
        is_replaced: and with other groups, too.
    """

    def __init__(
        self,
        all_of_them: Sequence[Any],
        read: Callable[[Any], Any],
        decode: Callable[[Any], Any],
        done: list[Any],
        results: Future[list[Any]],
    ):
        self._all = all_of_them
        self.read = read
        self.decode = decode
        self.done = done
        self.results = results
        self.is_given_up = False
        self.is_replaced = False
        self.begin()

    def begin(self) -> None:
        self.begun = time.monotonic()
        self.is_read = False

    def left(self) -> Sequence[Any]:
        return self._all[len(self.done) :]

    def after(self, late: Late) -> _Group:
        """What is left after the present one."""
        return _Group(self._all, self.read, self.decode, [*self.done, late], self.results)
