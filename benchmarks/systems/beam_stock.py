"""Beam as its documentation puts these steps together: MatchFiles, ReadMatches, RunInference, WriteToTFRecord.

It has no way to read tars; Python's is what comes to mind.

TFModelHandlerNumpy loads with tf.keras.models.load_model, which Keras 3 refuses for SavedModels, so this runs with
legacy Keras; and what that makes of a SavedModel without Keras's metadata is called by its signature.
"""

from __future__ import annotations

import os
import tarfile
import time
from collections.abc import Iterator, Sequence
from typing import Any

import peer

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import apache_beam as beam
import numpy as np
from apache_beam.io import fileio
from apache_beam.ml.inference.base import KeyedModelHandler, RunInference
from apache_beam.ml.inference.tensorflow_inference import TFModelHandlerNumpy
from apache_beam.options.pipeline_options import PipelineOptions


def call_signature(model: Any, batch: Sequence[np.ndarray], arguments: dict[str, Any], model_id: str) -> Any:
    """An `inference_fn` for modules that have no `__call__`."""
    import tensorflow as tf
    from apache_beam.ml.inference.utils import _convert_to_result

    call = model.signatures["serving_default"]
    (name,) = call.structured_input_signature[1]
    (vectors,) = call(**{name: tf.constant(np.stack(batch))}).values()
    return _convert_to_result(batch, vectors.numpy(), model_id)


def decoded(file: fileio.ReadableFile) -> Iterator[tuple[str, np.ndarray]]:
    """The image of a file, or those of a tar."""
    path = file.metadata.path
    if not path.endswith(".tar"):
        yield path, peer.decode(file.read())
        return
    with file.open() as opened, tarfile.open(fileobj=opened, mode="r|") as archive:
        for member in archive:
            data = archive.extractfile(member)
            if data is not None:
                yield f"{path}/{member.name}", peer.decode(data.read())


def main() -> None:
    options = peer.arguments()
    started = time.monotonic()
    handler = TFModelHandlerNumpy(
        options.model, inference_fn=call_signature, min_batch_size=peer.BATCH, max_batch_size=peer.BATCH
    )
    with beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"])) as pipeline:
        _ = (
            pipeline
            | fileio.MatchFiles(f"{options.images}/*")
            | fileio.ReadMatches()
            | "Decode" >> beam.FlatMap(decoded)
            | RunInference(KeyedModelHandler(handler))
            | "Encode" >> beam.MapTuple(lambda path, prediction: peer.example(path, prediction.inference))
            | beam.io.WriteToTFRecord(f"{options.output}/features", file_name_suffix=".tfrecord")
        )
    peer.finish(time.monotonic() - started, ["apache-beam", "tensorflow", "tf-keras"])


if __name__ == "__main__":
    main()
