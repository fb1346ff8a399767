"""LoadImages: fetch and decode, ahead of the model and within bounds."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.pvalue import DoOutputsTuple, PCollection, TaggedOutput
from apache_beam.transforms.window import GlobalWindows

from transforms import storage, tally
from transforms.decoding import ImageError, configure_pillow, decode_image
from transforms.elements import DeadLetter, ImageInfo, ImageObject

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
        look_ahead: images in flight in one bundle: being fetched, being decoded, or waiting as pixels.
        fetch_threads: objects fetched at once.
        decode_threads: images decoded at once; 0 stands for one a core.
        prefetch_bytes: encoded bytes held at once, over all threads; one larger object goes alone.
    """

    input_size: tuple[int, int]
    resize: str
    max_image_pixels: int
    max_object_bytes: int
    look_ahead: int = 64
    fetch_threads: int = 16
    decode_threads: int = 0
    prefetch_bytes: int = 256 << 20

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
        configure_pillow(options.max_image_pixels)
        self._pool = ThreadPoolExecutor(options.fetch_threads, thread_name_prefix="load")
        self._decode_slots = threading.BoundedSemaphore(options.decode_threads or os.cpu_count() or 1)
        self._budget = ByteBudget(options.prefetch_bytes)

    def start_bundle(self) -> None:
        self._in_flight: deque[Future[LoadedImage | DeadLetter]] = deque()

    def process(self, element: ImageObject) -> Iterator[Any]:
        while self._in_flight and (len(self._in_flight) >= self._options.look_ahead or self._in_flight[0].done()):
            yield _route(self._in_flight.popleft().result())
        self._in_flight.append(self._pool.submit(self._load, element))

    def finish_bundle(self) -> Iterator[Any]:
        while self._in_flight:
            result = _route(self._in_flight.popleft().result())
            if isinstance(result, TaggedOutput):
                yield TaggedOutput(result.tag, GlobalWindows.windowed_value_at_end_of_window(result.value))
            else:
                yield GlobalWindows.windowed_value_at_end_of_window(result)

    def teardown(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _load(self, source: ImageObject) -> LoadedImage | DeadLetter:
        """Runs in the pool. Every failure of one image is caught here and named."""
        options = self._options
        stage = "fetch"
        try:
            if source.size < 0 or not source.version:
                source = storage.describe(source.uri)
            if source.size > options.max_object_bytes:
                raise ImageError(
                    "ObjectTooLarge",
                    f"{source.size:,} bytes; --max_object_bytes allows {options.max_object_bytes:,}",
                )
            with self._budget.hold(source.size):
                data = storage.read_bytes(source.uri)
                stage = "decode"
                with self._decode_slots:
                    image = decode_image(data, options.input_size, options.resize, options.max_image_pixels)
            tally.count("bytes_read", len(data))
            sha256 = hashlib.sha256(data).hexdigest()
            return ImageInfo(source, image.format, sha256, image.width, image.height), image.pixels
        except ImageError as e:
            return DeadLetter(source, stage, e.error, e.message)
        except FileNotFoundError:
            return DeadLetter(source, stage, "NotFound", "the object is gone, or was never there")
        except storage.NotAFileError as e:
            return DeadLetter(source, stage, "NotAFile", str(e))
        except PermissionError as e:
            return DeadLetter(source, stage, "PermissionDenied", str(e))
        except Exception as e:  # stores have error classes of their own, and not all are OSErrors
            return DeadLetter(source, stage, "FetchFailed", f"{type(e).__name__}: {e}")


def _route(result: LoadedImage | DeadLetter) -> Any:
    return TaggedOutput(FAILED, result) if isinstance(result, DeadLetter) else result


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
