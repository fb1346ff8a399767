"""EmbedImages: pixels to feature vectors through Beam's RunInference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.ml.inference.base import KeyedModelHandler, ModelHandler, PredictionResult, RunInference
from apache_beam.pvalue import DoOutputsTuple, PCollection, TaggedOutput

from transforms import tally
from transforms.elements import DeadLetter, ImageInfo
from transforms.engines import BATCH_SIZES, load_engine
from transforms.engines.engine import Engine
from transforms.stores import filesystems, storage
from transforms.stores.filesystems import StorageOptions

FAILED = "failed"


@dataclass
class EmbedImages(beam.PTransform[PCollection[tuple[ImageInfo, np.ndarray]], DoOutputsTuple]):
    """Runs the feature module over batches of images.

    In: (ImageInfo, uint8 [height, width, 3]). Out: `embedded`, (ImageInfo, float32 [features]), and
    `failed`, `DeadLetter`, for vectors with NaN or infinite values.

    Attributes:
        engine: a key of `engines.PRECISIONS`.
        precision: one of the engine's.
        artifact_uri: the staged model, in the form that the engine loads.
        batch_size: images given to the engine at once; 0 stands for the engine's own, of `engines.BATCH_SIZES`.
        threads: of the engine; 0 stands for one a core.
        storage_options: of the stores, see `filesystems.configure`.
    """

    engine: str
    precision: str
    artifact_uri: str
    batch_size: int = 0
    threads: int = 0
    storage_options: StorageOptions = field(default_factory=dict)

    def expand(self, loaded: PCollection[tuple[ImageInfo, np.ndarray]]) -> DoOutputsTuple:
        batch_size = self.batch_size or BATCH_SIZES[self.engine]
        handler = FeatureModelHandler(
            self.engine, self.precision, self.artifact_uri, batch_size, self.threads, self.storage_options
        )
        outputs: DoOutputsTuple = (
            loaded
            | "RunInference" >> RunInference(KeyedModelHandler(handler))
            | "CheckVectors" >> beam.FlatMap(check_vector).with_outputs(FAILED, main="embedded")
        )
        return outputs


class FeatureModelHandler(ModelHandler[np.ndarray, PredictionResult, Engine]):
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
        super().__init__(min_batch_size=batch_size, max_batch_size=batch_size)
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
        self, batch: Sequence[np.ndarray], model: Engine, inference_args: dict[str, Any] | None = None
    ) -> list[PredictionResult]:
        """uint8 [height, width, 3] each to float32 [features] each; `example` is dropped, it is never read."""
        return [PredictionResult(None, vector) for vector in model(batch)]

    def get_num_bytes(self, batch: Sequence[np.ndarray]) -> int:
        return sum(pixels.nbytes for pixels in batch)

    def get_metrics_namespace(self) -> str:
        return "embed_images_inference"


def check_vector(element: tuple[ImageInfo, PredictionResult]) -> Iterator[Any]:
    """A vector on, or a dead letter for one with values that are not finite."""
    image, prediction = element
    vector = np.asarray(prediction.inference)
    if np.isfinite(vector).all():
        yield image, vector
    else:
        bad = vector.size - int(np.isfinite(vector).sum())
        message = f"{bad} of the {vector.size} values that the model gave are not finite"
        tally.count_failed("NonFiniteEmbedding", 1 + len(image.source.copies))
        yield TaggedOutput(FAILED, DeadLetter(image.source, "embed", "NonFiniteEmbedding", message))
