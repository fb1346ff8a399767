"""EmbedImages: pixels to feature vectors through Beam's RunInference."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import compress
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.ml.inference.base import ModelHandler, RunInference
from apache_beam.pvalue import DoOutputsTuple, PCollection, TaggedOutput

from transforms import tally
from transforms.bundles import at_the_end
from transforms.elements import DeadLetter, EmbeddedBatch, ImageInfo, LoadedBatch
from transforms.engines import BATCH_SIZE, load_engine
from transforms.engines.engine import Engine, Vectors
from transforms.stores import filesystems, storage
from transforms.stores.filesystems import StorageOptions

FAILED = "failed"
BEGUN = 2  # batches that an engine has besides the one that is waited for


@dataclass
class EmbedImages(beam.PTransform[PCollection[LoadedBatch], DoOutputsTuple]):
    """Runs the feature module over batches of images, as `LoadImages` makes them.

    In: `LoadedBatch`. Out: `embedded`, `EmbeddedBatch`, and `failed`, `DeadLetter`, for vectors with NaN or infinite
    values.

    Attributes:
        engine: a key of `engines.PRECISIONS`.
        precision: one of the engine's.
        artifact_uri: the staged model, in the form that the engine loads.
        batch_size: images that tensorflow embeds at once, that of `LoadImages`.
        threads: of the engine; 0 stands for one a core.
        storage_options: of the stores, see `filesystems.configure`.
    """

    engine: str
    precision: str
    artifact_uri: str
    batch_size: int = BATCH_SIZE
    threads: int = 0
    storage_options: StorageOptions = field(default_factory=dict)

    def expand(self, loaded: PCollection[LoadedBatch]) -> DoOutputsTuple:
        handler = FeatureModelHandler(
            self.engine, self.precision, self.artifact_uri, self.batch_size, self.threads, self.storage_options
        )
        outputs: DoOutputsTuple = (
            loaded
            | "RunInference" >> RunInference(handler)
            | "AwaitVectors" >> beam.ParDo(_AwaitVectors()).with_outputs(FAILED, main="embedded")
        )
        return outputs


@dataclass(frozen=True, slots=True)
class BegunBatch:
    """Images whose feature vectors an engine works on, between RunInference and what waits for them.

    Attributes:
        images: what is known of each.
        vectors: as those of an `EmbeddedBatch`.
    """

    images: Sequence[ImageInfo]
    vectors: Vectors

    def embedded(self) -> EmbeddedBatch:
        """Waits for the vectors."""
        return EmbeddedBatch(self.images, self.vectors.result())

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled with its vectors: Beam pickles some elements to know how large they are."""
        return _with_vectors, (self.images, self.vectors.result())


def _with_vectors(images: Sequence[ImageInfo], vectors: np.ndarray) -> BegunBatch:
    done: Future[np.ndarray] = Future()
    done.set_result(vectors)
    return BegunBatch(images, done)


class FeatureModelHandler(ModelHandler[tuple[ImageInfo, np.ndarray], BegunBatch, Engine]):
    """Loads a staged artifact and runs it; Beam's own handlers cannot load TF Hub's SavedModels.

    (They call `tf.keras.models.load_model`, which Keras 3 refuses for SavedModels.)
    """

    def __init__(
        self,
        engine: str,
        precision: str,
        artifact_uri: str,
        batch_size: int,
        threads: int = 0,
        storage_options: StorageOptions | None = None,
    ):
        super().__init__()
        self._engine = engine
        self._precision = precision
        self._artifact_uri = artifact_uri
        self._batch_size = batch_size
        self._threads = threads
        self._storage_options = storage_options or {}

    def load_model(self) -> Engine:
        filesystems.configure(self._storage_options)
        artifact = storage.read_bytes(self._artifact_uri)
        return load_engine(self._engine, artifact, self._batch_size, self._threads, self._precision)

    def run_inference(
        self,
        batch: Sequence[tuple[ImageInfo, np.ndarray]],
        model: Engine,
        inference_args: dict[str, Any] | None = None,
    ) -> list[BegunBatch]:
        """A `LoadedBatch` in, one batch out, which RunInference passes on as it is: it is only begun with here."""
        images, pixels = zip(*batch, strict=True)
        return [BegunBatch(images, model.begin(pixels))]

    def should_skip_batching(self) -> bool:
        """They are batches already."""
        return True

    def get_num_bytes(self, batch: Sequence[tuple[ImageInfo, np.ndarray]]) -> int:
        return sum(pixels.nbytes for _, pixels in batch)

    def get_metrics_namespace(self) -> str:
        return "embed_images_inference"


class _AwaitVectors(beam.DoFn):
    """Waits for a batch when `BEGUN` others are begun behind it: the engine has work while a batch is written."""

    def __init__(self) -> None:
        self._begun: deque[BegunBatch] = deque()

    def start_bundle(self) -> None:
        self.teardown()  # of a bundle that failed

    def process(self, element: BegunBatch) -> Iterator[Any]:
        self._begun.append(element)
        if len(self._begun) > BEGUN:
            yield from check_vectors(self._begun.popleft().embedded())

    def finish_bundle(self) -> Iterator[Any]:
        while self._begun:
            yield from at_the_end(check_vectors(self._begun.popleft().embedded()))

    def teardown(self) -> None:
        while self._begun:
            self._begun.popleft().vectors.cancel()


def check_vectors(batch: EmbeddedBatch) -> Iterator[Any]:
    """A batch on, and a dead letter for each vector with values that are not finite."""
    if np.isfinite(batch.vectors).all():
        yield batch
        return
    finite = np.isfinite(batch.vectors).all(axis=1)
    for image, vector in zip(compress(batch.images, ~finite), batch.vectors[~finite], strict=True):
        bad = vector.size - int(np.isfinite(vector).sum())
        message = f"{bad} of the {vector.size} values that the model gave are not finite"
        tally.count_failed("NonFiniteEmbedding", 1 + len(image.source.copies))
        yield TaggedOutput(FAILED, DeadLetter(image.source, "embed", "NonFiniteEmbedding", message))
    if finite.any():
        yield EmbeddedBatch([*compress(batch.images, finite)], batch.vectors[finite])
