"""LoadImages: fetch and decode, ahead of the model and within bounds."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
from apache_beam.pvalue import DoOutputsTuple, PCollection, TaggedOutput

from transforms import tally
from transforms.bundles import at_the_end
from transforms.elements import DeadLetter, ImageInfo, ImageObject, LoadedBatch
from transforms.engines import BATCH_SIZE
from transforms.groups import Group, GroupLoader, Outcome, Result, outcome_of
from transforms.images import simd
from transforms.images.decoding import configure_pillow
from transforms.inputs.containers.naming import container_of
from transforms.stores import filesystems
from transforms.stores.fetching import Policy
from transforms.stores.filesystems import StorageOptions

FAILED = "failed"


@dataclass
class LoadImages(beam.PTransform[PCollection[ImageObject], DoOutputsTuple]):
    """Fetches images as coroutines and decodes them in threads, while the stages behind it work.

    In: `ImageObject`; one that came with its bytes is only decoded. Out: `loaded`, `LoadedBatch` of `batch_size`, fewer
    at the end of a bundle, in the order of the input; and `failed`, `DeadLetter`. Every image ends in one of the two.

    Attributes:
        input_size: (height, width) of the model's images.
        resize: one of `decoding.RESIZE_MODES`.
        max_image_pixels: larger images are refused from their header.
        max_object_bytes: larger objects are refused: unread where a listing tells, else as soon as it is seen.
        fetch_concurrency: objects that a process fetches at once. Twice as many images are in flight in
            one bundle: being fetched, being decoded, or waiting as pixels; and those of one batch.
        prefetch_bytes: encoded bytes that a process holds at once; one larger object goes alone.
        policy: how often and how long one object is tried.
        storage_options: of the stores, see `filesystems.configure`.
        threads: images that a process decodes at once; 0 stands for one a core.
        batch_size: images that go on together.
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
    batch_size: int = BATCH_SIZE

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
        if sentence := simd.missing(options.resize):  # which each image would fail of
            raise RuntimeError(sentence)
        self._loader = GroupLoader(options)
        self._look_ahead = 2 * options.fetch_concurrency
        self._in_flight: deque[_InFlight] = deque()

    def start_bundle(self) -> None:
        self._abandon()  # what a bundle that failed has left
        self._group = Group(self._look_ahead, self._loader.in_turns)
        self._images: list[ImageInfo] = []
        self._pixels: list[np.ndarray] = []

    def process(self, element: ImageObject) -> Iterator[Any]:
        self._group.add(element)
        if self._group.is_full:
            yield from self._load(self._group.take())

    def finish_bundle(self) -> Iterator[Any]:
        yield from at_the_end(self._rest())

    def teardown(self) -> None:
        self._abandon()

    def _abandon(self) -> None:
        while self._in_flight:
            self._in_flight.popleft().loading.cancel()

    def _rest(self) -> Iterator[Any]:
        if sources := self._group.take():
            yield from self._load(sources)
        while self._in_flight:
            yield from self._next()
        if self._images:
            yield self._batch()

    def _load(self, sources: list[ImageObject]) -> Iterator[Any]:
        """Begins with a group, when there is room for it; gives what is done by then."""
        while self._in_flight and (
            self._in_flight[0].loading.done()
            or sum(len(group.sources) for group in self._in_flight) + len(sources) > self._look_ahead
        ):
            yield from self._next()
        self._in_flight.append(_InFlight(sources, self._loader.begin(sources)))

    def _next(self) -> Iterator[Any]:
        """What came of the oldest group in flight; counted here, where Beam's metrics are the bundle's."""
        sources, loading = self._in_flight.popleft()
        outcomes = [*map(outcome_of, sources, loading.result())]
        _count(outcomes)
        for outcome in outcomes:
            if isinstance(outcome.result, DeadLetter):
                tally.count_failed(outcome.result.error, 1 + len(outcome.result.source.copies))
                yield TaggedOutput(FAILED, outcome.result)
                continue
            info, pixels = outcome.result
            self._images.append(info)
            self._pixels.append(pixels)
            if len(self._images) >= self._options.batch_size:
                yield self._batch()

    def _batch(self) -> LoadedBatch:
        images, pixels = self._images, self._pixels
        self._images, self._pixels = [], []
        return LoadedBatch(images, pixels)


class _InFlight(NamedTuple):
    """A group that is being loaded."""

    sources: list[ImageObject]
    loading: Future[list[Result]]


def _count(outcomes: list[Outcome]) -> None:
    """By the scheme of the store that images, or their containers, are in."""
    counts: Counter[str] = Counter()
    for outcome in outcomes:
        if outcome.fetched is None:
            continue
        source = outcome.fetched.source
        scheme = filesystems.scheme_of(container_of(source.uri) or source.uri)
        counts["bytes_read"] += outcome.bytes_read
        counts[f"bytes_read_{scheme}"] += outcome.bytes_read
        counts[f"fetch_retries_{scheme}"] += outcome.fetched.retries
        counts["images_changed_since_listing"] += int(bool(source.listed_version))
        tally.distribute(f"fetch_milliseconds_{scheme}", outcome.fetch_milliseconds)
    for name, amount in counts.items():
        tally.count(name, amount)
