"""LoadImages: fetch and decode, ahead of the model and within bounds."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import os
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, TypeVar

import apache_beam as beam
import numpy as np
from apache_beam.pvalue import DoOutputsTuple, PCollection, TaggedOutput
from apache_beam.transforms.window import GlobalWindows
from fsspec.asyn import get_loop

from transforms import tally
from transforms.elements import DeadLetter, ImageInfo, ImageObject, Refusal
from transforms.images.decoding import DecodedImage, ImageError, configure_pillow, decode_image
from transforms.images.threads import Decoders
from transforms.inputs.containers.naming import container_of
from transforms.stores import fetching, filesystems
from transforms.stores.fetching import Fetched, FetchError, Policy
from transforms.stores.filesystems import StorageOptions
from transforms.stores.store_errors import OutgrownError

FAILED = "failed"
# What is held for an object whose size only its body tells. A larger one is asked for anew, with room for all of it.
ROOM_BYTES = 4 << 20
T = TypeVar("T")
LoadedImage = tuple[ImageInfo, np.ndarray]


@dataclass
class LoadImages(beam.PTransform[PCollection[ImageObject], DoOutputsTuple]):
    """Fetches images as coroutines and decodes them in threads, while the stages behind it work.

    In: `ImageObject`; one that came with its bytes is only decoded. Out: `loaded`, (ImageInfo, uint8 [height, width,
    3]) in the order of the input, and `failed`, `DeadLetter`. Every image ends in exactly one of the two.

    Attributes:
        input_size: (height, width) of the model's images.
        resize: one of `decoding.RESIZE_MODES`.
        max_image_pixels: larger images are refused from their header.
        max_object_bytes: larger objects are refused: unread where a listing tells, else as soon as it is seen.
        fetch_concurrency: objects that a process fetches at once. Twice as many images are in flight in
            one bundle: being fetched, being decoded, or waiting as pixels.
        prefetch_bytes: encoded bytes that a process holds at once; one larger object goes alone.
        policy: how often and how long one object is tried.
        storage_options: of the stores, see `filesystems.configure`.
        threads: images that a process decodes at once; 0 stands for one a core.
    """

    input_size: tuple[int, int]
    resize: str = "squash"
    max_image_pixels: int = 100_000_000
    max_object_bytes: int = 128 << 20
    fetch_concurrency: int = 64
    prefetch_bytes: int = 256 << 20
    policy: Policy = field(default_factory=Policy)
    storage_options: StorageOptions = field(default_factory=dict)
    threads: int = 0

    def expand(self, images: PCollection[ImageObject]) -> DoOutputsTuple:
        outputs: DoOutputsTuple = images | "FetchAndDecode" >> beam.ParDo(_Load(self)).with_outputs(
            FAILED, main="loaded"
        )
        return outputs


class _Load(beam.DoFn):
    def __init__(self, options: LoadImages):
        self._options = options

    def setup(self) -> None:
        options = self._options
        filesystems.configure(options.storage_options)
        configure_pillow(options.max_image_pixels)
        self._look_ahead = 2 * options.fetch_concurrency
        self._shared = _shared(os.getpid(), options.fetch_concurrency, options.prefetch_bytes, options.threads)
        self._in_flight: deque[Future[_Outcome]] = deque()

    def start_bundle(self) -> None:
        self._abandon()  # what a bundle that failed has left

    def process(self, element: ImageObject) -> Iterator[Any]:
        while self._in_flight and (len(self._in_flight) >= self._look_ahead or self._in_flight[0].done()):
            yield self._next()
        admitted = threading.Event()
        loading = asyncio.run_coroutine_threadsafe(self._load(element, admitted), get_loop())
        if isinstance(element.content, bytes):
            # Its bytes are here already: no more of them are asked for until these are within the budget, which others
            # leave when they are decoded, whether or not they are asked for.
            loading.add_done_callback(lambda _: admitted.set())
            admitted.wait()
        self._in_flight.append(loading)

    def finish_bundle(self) -> Iterator[Any]:
        while self._in_flight:
            result = self._next()
            if isinstance(result, TaggedOutput):
                yield TaggedOutput(result.tag, GlobalWindows.windowed_value_at_end_of_window(result.value))
            else:
                yield GlobalWindows.windowed_value_at_end_of_window(result)

    def teardown(self) -> None:
        self._abandon()

    def _abandon(self) -> None:
        while self._in_flight:
            self._in_flight.popleft().cancel()

    def _next(self) -> Any:
        """The oldest image in flight; counted here, since Beam's metrics are those of the bundle's thread."""
        outcome = self._in_flight.popleft().result()
        if outcome.fetched is not None:
            uri = outcome.fetched.source.uri
            scheme = filesystems.scheme_of(container_of(uri) or uri)
            tally.count("bytes_read", outcome.bytes_read)
            tally.count(f"bytes_read_{scheme}", outcome.bytes_read)
            tally.distribute(f"fetch_milliseconds_{scheme}", outcome.fetch_milliseconds)
            tally.count(f"fetch_retries_{scheme}", outcome.fetched.retries)
            tally.count("images_changed_since_listing", int(bool(outcome.fetched.source.listed_version)))
        if not isinstance(outcome.result, DeadLetter):
            return outcome.result
        tally.count_failed(outcome.result.error, 1 + len(outcome.result.source.copies))
        return TaggedOutput(FAILED, outcome.result)

    async def _load(self, source: ImageObject, admitted: threading.Event) -> _Outcome:
        """Runs on fsspec's loop. Every failure of one image is caught here and named.

        Args:
            admitted: set when bytes that came with the listing are within the budget.
        """
        options, shared = self._options, self._shared
        if isinstance(source.content, Refusal):
            return _Outcome(DeadLetter(source._replace(content=None), *source.content))
        if isinstance(source.content, bytes):
            async with shared.budget.hold(len(source.content)):
                admitted.set()
                return await self._decoded(Fetched(source._replace(content=None), source.content, 0), 0)
        try:
            if source.size < 0 and fetching.tells_size(source.uri):  # from a manifest: the budget needs a size
                async with shared.fetches:
                    source = await fetching.describe(source, options.policy)
            fetching.check_size(source, options.max_object_bytes)
            return await with_room(source, options.max_object_bytes, partial(self._load_within, source))
        except FetchError as e:
            return _Outcome(DeadLetter(source, "fetch", e.error, str(e)))

    async def _load_within(self, source: ImageObject, room: int) -> _Outcome:
        """As `_load`, of an object of at most `room` bytes."""
        options, shared = self._options, self._shared
        policy = options.policy._replace(max_bytes=options.max_object_bytes)
        async with shared.budget.hold(room) as held:
            async with shared.fetches:
                started = time.monotonic()
                fetched = await fetching.fetch(source, policy, room)
                milliseconds = round((time.monotonic() - started) * 1000)
            _check_copies(fetched)
            await held.shrink(len(fetched.data))
            return await self._decoded(fetched, milliseconds)

    async def _decoded(self, fetched: Fetched, milliseconds: int) -> _Outcome:
        source, size, without_data = fetched.source, len(fetched.data), fetched._replace(data=b"")
        try:
            image, sha256 = await self._shared.decoders.run(self._decode, fetched.data)
        except ImageError as e:
            return _Outcome(DeadLetter(source, "decode", e.error, e.message), without_data, milliseconds, size)
        info = ImageInfo(source, image.format, sha256, image.width, image.height)
        return _Outcome((info, image.pixels), without_data, milliseconds, size)

    def _decode(self, data: bytes) -> tuple[DecodedImage, str]:
        options = self._options
        image = decode_image(data, options.input_size, options.resize, options.max_image_pixels)
        return image, hashlib.sha256(data).hexdigest()


async def with_room(source: ImageObject, most: int, load: Callable[[int], Awaitable[T]]) -> T:
    """What `load` gives when it is told of bytes to make room for: all of a listed object, some of another one.

    Where an object has outgrown them, it is loaded anew with more. Nothing of it is kept meanwhile: those that wait for
    room hold none, so that no two wait for each other.
    """
    room = source.size if source.size >= 0 else min(ROOM_BYTES, most)
    while True:
        try:
            return await load(room)
        except OutgrownError as e:
            room = e.wanted


def _check_copies(fetched: Fetched) -> None:
    """Raises FetchError when what came is not what the listing said, and so not what the copies are."""
    source = fetched.source
    if source.copies and hashlib.md5(fetched.data, usedforsecurity=False).hexdigest() != source.md5:
        message = f"it has changed since it was listed, with {len(source.copies):,} copies that may not have"
        raise FetchError("ContentChanged", message)


class _Shared(NamedTuple):
    """What all bundles of a process share, however many its runner works on at once."""

    fetches: asyncio.Semaphore
    budget: ByteBudget
    decoders: Decoders


@functools.cache
def _shared(process: int, fetch_concurrency: int, prefetch_bytes: int, threads: int) -> _Shared:
    decoders = Decoders(threads or os.cpu_count() or 1)
    return _Shared(asyncio.Semaphore(fetch_concurrency), ByteBudget(prefetch_bytes), decoders)


class _Outcome(NamedTuple):
    """What became of one image, and what its fetch took; `fetched` without its bytes."""

    result: LoadedImage | DeadLetter
    fetched: Fetched | None = None
    fetch_milliseconds: int = 0
    bytes_read: int = 0


class ByteBudget:
    """Bytes that coroutines of one loop may hold at once. What is larger than all of it goes alone."""

    def __init__(self, limit: int):
        self._limit = limit
        self._held = 0
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def hold(self, size: int) -> AsyncIterator[Held]:
        async with self._changed:
            await self._changed.wait_for(lambda: self._held == 0 or self._held + size <= self._limit)
            self._held += size
        held = Held(self, size)
        try:
            yield held
        finally:
            await self.give_back(held.size)

    async def give_back(self, size: int) -> None:
        self._held -= size
        async with self._changed:
            self._changed.notify_all()


class Held:
    """A part of a budget, of `size` bytes."""

    def __init__(self, budget: ByteBudget, size: int):
        self._budget = budget
        self.size = size

    async def shrink(self, size: int) -> None:
        """Gives back what was held for more bytes than there are."""
        if size < self.size:
            self.size, more = size, self.size - size
            await self._budget.give_back(more)
