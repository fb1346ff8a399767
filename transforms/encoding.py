"""EncodeExamples: feature vectors to serialized tf.Examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import apache_beam as beam
import numpy as np
from apache_beam.pvalue import PCollection

from transforms.elements import EmbeddedBatch, EncodedBatch, ImageInfo
from transforms.records.columns import with_columns
from transforms.records.examples import bytes_feature, example, float_feature, int64_feature


@dataclass
class EncodeExamples(beam.PTransform[PCollection[EmbeddedBatch], PCollection[EncodedBatch]]):
    """In: `EmbeddedBatch`. Out: `EncodedBatch`, one for each. Copies of an image get examples of their own."""

    def expand(self, embedded: PCollection[EmbeddedBatch]) -> PCollection[EncodedBatch]:
        encoded: PCollection[EncodedBatch] = embedded | "Encode" >> beam.Map(_encoded).with_output_types(EncodedBatch)
        return encoded


def _encoded(batch: EmbeddedBatch) -> EncodedBatch:
    images: list[ImageInfo] = []
    vectors: list[np.ndarray] = []
    for image, vector in batch:
        for source in image.source.each():
            images.append(image if source is image.source else image._replace(source=source))
            vectors.append(vector)
    return EncodedBatch([image.source for image in images], encode_examples(images, vectors))


def encode_examples(images: Sequence[ImageInfo], vectors: Sequence[np.ndarray] | np.ndarray) -> list[bytes]:
    """Serializes one tf.Example an image; docs/output-format.md lists the features.

    Args:
        vectors: float32 [features] of each.
    """
    return [_encode(image, vector) for image, vector in zip(images, vectors, strict=True)]


def _encode(image: ImageInfo, vector: np.ndarray) -> bytes:
    record = example(
        float_feature("image/embedding", np.asarray(vector, "<f4").tobytes()),
        bytes_feature("image/format", image.format.encode()),
        int64_feature("image/height", image.height),
        bytes_feature("image/key/sha256", image.sha256.encode()),
        bytes_feature("image/uri", image.source.uri.encode()),
        bytes_feature("image/version", image.source.version.encode()),
        int64_feature("image/width", image.width),
    )
    return with_columns(record, image.source.columns) if image.source.columns else record
