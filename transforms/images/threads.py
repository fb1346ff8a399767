"""Threads that decode, and a bound on the time of one image: the last net, behind those that headers give."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from transforms.images.errors import ImageError

T = TypeVar("T")

# 100 million pixels take up to some 20 s in the slowest formats, on one core that has nothing else to do.
DECODE_SECONDS = 120.0
# Threads beside those that work: decodes that never end, each of which was given up. They cost a core each.
SPARE = 64


class Decoders:
    """Decodes some images at once, each for a bounded time.

    A decode cannot be interrupted. One that takes too long is given up: its image is refused, and its thread goes on
    with it, so that there is one thread fewer until it ends. In the place of the last one, another begins.
    """

    def __init__(self, threads: int, seconds: float = DECODE_SECONDS):
        self._threads, self._seconds = threads, seconds
        self._free = asyncio.Semaphore(threads)
        self._pool = ThreadPoolExecutor(threads + SPARE, thread_name_prefix="decode")
        self._given_up: set[asyncio.Future[Any]] = set()
        self._replaced: set[asyncio.Future[Any]] = set()

    async def run(self, decode: Callable[..., T], *arguments: Any) -> T:
        """What `decode` returns or raises; ImageError, "DecodeTimeout", when it is given up."""
        await self._free.acquire()
        decoding = asyncio.get_running_loop().run_in_executor(self._pool, decode, *arguments)
        decoding.add_done_callback(self._ended)
        done, _ = await asyncio.wait((decoding,), timeout=self._seconds)
        if done:
            return decoding.result()
        self._given_up.add(decoding)
        if len(self._given_up) >= self._threads:
            self._replaced.add(decoding)
            self._free.release()
        raise ImageError("DecodeTimeout", f"its decoding took more than {self._seconds:.0f} s, and was given up")

    def _ended(self, decoding: asyncio.Future[Any]) -> None:
        if not decoding.cancelled():
            decoding.exception()  # which nobody asks for, of one that was given up
        self._given_up.discard(decoding)
        if decoding in self._replaced:
            self._replaced.remove(decoding)
        else:
            self._free.release()
