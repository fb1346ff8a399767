"""Modules that cannot be frozen, for tables or for size: what workers load is a SavedModel again, in one file.

It is no copy of the module's: it takes uint8 images, has one signature, and only what that one needs.
"""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.model.ownership import everything_in
from pipeline.model.signatures import ImageSignature
from transforms.engines.tensorflow import INPUT_TENSOR, OUTPUT_NAME, SIGNATURE


def embedding_function(signature: ImageSignature) -> Any:
    """A function of TensorFlow from uint8 images to vectors, with its variables."""
    import tensorflow as tf

    def embed(images: Any) -> Any:
        # TF Hub's image inputs are in [0, 1]: https://www.tensorflow.org/hub/common_signatures/images
        return signature(tf.cast(images, tf.float32) * np.float32(1 / 255))

    images = tf.TensorSpec([None, *signature.input_size, 3], tf.uint8, INPUT_TENSOR.partition(":")[0])
    # There is no control flow of Python in it, of which autograph would write files into the folder of temporary ones.
    return tf.function(embed, input_signature=[images], autograph=False)


def to_saved_model(signature: ImageSignature) -> bytes:
    """The artifact of the engine tensorflow: a zip archive, not compressed, of a SavedModel's files."""
    import tensorflow as tf

    embed = embedding_function(signature)
    outer = tf.Module()
    outer.inner = signature.module
    call = tf.function(
        lambda images: {OUTPUT_NAME: embed(images)}, input_signature=embed.input_signature, autograph=False
    )
    archive = io.BytesIO()
    with tempfile.TemporaryDirectory(prefix="embed-images-") as folder:
        tf.saved_model.save(outer, folder, signatures={SIGNATURE: call})
        with zipfile.ZipFile(archive, "w") as file:
            for path in everything_in(Path(folder)):
                file.write(path, path.relative_to(folder))
    return archive.getvalue()
