"""TensorFlow with a frozen graph: runs any module, and on a GPU where there is one."""

from __future__ import annotations

import contextlib

import numpy as np

from transforms.engines.engine import Images

INPUT_TENSOR = "images:0"
OUTPUT_TENSOR = "embedding:0"


class TensorFlowEngine:
    """Runs a serialized GraphDef from `INPUT_TENSOR` (uint8 images) to `OUTPUT_TENSOR` (float32 vectors).

    Every call of TensorFlow gets `batch_size` images, the last ones filled up with zeros, so that a vector does not
    depend on how many others came with it.
    """

    def __init__(self, graph_def: bytes, batch_size: int, threads: int):
        import tensorflow as tf

        with contextlib.suppress(RuntimeError):  # TensorFlow runs already and keeps the threads that it has
            tf.config.threading.set_intra_op_parallelism_threads(threads)
        definition = tf.compat.v1.GraphDef.FromString(graph_def)
        wrapped = tf.compat.v1.wrap_function(lambda: tf.compat.v1.import_graph_def(definition, name=""), [])
        graph = wrapped.graph
        self._embed = wrapped.prune(graph.get_tensor_by_name(INPUT_TENSOR), graph.get_tensor_by_name(OUTPUT_TENSOR))
        self._constant = tf.constant
        self._batch_size = batch_size

    def __call__(self, images: Images) -> np.ndarray:
        starts = range(0, len(images), self._batch_size)
        return np.concatenate([self._call(images[start : start + self._batch_size]) for start in starts])

    def _call(self, images: Images) -> np.ndarray:
        vectors: np.ndarray = self._embed(self._constant(pad_batch(images, self._batch_size))).numpy()
        return vectors[: len(images)]


def pad_batch(images: Images, size: int) -> np.ndarray:
    """Stacks images into [size, height, width, 3], zeros where there are fewer."""
    padded = np.zeros((size, *images[0].shape), images[0].dtype)
    np.stack(list(images), out=padded[: len(images)])
    return padded
