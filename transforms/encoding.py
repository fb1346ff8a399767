"""EncodeExamples: feature vectors to serialized tf.Examples, in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import apache_beam as beam
import numpy as np
from apache_beam.pvalue import PCollection
from apache_beam.transforms.window import GlobalWindows
from apache_beam.utils.windowed_value import WindowedValue

from transforms.elements import EncodedBatch, ImageInfo
from transforms.records.columns import with_columns
from transforms.records.examples import bytes_feature, example, float_feature, int64_feature


@dataclass
class EncodeExamples(beam.PTransform[PCollection[tuple[ImageInfo, np.ndarray]], PCollection[EncodedBatch]]):
    """In: (ImageInfo, float32 [features]). Out: `EncodedBatch`, of some `batch_size` examples each.

    Copies of an image get examples of their own.
    """

    batch_size: int = 128

    def expand(self, embedded: PCollection[tuple[ImageInfo, np.ndarray]]) -> PCollection[EncodedBatch]:
        encode = beam.ParDo(_Encode(self.batch_size)).with_output_types(EncodedBatch)
        encoded: PCollection[EncodedBatch] = embedded | "Encode" >> encode
        return encoded


class _Encode(beam.DoFn):
    def __init__(self, batch_size: int):
        self._batch_size = batch_size

    def start_bundle(self) -> None:
        self._images: list[ImageInfo] = []
        self._vectors: list[np.ndarray] = []

    def process(self, element: tuple[ImageInfo, np.ndarray]) -> Iterator[EncodedBatch]:
        image, vector = element
        for source in image.source.each():
            self._images.append(image if source is image.source else image._replace(source=source))
            self._vectors.append(vector)
        if len(self._images) >= self._batch_size:
            yield self._encode()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        if self._images:
            yield GlobalWindows.windowed_value_at_end_of_window(self._encode())

    def _encode(self) -> EncodedBatch:
        images, vectors = self._images, self._vectors
        self._images, self._vectors = [], []
        return EncodedBatch([image.source for image in images], encode_examples(images, np.stack(vectors)))


def encode_examples(images: Sequence[ImageInfo], vectors: np.ndarray) -> list[bytes]:
    """Serializes one tf.Example an image; docs/output-format.md lists the features.

    Args:
        vectors: float32 [len(images), features].
    """
    vectors = np.ascontiguousarray(vectors, "<f4")
    return [_encode(image, vector) for image, vector in zip(images, vectors, strict=True)]


def _encode(image: ImageInfo, vector: np.ndarray) -> bytes:
    record = example(
        float_feature("image/embedding", vector.tobytes()),
        bytes_feature("image/format", image.format.encode()),
        int64_feature("image/height", image.height),
        bytes_feature("image/key/sha256", image.sha256.encode()),
        bytes_feature("image/uri", image.source.uri.encode()),
        bytes_feature("image/version", image.source.version.encode()),
        int64_feature("image/width", image.width),
    )
    return with_columns(record, image.source.columns) if image.source.columns else record
