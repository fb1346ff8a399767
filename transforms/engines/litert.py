"""LiteRT (formerly TensorFlow Lite) with its XNNPACK kernels: the fastest f32 on CPUs here, and no
import of TensorFlow in a worker."""

from __future__ import annotations

import threading

import numpy as np


class LiteRTEngine:
    """Runs a .tflite flatbuffer with one uint8 image input and one float32 vector output."""

    def __init__(self, flatbuffer: bytes, batch_size: int, threads: int):
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(model_content=flatbuffer, num_threads=threads)
        (image_input,) = self._interpreter.get_input_details()
        (vector_output,) = self._interpreter.get_output_details()
        self._input = image_input["index"]
        self._output = vector_output["index"]
        self._interpreter.resize_tensor_input(self._input, [batch_size, *image_input["shape"][1:]], strict=True)
        self._interpreter.allocate_tensors()
        self._lock = threading.Lock()  # an interpreter holds the tensors of one call

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        with self._lock:
            self._interpreter.set_tensor(self._input, pixels)
            self._interpreter.invoke()
            vectors: np.ndarray = self._interpreter.get_tensor(self._output)
        return vectors
