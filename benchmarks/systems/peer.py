"""What the systems that this project is compared with have in common: the command line, the module, the record.

A system is a program `FILE.py --images FOLDER --model SAVED_MODEL --output FOLDER` that writes one tf.Example an
image to TFRecords and ends by printing a line of JSON.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import io
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["PYTHONPATH"] = str(Path(__file__).parent)  # of worker processes, which load this file as well
SIZE = 224
BATCH = 32


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", required=True, help="folder of JPEGs, or of tars of them")
    parser.add_argument("--model", required=True, help="folder of the SavedModel")
    parser.add_argument("--output", required=True, help="folder of the TFRecords, which is not there yet")
    return parser.parse_args()


def decode(data: bytes) -> np.ndarray:
    """The whole image as the module takes it: float32 [224, 224, 3] in [0, 1]."""
    return pixels_of(data).astype(np.float32) / 255


def pixels_of(data: bytes) -> np.ndarray:
    """The whole image: uint8 [224, 224, 3]."""
    image = Image.open(io.BytesIO(data)).convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    return np.asarray(image)


def load_module(folder: str, threads: int = 0) -> Callable[[np.ndarray], np.ndarray]:
    """The module as a function from float32 [N, 224, 224, 3] to float32 [N, D].

    Args:
        threads: TensorFlow's in this process; 0 leaves them to it, which is one a core.
    """
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    module = tf.saved_model.load(folder)
    call = module.signatures["serving_default"]
    (name,) = call.structured_input_signature[1]
    (output,) = call.structured_outputs

    def vectors(images: np.ndarray) -> np.ndarray:
        result: np.ndarray = call(**{name: tf.constant(images)})[output].numpy()
        return result

    vectors.module = module  # type: ignore[attr-defined]  # its variables live as long as it does
    return vectors


def example(uri: str, vector: np.ndarray) -> bytes:
    """A serialized tf.Example, built as TensorFlow's documentation builds them."""
    import tensorflow as tf

    feature = {
        "image/uri": tf.train.Feature(bytes_list=tf.train.BytesList(value=[uri.encode()])),
        "image/embedding": tf.train.Feature(float_list=tf.train.FloatList(value=vector)),
    }
    serialized: bytes = tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()
    return serialized


def finish(seconds: float, packages: Sequence[str], **facts: Any) -> None:
    """Prints the last line: what ran, and its seconds without the start of the program."""
    versions = {name: importlib.metadata.version(name) for name in packages}
    print(json.dumps({"seconds": round(seconds, 3), "versions": versions, **facts}), flush=True)
