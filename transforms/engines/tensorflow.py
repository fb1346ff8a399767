"""TensorFlow with a frozen graph, or a whole module: runs any module, and on a GPU where there is one."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

from transforms.engines.call_by_call import CallByCall
from transforms.engines.engine import Images

logger = logging.getLogger("embed_images")

INPUT_TENSOR = "images:0"
OUTPUT_TENSOR = "embedding:0"
SIGNATURE, OUTPUT_NAME = "serving_default", "embedding"
ZIP_MAGIC = b"PK\x03\x04"


class TensorFlowEngine(CallByCall):
    """Runs a serialized GraphDef from `INPUT_TENSOR` (uint8 images) to `OUTPUT_TENSOR` (float32 vectors).

    A module that cannot be frozen comes as a zip archive of a SavedModel with the same input and output.

    Every call of TensorFlow gets `batch_size` images, the last ones filled up with zeros, so that a vector does not
    depend on how many others came with it. Where there is no memory for so many, as on a small GPU, half as many are
    tried, and taken from then on.
    """

    def __init__(self, artifact: bytes, batch_size: int, threads: int):
        import tensorflow as tf

        super().__init__("tensorflow")
        in_full_precision()
        with contextlib.suppress(RuntimeError):  # TensorFlow runs already and keeps the threads that it has
            tf.config.threading.set_intra_op_parallelism_threads(threads)
        self._embed = _of_module(artifact) if artifact.startswith(ZIP_MAGIC) else _of_graph(artifact)
        self._constant = tf.constant
        self._no_memory, self._error = tf.errors.ResourceExhaustedError, tf.errors.OpError
        self._batch_size = batch_size

    def __call__(self, images: Images) -> np.ndarray:
        """Raises RuntimeError where TensorFlow cannot run it on this machine."""
        found: list[np.ndarray] = []
        start = 0
        while start < len(images):
            size = self._batch_size
            some = images[start : start + size]
            try:
                found.append(self._call(some, size))
            except self._no_memory:
                if size == 1:
                    raise
                self._batch_size = min(self._batch_size, size // 2)  # another thread may have met it, too
                logger.warning("no memory for %d images at once: %d are taken from now on", size, self._batch_size)
            except self._error as e:
                raise RuntimeError(what_failed(e)) from e
            else:
                start += len(some)
        return np.concatenate(found)

    def _call(self, images: Images, size: int) -> np.ndarray:
        vectors: np.ndarray = self._embed(self._constant(pad_batch(images, size))).numpy()
        return vectors[: len(images)]


def what_failed(error: Any) -> str:
    """What an error of TensorFlow's says beside where its graph comes from, which is told first, in many lines."""
    told = str(error.message).strip().rpartition("\n\n")[2].splitlines() or [""]
    return f"{type(error).__name__}: {told[0][:300]}"


def in_full_precision() -> None:
    """f32 is f32 on GPUs, too, where TensorFlow multiplies in TF32, of 10 bits, unless it is told not to.

    https://www.tensorflow.org/api_docs/python/tf/config/experimental/enable_tensor_float_32_execution; it holds for the
    process.
    """
    import tensorflow as tf

    tf.config.experimental.enable_tensor_float_32_execution(False)


def _of_graph(artifact: bytes) -> Callable[[Any], Any]:
    import tensorflow as tf

    definition = tf.compat.v1.GraphDef.FromString(artifact)
    wrapped = tf.compat.v1.wrap_function(lambda: tf.compat.v1.import_graph_def(definition, name=""), [])
    graph = wrapped.graph
    embed: Callable[[Any], Any] = wrapped.prune(
        graph.get_tensor_by_name(INPUT_TENSOR), graph.get_tensor_by_name(OUTPUT_TENSOR)
    )
    return embed


def _of_module(artifact: bytes) -> Callable[[Any], Any]:
    import tensorflow as tf

    with tempfile.TemporaryDirectory(prefix="embed-images-") as folder:
        with zipfile.ZipFile(io.BytesIO(artifact)) as archive:
            archive.extractall(folder)
        module = tf.saved_model.load(folder)  # all of it: variables, and tables, which are filled at once
    signature = module.signatures[SIGNATURE]

    def embed(images: Any, module: Any = module) -> Any:  # which its signature does not keep alive
        return signature(images=images)[OUTPUT_NAME]

    return embed


def pad_batch(images: Images, size: int) -> np.ndarray:
    """Stacks images into [size, height, width, 3], zeros where there are fewer."""
    padded = np.zeros((size, *images[0].shape), images[0].dtype)
    np.stack(list(images), out=padded[: len(images)])
    return padded
