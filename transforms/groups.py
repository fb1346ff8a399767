"""Groups of images: read or fetched, decoded in threads, and what became of each.

Between a bundle, the loop that fetches and the threads that decode, a group goes as one: each of these ways costs some
tenth of a millisecond of the interpreter, in which a small image is decoded. What is on a local disk, or came with its
bytes, is not given to the loop at all.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from typing import NamedTuple, Protocol

import numpy as np
from fsspec.asyn import get_loop

from transforms.elements import DeadLetter, ImageInfo, ImageObject, Refusal
from transforms.images.decoding import ImageError, decode_image
from transforms.images.threads import Decoders, Late
from transforms.stores import fetching, filesystems
from transforms.stores.budget import ByteBudget, Room
from transforms.stores.fetching import Fetched, FetchError, Policy
from transforms.stores.store_errors import OutgrownError

GROUP_IMAGES = 16
GROUP_BYTES = 1 << 20  # encoded: a group of large images is one image
# What is held for an object whose size only its body tells. A larger one is asked for anew, with room for all of it.
ROOM_BYTES = 4 << 20
# Local files are read by the threads that decode. Where so many of them in a row take longer, as on a disk behind a
# network, they are fetched as from a store, many at once, and after some time as before.
SOON_SECONDS = 0.002
LATE_IN_A_ROW = 8
AT_ONCE_SECONDS = 10.0


class LoadOptions(Protocol):
    """How images are loaded: attributes of `LoadImages`."""

    input_size: tuple[int, int]
    resize: str
    max_image_pixels: int
    max_object_bytes: int
    fetch_concurrency: int
    prefetch_bytes: int
    policy: Policy
    threads: int


class Outcome(NamedTuple):
    """What became of one image, and what its fetch took; `fetched` without its bytes."""

    result: tuple[ImageInfo, np.ndarray] | DeadLetter
    fetched: Fetched | None = None
    fetch_milliseconds: int = 0
    bytes_read: int = 0


class Arrived(NamedTuple):
    """An encoded image, and how long it took to come."""

    fetched: Fetched
    milliseconds: int


Came = Arrived | Outcome | ImageObject
# Of one of a group; what goes on alone has a future of its own.
Result = Outcome | Future[Outcome] | Late


class Shared(NamedTuple):
    """What all bundles of a process share, however many its runner works on at once."""

    fetches: asyncio.Semaphore
    budget: ByteBudget
    decoders: Decoders


@functools.cache
def shared(process: int, fetch_concurrency: int, prefetch_bytes: int, threads: int) -> Shared:
    decoders = Decoders(threads or os.cpu_count() or 1)
    return Shared(asyncio.Semaphore(fetch_concurrency), ByteBudget(prefetch_bytes), decoders)


class Group:
    """Images that are gathered until there are enough to go on together.

    Args:
        most: of them.
        in_turns: whether images such as this one are loaded while the bundle waits: they go on when there are `most`.
    """

    def __init__(self, most: int, in_turns: Callable[[ImageObject], bool]):
        self._most = most
        self._in_turns = in_turns
        self._sources: list[ImageObject] = []
        self._bytes = 0

    def add(self, source: ImageObject) -> None:
        self._sources.append(source)
        self._bytes += len(source.content) if isinstance(source.content, bytes) else max(source.size, 0)

    @property
    def is_full(self) -> bool:
        count = len(self._sources)
        if count >= self._most or self._bytes >= GROUP_BYTES:
            return True
        return count >= GROUP_IMAGES and not self._in_turns(self._sources[-1])

    def take(self) -> list[ImageObject]:
        """What was gathered, and from now on other ones."""
        sources, self._sources, self._bytes = self._sources, [], 0
        return sources


class GroupLoader:
    """Loads groups of images. Every failure of one of them is caught here and named."""

    def __init__(self, options: LoadOptions):
        self._options = options
        self._shared = shared(os.getpid(), options.fetch_concurrency, options.prefetch_bytes, options.threads)
        self._policy = options.policy._replace(max_bytes=options.max_object_bytes)
        self._late = 0
        self._at_once_until = 0.0

    def in_turns(self, source: ImageObject) -> bool:
        """Whether the bundle waits for images such as this one, as they are decoded at present."""
        return self._shared.decoders.take_turns and self._is_at_hand(source)

    def begin(self, sources: Sequence[ImageObject]) -> Future[list[Result]]:
        """Begins with a group when its bytes are within the budget; waits until then. Gives what `outcome_of` takes."""
        rooms = [self._room_of(source) for source in sources]
        room = self._shared.budget.take(sum(rooms))
        loading: Future[list[Result]]
        if all(map(self._is_at_hand, sources)):
            loading = self._shared.decoders.submit(sources, self._read, self._decoded)
            if self._shared.decoders.take_turns:
                wait([loading])
        else:
            loading = asyncio.run_coroutine_threadsafe(self._load(sources, rooms, room), get_loop())
        loading.add_done_callback(lambda _: room.shrink(0))
        return loading

    async def load(self, source: ImageObject, wanted: int = -1) -> Outcome:
        """One image by itself: one that could not be read at once, or that has outgrown its room.

        A coroutine of fsspec's loop. Nothing of an object is kept while it waits for more room.

        Args:
            wanted: bytes to make room for, where that is known; else -1.
        """
        wanted = self._room_of(source) if wanted < 0 else wanted
        while True:
            with await self._shared.budget.admit(wanted) as room:
                came = await self._fetched(source, wanted)
                if not isinstance(came, OutgrownError):
                    (result,) = await self._decoded_together([came], room)
                    return outcome_of(source, result)
            wanted = came.wanted

    def _room_of(self, source: ImageObject) -> int:
        """Bytes to make room for: all of a listed object, some of another one."""
        if source.content is not None:
            return len(source.content) if isinstance(source.content, bytes) else 0
        most = self._options.max_object_bytes
        return min(ROOM_BYTES, most) if source.size < 0 else source.size if source.size <= most else 0

    def _is_at_hand(self, source: ImageObject) -> bool:
        """Whether it came with its bytes, or is read at once from a local disk."""
        if source.content is not None:
            return True
        return not source.copies and filesystems.is_local(source.uri) and time.monotonic() > self._at_once_until

    def _read(self, source: ImageObject) -> Came:
        """Of what is at hand: the row of a local file that is to be tried again, and its failure to be named."""
        if isinstance(source.content, Refusal):
            return Outcome(DeadLetter(source._replace(content=None), *source.content))
        if isinstance(source.content, bytes):
            return Arrived(Fetched(source._replace(content=None), source.content, 0), 0)
        started = time.monotonic()
        fetched = fetching.read_local(source, self._policy)
        now = time.monotonic()
        self._late = self._late + 1 if now - started > SOON_SECONDS else 0
        if self._late >= LATE_IN_A_ROW:
            self._late, self._at_once_until = 0, now + AT_ONCE_SECONDS
        return source if fetched is None else Arrived(fetched, round((now - started) * 1000))

    def _decoded(self, came: Came) -> Outcome | Future[Outcome]:
        if isinstance(came, ImageObject):
            return asyncio.run_coroutine_threadsafe(self.load(came), get_loop())
        if isinstance(came, Outcome):
            return came
        fetched, milliseconds = came
        source, data, options = fetched.source, fetched.data, self._options
        told = fetched._replace(data=b""), milliseconds, len(data)
        try:
            image = decode_image(data, options.input_size, options.resize, options.max_image_pixels)
        except ImageError as e:
            return Outcome(DeadLetter(source, "decode", e.error, e.message), *told)
        sha256 = hashlib.sha256(data).hexdigest()
        return Outcome((ImageInfo(source, image.format, sha256, image.width, image.height), image.pixels), *told)

    async def _load(self, sources: Sequence[ImageObject], rooms: Sequence[int], room: Room) -> list[Result]:
        """A group of which some are to be fetched."""
        fetched = await asyncio.gather(*map(self._fetched, sources, rooms))
        alone = {
            place: asyncio.run_coroutine_threadsafe(self.load(sources[place], each.wanted), get_loop())
            for place, each in enumerate(fetched)
            if isinstance(each, OutgrownError)
        }
        together = [each for each in fetched if not isinstance(each, OutgrownError)]
        decoded = iter(await self._decoded_together(together, room))
        return [alone.get(place) or next(decoded) for place in range(len(sources))]

    async def _decoded_together(self, came: Sequence[Came], room: Room) -> list[Result]:
        room.shrink(sum(len(each.fetched.data) for each in came if isinstance(each, Arrived)))
        return await asyncio.wrap_future(self._shared.decoders.submit(came, lambda each: each, self._decoded))

    async def _fetched(self, source: ImageObject, room: int) -> Came | OutgrownError:
        if source.content is not None:
            return self._read(source)
        try:
            if source.size < 0 and fetching.tells_size(source.uri):
                async with self._shared.fetches:
                    source = await fetching.describe(source, self._options.policy)
            fetching.check_size(source, self._options.max_object_bytes)
            if source.size > room:
                return OutgrownError(source.size)
            async with self._shared.fetches:
                started = time.monotonic()
                fetched = await fetching.fetch(source, self._policy, room)
                milliseconds = round((time.monotonic() - started) * 1000)
            _check_copies(fetched)
            return Arrived(fetched, milliseconds)
        except FetchError as e:
            return Outcome(DeadLetter(source, "fetch", e.error, str(e)))
        except OutgrownError as e:
            return e


def outcome_of(source: ImageObject, result: Result) -> Outcome:
    """What became of one of a group; waits for what goes on alone."""
    if isinstance(result, Future):
        return result.result()
    if isinstance(result, Late):
        given_up = f"took more than {result.seconds:.0f} s, and was given up"
        refusal = ("decode", "DecodeTimeout", f"its decoding {given_up}")
        if not result.is_read:
            refusal = ("fetch", "FetchFailed", f"its reading {given_up}")
        return Outcome(DeadLetter(source._replace(content=None), *refusal))
    return result


def _check_copies(fetched: Fetched) -> None:
    """Raises FetchError when what came is not what the listing said, and so not what the copies are."""
    source = fetched.source
    if source.copies and hashlib.md5(fetched.data, usedforsecurity=False).hexdigest() != source.md5:
        message = f"it has changed since it was listed, with {len(source.copies):,} copies that may not have"
        raise FetchError("ContentChanged", message)
