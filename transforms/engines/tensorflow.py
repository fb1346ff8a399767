"""TensorFlow with a frozen graph: runs any module, and on a GPU where there is one."""

from __future__ import annotations

import contextlib

import numpy as np

INPUT_TENSOR = "images:0"
OUTPUT_TENSOR = "embedding:0"


class TensorFlowEngine:
    """Runs a serialized GraphDef from `INPUT_TENSOR` (uint8 images) to `OUTPUT_TENSOR` (float32 vectors)."""

    def __init__(self, graph_def: bytes, threads: int):
        import tensorflow as tf

        with contextlib.suppress(RuntimeError):  # TensorFlow runs already and keeps the threads that it has
            tf.config.threading.set_intra_op_parallelism_threads(threads)
        definition = tf.compat.v1.GraphDef.FromString(graph_def)
        wrapped = tf.compat.v1.wrap_function(lambda: tf.compat.v1.import_graph_def(definition, name=""), [])
        graph = wrapped.graph
        self._embed = wrapped.prune(graph.get_tensor_by_name(INPUT_TENSOR), graph.get_tensor_by_name(OUTPUT_TENSOR))
        self._constant = tf.constant

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        vectors: np.ndarray = self._embed(self._constant(pixels)).numpy()
        return vectors
