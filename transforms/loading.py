"""LoadImages: fetch and decode, ahead of the model and within bounds."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
from apache_beam.pvalue import DoOutputsTuple, PCollection, TaggedOutput
from apache_beam.transforms.window import GlobalWindows

from transforms import fetching, storage, tally
from transforms.decoding import ImageError, configure_pillow, decode_image
from transforms.elements import DeadLetter, ImageInfo, ImageObject
from transforms.fetching import Fetched, FetchError, Policy, fetch
from transforms.storage import StorageOptions

FAILED = "failed"
LoadedImage = tuple[ImageInfo, np.ndarray]


@dataclass
class LoadImages(beam.PTransform[PCollection[ImageObject], DoOutputsTuple]):
    """Fetches and decodes images in a thread pool while the stages behind it work.

    In: `ImageObject`. Out: `loaded`, (ImageInfo, uint8 [height, width, 3]) in the order of the input,
    and `failed`, `DeadLetter`. Every image ends in exactly one of the two.

    Attributes:
        input_size: (height, width) of the model's images.
        resize: one of `decoding.RESIZE_MODES`.
        max_image_pixels: larger images are refused from their header.
        max_object_bytes: larger objects are refused unread.
        fetch_concurrency: objects fetched at once. Twice as many images are in flight in one bundle:
            being fetched, being decoded, or waiting as pixels.
        prefetch_bytes: encoded bytes held at once, over all threads; one larger object goes alone.
        policy: how often and how long one object is tried.
        storage_options: of the stores, see `storage.configure`.
        decode_threads: images decoded at once; 0 stands for one a core.
    """

    input_size: tuple[int, int]
    resize: str
    max_image_pixels: int
    max_object_bytes: int
    fetch_concurrency: int = 64
    prefetch_bytes: int = 256 << 20
    policy: Policy = field(default_factory=Policy)
    storage_options: StorageOptions = field(default_factory=dict)
    decode_threads: int = 0

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
        storage.configure(options.storage_options)
        configure_pillow(options.max_image_pixels)
        self._look_ahead = 2 * options.fetch_concurrency
        self._pool = ThreadPoolExecutor(options.fetch_concurrency, thread_name_prefix="load")
        self._decode_slots = threading.BoundedSemaphore(options.decode_threads or os.cpu_count() or 1)
        self._budget = ByteBudget(options.prefetch_bytes)

    def start_bundle(self) -> None:
        self._in_flight: deque[Future[_Outcome]] = deque()

    def process(self, element: ImageObject) -> Iterator[Any]:
        while self._in_flight and (len(self._in_flight) >= self._look_ahead or self._in_flight[0].done()):
            yield self._next()
        self._in_flight.append(self._pool.submit(self._load, element))

    def finish_bundle(self) -> Iterator[Any]:
        while self._in_flight:
            result = self._next()
            if isinstance(result, TaggedOutput):
                yield TaggedOutput(result.tag, GlobalWindows.windowed_value_at_end_of_window(result.value))
            else:
                yield GlobalWindows.windowed_value_at_end_of_window(result)

    def teardown(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _next(self) -> Any:
        """The oldest image in flight; counted here, since Beam's metrics are those of the bundle's thread."""
        outcome = self._in_flight.popleft().result()
        if outcome.fetched is not None:
            scheme = storage.scheme_of(outcome.fetched.source.uri)
            tally.count("bytes_read", outcome.bytes_read)
            tally.count(f"bytes_read_{scheme}", outcome.bytes_read)
            tally.distribute(f"fetch_milliseconds_{scheme}", outcome.fetch_milliseconds)
            tally.count(f"fetch_retries_{scheme}", outcome.fetched.retries)
            tally.count("images_changed_since_listing", int(bool(outcome.fetched.source.listed_version)))
        return TaggedOutput(FAILED, outcome.result) if isinstance(outcome.result, DeadLetter) else outcome.result

    def _load(self, source: ImageObject) -> _Outcome:
        """Runs in the pool. Every failure of one image is caught here and named."""
        options = self._options
        fetched, milliseconds = None, 0
        try:
            if source.size < 0:  # from a manifest: the budget needs a size
                source = fetching.describe(source, options.policy)
            if source.size > options.max_object_bytes:
                limit = f"--max_object_bytes allows {options.max_object_bytes:,}"
                raise FetchError("ObjectTooLarge", f"{source.size:,} bytes; {limit}")
            with self._budget.hold(max(source.size, 0)):
                started = time.monotonic()
                fetched = fetch(source, options.policy)
                milliseconds = round((time.monotonic() - started) * 1000)
                source, data = fetched.source, fetched.data
                with self._decode_slots:
                    image = decode_image(data, options.input_size, options.resize, options.max_image_pixels)
            sha256 = hashlib.sha256(data).hexdigest()
            info = ImageInfo(source, image.format, sha256, image.width, image.height)
            return _Outcome((info, image.pixels), fetched._replace(data=b""), milliseconds, len(data))
        except FetchError as e:
            return _Outcome(DeadLetter(source, "fetch", e.error, str(e)))
        except ImageError as e:
            kept = fetched and fetched._replace(data=b"")
            return _Outcome(DeadLetter(source, "decode", e.error, e.message), kept, milliseconds, max(source.size, 0))


class _Outcome(NamedTuple):
    """What the pool made of one image, and what its fetch took; `fetched` without its bytes."""

    result: LoadedImage | DeadLetter
    fetched: Fetched | None = None
    fetch_milliseconds: int = 0
    bytes_read: int = 0


class ByteBudget:
    """Bytes that threads may hold at once. What is larger than all of it waits until nothing is held."""

    def __init__(self, limit: int):
        self._limit = limit
        self._held = 0
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: self._held == 0 or self._held + size <= self._limit)
            self._held += size
        try:
            yield
        finally:
            with self._changed:
                self._held -= size
                self._changed.notify_all()
