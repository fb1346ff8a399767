"""Threads that decode, and a bound on the time of one image: the last net, behind those that headers give."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

from transforms.images.errors import ImageError

T = TypeVar("T")

# 100 million pixels take up to some 20 s in the slowest formats, on one core that has nothing else to do.
DECODE_SECONDS = 120.0


class Decoders:
    """Decodes some images at once, each for a bounded time.

    A decode cannot be interrupted. One that takes too long is given up: its image is refused, and its thread goes on
    with it, so that there is one thread fewer until it ends. In the place of the last one, another begins.

    Not a ThreadPoolExecutor, which does not tell when a decode began, and waits at the end of the process for those
    that never end.
    """

    def __init__(self, threads: int, seconds: float = DECODE_SECONDS):
        self._threads, self._seconds = threads, seconds
        self._waiting: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()
        self._lock = threading.Lock()
        self._started: dict[Future[Any], float] = {}
        self._given_up: set[Future[Any]] = set()
        self._replaced: set[Future[Any]] = set()
        for _ in range(threads):
            self._start(self._work, "decode")
        self._start(self._watch, "decode-watch")

    async def run(self, decode: Callable[..., T], *arguments: Any) -> T:
        """What `decode` returns or raises; ImageError, "DecodeTimeout", when it is given up."""
        decoding: Future[T] = Future()
        self._waiting.put((decoding, partial(decode, *arguments)))
        return await asyncio.wrap_future(decoding)

    @staticmethod
    def _start(target: Callable[[], None], name: str) -> None:
        threading.Thread(target=target, name=name, daemon=True).start()

    def _work(self) -> None:
        while True:
            decoding, decode = self._waiting.get()
            if not decoding.set_running_or_notify_cancel():
                continue
            self._started[decoding] = time.monotonic()
            result, error = None, None
            try:
                result = decode()
            except BaseException as e:
                error = e
            if not self._end(decoding, result, error):
                return
            del decoding, decode, result, error  # which would be kept until the next image

    def _end(self, decoding: Future[Any], result: Any, error: BaseException | None) -> bool:
        """Hands on what a decode came to; tells whether its thread goes on with others."""
        with self._lock:
            del self._started[decoding]
            if decoding in self._given_up:
                self._given_up.remove(decoding)
                replaced = decoding in self._replaced
                self._replaced.discard(decoding)
                return not replaced
        if error is None:
            decoding.set_result(result)
        else:
            decoding.set_exception(error)
        return True

    def _watch(self) -> None:
        while True:
            time.sleep(min(self._seconds / 4, 1.0))
            with self._lock:
                late = time.monotonic() - self._seconds
                held = [one for one, started in tuple(self._started.items()) if started < late]
                for decoding in held:
                    if decoding not in self._given_up:
                        self._give_up(decoding)

    def _give_up(self, decoding: Future[Any]) -> None:
        self._given_up.add(decoding)
        if len(self._given_up) >= self._threads:
            self._replaced.add(decoding)
            self._start(self._work, "decode")
        message = f"its decoding took more than {self._seconds:.0f} s, and was given up"
        decoding.set_exception(ImageError("DecodeTimeout", message))
